package rules_test

import (
	"os"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	head = "apiVersion: sippet.policy/v1\n"
	anID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
)

// noon is on a Wednesday.
var noon = time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC)

func payload(t testing.TB, action, args string) *schemas.Payload {
	t.Helper()
	a, err := schemas.Find(action)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Check([]byte(args), schemas.Limits{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// laxDefaults are the mildest possible defaults.
const laxDefaults = head + "defaults: {class: {read: allow, write: validate, outbound: validate, destructive: validate, credential: deny}}\n"

func parse(t testing.TB, text string) *rules.Policy {
	t.Helper()
	p, err := rules.Parse("x", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// example parses the example file.
func example(t testing.TB) *rules.Policy {
	t.Helper()
	raw, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(raw))
}

func recipientsWith(numbers ...string) *recipients.Set {
	s := &recipients.Set{Count: len(numbers)}
	for _, n := range numbers {
		s.List = append(s.List, recipients.Recipient{Number: n})
	}
	return s
}
