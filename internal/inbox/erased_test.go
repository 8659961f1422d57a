package inbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestEraseOneRecipient: the pages name the eleven others, say that one was erased, and offer no
// approval.
func TestEraseOneRecipient(t *testing.T) {
	w := newWorld(t, setup{wait: 1})
	w.up.On(rpctest.Run, "list_contacts", clinic)
	agent, ada := w.token(t, "molly", "agent"), w.token(t, "ada", "approver")
	var ids []string
	for n := range 12 {
		ids = append(ids, fmt.Sprintf(`"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d%02d"`, n))
	}
	w.call(t, agent, "start_bulk_outbound_call", `{"input":{"contactIds":[`+strings.Join(ids, ",")+`]},"reason":"Reminder for tomorrow."}`)
	req, err := w.ledger.Approval(t.Context(), w.pending(t, 1)[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	to := linesOf(t, req.Card)
	if len(to) != 12 {
		t.Fatalf("the card lists %q", to)
	}
	v := w.loggedIn(t, ada)
	stamp := v.stamps()[0]
	if _, err := w.ledger.Erase(t.Context(), "contact:"+strings.Trim(ids[3], `"`), ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	look := func(what, page string) {
		t.Helper()
		for i, line := range to {
			number := line[strings.Index(line, "+"):strings.Index(line, " (")]
			if is := strings.Contains(page, number) || strings.Contains(page, strings.ReplaceAll(number, "+", "&#43;")); is == (i == 3) {
				t.Errorf("%s: recipient %d is shown: %v", what, i, is)
			}
		}
		if !strings.Contains(page, "1 person was erased") || !strings.Contains(page, "Ring many people: 12 people") || !strings.Contains(page, "molly") {
			t.Errorf("%s: %s", what, page)
		}
	}
	_, page := v.get("/inbox")
	look("the inbox", page)
	if strings.Contains(page, `value="approve"`) || !strings.Contains(page, `value="decline"`) {
		t.Errorf("the buttons: %s", page)
	}
	v.post("/inbox/answer", url.Values{"line": {stamp}, "answer": {"approve"}, "people": {"12"}})
	if q, err := w.ledger.Approval(t.Context(), req.ID); err != nil || q.State != ledger.Pending {
		t.Errorf("after an approval it is %s, %v", q.State, err)
	}
	v.post("/inbox/answer", url.Values{"line": {v.stamps()[0]}, "answer": {"decline"}})
	if q, err := w.ledger.Approval(t.Context(), req.ID); err != nil || q.State != ledger.Declined {
		t.Errorf("after declining it is %s, %v", q.State, err)
	}
	_, page = v.get("/inbox/approvals/" + req.ID)
	look("its page", page)
	if res, page := v.get("/inbox/history"); res.StatusCode != http.StatusOK || !strings.Contains(page, "Ring many people: 12 people in GB. (1 person was erased)") {
		t.Errorf("history: %s", page)
	}
}

// linesOf returns the recipients on a card.
func linesOf(t *testing.T, card []byte) []string {
	t.Helper()
	var c struct{ To []string }
	if err := json.Unmarshal(card, &c); err != nil {
		t.Fatal(err)
	}
	return c.To
}
