package tools_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

const createArgs = `{"input":{"fullName":"Ada Lovelace","phoneE164":"+442079460123"}}`

// TestRecorded checks that a repeated call gets the first result, and the command line with which a
// person runs it once more.
func TestRecorded(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		first, second := p.call("create_contact", createArgs), p.call("create_contact", createArgs)
		if first.outcome(t) != "done" || second.outcome(t) != "recorded" || second.Result.IsError {
			t.Fatalf("%s then %s", first.Frame, second.Frame)
		}
		checkShape(t, second)
		if a, b := mustJSON(first.field(t, "result")), mustJSON(second.field(t, "result")); !bytes.Equal(a, b) {
			t.Errorf("the results differ: %s then %s", a, b)
		}
		notes := string(mustJSON(second.field(t, "notes")))
		if !strings.Contains(notes, "was not run again") || !strings.Contains(notes, "sippet-mcp call create_contact") || second.text(t, "intent") == "" {
			t.Errorf("%s", second.Frame)
		}
		if n := runs(w.up.Requests()); n != 1 || len(p.elicitations()) != 0 {
			t.Errorf("%d runs, asked %d times", n, len(p.elicitations()))
		}
	})
}

// TestUnknownIsNotRepeated checks that a call with an unknown outcome is sent again only with an
// approval.
func TestUnknownIsNotRepeated(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		w.up.On("run", "create_contact", rpctest.Reset) // not the read before it
		intent := p.call("create_contact", createArgs).text(t, "intent")
		w.up.On("run", "create_contact", nil)
		callAgain := func(answer, capabilities, outcome string, asked int) *reply {
			t.Helper()
			p.answer, p.capabilities = always(answer), capabilities
			p.newSession()
			before := len(p.elicitations())
			r := p.call("create_contact", createArgs)
			if r.outcome(t) != outcome || len(p.elicitations())-before != asked {
				t.Errorf("asked %d times, %s", len(p.elicitations())-before, r.Frame)
			}
			return r
		}
		w.runner.Inbox.Wait = 2 * time.Second
		for _, r := range []*reply{callAgain(accepts, `{}`, "approval_pending", 0), callAgain(declines, `{"elicitation":{}}`, "declined", 1)} {
			if r.text(t, "intent") != intent || !strings.Contains(r.text(t, "message"), "unknown") {
				t.Errorf("%s", r.Frame)
			}
		}
		w.runner.Inbox.Wait = 20 * time.Second
		callAgain(accepts, `{"elicitation":{}}`, "done", 1)
		if q := p.elicitations(); !strings.Contains(q[len(q)-1], "its outcome is unknown") {
			t.Errorf("the card: %s", q[len(q)-1])
		}
		if n := runs(w.up.Requests()); n != 2 {
			t.Errorf("%d runs", n)
		}
	})
}

// TestEmergencyStop checks that a stop holds on every transport, and that the answer names who made
// it.
func TestEmergencyStop(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		if err := w.gate.Ledger.Stop(t.Context(), ledger.StopScope{Kind: ledger.StopEverything}, ledger.Actor{Name: "grace"}, "<b>enough</b>"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"create_contact", "start_outbound_call", "delete_contact"} {
			r := p.call(name, samples[name])
			if r.outcome(t) != "stopped" || !r.Result.IsError || r.field(t, "ran") != false || !strings.Contains(r.text(t, "message"), "grace") {
				t.Errorf("%s", r.Frame)
			}
			checkShape(t, r)
		}
		if r := p.call("list_contacts", "{}"); r.outcome(t) != "done" {
			t.Errorf("%s", r.Frame)
		}
		if r := p.call("end_call", samples["end_call"]); r.outcome(t) != "done" {
			t.Errorf("%s", r.Frame)
		}
	})
}

// TestNoSecretIsStored checks that no file of the ledger and no log has the key, a credential that
// an action issued, or a person's data in the clear.
func TestNoSecretIsStored(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	w := newWorld(t, setup{policy: confirmAll, ledger: ledgertest.Open(t, ledger.Options{Dir: dir})})
	w.up.On("run", "", rpctest.OK(`{"id":"`+anID+`","fullName":"Zebedee Quux","token":"tok_ThisIsAToken","email":"zebedee@quux.example"}`))
	p := w.httpPeer(t, true)
	for name, args := range samples {
		p.call(name, args)
	}
	p.call("create_contact", `{"input":{"fullName":"Zebedee Quux","email":"zebedee@quux.example","phoneE164":"+15555550199"},"reason":"Zebedee asked"}`)
	if err := w.gate.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	read := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		read += len(raw)
		for _, secret := range []string{string(rpctest.Key), "Zebedee", "quux.example", "15555550199", "tok_ThisIsAToken"} {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("%q is in %s", secret, filepath.Base(f))
			}
		}
	}
	if read < 10_000 {
		t.Errorf("only %d bytes were searched", read)
	}
	if log := w.log.String(); strings.Contains(log, string(rpctest.Key)) || strings.Contains(log, "Zebedee") || len(log) < 1000 {
		t.Errorf("the log: %.3000s", log)
	}
}
