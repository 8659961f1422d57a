package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestAnswerRejected checks which answers in the inbox do not count. Each is rejected by itself.
func TestAnswerRejected(t *testing.T) {
	o := newApprovalWorld(t, house)
	ask := func(action, args string) string { return o.ask(t, call(t, adaCaller, action, args)) }
	erase, create := ask("delete_contact", eraseContact), ask("create_contact", createArgs)
	stale := bobPerson
	stale.Fresh = false
	for name, c := range map[string]struct {
		id      string
		who     approval.Person
		approve bool
		says    string
	}{
		"own request that needs approve": {erase, adaPerson, true, "another person must answer"},
		"own request, declined":          {erase, adaPerson, false, "another person must answer"},
		"own request, as an approver":    {erase, approval.Person{Name: "Ada", Roles: []string{approval.RoleApprover}, Via: "api", Fresh: true}, true, "another person must answer"},
		"no approver":                    {erase, approval.Person{Name: "eve", Via: "inbox", Fresh: true}, true, "role approver"},
		"request of another person":      {create, approval.Person{Name: "eve", Via: "inbox", Fresh: true}, true, "role approver"},
		"a program":                      {erase, approval.Person{Name: "bob", Roles: []string{approval.RoleApprover, approval.RoleAgent}, Via: "api", Fresh: true}, true, "program"},
		"no recent login":                {erase, stale, true, "recent login"},
		"unknown id":                     {ledger.NewID(), bobPerson, true, "no such approval request"},
		"SQL":                            {"'; DROP TABLE approvals; --", bobPerson, true, "no such approval request"},
		"no id":                          {"", bobPerson, false, "no such approval request"},
	} {
		got := o.approvals.Answer(t.Context(), []string{c.id}, c.who, approval.Reply{Approve: c.approve, By: ledger.Actor{Name: "the owner"}})
		if len(got) != 1 || got[0].ApprovalID != c.id || got[0].Err == nil || !strings.Contains(got[0].Err.Message, c.says) {
			t.Errorf("%s: %+v", name, got[0].Err)
		}
	}
	for _, id := range []string{erase, create} {
		if q := o.request(t, id); q.State != ledger.Pending || q.By != (ledger.Actor{}) {
			t.Errorf("%s is %s by %q", q.Action, q.State, q.By)
		}
	}
	// Declining needs no recent login. The name is the person's, not the reply's.
	got := o.approvals.Answer(t.Context(), []string{erase, "x", create}, stale, approval.Reply{By: ledger.Actor{Name: "the owner"}})
	if got[0].Err != nil || got[1].Err == nil || got[2].Err != nil {
		t.Errorf("%+v", got)
	}
	if q := o.request(t, erase); q.State != ledger.Declined || q.By.String() != "bob, via inbox" {
		t.Errorf("%s by %q", q.State, q.By)
	}
	o.clock.Add(2 * time.Minute)
	if got := o.approvals.Answer(t.Context(), []string{create}, adaPerson, approves); got[0].Err == nil || got[0].Err.Message != "bob answered this already, 2 minutes ago" {
		t.Errorf("%+v", got[0].Err)
	}
	late := ask("create_contact", `{"input":{"fullName":"Cem"}}`)
	o.clock.Add(15 * time.Minute)
	if got := o.approvals.Answer(t.Context(), []string{late}, adaPerson, approves); got[0].Err == nil || !strings.Contains(got[0].Err.Message, "has expired") {
		t.Errorf("%+v", got[0].Err)
	}
}

// TestConcurrentAnswers checks that of several answers at once one counts, and that the others name
// who was faster.
func TestConcurrentAnswers(t *testing.T) {
	o := newApprovalWorld(t, house)
	o.startExecutor(t)
	id := o.ask(t, call(t, adaCaller, "delete_contact", eraseContact))
	const n = 8
	var errs [n]*schemas.Error
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			who := approval.Person{Name: fmt.Sprint("approver ", i), Roles: []string{approval.RoleApprover}, Via: "inbox", Fresh: true}
			errs[i] = o.approvals.Answer(t.Context(), []string{id}, who, approves)[0].Err
		})
	}
	wg.Wait()
	counted := 0
	for i, err := range errs {
		if err == nil {
			counted++
			if q := o.request(t, id); approval.PersonName(q.By) != fmt.Sprint("approver ", i) {
				t.Errorf("%q answered, and the request says %q", fmt.Sprint("approver ", i), q.By)
			}
		} else if !strings.Contains(err.Message, "answered this already") {
			t.Errorf("%v", err)
		}
	}
	if a := o.outcome(t, id); counted != 1 || a.Outcome() != schemas.Done || len(o.up.runs()) != 1 {
		t.Errorf("%d answers counted, %s, ran %d times", counted, brief(a), len(o.up.runs()))
	}
}

// TestStatedNumberInInbox checks that an approval of calls to more than ten people in all, over
// several requests, must state their number.
func TestStatedNumberInInbox(t *testing.T) {
	for _, c := range []struct {
		rings   []int
		approve bool
		state   int
		ok      bool
	}{
		{[]int{10}, true, 0, true}, {[]int{11}, true, 0, false}, {[]int{11}, true, 11, true}, {[]int{11}, true, 10, false},
		{[]int{5, 5}, true, 0, true}, {[]int{5, 6}, true, 0, false}, {[]int{5, 6}, true, 6, false}, {[]int{5, 6}, true, 12, false},
		{[]int{5, 6}, true, 11, true}, {[]int{4, 4, 4}, true, 12, true}, {[]int{4, 4, 4}, true, 0, false}, {[]int{5, 6}, false, 0, true},
	} {
		o := newApprovalWorld(t, house)
		o.up.numbers = map[string]string{}
		var ids []string
		total := 0
		for _, n := range c.rings {
			var contacts []string
			for range n {
				id := fmt.Sprintf("00000000-0000-4000-8000-%012d", total)
				o.up.numbers[id] = fmt.Sprintf("+442079460%03d", total)
				contacts = append(contacts, `"`+id+`"`)
				total++
			}
			ids = append(ids, o.ask(t, call(t, adaCaller, "start_bulk_outbound_call", `{"input":{"contactIds":[`+strings.Join(contacts, ",")+`]}}`)))
		}
		if approval.MustStateNumber(total) != (total > 10) {
			t.Errorf("%d people: %t", total, approval.MustStateNumber(total))
		}
		for i, a := range o.approvals.Answer(t.Context(), ids, bobPerson, approval.Reply{Approve: c.approve, StatedNumber: c.state}) {
			want := ledger.Pending
			switch {
			case c.ok && c.approve:
				want = ledger.Approved
			case c.ok:
				want = ledger.Declined
			}
			if q := o.request(t, ids[i]); (a.Err == nil) != c.ok || q.State != want || !c.ok && !strings.Contains(a.Err.Message, fmt.Sprintf("type the number of people that this reaches: %d", total)) {
				t.Errorf("%+v, request %d: %v, %s", c, i, a.Err, q.State)
			}
		}
	}
}

// TestNeedsFresh lists the actions that need a recent login: those that cannot be undone or that
// issue a credential, without hanging up. An unknown action needs one too.
func TestNeedsFresh(t *testing.T) {
	var fresh []string
	for _, a := range schemas.Actions() {
		if approval.NeedsFresh(a.Name) {
			fresh = append(fresh, a.Name)
		}
	}
	slices.Sort(fresh)
	want := "archive_contact delete_contact delete_email_identity delete_email_mailbox delete_email_template issue_operator_access_token issue_operator_media_access"
	if got := strings.Join(fresh, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if !approval.NeedsFresh("no_such_action") {
		t.Error("an unknown action needs no recent login")
	}
}

// TestTooManyPending checks how many pending requests of a class a caller has, to the client and in the
// inbox together.
func TestTooManyPending(t *testing.T) {
	o := newApprovalWorld(t, house)
	first := ""
	for n := range ledger.MaxPending("create_contact") {
		c := call(t, adaCaller, "create_contact", fmt.Sprintf(`{"input":{"fullName":"%d"}}`, n))
		c.CanAsk = n%2 == 1
		a := o.Do(t.Context(), c)
		if a.Pending == nil {
			t.Fatalf("request %d: %s", n, brief(a))
		}
		if n == 0 {
			first = a.Pending.ApprovalID
		}
	}
	more := call(t, adaCaller, "create_contact", `{"input":{"fullName":"one more"}}`)
	if a := o.Do(t.Context(), more); a.Outcome() != schemas.LimitExceeded || a.Pending != nil || !strings.Contains(a.Err.Message, "50 approval requests of this caller for actions of the class write are pending") ||
		!strings.Contains(a.Err.Next, "they wait in the inbox; calls of another kind can still be asked for") {
		t.Errorf("one more: %s", brief(a))
	}
	if a := o.Do(t.Context(), call(t, adaCaller, "create_contact", `{"input":{"fullName":"0"}}`)); a.Pending == nil || a.Pending.ApprovalID != first {
		t.Errorf("repeated: %s", brief(a))
	}
	o.ask(t, call(t, boCaller, "create_contact", `{"input":{"fullName":"one more"}}`))
	o.answer(t, first, adaPerson, approves) // an approved request is not pending
	o.ask(t, more)
}

// TestTokenOfRequester checks that a token answers no request that was made with it, whatever its
// roles: a program has it.
func TestTokenOfRequester(t *testing.T) {
	q := &ledger.ApprovalRequest{Needs: "confirm", Person: "ada", Credential: "614fb413438c"}
	ada := approval.Person{Name: "ada", Roles: []string{approval.RoleApprover}, Via: "api", Credential: q.Credential, Fresh: true}
	if why := ada.CheckAnswer(q); why == nil || !strings.Contains(why.Message, "with the token that you are using") {
		t.Errorf("with the token that asked: %+v", why)
	}
	for _, other := range []string{"", "7da64dad30b7"} { // logged in by a link; with another token
		if ada.Credential = other; ada.CheckAnswer(q) != nil {
			t.Errorf("with %q: %+v", other, ada.CheckAnswer(q))
		}
	}
}
