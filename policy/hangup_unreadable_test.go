package policy_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// fixedAnswer answers every list with the same, whatever that is.
type fixedAnswer struct {
	switchboard
	answer string
}

func (m *fixedAnswer) Run(context.Context, rpc.Request) (rpc.Result, *schemas.Error) {
	return rpc.Result{Data: json.RawMessage(m.answer), Sent: true}, nil
}

// TestUnreadableList: an answer that cannot be read does not say that nobody is being rung.
func TestUnreadableList(t *testing.T) {
	for answer, quiet := range map[string]bool{`[]`: true, `{"results":[],"hasMore":false}`: true,
		`null`: false, `{"data":[]}`: false, `{"results":[{"callUuid":123}]}`: false, `{"results":{}}`: false, `"none"`: false} {
		synctest.Test(t, func(t *testing.T) {
			g, _ := gate(t, "desktop")
			g.Ledger, g.Upstream = nil, &fixedAnswer{answer: answer}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			told := 0
			if err := g.EndCalls(ctx, ledger.Actor{Name: "grace"}, func(policy.EndedCall) { told++ }); (err == nil) != quiet || (told == 0) != quiet {
				t.Errorf("%s: %v, told %d", answer, err, told)
			}
		})
	}
}
