package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// TestExample decides calls that meet each rule of the example.
func TestExample(t *testing.T) {
	p := example(t)
	agent := rules.Caller{ID: "ada", Roles: []string{"agent"}}
	bulk := `{"input":{"groupId":"` + anID + `","contactLimit":51}}`
	one := `{"input":{"phoneNumber":"+442079460123"}}`
	for name, c := range map[string]struct {
		action, args string
		caller       rules.Caller
		recipients   *recipients.Set
		now          time.Time
		want         rules.Decision
		why          string
		rules        []string
	}{
		"a read":                   {"list_contacts", `{}`, agent, nil, noon, rules.Allow, "policy x: default for read actions is allow", []string{"hide-birthdays"}},
		"an unknown role":          {"list_contacts", `{}`, rules.Caller{}, nil, noon, rules.Allow, "policy x: default for read actions is allow", nil},
		"one person":               {"start_outbound_call", one, agent, recipientsWith("+442079460123"), noon, rules.Confirm, "policy x: default for outbound actions is confirm", []string{"ring-budget"}},
		"another country":          {"start_outbound_call", one, agent, recipientsWith("+33142685300"), noon, rules.Deny, "policy x: rule only-our-countries: We ring numbers in the UK and Ireland only", []string{"only-our-countries", "ring-budget"}},
		"one of two abroad":        {"start_outbound_call", one, agent, recipientsWith("+442079460123", "+33142685300"), noon, rules.Deny, "policy x: rule only-our-countries: We ring numbers in the UK and Ireland only", []string{"only-our-countries", "ring-budget"}},
		"not resolved":             {"start_outbound_call", one, agent, nil, noon, rules.Deny, "policy x: rule only-our-countries cannot be evaluated, so it denies: no such attribute(s): recipients", []string{"only-our-countries", "ring-budget"}},
		"at night":                 {"start_outbound_call", one, agent, recipientsWith("+442079460123"), parseTime("2026-01-07T21:00:00Z"), rules.Deny, "policy x: rule quiet-hours: Nobody wants a call at night", []string{"quiet-hours", "ring-budget"}},
		"on a Sunday":              {"start_outbound_call", one, agent, recipientsWith("+442079460123"), parseTime("2026-01-11T12:00:00Z"), rules.Deny, "policy x: rule quiet-hours: Nobody wants a call at night", []string{"quiet-hours", "ring-budget"}},
		"at night, on call":        {"start_outbound_call", one, rules.Caller{ID: "oncall"}, recipientsWith("+442079460123"), parseTime("2026-01-07T21:00:00Z"), rules.Confirm, "policy x: default for outbound actions is confirm", []string{"ring-budget"}},
		"on call, after the day":   {"start_outbound_call", one, rules.Caller{ID: "oncall"}, recipientsWith("+442079460123"), parseTime("2099-02-02T00:00:00Z"), rules.Deny, "policy x: rule quiet-hours: Nobody wants a call at night", []string{"quiet-hours", "ring-budget"}},
		"on call, on the last day": {"start_outbound_call", one, rules.Caller{ID: "oncall"}, recipientsWith("+442079460123"), parseTime("2099-01-30T23:59:59Z"), rules.Confirm, "policy x: default for outbound actions is confirm", []string{"ring-budget"}},
		"51 people":                {"start_bulk_outbound_call", bulk, agent, recipientsWith(slices.Repeat([]string{"+442079460123"}, 51)...), noon, rules.Deny, "policy x: rule bulk-over-50: A bulk call may ring at most 50 people. Make smaller calls", []string{"bulk-over-50", "ring-budget"}},
		"51 people, admin":         {"start_bulk_outbound_call", bulk, rules.Caller{ID: "root", Roles: []string{"admin"}}, recipientsWith(slices.Repeat([]string{"+442079460123"}, 51)...), noon, rules.Approve, "policy x: default for start_bulk_outbound_call is approve", []string{"ring-budget"}},
		"a group":                  {"start_bulk_outbound_call", bulk, agent, &recipients.Set{Group: "g", Count: 3}, noon, rules.Deny, "policy x: rule only-our-countries cannot be evaluated, so it denies: number is missing: test has(….number) first", []string{"only-our-countries", "ring-budget"}},
		"another number":           {"update_contact", `{"identity":"` + anID + `","input":{"phoneE164":null}}`, agent, nil, noon, rules.Confirm, "policy x: rule identity-fields: These fields decide who we call and how we identify callers", []string{"hide-birthdays", "identity-fields"}},
		"another name":             {"update_contact", `{"identity":"` + anID + `","input":{"fullName":"Ada"}}`, agent, nil, noon, rules.Validate, "policy x: default for write actions is validate", []string{"hide-birthdays"}},
		"a token":                  {"issue_operator_access_token", `{"input":{"operatorEmail":"o@example.com"}}`, agent, nil, noon, rules.Deny, "policy x: default for credential actions is deny", nil},
	} {
		f := rules.Facts{Payload: payload(t, c.action, c.args), Caller: c.caller, Recipients: c.recipients, Now: c.now}
		v := p.Decide(f)
		if v.Decision != c.want || v.Why != c.why || !slices.Equal(v.Rules, c.rules) {
			t.Errorf("%s: %s because %q by %q", name, v.Decision, v.Why, v.Rules)
		}
		if (v.Debits == nil) != (c.recipients == nil || v.Decision == rules.Deny) {
			t.Errorf("%s: debits %+v", name, v.Debits)
		}
		if e := p.Explain(f); cmp.Diff(e.Verdict, v) != "" || len(e.Steps) != 6 {
			t.Errorf("%s: explanation %+v", name, e)
		}
	}
}

// TestDebits checks the cost and the share of each debit. Two rules with one budget take from it
// once.
func TestDebits(t *testing.T) {
	p := parse(t, laxDefaults+`budgets:
  mine: {key: caller, rate: 20/h, burst: 5, cost: recipients.size()}
  ours: {key: organisation, rate: 2/s, burst: 7}
  theirs: {key: role, rate: 1/d, burst: 1}
  free: {key: caller, rate: 1/m, burst: 1, cost: 0}
  wrong: {key: caller, rate: 1/m, burst: 1, cost: "caller.id == 'bad' ? -1 : caller.id == 'worse' ? 1 / (recipients.size() - 2) : 1"}
rules:
  - {id: a, match: {actions: ["start_*"]}, limit: mine, reason: A}
  - {id: b, match: {actions: ["start_*"]}, limit: mine, reason: B}
  - {id: c, match: {actions: ["start_*"]}, limit: ours, reason: C}
  - {id: d, match: {actions: ["start_*"]}, limit: theirs, reason: D}
  - {id: e, match: {actions: ["start_*"]}, limit: free, reason: E}
  - {id: f, match: {actions: ["start_*"]}, limit: wrong, reason: F}
`)
	f := rules.Facts{Payload: payload(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`), Recipients: recipientsWith("+1", "+2"), Now: noon,
		Caller: rules.Caller{ID: "ada", Roles: []string{"b", "a", "b"}}}
	want := []rules.Debit{
		{Budget: "organisation/ours", Key: "organisation", Cost: 1, Interval: time.Second / 2, Burst: 7},
		{Budget: "x/mine", Key: "caller:ada", Cost: 2, Interval: 3 * time.Minute, Burst: 5},
		{Budget: "x/theirs", Key: "role:a", Cost: 1, Interval: 24 * time.Hour, Burst: 1},
		{Budget: "x/theirs", Key: "role:b", Cost: 1, Interval: 24 * time.Hour, Burst: 1},
		{Budget: "x/wrong", Key: "caller:ada", Cost: 1, Interval: time.Minute, Burst: 1},
	}
	if d := cmp.Diff(want, p.Decide(f).Debits); d != "" {
		t.Error(d)
	}
	f.Caller = rules.Caller{}
	if v := p.Decide(f); v.Debits[2].Key != "role:" || len(v.Debits) != 4 {
		t.Errorf("%+v", v.Debits)
	}
	for id, want := range map[string]string{"bad": "the cost of budget wrong is -1", "worse": "the cost of budget wrong: division by zero"} {
		f.Caller.ID = id
		if v := p.Decide(f); v.Decision != rules.Deny || v.Debits != nil || !strings.Contains(v.Why, want) {
			t.Errorf("%s: %+v", id, v)
		}
	}
}

// TestExemptions: an exemption that has not expired and can be evaluated disables a rule, and the
// verdict names it.
func TestExemptions(t *testing.T) {
	text := func(x string) string {
		return laxDefaults + "rules: [{id: a, match: {actions: [end_call]}, decision: deny, reason: No}]\nexempt: [" + x + "]\n"
	}
	f := rules.Facts{Payload: payload(t, "end_call", `{"input":{"callUuid":"c"}}`), Now: noon, Caller: rules.Caller{ID: "ada"}}
	for x, want := range map[string]rules.Decision{
		"": rules.Deny,
		"{rule: a, until: 2026-01-07, reason: R}":                                        rules.Validate,
		"{rule: a, until: 2026-01-06, reason: R}":                                        rules.Deny,
		"{rule: a, until: 2099-01-01, when: caller.id == 'ada', reason: R}":              rules.Validate,
		"{rule: a, until: 2099-01-01, when: caller.id == 'bob', reason: R}":              rules.Deny,
		"{rule: a, until: 2099-01-01, when: \"caller.roles[0] == 'x'\", reason: R}":      rules.Deny,
		"{rule: a, until: 2099-01-01, when: \"1 / size(caller.person) > 0\", reason: R}": rules.Deny,
	} {
		v := parse(t, text(x)).Decide(f)
		if v.Decision != want || (len(v.Exempted) == 1) != (want == rules.Validate) {
			t.Errorf("%s: %+v", x, v)
		}
		if want == rules.Validate && (v.Exempted[0].Rule != "a" || v.Exempted[0].Reason != "R" || len(v.Rules) != 0) {
			t.Errorf("%s: %+v", x, v)
		}
	}
	old := parse(t, text("{rule: a, until: 2020-02-29, reason: R}"))
	if n := old.ExpiredExemptions(); len(n) != 1 || n[0] != "policy x:4:10: the exemption from a expired on 2020-02-29 and has no effect: remove it" {
		t.Errorf("%q", n)
	}
}

// TestHidden: a rule hides fields from the callers and in the answers that it matches.
func TestHidden(t *testing.T) {
	p := parse(t, laxDefaults+`rules:
  - {id: a, match: {roles: [agent]}, redact: [Contact.dateOfBirth, Contact.email], reason: R}
  - {id: b, match: {roles: ["!lawyer"]}, redact: ["*.recordingUri", "Contact.em*"], reason: R}
  - {id: c, match: {actions: [update_contact]}, redact: ["Contact.fullName"], reason: R}
`)
	for _, c := range []struct {
		action, args string
		roles        []string
		want         string
	}{
		{"list_contacts", `{}`, []string{"agent"}, "Contact.dateOfBirth Contact.email Contact.emailVerifiedAt"},
		{"list_contacts", `{}`, nil, "Contact.email Contact.emailVerifiedAt"},
		{"list_contacts", `{}`, []string{"lawyer"}, ""},
		{"list_calls", `{}`, []string{"agent"}, "Call.recordingUri"},
		{"list_campaigns", `{}`, []string{"agent"}, ""},
		{"update_contact", `{"identity":"` + anID + `","input":{"fullName":"A"}}`, []string{"lawyer"}, "Contact.fullName"},
	} {
		f := rules.Facts{Payload: payload(t, c.action, c.args), Caller: rules.Caller{Roles: c.roles}, Now: noon}
		if got := strings.Join(p.HiddenFields(f.Payload.Action, f.Caller), " "); got != c.want || strings.Join(p.Decide(f).Hidden, " ") != c.want {
			t.Errorf("%s as %q: %s", c.action, c.roles, got)
		}
	}
}

// TestMildest: rules count for the callers that they match, unless they have a condition or an
// exemption that has not expired.
func TestMildest(t *testing.T) {
	p := parse(t, laxDefaults+`rules:
  - {id: a, match: {actions: [end_call], roles: ["!boss"]}, decision: deny, reason: R}
  - {id: b, match: {actions: [create_contact]}, when: caller.id == 'x', decision: deny, reason: R}
  - {id: c, match: {actions: [delete_contact]}, decision: deny, reason: R}
  - {id: d, match: {actions: [archive_contact]}, decision: deny, reason: R}
exempt:
  - {rule: c, until: 2999-01-01, when: caller.id == 'y', reason: R}
  - {rule: d, until: 2001-01-01, reason: R}
`)
	for name, want := range map[string]rules.Decision{"end_call": rules.Deny, "create_contact": rules.Validate, "delete_contact": rules.Validate, "archive_contact": rules.Deny, "list_calls": rules.Allow} {
		a, _ := schemas.Find(name)
		if got := p.Mildest(a, rules.Caller{}).Decision; got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	a, _ := schemas.Find("end_call")
	if got := p.Mildest(a, rules.Caller{Roles: []string{"boss"}}).Decision; got != rules.Validate {
		t.Errorf("boss: %s", got)
	}
	if got := p.Mildest(&schemas.Action{Name: "new"}, rules.Caller{}).Decision; got != rules.Deny {
		t.Errorf("an unknown action: %s", got)
	}
}

// TestCompose: the strictest default decides, and an action without a default is denied.
func TestCompose(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.yaml", head+"unrecordedReads: true\ndefaults: {class: {read: allow, write: confirm}, action: {create_contact: validate}}\nlists: {us: [ada]}\n"+
		"rules: [{id: a, match: {actions: [list_calls]}, when: caller.id in lists.us, decision: confirm, reason: A}]\n")
	b := write("b.yaml", head+"unrecordedReads: true\ndefaults: {class: {read: validate, destructive: confirm}}\nlists: {us: [bob]}\n"+
		"rules: [{id: b, match: {actions: [list_calls]}, when: caller.id in lists.us, decision: approve, reason: B}]\n")
	p, err := rules.Load(a, b)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rules.Load(b, a)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != "a.yaml+b.yaml" || !p.UnrecordedReads() || p.Version() != other.Version() {
		t.Error(p.Name(), p.UnrecordedReads(), p.Version(), other.Version())
	}
	for action, c := range map[string]struct{ args, caller, want string }{
		"list_contacts":       {`{}`, "", "validate policy b.yaml: default for read actions is validate"},
		"list_calls":          {`{}`, "ada", "confirm policy a.yaml: rule a: A"},
		"get_campaign":        {`{"input":{"id":"` + anID + `"}}`, "", "validate policy b.yaml: default for read actions is validate"},
		"create_contact":      {`{"input":{"fullName":"A"}}`, "", "validate policy a.yaml: default for create_contact is validate"},
		"update_contact":      {`{"identity":"` + anID + `","input":{"fullName":"A"}}`, "", "confirm policy a.yaml: default for write actions is confirm"},
		"end_call":            {`{"input":{"callUuid":"c"}}`, "", "confirm policy b.yaml: default for destructive actions is confirm"},
		"start_outbound_call": {`{"input":{"phoneNumber":"+442079460123"}}`, "", "deny policy a.yaml+b.yaml has no default for outbound actions, so they are denied"},
	} {
		f := rules.Facts{Payload: payload(t, action, c.args), Caller: rules.Caller{ID: c.caller}, Now: noon}
		if v := p.Decide(f); v.Decision.String()+" "+v.Why != c.want {
			t.Errorf("%s: %s %s", action, v.Decision, v.Why)
		}
	}
	bob := rules.Facts{Payload: payload(t, "list_calls", `{}`), Caller: rules.Caller{ID: "bob"}, Now: noon}
	if v := p.Decide(bob); v.Decision != rules.Approve {
		t.Errorf("a rule sees its own file's lists: %+v", v)
	}
	for want, names := range map[string][]string{
		"two policies have the name a.yaml: rename one of the files": {a, a},
		"no policy is named": nil,
		`unknown policy "desktops": use one of desktop, team, unattended, read-only`: {"desktops"},
		"reading the policy": {filepath.Join(dir, "none.yaml")},
	} {
		if _, err := rules.Load(names...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", names, err)
		}
	}
	// Two files may have a rule of the same id. Both count.
	both, err := rules.Load("desktop", "team")
	if err != nil {
		t.Fatal(err)
	}
	number := rules.Facts{Payload: payload(t, "update_contact", `{"identity":"`+anID+`","input":{"email":"a@example.com"}}`), Now: noon}
	if v := both.Decide(number); v.Decision != rules.Confirm || strings.Join(v.Rules, " ") != "change-budget change-budget-of-all contact-pace identity-fields" {
		t.Errorf("%+v", v)
	}
	quiet := write("c.yaml", head)
	if p, err := rules.Load("desktop", quiet); err != nil || p.UnrecordedReads() {
		t.Errorf("one file has no unrecordedReads: %v", err)
	}
}

// TestNoTime: without a time no exemption applies, and a rule that reads it denies.
func TestNoTime(t *testing.T) {
	f := rules.Facts{Payload: payload(t, "list_calls", `{}`)}
	p := parse(t, laxDefaults+"rules: [{id: a, match: {actions: [list_calls]}, decision: confirm, reason: R}]\nexempt: [{rule: a, until: 2099-01-01, reason: R}]\n")
	if v := p.Decide(f); v.Decision != rules.Confirm || v.Exempted != nil {
		t.Errorf("%+v", v)
	}
	if v := parse(t, laxDefaults+"rules: [{id: a, when: \"workday(now, 'UTC')\", decision: confirm, reason: R}]\n").Decide(f); v.Decision != rules.Deny {
		t.Errorf("%+v", v)
	}
}

// TestCostAtRunTime: a call that is larger than estimates assume is denied once it costs too much.
func TestCostAtRunTime(t *testing.T) {
	p := parse(t, laxDefaults+"rules: [{id: a, match: {actions: [\"start_*\"]}, when: \"recipients.exists(r, has(r.kind) && r.kind == 'premium_rate')\", decision: deny, reason: R}]\n")
	f := rules.Facts{Payload: payload(t, "start_outbound_call", `{"input":{"phoneNumber":"+442079460123"}}`), Recipients: &recipients.Set{Group: "g", Count: 1 << 40}, Now: noon}
	start := time.Now()
	if v := p.Decide(f); v.Decision != rules.Deny || !strings.Contains(v.Why, "cost limit exceeded") || time.Since(start) > 20*time.Second {
		t.Errorf("%+v after %s", v, time.Since(start))
	}
}

// TestConcurrentDecide decides concurrently with one policy.
func TestConcurrentDecide(t *testing.T) {
	p := example(t)
	f := rules.Facts{Payload: payload(t, "start_outbound_call", `{"input":{"phoneNumber":"+442079460123"}}`), Recipients: recipientsWith("+442079460123"), Now: noon, Caller: rules.Caller{ID: "ada"}}
	want := p.Decide(f)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				if d := cmp.Diff(want, p.Decide(f)); d != "" {
					t.Error(d)
					return
				}
			}
		})
	}
	all.Wait()
}

// TestUnknownAction decides without a payload, and for an action that the policy does not contain.
func TestUnknownAction(t *testing.T) {
	p := example(t)
	for _, f := range []rules.Facts{{}, {Payload: &schemas.Payload{}}, {Payload: &schemas.Payload{Action: &schemas.Action{Name: "new_action", Class: schemas.Read}}}} {
		if v := p.Decide(f); v.Decision != rules.Deny {
			t.Errorf("%+v", v)
		}
		if e := p.Explain(f); e.Decision != rules.Deny || len(e.Steps) != 6 {
			t.Errorf("%+v", e)
		}
	}
}
