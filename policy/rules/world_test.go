package rules_test

import (
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	head = "apiVersion: sippet.policy/v1\n"
	anID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
)

// noon is a Wednesday's.
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
