package inbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestUrgentIsShown: if a page cannot show all requests, it shows those that expire first.
func TestUrgentIsShown(t *testing.T) {
	w := newWorld(t, setup{wait: 1})
	bob := w.loggedIn(t, w.token(t, "bob", "approver"))
	for c := range 2 {
		agent := w.token(t, fmt.Sprint("caller ", c), "agent")
		for n := range 31 {
			w.call(t, agent, "delete_contact", fmt.Sprintf(`{"input":{"contactId":%q}}`, rpctest.ID(n)))
		}
	}
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	asked := w.pending(t, 63)
	_, page := bob.get("/inbox")
	if last := asked[62].ID; !strings.Contains(page, `data-line="`+last+`"`) || !strings.Contains(page, "3 more are pending") {
		t.Errorf("the most urgent request is not on the page, or too many are: %v", strings.Count(page, "data-line="))
	}
}

// TestFloodHidesNobody: the requests of a caller that asks for much do not hide those of another, nor
// its own of another class, however much time these have left.
func TestFloodHidesNobody(t *testing.T) {
	w := newWorld(t, setup{wait: 1})
	bob := w.loggedIn(t, w.token(t, "bob", "approver"))
	eve := w.token(t, "eve", "agent")
	for n := range 50 {
		w.call(t, eve, "start_outbound_call", ringArgs(n))
	}
	for n := range 20 {
		w.call(t, eve, "get_campaign", fmt.Sprintf(`{"input":{"id":%q}}`, rpctest.ID(n)))
	}
	own := w.call(t, eve, "delete_contact", deleteArgs(1)).Approval.ID
	other := w.call(t, w.token(t, "ada", "agent"), "delete_contact", deleteArgs(1)).Approval.ID
	w.pending(t, 72)
	_, page := bob.get("/inbox")
	for _, id := range []string{own, other} {
		if id == "" || !strings.Contains(page, `data-line="`+id+`"`) {
			t.Errorf("the request %q is hidden among %d lines", id, strings.Count(page, "data-line="))
		}
	}
}
