package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func TestStoredError(t *testing.T) {
	e := &schemas.Error{Outcome: schemas.ValidationFailed, Message: "Sippet rejected it", Next: "correct the input", RetryAfter: time.Second, Intent: "1",
		Details: []schemas.Detail{{Path: "a", Message: "1"}, {Path: "b", Message: "2"}, {Path: "c", Message: "3\x1b"}, {Path: "d", Message: "4"}}}
	raw := ledger.EncodeError(e)
	if diff := cmp.Diff(e, ledger.DecodeError(raw)); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if got, want := ledger.ErrorMessage(raw), `Sippet rejected it; a 1; b 2; c 3\u{1b}`; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if got := ledger.ErrorMessage(nil); got != "" {
		t.Errorf("message of nil %q, want none", got)
	}
	for _, raw := range []string{"", "{}", "null", `{"Message":"without an outcome"}`, "no JSON"} {
		if got := ledger.DecodeError([]byte(raw)); got.Outcome != schemas.Unavailable || got.Next == "" {
			t.Errorf("%q: got %+v, want an error that says it cannot be read", raw, got)
		}
	}
}
