package inbox_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestLooks saves pictures of the pages with `go test -artifacts`: light and dark, wide and on a
// phone.
func TestLooks(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t, setup{wait: 1})
	w.up.On(rpctest.Run, "list_contacts", clinic)
	agent := w.token(t, "molly", "agent", "operator")
	bob := w.token(t, "bob", "approver", "admin")
	for n := range 3 {
		w.call(t, agent, "start_outbound_call", fmt.Sprintf(`{"input":{"contactId":"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d%02d"},"reason":"Her call was lost at 09:1%d."}`, n, n))
	}
	w.call(t, agent, "update_contact", `{"identity":"`+anID+`","input":{"phoneE164":"+442079460199","email":"ada@example.org"},"reason":"She told the AI her new number on the phone."}`)
	w.call(t, agent, "delete_contact", `{"input":{"contactId":"`+anID+`"},"reason":"Privacy request of 24 November."}`)
	var ids []string
	for n := range 12 {
		ids = append(ids, fmt.Sprintf(`"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d%02d"`, n))
	}
	w.call(t, agent, "start_bulk_outbound_call", `{"input":{"contactIds":[`+strings.Join(ids, ",")+`],"concurrency":2},"reason":"Reminder for tomorrow."}`)
	w.call(t, agent, "end_call", `{"input":{"callUuid":"c-17"}}`)
	all := w.pending(t, 7)
	who := approval.Person{Name: "bob", Roles: []string{"approver"}, Via: "inbox", Fresh: true}
	w.approvals.Answer(t.Context(), []string{all[6].ID}, who, approval.Reply{Note: "The caller is still talking to a nurse.", Quick: true})
	w.token(t, "bob", "approver", "admin")

	b.look("light", false)
	b.goTo(w.base + "/inbox")
	b.until("the login", loaded+` && document.querySelector("input[name=token]")`)
	b.shot("login-light")
	b.write("input[name=token]", bob)
	b.click(`form[action="/inbox/login"] button`)
	b.until("the cards", loaded+` && document.querySelectorAll("[data-card]").length == 4`)
	for _, scheme := range []string{"light", "dark"} {
		for _, phone := range []bool{false, true} {
			name := scheme
			if phone {
				name += "-phone"
			}
			b.look(scheme, phone)
			b.shot("inbox-" + name)
		}
	}
	b.look("light", false)
	b.goTo(w.base + "/inbox/approvals/" + all[3].ID)
	b.shot("request-light")
	b.goTo(w.base + "/inbox/stop")
	b.shot("stop-light")
	if err := w.approvals.Stop(t.Context(), approval.Person{Name: "bob", Roles: []string{"admin"}, Via: "inbox"}, ledger.StopScope{Kind: ledger.StopEverything}, "the wrong list is being dialled"); err != nil {
		t.Fatal(err)
	}
	b.goTo(w.base + "/inbox")
	b.until("the banner", `document.querySelector(".strip.stopped")`)
	b.shot("stopped-light")
	b.look("dark", true)
	b.goTo(w.base + "/inbox/stop")
	b.shot("stopped-dark-phone")
	b.look("light", false)
	b.goTo(w.base + "/inbox/history")
	b.shot("history-light")
	if n := b.count(".ended"); n != 7 {
		t.Errorf("%d decided requests in the history, want 7", n)
	}
	b.goTo(w.base + "/inbox")
	b.until("the page", `document.querySelector("[data-live]")`)
	w.stop()
	b.until("the banner", `!document.querySelector("[data-offline]").hidden`)
	b.shot("offline-light")
	if g, err := w.ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true}); err != nil || len(g) != 0 {
		t.Errorf("%d are open, %v", len(g), err)
	}
}

var patients = []string{"Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Mary Jackson", "Dorothy Vaughan", "Annie Easley"}

// clinic answers list_contacts with names of people.
func clinic(r rpctest.Request) rpctest.Answer {
	var body struct {
		Filter struct {
			ID struct {
				In []string
				Eq string
			}
		}
	}
	_ = json.Unmarshal(r.Body, &body)
	ids := body.Filter.ID.In
	if id := body.Filter.ID.Eq; id != "" {
		ids = []string{id}
	}
	rows := []map[string]any{}
	for n, id := range ids {
		if last := id[len(id)-1]; last >= '0' && last <= '9' && len(ids) == 1 {
			n = int(last - '0')
		}
		rows = append(rows, map[string]any{"id": id, "fullName": patients[n%len(patients)], "phoneE164": fmt.Sprintf("+44207946%04d", 100+n),
			"email": strings.ToLower(strings.Fields(patients[n%len(patients)])[0]) + "@example.com", "metadata": nil, "deletedAt": nil, "erasedAt": nil})
	}
	raw, _ := json.Marshal(rows)
	return rpctest.Answer{Body: `{"success":true,"data":{"results":` + string(raw) + `,"hasMore":false,"limit":250,"type":"keyset"}}`}
}
