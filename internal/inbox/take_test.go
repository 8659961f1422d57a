package inbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestTakeWithAnOldLogin: if the login got too old after approving, taking needs a new login. It is
// still possible then, until what was issued is destroyed after 15 minutes.
func TestTakeWithAnOldLogin(t *testing.T) {
	clock := &offsetClock{}
	w := newWorld(t, setup{now: clock.now})
	w.up.On(rpctest.Run, "issue_operator_access_token", rpctest.OK(`{"token":"opr_secret"}`))
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	old := w.loggedIn(t, bob)
	clock.add(14 * time.Minute)
	call := w.later(t, agent, "issue_operator_access_token", `{"input":{"operatorEmail":"o@example.org"}}`)
	req := w.pending(t, 1)[0]
	if res, text := old.post("/inbox/answer", url.Values{"line": {old.stampsOn("/inbox")[req.ID]}, "answer": {"approve"}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("HTTP %d: %s", res.StatusCode, text)
	}
	if a := get(t, call); a.Outcome != "done" {
		t.Fatalf("%s", a.frame)
	}
	if _, page := old.get("/inbox"); !strings.Contains(page, `action="/inbox/take"`) {
		t.Error("a recent login is not offered to take it")
	}
	stamp := old.stampsOn("/inbox")["take-"+req.ID]
	clock.add(2 * time.Minute)
	if _, page := old.get("/inbox"); strings.Contains(page, `action="/inbox/take"`) || !strings.Contains(page, `href="/inbox/login?again"`) {
		t.Error("an old login gets no link to a new one")
	}
	if res, page := old.post("/inbox/take", url.Values{"id": {req.ID}, "stamp": {stamp}}); res.StatusCode != http.StatusConflict || strings.Contains(page, "opr_secret") {
		t.Errorf("an old login takes it: HTTP %d", res.StatusCode)
	}
	renewed := w.loggedIn(t, bob)
	if res, page := renewed.post("/inbox/take", url.Values{"id": {req.ID}, "stamp": {renewed.stampsOn("/inbox")["take-"+req.ID]}}); res.StatusCode != http.StatusOK || !strings.Contains(page, "opr_secret") {
		t.Errorf("a new login does not take it: HTTP %d", res.StatusCode)
	}
}
