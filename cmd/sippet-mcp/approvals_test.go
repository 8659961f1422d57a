package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// tokenFile writes a token to a file.
func tokenFile(t *testing.T, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	return file
}

const bulk = `{"input":{"groupId":"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11","contactLimit":12},"reason":"the winter campaign"}`

// TestApproveOnATerminal: a person reads the card and types approve, or the number of people. The
// result is printed, and the exit code is 0 only if the call ran.
func TestApproveOnATerminal(t *testing.T) {
	w := newWorld(t)
	_, bob, ada := w.http(t)
	token := tokenFile(t, w.ada)
	for i, c := range []struct {
		name, tool, args, answer string
		run, validate            rpctest.Handler // after the request
		code, runs               int
		out, errs                string
	}{
		{name: "approve", answer: "approve\n", runs: 1, out: "Approved, and it ran.\n"},
		{name: "in capitals", answer: "  APPROVE \n", runs: 1, out: "Approved, and it ran.\n"},
		{name: "no", answer: "no\n", code: 1, errs: "not approved; the request is still pending, and `sippet-mcp approvals decline "},
		{name: "yes", answer: "yes\n", code: 1, errs: "not approved; the request is still pending"},
		{name: "nothing", answer: "", code: 1, errs: "not approved; the request is still pending"},
		{name: "without a line end", answer: "approve", code: 1, errs: "not approved; the request is still pending"},
		{name: "twelve people, approve", tool: "start_bulk_outbound_call", args: bulk, answer: "approve\n", code: 1, errs: "not approved"},
		{name: "twelve people, another number", tool: "start_bulk_outbound_call", args: bulk, answer: "10\n", code: 1, errs: "not approved"},
		{name: "twelve people", tool: "start_bulk_outbound_call", args: bulk, answer: "12\n", runs: 1, out: "Approved, and it ran.\n"},
		{name: "rejected by Sippet", answer: "approve\n", run: rpctest.Refuse("invalid", "no such thing"), code: 1, runs: 1, errs: "approved, but Sippet rejected it: "},
		{name: "unknown", answer: "approve\n", run: rpctest.Reset, code: 1, runs: 1, errs: "approved, but it is unknown whether it ran: check in Sippet, then record the outcome with `sippet-mcp audit resolve "},
		{name: "not valid any more", answer: "approve\n", validate: rpctest.Refuse("invalid", "it is gone"), code: 1, errs: "approved, but it did not run: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.tool == "" {
				c.tool, c.args = "delete_contact", erase(i)
			}
			id, _ := bob.tool(t, c.tool, c.args).waits(t)
			w.up.On(rpctest.Run, c.tool, c.run)
			w.up.On(rpctest.Validate, c.tool, c.validate)
			defer w.up.On(rpctest.Run, c.tool, nil)
			defer w.up.On(rpctest.Validate, c.tool, nil)
			before := ran(w.up, c.tool)
			who := &person{Reader: strings.NewReader("approve\n12\n"), answer: c.answer} // typed before the card was shown, so it is no answer
			code, out, errs := at(t, t.Context(), who, w.dir, "approvals", "approve", id[:12], "--token-file", token)
			if code != c.code || out != c.out || c.errs == "" && errs != "" || !strings.Contains(errs, c.errs) {
				t.Errorf("exit code %d: %q %q", code, out, errs)
			}
			if n := ran(w.up, c.tool) - before; n != c.runs {
				t.Errorf("it ran %d times", n)
			}
			shown, last := who.shown.String(), "\nErase this record? Type approve to run this call:"
			if c.tool != "delete_contact" {
				last = "\nRing them? Type 12, the number of people, to run this call:"
			}
			if !strings.HasSuffix(strings.TrimSpace(shown), last) || !strings.Contains(shown, "requested by bob, via token ") || c.tool == "delete_contact" && !strings.Contains(shown, "Erase the contact") {
				t.Errorf("the prompt was\n%s", shown)
			}
			q, err := ada.look(id)
			switch {
			case err != nil:
				t.Error(err)
			case strings.Contains(c.errs, "not approved"):
				if q.State != "pending" {
					t.Errorf("it is not pending any more: %+v", q)
				}
			case q.By.String() != "ada, via terminal" || !q.Quick: // faster than reading
				t.Errorf("%+v", q)
			}
		})
	}
}

// TestWhoMayApprove: a person who may not answer gets the reason before any card. A person who
// answers too late gets the name of the other.
func TestWhoMayApprove(t *testing.T) {
	w := newWorld(t)
	_, bob, ada := w.http(t)
	_, mine := w.stdio(t, nil)
	theirs, _ := bob.tool(t, "delete_contact", erase(1)).waits(t)
	own, _ := mine.tool(t, "delete_contact", erase(2)).waits(t)
	answered, _ := bob.tool(t, "delete_contact", erase(3)).waits(t)
	if status, _, err := ada.say(answered, "decline"); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	for name, c := range map[string]struct{ id, token, errs string }{
		"a program":              {theirs, w.bob, "the token has the role agent, and programs cannot answer approval requests: use a token of your own"},
		"a program, own request": {own, w.bob, "the token has the role agent"},
		"the requester":          {own, "", "another person must answer this request: you are " + me() + ", the requester, with any token"},
		"no approver":            {theirs, w.token(t, "oz", "operator"), "there is no approval request \"" + theirs + "\" that you may see"},
		"this machine's user":    {theirs, "", "there is no approval request \"" + theirs + "\" that you may see"},
		"not a token":            {theirs, "nonsense", "the token is unknown, expired or revoked"},
		"too late":               {answered, w.ada, "the request is not pending any more: ada "},
		"unknown request":        {"00000000000000000000000000000000", w.ada, "there is no approval request"},
	} {
		t.Run(name, func(t *testing.T) {
			who := &person{answer: "approve\n"}
			args := []string{"approvals", "approve", c.id}
			if c.token != "" {
				args = append(args, "--token-file", tokenFile(t, c.token))
			}
			code, out, errs := at(t, t.Context(), who, w.dir, args...)
			if code != 1 || out != "" || !strings.Contains(errs, c.errs) {
				t.Errorf("%d: %q %q, want %q", code, out, errs, c.errs)
			}
			if shown := who.shown.String(); shown != "" {
				t.Errorf("they were shown %s", shown)
			}
			if c.token != "" && strings.Contains(errs, c.token[len(c.token)/2:]) && c.token != "nonsense" {
				t.Errorf("the token is in %s", errs)
			}
		})
	}
	// Another person answers while they read.
	who := &interrupted{person: person{answer: "approve\n"}, by: func() {
		if status, _, err := ada.say(theirs, "decline"); err != nil || status != 200 {
			t.Error(status, err)
		}
	}}
	var out, errs strings.Builder
	p := &program{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) string { return "" }, outTerminal: true, errTerminal: true,
		terminal: func() (terminal, error) { return who, nil }}
	if code := p.run(t.Context(), []string{"approvals", "approve", theirs, "--token-file", tokenFile(t, w.ada), "--state-dir", w.dir}); code != 1 || out.String() != "" ||
		!strings.Contains(errs.String(), "ada answered this already, ") {
		t.Errorf("%d: %q %q", code, out.String(), errs.String())
	}
	if n := w.erased(); n != 0 {
		t.Errorf("it ran %d times", n)
	}
}

// interrupted is a person at a terminal; by runs while they read.
type interrupted struct {
	person
	by func()
}

func (i *interrupted) Read(b []byte) (int, error) {
	if i.by != nil {
		i.by()
		i.by = nil
	}
	return i.person.Read(b)
}

// TestApproveOwnRequests: the user of this machine answers the requests of their programs without a
// token.
func TestApproveOwnRequests(t *testing.T) {
	w := newWorld(t)
	w.fix(t)
	mine := w.mute(t)
	run := func(who *person, args ...string) string {
		t.Helper()
		code, out, errs := at(t, t.Context(), who, w.dir, args...)
		if code != 0 {
			t.Fatalf("%v: %s", args, errs)
		}
		return out
	}
	if out := run(&person{}, "approvals", "list"); out != "no request is pending\n" {
		t.Errorf("%q", out)
	}
	id, _ := mine.tool(t, "delete_contact", erase(1)).waits(t)
	other, _ := mine.tool(t, "archive_contact", `{"identity":"`+rpctest.ID(2)+`"}`).waits(t)
	if out := run(&person{}, "approvals", "list"); !strings.Contains(out, "\x1b[1mid ") || !strings.Contains(out, id[:8]+"  Erase the contact \"Some text 1\" \"Some text 1\" for good.") ||
		!strings.Contains(out, me()+", via stdio") || !strings.Contains(out, "confirm") || strings.Count(out, "\n") != 3 || strings.Index(out, id[:8]) > strings.Index(out, other[:8]) {
		t.Errorf("%s", out)
	}
	if out := run(&person{}, "approvals", "show", id[:10]); !strings.HasPrefix(out, "Erase the contact") || !strings.Contains(out, "can restore them") || !strings.Contains(out, id+", until ") || !strings.Contains(out, ": pending\n") {
		t.Errorf("%s", out)
	}
	who := &person{answer: "approve\n"}
	if out := run(who, "approvals", "approve", id); out != "Approved, and it ran.\n" || w.erased() != 1 {
		t.Errorf("%q, and it ran %d times", out, w.erased())
	}
	if out := run(&person{}, "approvals", "decline", other, "--note", "not she\x1b[2J"); out != "Declined; nothing runs.\n" {
		t.Errorf("%q", out)
	}
	if out := run(&person{}, "approvals", "list"); out != "no request is pending\n" {
		t.Errorf("%q", out)
	}
	if out := run(&person{}, "approvals", "list", "--all"); !strings.Contains(out, " approved, and it ran") || !strings.Contains(out, " declined") {
		t.Errorf("%s", out)
	}
	if out := run(&person{}, "approvals", "show", other); !strings.Contains(out, ": "+me()+" declined: not she") || strings.Contains(out, "\x1b[2J") {
		t.Errorf("%q", out)
	}
	if r := mine.tool(t, "archive_contact", `{"identity":"`+rpctest.ID(2)+`"}`); r.outcome() != "declined" || !strings.Contains(r.Result.StructuredContent.Message, "their note: not she") {
		t.Errorf("%+v", r.Result)
	}
	if r := mine.tool(t, "approval_status", `{"id":"`+id+`"}`); r.outcome() != "done" || r.Result.StructuredContent.ApprovedBy != me() {
		t.Errorf("%+v", r.Result)
	}
	if ran(w.up, "archive_contact") != 0 {
		t.Error("what was declined ran")
	}
}

// TestWatchApprovals: watch shows each request and its result; on a terminal with the card and how
// to answer.
func TestWatchApprovals(t *testing.T) {
	w := newWorld(t)
	_, bob, ada := w.http(t)
	before, _ := bob.tool(t, "delete_contact", erase(1)).waits(t)
	old, _ := bob.tool(t, "delete_contact", erase(2)).waits(t)
	if status, _, err := ada.say(old, "decline"); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	var out, errs watched
	p := &program{in: strings.NewReader(""), out: &out, err: &errs, env: func(name string) string {
		if name == "SIPPET_APPROVER_TOKEN" {
			return w.ada
		}
		return ""
	}, outTerminal: true, errTerminal: true, terminal: func() (terminal, error) { return nil, errors.New("none") }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() { ended <- p.run(ctx, []string{"approvals", "watch", "--state-dir", w.dir}) }()
	see := func(text string) {
		t.Helper()
		until(t, 20*time.Second, func() bool { return strings.Contains(out.String(), text) }, func() string { return "no " + text + " in\n" + out.String() + errs.String() })
	}
	see("Answer with: sippet-mcp approvals approve " + before[:8] + " --state-dir " + w.dir)
	if !strings.Contains(out.String(), "Erase the contact") || strings.Contains(out.String(), old[:8]) {
		t.Errorf("%s", out.String())
	}
	next, _ := bob.tool(t, "delete_contact", erase(3)).waits(t)
	see("approvals approve " + next[:8])
	ada.approve(t, next)
	see(next[:8] + "  ada approved, and it ran")
	if status, _, err := ada.say(before, "decline"); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	see(before[:8] + "  ada declined")
	cancel()
	if code := <-ended; code != 0 || errs.String() != "" || strings.Contains(out.String(), w.ada) {
		t.Errorf("%d: %s", code, errs.String())
	}
}

// TestApprovalsInAPipe: the list in a pipe has the whole card.
func TestApprovalsInAPipe(t *testing.T) {
	w := newWorld(t)
	_, bob, ada := w.http(t)
	bob.tool(t, "start_bulk_outbound_call", bulk).waits(t)
	code, out, errs := at(t, t.Context(), nil, w.dir, "approvals", "list", "--token-file", tokenFile(t, w.ada))
	var q shownApproval
	if err := json.Unmarshal([]byte(out), &q); code != 0 || err != nil {
		t.Fatalf("%d: %v %s", code, err, errs)
	}
	if q.State != "pending" || q.Needs != "approve" || q.Card == nil || q.Card.RecipientCount != 12 || q.Card.StateNumber != 12 || q.Card.Reason != "the winter campaign" || q.Requester.Name != "bob" {
		t.Errorf("%+v", q)
	}
	// The API requires the number of people too.
	one, err := ada.look(q.ID)
	must(t, err)
	for _, body := range []string{`{"answer":"approve","stamp":"` + one.Stamp + `"}`, `{"answer":"approve","people":11,"stamp":"` + one.Stamp + `"}`} {
		var s apiReply
		if status, err := ada.do("POST", "/api/approvals/"+q.ID, body, &s); err != nil || status != 409 || !strings.Contains(s.Error, "type the number of people that this reaches: 12") {
			t.Errorf("%d %+v %v", status, s, err)
		}
	}
	if n := ran(w.up, "start_bulk_outbound_call"); n != 0 {
		t.Errorf("it ran %d times", n)
	}
}

// TestShowDeparted: the card of a request says that its program no longer waits, while it is
// pending.
func TestShowDeparted(t *testing.T) {
	dir := t.TempDir()
	l := openState(t, dir)
	r := ledger.ApprovalRequest{ID: ledger.NewID(), Requester: ledger.Actor{Name: me(), Via: "http"}, Person: me(), Action: "delete_contact", Hash: "h", EffectKey: "e", Policy: "v1", Needs: "confirm",
		Payload: []byte(`{"action":"delete_contact"}`), Card: []byte(`{"title":"Erase her."}`), Expires: time.Now().Add(time.Hour)}
	must(t, l.CreateApproval(t.Context(), r))
	const departed = "The assistant no longer waits for the answer, since "
	show := func(who *person) string {
		t.Helper()
		code, out, errs := at(t, t.Context(), who, dir, "approvals", "show", r.ID)
		if code != 0 {
			t.Fatalf("%d: %s", code, errs)
		}
		return out
	}
	if text, raw := show(&person{}), show(nil); strings.Contains(text, departed) || strings.Contains(raw, "departed") {
		t.Errorf("before: %s%s", text, raw)
	}
	must(t, l.RecordUnanswered(t.Context(), r.ID, ledger.ClientEvent{Kind: ledger.ClientDeparted}))
	if text, raw := show(&person{}), show(nil); !strings.Contains(text, departed) || !strings.Contains(raw, `"departed":"20`) {
		t.Errorf("after: %s%s", text, raw)
	}
	must(t, l.AnswerApproval(t.Context(), r, ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: me(), Via: "inbox"}}))
	if text, raw := show(&person{}), show(nil); strings.Contains(text, departed) || strings.Contains(raw, "departed") {
		t.Errorf("after the answer: %s%s", text, raw)
	}
}
