package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// change returns an update of a contact by ada.
func change(n, contact string) ledger.Txn {
	x := call(n)
	x.Action, x.EffectKind, x.Affects = "update_contact", schemas.ContactChange, []string{contact}
	x.Subjects, x.Replaced = []string{contact}, []byte(`{"fullName":"before `+n+`"}`)
	return x
}

// TestFindChanges: what a caller changed of a contact is found, and nothing else.
func TestFindChanges(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	do := func(x ledger.Txn, state ledger.IntentState, created string) ledger.Intent {
		t.Helper()
		in := commit(t, l, x)
		if state != ledger.Prepared {
			err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: state, Sent: true, CreatedSubject: created, Result: []byte(`{"id":"r1"}`)})
			if err != nil {
				t.Fatal(err)
			}
		}
		c.advance(time.Minute)
		return in
	}
	with := func(x ledger.Txn, f func(*ledger.Txn)) ledger.Txn { f(&x); return x }
	do(change("too old", "contact:1"), ledger.Succeeded, "")
	c.advance(24 * time.Hour)
	created := do(with(call("created"), func(x *ledger.Txn) {
		x.EffectKind, x.Affects, x.Subjects = schemas.ContactChange, []string{"phone:+1"}, []string{ledger.Provisional + "1", "contact:2", "phone:+1"}
	}), ledger.Succeeded, "contact:1")
	renamed := do(change("renamed", "contact:1"), ledger.Succeeded, "")
	do(change("failed", "contact:1"), ledger.Failed, "")
	do(change("not sent", "contact:2"), ledger.Succeeded, "")
	do(with(change("by eve", "contact:1"), func(x *ledger.Txn) { x.Caller.Name = "eve" }), ledger.Succeeded, "")
	do(with(change("elsewhere", "contact:1"), func(x *ledger.Txn) { x.Organisation = "other" }), ledger.Succeeded, "")
	do(with(change("rung", "contact:1"), func(x *ledger.Txn) { x.EffectKind = schemas.Ringing }), ledger.Succeeded, "")
	running := do(change("running", "contact:1"), ledger.Prepared, "")
	unknown := do(with(change("unknown", "contact:1"), func(x *ledger.Txn) { x.Caller.Via = "another program" }), ledger.Unknown, "")
	template := do(with(call("template"), func(x *ledger.Txn) { x.Action = "update_email_template" }), ledger.Succeeded, "")

	ids := func(f ledger.ChangeFilter, want ...ledger.Intent) []ledger.Change {
		t.Helper()
		f.Organisation, f.Caller, f.Since = "acme", "ada", c.now().Add(-24*time.Hour)
		all, _, err := l.FindChanges(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var got, wanted []string
		for _, in := range all {
			got = append(got, string(in.Payload)+in.ID)
		}
		for _, in := range want {
			full, err := l.Intent(t.Context(), in.ID)
			if err != nil {
				t.Fatal(err)
			}
			wanted = append(wanted, string(full.Payload)+in.ID)
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("%+v: got\n%s\nwant\n%s", f, strings.Join(got, "\n"), strings.Join(wanted, "\n"))
		}
		return all
	}
	one := ledger.ChangeFilter{Subjects: []string{"contact:1"}, Limit: 9}
	all := ids(one, unknown, running, renamed, created)
	if string(all[2].Replaced) != `{"fullName":"before renamed"}` || string(all[3].Result) != `{"id":"r1"}` || all[3].Subject != "contact:1" ||
		all[0].State != ledger.Unknown {
		t.Errorf("%+v", all)
	}
	// 600 others need more than one query for their keys.
	many := ledger.ChangeFilter{Subjects: []string{"phone:+1"}, Limit: 9}
	for i := range 600 {
		many.Subjects = append(many.Subjects, fmt.Sprintf("contact:other-%d", i))
	}
	if all := ids(many, created); all[0].Subject != "phone:+1" {
		t.Errorf("%+v", all[0])
	}
	ids(ledger.ChangeFilter{Actions: []string{"update_email_template", "delete_email_template"}, Limit: 9}, template)
	ids(ledger.ChangeFilter{Limit: 9})
	full := ledger.ChangeFilter{Organisation: "acme", Caller: "ada", Since: c.now().Add(-24 * time.Hour), Subjects: one.Subjects, Limit: 1}
	if all, more, err := l.FindChanges(t.Context(), full); err != nil || len(all) != 1 || more != 3 {
		t.Errorf("%d, %d, %v", len(all), more, err)
	}
	// Of an erased person the values are gone, but not that there was a change.
	if _, err := l.Erase(t.Context(), "contact:1", ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	if all := ids(one, unknown, running, renamed); all[2].Payload != nil || all[2].Replaced != nil {
		t.Errorf("%+v", all)
	}
	ids(ledger.ChangeFilter{Subjects: []string{"contact:2"}, Limit: 9}, func() ledger.Intent {
		all, _ := l.Intents(t.Context(), ledger.IntentFilter{Action: "update_contact", Caller: "ada"})
		return all[slices.IndexFunc(all, func(in ledger.Intent) bool { return in.Request == "req-not sent" })]
	}())
	r := openReadOnly(t, ledger.Options{Dir: dir, Now: c.now})
	full.Limit = 9
	if all, _, err := r.FindChanges(t.Context(), full); err != nil || len(all) != 3 {
		t.Errorf("%d, %v", len(all), err)
	}
	settle(t, l, running, ledger.Succeeded)
	verifyClean(t, l)
}

// TestFindLatest: the last time that each person was affected is found, whoever made the call.
func TestFindLatest(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Dir: t.TempDir(), Now: c.now})
	ring := func(n, caller string, state ledger.IntentState, people ...string) ledger.Intent {
		t.Helper()
		x := call(n)
		x.Caller.Name, x.Action, x.Class, x.EffectKind, x.Affects = caller, "start_outbound_call", schemas.Outbound, schemas.Ringing, people
		in := commit(t, l, x)
		settle(t, l, in, state)
		c.advance(time.Minute)
		return in
	}
	ring("old", "ada", ledger.Succeeded, "phone:+5")
	c.advance(24 * time.Hour)
	first := ring("1", "ada", ledger.Succeeded, "contact:1", "phone:+1", "contact:2", "phone:+2")
	second := ring("2", "eve", ledger.Unknown, "phone:+2")
	ring("3", "ada", ledger.Failed, "phone:+1", "phone:+3")
	ring("4", "ada", ledger.NotSent, "phone:+1")
	x := call("x")
	x.EffectKind, x.Affects = schemas.Ringing, []string{"phone:+1", "phone:+2", "phone:+3", "phone:+4", "phone:+5", "contact:1"}
	got, err := l.FindLatest(t.Context(), x, c.now().Add(-24*time.Hour))
	if err != nil || len(got) != 3 || got["phone:+1"].ID != first.ID || got["contact:1"].ID != first.ID || got["phone:+2"].ID != second.ID ||
		got["phone:+2"].State != ledger.Unknown {
		t.Errorf("%+v, %v", got, err)
	}
	x.EffectKind = schemas.Mail
	if got, err := l.FindLatest(t.Context(), x, c.now().Add(-24*time.Hour)); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	x.Organisation, x.EffectKind = "other", schemas.Ringing
	if got, err := l.FindLatest(t.Context(), x, c.now().Add(-24*time.Hour)); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
