package tools_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// TestNobody checks that nobody is asked for a request without a caller.
func TestNobody(t *testing.T) {
	w := newWorld(t, setup{inbox: time.Millisecond})
	frame := mustJSON(w.server.MCP.HandleMessage(context.Background(), json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+
		modernVersion+`","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}},"name":"delete_contact","arguments":`+deleteArgs+`}}`)))
	r := &reply{Frame: frame}
	if err := json.Unmarshal(frame, r); err != nil || r.outcome(t) != "approval_pending" || r.Result.ResultType == "input_required" {
		t.Errorf("%v %s", err, frame)
	}
	checkNothingRan(t, w)
}
