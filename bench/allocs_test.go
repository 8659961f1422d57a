//go:build !race

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

var update = flag.Bool("update", false, "rewrite testdata/allocs.json")

const (
	allocsFile = "testdata/allocs.json"
	// slack is how far a count may rise above its baseline.
	slack = 1.03

	ringArgs   = `{"input":{"phoneNumber":"+442079460123"}}`
	createArgs = `{"fields":["id","fullName"],"input":{"fullName":"Ada Lovelace","defaultLanguage":"en-GB"}}`
)

// Allocations per call are the same on every machine, unlike times, so a test can hold them. A
// change that needs more of them on purpose rewrites the baseline: go test ./bench -run TestAllocs
// -update
func TestAllocs(t *testing.T) {
	var baseline map[string]float64
	if raw, err := os.ReadFile(allocsFile); err != nil && !*update {
		t.Fatal(err)
	} else if err == nil {
		if err := json.Unmarshal(raw, &baseline); err != nil {
			t.Fatal(err)
		}
	}
	paths := allocPaths(t)
	found := map[string]float64{}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		found[name] = fewest(paths[name])
		switch most, ok := baseline[name]; {
		case *update:
		case !ok:
			t.Errorf("%s: no baseline", name)
		case found[name] > most*slack:
			t.Errorf("%s: %.0f allocations, the baseline is %.0f", name, found[name], most)
		case found[name]*slack < most:
			t.Logf("%s: %.0f allocations, the baseline of %.0f can be lowered", name, found[name], most)
		}
	}
	if *update {
		raw, err := json.MarshalIndent(found, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(allocsFile, append(raw, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name := range baseline {
		if paths[name] == nil {
			t.Errorf("%s has a baseline and is not measured", name)
		}
	}
}

// fewest counts the allocations of one call: the fewest of several rounds, as a ledger's own
// goroutines and the collector, which empties pools, add some in a round or two.
func fewest(do func()) float64 {
	n := testing.AllocsPerRun(50, do)
	for range 9 {
		n = min(n, testing.AllocsPerRun(50, do))
	}
	return n
}

// allocPaths are the paths that are measured. Each fails the test if it does not do what its name
// says.
func allocPaths(t *testing.T) map[string]func() {
	read, create, ring := check(t, "list_contacts", readArgs), check(t, "create_contact", createArgs), check(t, "start_outbound_call", ringArgs)
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

	desktop := load(t, "desktop")
	many, err := rules.Parse("house.yaml", houseRules(60))
	if err != nil {
		t.Fatal(err)
	}
	ten := &recipients.Set{Count: 10}
	for i := range 10 {
		ten.List = append(ten.List, recipients.Recipient{Number: fmt.Sprintf("+44207946%04d", i), Country: "GB", Kind: recipients.FixedLine})
	}
	decide := func(p *rules.Policy, payload *schemas.Payload, set *recipients.Set, want rules.Decision) func() {
		facts := rules.Facts{Payload: payload, Caller: rules.Caller{ID: "ada", Roles: []string{"agent"}}, Recipients: set, Now: now}
		return func() {
			if v := p.Decide(facts); v.Decision != want {
				t.Fatalf("the decision is %s, want %s: %s", v.Decision, want, v.Why)
			}
		}
	}

	store := ledgertest.Open(t)
	text, err := largeBudgets()
	if err != nil {
		t.Fatal(err)
	}
	large, err := rules.Parse("large.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	gate, recorded := testGate(desktop, forgetful{store}), testGate(large, store)
	do := func(g *policy.Gate, p *schemas.Payload, want schemas.Outcome) func() {
		return func() {
			if a := g.Do(context.Background(), policy.Call{Caller: benchCaller, Payload: p}); a.Outcome() != want {
				t.Fatalf("%s ended with %s, want %s", p.Action.Name, a.Outcome(), want)
			}
		}
	}
	runner := &tools.Runner{Gate: gate}
	rings := ledger.Debit{Budget: "rings", Key: "ada", Cost: 1, Burst: 25, Interval: time.Hour}
	return map[string]func(){
		"schemas: check a read":          func() { check(t, "list_contacts", readArgs) },
		"schemas: check a create":        func() { check(t, "create_contact", createArgs) },
		"recipients: resolve a number":   func() { resolve(t, ring) },
		"rules: decide a read":           decide(desktop, read, nil, rules.Allow),
		"rules: decide a call to ten":    decide(many, ring, ten, rules.Confirm),
		"gate: a read":                   do(gate, read, schemas.Done),
		"gate: a read of counted people": do(testGate(load(t, "team"), forgetful{store}), read, schemas.Done),
		"gate: a denied call":            do(testGate(load(t, "read-only"), forgetful{store}), create, schemas.Denied),
		"gate: a validated write":        do(gate, create, schemas.Done),
		"gate: a validated and recorded write": func() {
			args := numbered(writeArgs)
			do(recorded, check(t, "create_contact", args), schemas.Done)()
		},
		"ledger: what a budget has left": func() {
			if _, _, err := store.BudgetLeft(context.Background(), rings); err != nil {
				t.Fatal(err)
			}
		},
		"inbox: the page of a card": cardPage(t, ring),
		"tools: a read of 25 contacts": func() {
			q := tools.Request{Caller: benchCaller, Action: "list_contacts", Args: []byte(readArgs)}
			if r := runner.Call(context.Background(), q); r.Outcome != schemas.Done {
				t.Fatalf("it ended with %s: %s", r.Outcome, r.Text)
			}
		},
	}
}
