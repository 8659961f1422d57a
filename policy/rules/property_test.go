package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The parts of drawn policies.
var (
	drawnMatches = []string{`{}`, `{actions: ["start_*"]}`, `{actions: ["start_*"], roles: [agent]}`, `{actions: ["start_*"], roles: ["!admin"]}`,
		`{actions: [start_outbound_call]}`, `{actions: ["start_*"], toolsets: [outbound]}`, `{classes: [outbound], actions: ["start_*"]}`, `{actions: ["start_*", "!start_bulk*"]}`}
	drawnAnywhere = []string{``, `caller.id == 'ada'`, `'agent' in caller.roles`, `caller.roles[0] == 'agent'`, `!between(now, 'Europe/London', '08:00', '20:00')`, `caller.id in lists.some`,
		`1 / size(caller.person) > 0`, `true`, `false`}
	drawnRinging = []string{`recipients.size() > 1`, `recipients.exists(r, has(r.kind) && r.kind == 'premium_rate')`, `!recipients.all(r, r.number.startsWith('+44'))`,
		`has(input.aiAgentId)`, `has(input.aiAgentId) && input.aiAgentId.startsWith('0')`}
	drawnEffects = []string{`decision: validate`, `decision: confirm`, `decision: approve`, `decision: deny`, `limit: calls`, `limit: people`}
	drawnClasses = []string{"read", "write", "outbound", "destructive"}
)

// drawnRule draws a rule that compiles in every file.
func drawnRule(t *rapid.T, id string) string {
	m := rapid.SampledFrom(drawnMatches).Draw(t, "match")
	conditions := drawnAnywhere
	if strings.Contains(m, "start_") {
		conditions = slices.Concat(drawnAnywhere, drawnRinging)
	}
	when := rapid.SampledFrom(conditions).Draw(t, "when")
	effects := drawnEffects
	if !strings.Contains(m, "start_") {
		effects = drawnEffects[:5] // the last one reads recipients
	}
	s := fmt.Sprintf("  - {id: %s, match: %s, %s, reason: The rule %s", id, m, rapid.SampledFrom(effects).Draw(t, "effect"), id)
	if when != "" {
		s += fmt.Sprintf(", when: %q", when)
	}
	return s + "}\n"
}

func drawnDefaults(t *rapid.T, all bool) string {
	var classes []string
	for _, c := range drawnClasses {
		words := []string{"validate", "confirm", "approve", "deny"}
		if c == "read" {
			words = append(words, "allow")
		}
		if !all {
			words = append(words, "")
		}
		if w := rapid.SampledFrom(words).Draw(t, c); w != "" {
			classes = append(classes, c+": "+w)
		}
	}
	safe := rapid.SampledFrom([]string{"", ", safe: validate", ", safe: deny"}).Draw(t, "safe")
	return "defaults: {class: {" + strings.Join(append(classes, "credential: "+rapid.SampledFrom([]string{"approve", "deny"}).Draw(t, "credential")), ", ") + "}" + safe + "}\n"
}

// drawnFile assembles a file.
func drawnFile(defaults string, list []string, exempt string) string {
	s := head + defaults + "lists: {some: [ada, bob]}\nbudgets:\n  calls: {key: caller, rate: 1/h, burst: 1}\n" +
		"  people: {key: role, rate: 1/h, burst: 1, cost: \"recipients.size() - 1\"}\n"
	if len(list) > 0 {
		s += "rules:\n" + strings.Join(list, "")
	}
	return s + exempt
}

func drawnFacts(t *rapid.T) rules.Facts {
	f := rules.Facts{
		Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 24*14).Draw(t, "hours")) * time.Hour),
		Caller: rules.Caller{ID: rapid.SampledFrom([]string{"", "ada", "eve"}).Draw(t, "id"), Person: rapid.SampledFrom([]string{"", "Ada"}).Draw(t, "person"),
			Roles: rapid.SliceOfN(rapid.SampledFrom([]string{"agent", "admin"}), 0, 2).Draw(t, "roles")},
		OwnCall: rapid.Bool().Draw(t, "own call"),
	}
	args := map[string]string{
		"list_contacts": `{}`, "flag_call_for_review": `{"identity":"` + anID + `"}`, "end_call": `{"input":{"callUuid":"c"}}`, "issue_operator_access_token": `{"input":{"operatorEmail":"o@x"}}`,
		"create_contact": `{"input":{"fullName":"Ada"}}`, "start_outbound_call": `{"input":{"phoneNumber":"+442079460123"}}`,
		"start_bulk_outbound_call": `{"input":{"groupId":"` + anID + `","aiAgentId":"` + anID + `"}}`,
	}
	names := schemas.SortedKeys(map[string]any{"list_contacts": 0, "flag_call_for_review": 0, "end_call": 0, "issue_operator_access_token": 0, "create_contact": 0, "start_outbound_call": 0, "start_bulk_outbound_call": 0})
	name := rapid.SampledFrom(names).Draw(t, "action")
	a, err := schemas.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	if f.Payload, err = a.Check([]byte(args[name]), schemas.Limits{Now: noon}); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(name, "start_") {
		f.Recipients = rapid.SampledFrom([]*recipients.Set{nil, {}, {Group: "g", Count: 3}, recipientsWith("+442079460123"),
			{Count: 2, List: []recipients.Recipient{{Number: "+44", Kind: "premium_rate"}, {Number: "+1"}}}}).Draw(t, "recipients")
	}
	return f
}

func drawnParse(t *rapid.T, text string) *rules.Policy {
	p, err := rules.Parse("x", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func drawnRules(t *rapid.T, prefix string) (list []string) {
	for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
		list = append(list, drawnRule(t, fmt.Sprintf("%s%d", prefix, i)))
	}
	return list
}

// TestRuleOnlyTightens: with one more rule no decision is milder, and no matching rule and no debit
// is lost.
func TestRuleOnlyTightens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		defaults, list, exempt := drawnDefaults(t, false), drawnRules(t, "r"), ""
		if len(list) > 0 && rapid.Bool().Draw(t, "exempted") {
			exempt = "exempt: [{rule: r0, until: 2030-01-01, when: \"caller.id == 'ada'\", reason: R}]\n"
		}
		before := drawnParse(t, drawnFile(defaults, list, exempt))
		after := drawnParse(t, drawnFile(defaults, append(list, drawnRule(t, "added")), exempt))
		f := drawnFacts(t)
		old, new := before.Decide(f), after.Decide(f)
		if new.Decision < old.Decision {
			t.Fatalf("%+v is now %+v", old, new)
		}
		for _, id := range old.Rules {
			if !slices.Contains(new.Rules, id) {
				t.Fatalf("%s is lost: %+v is now %+v", id, old, new)
			}
		}
		for _, d := range old.Debits {
			if new.Decision != rules.Deny && !slices.Contains(new.Debits, d) {
				t.Fatalf("%+v is free: %+v", d, new)
			}
		}
		if mildest := after.Mildest(f.Payload.Action, f.Caller).Decision; mildest > new.Decision || mildest < before.Mildest(f.Payload.Action, f.Caller).Decision {
			t.Fatalf("mildest %s, but %+v", mildest, new)
		}
	})
}

// TestFileOnlyTightens: with one more file no decision is milder, if the first file has all
// defaults.
func TestFileOnlyTightens(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
		exempt := ""
		other := drawnRules(t, "s")
		if len(other) > 0 {
			exempt = "exempt: [{rule: s0, until: 2030-01-01, reason: R}]\n"
		}
		for path, text := range map[string]string{a: drawnFile(drawnDefaults(t, true), drawnRules(t, "r"), ""), b: drawnFile(drawnDefaults(t, false), other, exempt)} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		one, err := rules.Load(a)
		if err != nil {
			t.Fatal(err)
		}
		two, err := rules.Load(a, b)
		if err != nil {
			t.Fatal(err)
		}
		reversed, err := rules.Load(b, a)
		if err != nil {
			t.Fatal(err)
		}
		f := drawnFacts(t)
		if old, new := one.Decide(f), two.Decide(f); new.Decision < old.Decision {
			t.Fatalf("%+v is now %+v", old, new)
		}
		if d := cmp.Diff(two.Decide(f).Decision, reversed.Decide(f).Decision); d != "" || two.Version() != reversed.Version() {
			t.Fatal(d)
		}
	})
}

// TestOrderIsIrrelevant: rules in another order return an equal verdict.
func TestOrderIsIrrelevant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		defaults, list := drawnDefaults(t, false), drawnRules(t, "r")
		shuffled := slices.Clone(list)
		rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed"))).Shuffle(len(list), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		f := drawnFacts(t)
		a, b := drawnParse(t, drawnFile(defaults, list, "")).Decide(f), drawnParse(t, drawnFile(defaults, shuffled, "")).Decide(f)
		if d := cmp.Diff(a, b); d != "" {
			t.Fatal(d)
		}
	})
}

// TestExpiredExemption: an expired exemption has no effect, and a current one disables only its
// rule.
func TestExpiredExemption(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		defaults, list := drawnDefaults(t, false), append(drawnRules(t, "r"), drawnRule(t, "z"))
		f := drawnFacts(t)
		exempt := func(until string) rules.Verdict {
			return drawnParse(t, drawnFile(defaults, list, "exempt: [{rule: z, until: "+until+", reason: R}]\n")).Decide(f)
		}
		with, without := drawnParse(t, drawnFile(defaults, list, "")).Decide(f), drawnParse(t, drawnFile(defaults, list[:len(list)-1], "")).Decide(f)
		if d := cmp.Diff(with, exempt("2025-12-31")); d != "" {
			t.Fatal(d)
		}
		exempted := exempt("2030-01-01")
		if (len(exempted.Exempted) > 0) != slices.Contains(with.Rules, "z") {
			t.Fatalf("%+v", exempted)
		}
		exempted.Exempted = nil
		if d := cmp.Diff(without, exempted); d != "" {
			t.Fatal(d)
		}
	})
}

// TestMinDecision: only reads are allowed outright, and a credential needs another person's
// approval.
func TestMinDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, f := drawnParse(t, drawnFile(drawnDefaults(t, false), drawnRules(t, "r"), "")), drawnFacts(t)
		v := p.Decide(f)
		if c := f.Payload.Action.Class; v.Decision < rules.Allow || c != schemas.Read && v.Decision < rules.Validate || c == schemas.Credential && v.Decision < rules.Approve {
			t.Fatalf("%s: %+v", c, v)
		}
		if strings.Contains(v.Why, "cannot be evaluated") && v.Decision != rules.Deny {
			t.Fatalf("%+v", v)
		}
		for _, s := range p.Explain(f).Steps {
			if s.State == rules.Failed && v.Decision != rules.Deny {
				t.Fatalf("%+v failed, and the decision is %s", s, v.Decision)
			}
		}
	})
}

// FuzzParse: no text makes Parse panic, and every policy that it returns decides.
func FuzzParse(f *testing.F) {
	for _, name := range rules.Profiles {
		raw, err := os.ReadFile("profiles/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	raw, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(head + "rules: [{id: a, match: {}, when: \"[1].map(x, x + 1) == [2]\", decision: deny, reason: R}]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	read := payload(f, "list_contacts", `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := rules.Parse("x", raw)
		if err != nil {
			if p != nil || err.Error() == "" {
				t.Error("an error without a message, or with a policy")
			}
			return
		}
		v := p.Decide(rules.Facts{Payload: read, Now: noon})
		if v.Decision < rules.Allow || v.Decision > rules.Deny || v.Why == "" {
			t.Errorf("%+v", v)
		}
		p.Lint()
		rules.RunTests(p)
	})
}

// FuzzPayload: no payload makes a decision panic, and a failure denies.
func FuzzPayload(f *testing.F) {
	p, err := rules.Parse("x", []byte(laxDefaults+`rules:
  - {id: a, match: {actions: [update_contact]}, when: "has(input.email) && (input.email == null || input.email.endsWith('x'))", decision: confirm, reason: R}
  - {id: b, match: {actions: [update_contact]}, when: "has(input.metadata) && has(input.metadata.a) && input.metadata.a.b[0] > 1", decision: confirm, reason: R}
  - {id: c, match: {actions: [update_contact]}, when: "has(input.languages) && input.languages.exists(l, l.startsWith('e'))", decision: confirm, reason: R}
  - {id: d, match: {actions: [update_contact]}, when: "fields.exists(f, f == 'id') && identity.size() == 36", decision: confirm, reason: R}
  - {id: e, match: {actions: [list_contacts]}, when: "has(filter.email) && filter.email.eq == 'x'", decision: confirm, reason: R}
  - {id: f, match: {actions: [start_bulk_outbound_call]}, when: "has(input.contactLimit) && input.contactLimit + 1 > 5", decision: confirm, reason: R}
  - {id: g, match: {actions: [start_bulk_outbound_call]}, when: "has(input.contactIds) && input.contactIds[0] == dyn(input).groupId", decision: confirm, reason: R}
  - {id: h, match: {actions: ["start_*"]}, when: "recipients.exists(r, dyn(r).number == 'x') || dyn(recipients[0]) == 1", decision: confirm, reason: R}
`))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{`{}`, `null`, `{"input":1}`, `{"input":{"email":5}}`, `{"input":{"email":null,"metadata":{"a":{"b":[1e400]}}}}`, `{"input":{"metadata":[]},"identity":{}}`,
		`{"input":{"languages":[1,null,{}]},"fields":"id"}`, `{"filter":[]}`, `{"filter":{"email":{"eq":{"x":[1.5]}}}}`, `{"input":{"contactLimit":99999999999999999999}}`, `{"input":{"contactLimit":1.5,"contactIds":{}}}`} {
		f.Add(s, 0)
	}
	f.Fuzz(func(t *testing.T, raw string, count int) {
		var args map[string]any
		d := json.NewDecoder(strings.NewReader(raw))
		d.UseNumber()
		if d.Decode(&args) != nil {
			return
		}
		for _, name := range []string{"update_contact", "list_contacts", "start_bulk_outbound_call", "start_outbound_call"} {
			a, err := schemas.Find(name)
			if err != nil {
				t.Fatal(err)
			}
			facts := rules.Facts{Payload: &schemas.Payload{Action: a, Args: args, Body: []byte(raw)}, Now: noon, Recipients: &recipients.Set{Count: min(count, 1000)}}
			e := p.Explain(facts)
			for _, s := range e.Steps {
				if s.State == rules.Failed && e.Decision != rules.Deny {
					t.Errorf("%s of %s failed (%s), and the decision is %s", s.Rule, raw, s.Detail, e.Decision)
				}
				if strings.Contains(s.Detail, "internal error") {
					t.Errorf("%s of %s panics: %s", s.Rule, raw, s.Detail)
				}
			}
		}
	})
}
