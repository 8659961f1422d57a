package inbox_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestResumeLeavesCallsAlone: resuming also cancels the ending of calls, because new calls are
// approved.
func TestResumeLeavesCallsAlone(t *testing.T) {
	w := newWorld(t, setup{})
	board := &switchboard{live: []string{"call-1"}}
	board.connect(w.up)
	w.up.On(rpctest.Run, "list_bulk_outbound_call_entries", rpctest.OK(`{"results":[{"id":"00000000-0000-4000-8000-000000000001","status":"pending"}],"hasMore":false,"type":"keyset"}`)) // so the attempt does not finish
	token := w.token(t, "grace", "admin")
	grace := w.visitor(t)
	running := func() bool {
		t.Helper()
		var state struct{ Ending struct{ Running bool } }
		if _, text := grace.json("GET", "/stop", token, ""); json.Unmarshal([]byte(text), &state) != nil {
			t.Fatal(text)
		}
		return state.Ending.Running
	}
	if res, text := grace.json("POST", "/stop", token, `{"endCalls":true}`); res.StatusCode != 200 {
		t.Fatalf("HTTP %d: %s", res.StatusCode, text)
	}
	ended := func() []string {
		board.mu.Lock()
		defer board.mu.Unlock()
		return append([]string(nil), board.ended...)
	}
	for end := time.Now().Add(20 * time.Second); len(ended()) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was ended")
		}
	}
	time.Sleep(6 * time.Second) // longer than it waits without live calls
	if !running() {
		t.Fatal("the attempt finished by itself, so this tests nothing")
	}
	if res, text := grace.json("POST", "/resume", token, `{}`); res.StatusCode != 200 {
		t.Fatalf("HTTP %d: %s", res.StatusCode, text)
	}
	for end := time.Now().Add(5 * time.Second); running(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("calls are still being ended")
		}
	}
	board.mu.Lock()
	board.live = append(board.live, "call-2")
	board.mu.Unlock()
	time.Sleep(2 * time.Second)
	if got := ended(); len(got) != 1 {
		t.Errorf("ended %q", got)
	}
}
