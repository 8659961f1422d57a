package tools_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// writtenOtherwise are the same contact as createArgs, as a hijacked caller may write it to get it
// sent once more.
var writtenOtherwise = map[string]string{
	"other fields":  strings.Replace(createArgs, `}}`, `},"fields":["id"]}`, 1),
	"a null":        strings.Replace(createArgs, `}}`, `,"metadata":null}}`, 1),
	"an empty text": strings.Replace(createArgs, `}}`, `,"email":""}}`, 1),
	"spaces":        strings.Replace(createArgs, `Ada Lovelace`, ` Ada Lovelace `, 1),
	"a reason":      strings.Replace(createArgs, `}}`, `},"reason":"try once more"}`, 1),
}

// TestSameCallWrittenOtherwise checks, under each profile, that a call whose outcome is unknown is
// not sent again in other words, and that a repeated create in other words is recorded.
func TestSameCallWrittenOtherwise(t *testing.T) {
	for _, profile := range []string{"desktop", "team", "unattended"} {
		for name, args := range writtenOtherwise {
			t.Run(profile+", "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, setup{policy: profile, inbox: 50 * time.Millisecond})
				p := w.httpPeer(t, true)
				p.capabilities = `{}` // nobody answers at the client
				p.newSession()
				w.up.On("run", "create_contact", rpctest.Reset)
				if r := p.call("create_contact", createArgs); r.outcome(t) != "outcome_unknown" {
					t.Fatalf("%s", r.Frame)
				}
				w.up.On("run", "create_contact", nil)
				sent := runs(w.up.Requests())
				if r := p.call("create_contact", args); r.outcome(t) != "approval_pending" || runs(w.up.Requests()) != sent {
					t.Errorf("%d runs, %s", runs(w.up.Requests()), r.Frame)
				}
				open, err := w.gate.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
				if err != nil || len(open) != 1 {
					t.Fatalf("%d requests, %v", len(open), err)
				}
				r, err := w.gate.Ledger.Approval(t.Context(), open[0].ID)
				if err != nil || !strings.Contains(string(r.Card), "its outcome is unknown") {
					t.Errorf("the card does not say so: %s, %v", r.Card, err)
				}
				// Somebody else with the same number is no way around it either.
				if r := p.call("create_contact", strings.Replace(createArgs, "Ada Lovelace", "Grace Hopper", 1)); r.outcome(t) != "approval_pending" || runs(w.up.Requests()) != sent {
					t.Errorf("%d runs, %s", runs(w.up.Requests()), r.Frame)
				}
			})
			t.Run(profile+", recorded, "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, setup{policy: profile, inbox: 50 * time.Millisecond})
				p := w.httpPeer(t, true)
				if r := p.call("create_contact", createArgs); r.outcome(t) != "done" {
					t.Fatalf("%s", r.Frame)
				}
				sent := runs(w.up.Requests())
				if r := p.call("create_contact", args); r.outcome(t) != "recorded" || runs(w.up.Requests()) != sent {
					t.Errorf("%d runs, %s", runs(w.up.Requests()), r.Frame)
				}
			})
		}
	}
}
