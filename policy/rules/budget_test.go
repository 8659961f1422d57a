package rules_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// TestOver checks the debit of a budget with a refill, and the decision about a call that exceeds it.
func TestOver(t *testing.T) {
	p := parse(t, laxDefaults+`budgets:
  pace: {key: caller, rate: 2/m, burst: 20, over: confirm, refill: 100}
rules:
  - {id: pace, match: {actions: ["*_contact"]}, limit: pace, reason: A person looks at more than 20.}
  - {id: erase, match: {actions: [delete_contact]}, decision: approve, reason: It is final.}
tests:
  - {name: below, call: {action: archive_contact, identity: `+anID+`}, expect: {decision: validate}}
  - {name: over, call: {action: archive_contact, identity: `+anID+`}, usedUp: [pace], expect: {decision: confirm}}
  - {name: stricter, call: {action: delete_contact, input: {contactId: `+anID+`}}, usedUp: [pace], expect: {decision: approve}}
  - {name: another, call: {action: list_calls}, usedUp: [pace], expect: {decision: allow}}
  - {name: wrong, call: {action: archive_contact, identity: `+anID+`}, usedUp: [pace], expect: {decision: validate}}
`)
	for _, r := range rules.RunTests(p).Results {
		if r.Passed == (r.Name == "wrong") {
			t.Errorf("%s: %s", r.Name, r.Why)
		}
	}
	v := p.Decide(rules.Facts{Payload: payload(t, "archive_contact", `{"identity":"`+anID+`"}`), Now: noon, Caller: rules.Caller{ID: "ada"}})
	want := []rules.Debit{{Budget: "x/pace", Key: "caller:ada", Cost: 1, Interval: 30 * time.Second, Burst: 20, Refill: 100}}
	if d := cmp.Diff(want, v.Debits); d != "" || v.Decision != rules.Validate {
		t.Error(v.Decision, d)
	}
	over := p.Over(v, "x/pace")
	if over.Decision != rules.Confirm || over.Why != "policy x: rule pace: A person looks at more than 20" {
		t.Errorf("%+v", over)
	}
	if got := strings.Join(p.Limited("x/pace"), " "); got != "archive_contact create_contact delete_contact update_contact" {
		t.Error(got)
	}
}

type counter struct {
	n   int64
	err error
}

func (c counter) Callers(context.Context) (int64, error) { return c.n, c.err }

// TestPerCaller checks that a budget of the organisation grows with the named callers, fills up in the
// same time, and is not decided without their number.
func TestPerCaller(t *testing.T) {
	p := parse(t, laxDefaults+`budgets: {all: {key: organisation, rate: 2000/h, burst: 2000, perCaller: 30}}
rules: [{id: all, match: {classes: [write]}, limit: all, reason: Many.}]
`)
	f := rules.Facts{Payload: payload(t, "create_contact", `{"input":{"fullName":"Ada"}}`), Now: noon}
	for n, want := range map[int64]int64{0: 2000, 1: 2000, 66: 2000, 67: 2010, 100: 3000, 1 << 62: 1 << 30} {
		f.Callers = counter{n, nil}
		v := p.Decide(f)
		if len(v.Debits) != 1 || v.Debits[0].Burst != want {
			t.Fatalf("%d callers: %+v", n, v.Debits)
		}
		if full := time.Duration(v.Debits[0].Burst) * v.Debits[0].Interval; full > time.Hour || full < time.Hour-2*time.Second {
			t.Errorf("%d callers: it fills up in %s", n, full)
		}
	}
	f.Callers = nil
	if v := p.Decide(f); v.Debits[0].Burst != 2000 {
		t.Errorf("%+v", v)
	}
	f.Callers = counter{0, errors.New("the ledger is gone")}
	if v := p.Decide(f); v.Decision != rules.Deny || !strings.Contains(v.Why, "the size of budget all: the ledger is gone") {
		t.Errorf("%+v", v)
	}
}

// TestBudgetOfAll checks that the organisation's budget of one name is the same in all policies, and that
// the strictest size counts.
func TestBudgetOfAll(t *testing.T) {
	dir := t.TempDir()
	write := func(name, budget string) string {
		path := filepath.Join(dir, name)
		text := laxDefaults + "budgets: {all: {key: organisation, " + budget + "}}\nrules: [{id: all, match: {classes: [write]}, limit: all, reason: Many.}]\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b := write("a.yaml", "rate: 60/h, burst: 5, over: confirm, refill: 9"), write("b.yaml", "rate: 20/h, burst: 30, cost: 2")
	p, err := rules.Load(a, b)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Decide(rules.Facts{Payload: payload(t, "create_contact", `{"input":{"fullName":"Ada"}}`), Now: noon})
	want := []rules.Debit{{Budget: "organisation/all", Key: "organisation", Cost: 2, Interval: 3 * time.Minute, Burst: 5}}
	if d := cmp.Diff(want, v.Debits); d != "" {
		t.Error(d)
	}
}
