package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// decision is what a policy of many rules costs.
type decision struct {
	Rules int `json:"rules"`
	// Load is in milliseconds, for so many rules; P50 and P99 of one decision about a call that
	// rings ten people, and of one about a read, in microseconds.
	Load    float64 `json:"loadMillis"`
	Ring50  float64 `json:"ringP50"`
	Ring99  float64 `json:"ringP99"`
	Read50  float64 `json:"readP50"`
	Read99  float64 `json:"readP99"`
	OfARead float64 `json:"shareOfStdioRead"` // Read50 over the p50 of a read through stdio
}

// houseRules is a policy with so many rules that all concern calls that ring, and reads.
func houseRules(n int) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: sippet.policy/v1\ndefaults: {class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}}\nlists: {dialable: [\"+44\", \"+353\"]}\nrules:\n")
	for i := range n {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "  - {id: r%d, match: {actions: [\"start_*\"]}, when: \"!recipients.all(r, lists.dialable.exists(p, r.number.startsWith(p)))\", decision: deny, reason: Ours only.}\n", i)
		case 1:
			fmt.Fprintf(&b, "  - {id: r%d, match: {classes: [read, outbound]}, when: \"caller.id == 'nobody-%d' && !between(now, 'Europe/London', '08:00', '20:00')\", decision: deny, reason: By day.}\n", i, i)
		case 2:
			fmt.Fprintf(&b, "  - {id: r%d, match: {roles: [\"!admin\"], classes: [read, outbound]}, when: \"action == 'none-%d'\", decision: approve, reason: None.}\n", i, i)
		}
	}
	return []byte(b.String())
}

func (w *world) decisions(r *report) error {
	raw := houseRules(60)
	began := time.Now()
	p, err := rules.Parse("house.yaml", raw)
	if err != nil {
		return err
	}
	r.Decision = decision{Rules: 60, Load: float64(time.Since(began).Microseconds()) / 1000}
	ten := &recipients.Set{Count: 10}
	for i := range 10 {
		ten.List = append(ten.List, recipients.Recipient{Number: fmt.Sprintf("+44207946%04d", i), Country: "GB", Kind: recipients.FixedLine})
	}
	for _, c := range []struct {
		action, args string
		set          *recipients.Set
		p50, p99     *float64
	}{{"start_outbound_call", `{"input":{"phoneNumber":"+442079460123"}}`, ten, &r.Decision.Ring50, &r.Decision.Ring99},
		{"list_contacts", readArgs, nil, &r.Decision.Read50, &r.Decision.Read99}} {
		a, err := schemas.Find(c.action)
		if err != nil {
			return err
		}
		payload, err := a.Check([]byte(c.args), schemas.Limits{Now: time.Now()})
		if err != nil {
			return err
		}
		facts := rules.Facts{Payload: payload, Caller: rules.Caller{ID: "bench", Roles: []string{"agent"}}, Recipients: c.set, Now: time.Now()}
		var all []time.Duration
		for range w.many {
			began := time.Now()
			v := p.Decide(facts)
			all = append(all, time.Since(began))
			if v.Decision == rules.Deny {
				return fmt.Errorf("the decision about %s was to deny: %s", c.action, v.Why)
			}
		}
		slices.Sort(all)
		*c.p50, *c.p99 = us(at(all, .5)), us(at(all, .99))
	}
	return w.decided(r, raw)
}

// decided measures reads through the program with the rules and without.
func (w *world) decided(r *report, raw []byte) error {
	file := filepath.Join(w.dir, "house.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	var all []work
	for _, c := range []struct{ name, policy string }{{"profile desktop", "desktop"}, {"60 rules", file}} {
		d, err := w.spawn(pair{"ours", "stdio"}, "--policy", c.policy)
		if err != nil {
			return err
		}
		defer d.close()
		one, err := call(c.name, d, "ours", aRead)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	if err := w.add(r, "read, stdio, by policy", all, 1); err != nil {
		return err
	}
	r.Decision.OfARead = r.Decision.Read50 / r.Parts[len(r.Parts)-1].Figures[0].P50
	return nil
}
