package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// manyRules returns a file with n rules for bulk calls, each with its own condition.
func manyRules(n int) []byte {
	conditions := []string{
		"recipients.size() > %d",
		"has(input.contactLimit) && input.contactLimit > %d",
		"recipients.exists(r, has(r.number) && r.number == '+4420794%05d')",
		"!workday(now, 'Europe/London') && caller.id == 'c%d'",
		"!between(now, 'Europe/London', '08:00', '20:00') && caller.id == 'c%d'",
		"caller.id in lists.bots && caller.person == 'p%d'",
	}
	var b strings.Builder
	b.WriteString(head + "lists: {bots: [a, b, c]}\ndefaults: {class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}}\nrules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: r%d, match: {actions: [start_bulk_outbound_call]}, when: %q, decision: approve, reason: The rule %d}\n",
			i, fmt.Sprintf(conditions[i%len(conditions)], 100+i), i)
	}
	return []byte(b.String())
}

func BenchmarkDecide60(b *testing.B) {
	p, err := rules.Parse("many", manyRules(60))
	if err != nil {
		b.Fatal(err)
	}
	f := rules.Facts{Caller: rules.Caller{ID: "ada", Roles: []string{"agent"}}, Now: noon, Recipients: &recipients.Set{},
		Payload: payload(b, "start_bulk_outbound_call", `{"input":{"groupId":"`+anID+`","contactLimit":10}}`)}
	for i := range 10 {
		f.Recipients.List = append(f.Recipients.List, recipients.Recipient{Number: fmt.Sprintf("+44207946%04d", i), Country: "GB", Kind: "fixed_line"})
	}
	f.Recipients.Count = 10
	took := make([]time.Duration, 0, b.N)
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if v := p.Decide(f); v.Decision != rules.Confirm {
			b.Fatalf("%+v", v)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "µs-median")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "µs-p99")
}

// BenchmarkDecideRead decides a read that no rule matches, the most frequent call.
func BenchmarkDecideRead(b *testing.B) {
	p, err := rules.Load("desktop")
	if err != nil {
		b.Fatal(err)
	}
	f := rules.Facts{Caller: rules.Caller{ID: "ada"}, Now: noon, Payload: payload(b, "list_contacts", `{}`)}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(f)
	}
}

func BenchmarkLoad500(b *testing.B) {
	raw := manyRules(500)
	for b.Loop() {
		if _, err := rules.Parse("many", raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadProfile loads the default policy, as every start of the program does.
func BenchmarkLoadProfile(b *testing.B) {
	for b.Loop() {
		if _, err := rules.Load("desktop"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecideGroup compares ten thousand recipients with two prefixes, the worst reasonable
// case.
func BenchmarkDecideGroup(b *testing.B) {
	p, err := rules.Parse("x", []byte(head+`lists: {ours: ["+44", "+353"]}
rules: [{id: ours, match: {actions: ["start_*"]}, when: "!recipients.all(r, lists.ours.exists(p, r.number.startsWith(p)))", decision: deny, reason: Ours}]
`))
	if err != nil {
		b.Fatal(err)
	}
	f := rules.Facts{Now: noon, Recipients: &recipients.Set{Count: 10_000}, Payload: payload(b, "start_bulk_outbound_call", `{"input":{"groupId":"`+anID+`"}}`)}
	for range 10_000 {
		f.Recipients.List = append(f.Recipients.List, recipients.Recipient{Number: "+35312345678"})
	}
	for b.Loop() {
		p.Decide(f)
	}
}
