package tools_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// TestInvalidReply checks that an error or an invalid response of a client approves nothing.
func TestInvalidReply(t *testing.T) {
	for name, c := range map[string]struct{ answer, outcome string }{
		"another action":        {`{"action":"ok","content":{"approve":true}}`, "declined"},
		"an action in capitals": {`{"action":"ACCEPT","content":{"approve":true}}`, "declined"},
		"no action":             {`{"content":{"approve":true}}`, "declined"},
		"content of a list":     {`{"action":"accept","content":[true]}`, "declined"},
		"a number":              {`{"action":"accept","content":{"approve":1}}`, "declined"},
		"another box":           {`{"action":"accept","content":{"Approve":true}}`, "declined"},
		"no object":             {`"accept"`, "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
				p.answer = always(c.answer)
				r := p.call("delete_contact", deleteArgs)
				checkNothingRan(t, w)
				if r.Error != nil {
					return // the SDK rejected it
				}
				checkShape(t, r)
				// In the legacy protocol the SDK drops an unreadable response.
				if got := r.outcome(t); got != c.outcome && !(c.outcome == "denied" && got == "declined") {
					t.Errorf("%s", r.Frame)
				}
			})
		})
	}
}

// TestNobody checks that nobody is asked for a request without a caller.
func TestNobody(t *testing.T) {
	w := newWorld(t, setup{})
	frame := mustJSON(w.server.MCP.HandleMessage(context.Background(), json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+
		modernVersion+`","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}},"name":"delete_contact","arguments":`+deleteArgs+`}}`)))
	r := &reply{Frame: frame}
	if err := json.Unmarshal(frame, r); err != nil || r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "is not interactive") {
		t.Errorf("%v %s", err, frame)
	}
	checkNothingRan(t, w)
}

// TestNoCommand checks the next step without a command line, or with one that is too long to copy.
func TestNoCommand(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	p.capabilities = `{}`
	long := `{"input":{"callUuid":"` + strings.Repeat("c", 5000) + `"}}`
	if r := p.call("end_call", long); r.outcome(t) != "denied" || strings.Contains(r.text(t, "nextStep"), "sippet-mcp call") || !strings.Contains(r.text(t, "nextStep"), "in Sippet itself") {
		t.Errorf("%.600s", r.Frame)
	}
	w.runner.Command = nil
	if r := p.call("delete_contact", deleteArgs); !strings.Contains(r.text(t, "nextStep"), "in Sippet itself") {
		t.Errorf("%s", r.Frame)
	}
	checkNothingRan(t, w)
}

// TestWithdrawnRequestsDoNotCount checks that requests that nobody could be asked do not count as
// pending.
func TestWithdrawnRequestsDoNotCount(t *testing.T) {
	w := newWorld(t, setup{})
	p := overHTTP(t, w.listen(t, tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "robot"}}}), true)
	for i := range 40 {
		r := p.call("end_call", `{"input":{"callUuid":"c-`+strings.Repeat("x", i)+`"}}`)
		if r.outcome(t) != "denied" {
			t.Fatalf("call %d: %s", i, r.Frame)
		}
	}
	checkNothingRan(t, w)
}
