package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestProgramCannotApproveItself: without tokens, any program on this machine can send both requests of
// the modern protocol, the call and the reply to its dialogue. Neither gets a dialogue, no reply
// counts, and the request waits for the person in the inbox.
func TestProgramCannotApproveItself(t *testing.T) {
	w := &world{dir: filepath.Join(t.TempDir(), "state"), up: rpctest.New(t)}
	p := w.start(t, nil, "http", "--addr", "127.0.0.1:0", "--approval-wait", "0s")
	if err := p.listening(); err != nil {
		t.Fatal(err)
	}
	m := newModern(p.url)
	t.Cleanup(m.http.CloseIdleConnections)
	args := erase(1)
	first := m.tool(t, "delete_contact", args)
	id, _ := first.waits(t)
	if first.Result.RequestState != "" || len(first.Result.InputRequests) != 0 {
		t.Fatalf("the program was asked: %+v", first.Result)
	}
	for _, state := range []string{id, id + ".1.x", strings.Repeat("0", 32), "x"} {
		r, err := m.answer("delete_contact", args, state, approves)
		if err != nil {
			t.Fatal(err)
		}
		if r.outcome() == "done" || w.erased() != 0 {
			t.Fatalf("%s: %+v", state, r.Result)
		}
	}
	l := openState(t, w.dir)
	if q, err := l.Approval(t.Context(), id); err != nil || q.State != ledger.Pending || q.By != (ledger.Actor{}) {
		t.Errorf("%+v, %v", q, err)
	}
}
