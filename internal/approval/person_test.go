package approval_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestWhoMayAnswer checks the whole table of who may see and answer a request, and take what its
// approval issued.
func TestWhoMayAnswer(t *testing.T) {
	who := func(name string, roles ...string) approval.Person {
		return approval.Person{Name: name, Roles: roles, Via: "inbox", Fresh: true}
	}
	const approver, admin, agent = approval.RoleApprover, approval.RoleAdmin, approval.RoleAgent
	local := who("root")
	local.Local = true
	for _, c := range []struct {
		who    approval.Person
		person string // the requester; empty if unknown
		sees   bool
		// confirm and approve: may they answer a request that needs it; takes: may they take what
		// their approval issued.
		confirm, approve, takes bool
	}{
		{who("ada"), "ada", true, true, false, false},
		{who("Ada"), "ada", true, true, false, false},
		{who("ADA", approver), "ada", true, true, false, false}, // with any token
		{who("ada", approver, admin), "Ada", true, true, false, false},
		{who("zoë"), "ZOË", true, true, false, false},
		{who("bob", approver), "ada", true, true, true, true},
		{who("bob", approver), "", true, true, false, true},
		{who("bob"), "ada", false, false, false, false},
		{who("bob", admin), "ada", false, false, false, false},
		{who("bob", "operator", "Approver"), "ada", false, false, false, false},
		{who("", approver), "ada", true, true, true, true},
		{who(""), "", false, false, false, false}, // two unknown persons
		{who("ad"), "ada", false, false, false, false},
		{who("ada "), "ada", false, false, false, false},
		{who("bob", agent), "ada", false, false, false, false},
		{who("ada", agent), "ada", true, false, false, false},
		{who("bob", agent, approver), "ada", true, false, false, false},
		{local, "ada", false, false, false, false}, // the owner of the state directory answers in no other name
		{local, "root", true, true, false, false},
	} {
		for needs, may := range map[string]bool{"confirm": c.confirm, "approve": c.approve, "deny": false, "validate": false, "": false, "Confirm": false} {
			q := &ledger.ApprovalRequest{Needs: needs, Person: c.person, State: ledger.Pending}
			err := c.who.CheckAnswer(q)
			if (err == nil) != may || err != nil && (err.Outcome != schemas.Denied || err.Message == "") {
				t.Errorf("%q %v, requested by %q, needs %q: %v", c.who.Name, c.who.Roles, c.person, needs, err)
			}
			if got := c.who.MaySee(q, time.Now()); got != c.sees {
				t.Errorf("%q %v sees the request of %q: %t", c.who.Name, c.who.Roles, c.person, got)
			}
		}
		for by, takes := range map[string]bool{c.who.Name: c.takes, strings.ToUpper(c.who.Name): c.takes, "carol": false} {
			q := &ledger.ApprovalRequest{Needs: "approve", Person: c.person, State: ledger.Used, By: ledger.Actor{Name: by}}
			if got := c.who.MayTakeHandover(q); got != takes {
				t.Errorf("%q %v takes what %q requested and %q approved: %t", c.who.Name, c.who.Roles, c.person, by, got)
			}
			if q.State = ledger.Approved; c.who.MayTakeHandover(q) {
				t.Errorf("%q takes what was not issued", c.who.Name)
			}
		}
	}
}

// TestWhoMayStop checks the whole table of who may make an emergency stop, see and end one.
func TestWhoMayStop(t *testing.T) {
	who := func(name string, roles ...string) approval.Person {
		return approval.Person{Name: name, Roles: roles, Via: "inbox"}
	}
	const approver, admin, agent = approval.RoleApprover, approval.RoleAdmin, approval.RoleAgent
	local := who("root")
	local.Local = true
	for _, c := range []struct {
		who               approval.Person
		own, all, resumes bool
	}{
		{local, true, true, true},
		{who("bob", admin), true, true, true},
		{who("bob", approver), true, true, false},
		{who("bob", approver, admin), true, true, true},
		{who("BOB"), true, false, false},
		{who("bob", "operator", "Admin", "viewer"), true, false, false},
		{who("bob", agent), true, false, false},
		{who("bob", agent, approver, admin), true, false, false},
		{who(""), false, false, false},
	} {
		own := ledger.StopScope{Kind: ledger.StopAssistant, Person: strings.ToLower(c.who.Name)}
		if got := c.who.MayStop(own); got != c.own {
			t.Errorf("%+v stops their own assistants: %t", c.who, got)
		}
		other := ledger.StopScope{Kind: ledger.StopAssistant, Person: "carol"}
		for _, s := range []ledger.StopScope{other, {Kind: ledger.StopRinging}, {Kind: ledger.StopEverything}, {Kind: "all"}, {}} {
			if got := c.who.MayStop(s); got != c.all {
				t.Errorf("%+v stops %q of %q: %t", c.who, s.Kind, s.Person, got)
			}
		}
		if c.who.MayStopAll() != c.all || c.who.MayResume() != c.resumes {
			t.Errorf("%+v stops all %t, resumes %t", c.who, c.who.MayStopAll(), c.who.MayResume())
		}
		if c.who.MaySeeStop(other) != c.all || c.who.MaySeeStop(own) != c.own || !c.who.MaySeeStop(ledger.StopScope{Kind: ledger.StopRinging}) {
			t.Errorf("%+v sees the wrong stops", c.who)
		}
	}
}
