package tools_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

const making = `{"input":{"fullName":"Ada Lovelace","phoneE164":"+442079460123"}}`

// TestRecorded: a client that repeats itself gets the first answer, and the line with which a person repeats it.
func TestRecorded(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		first, second := p.call("create_contact", making), p.call("create_contact", making)
		if first.outcome(t) != "done" || second.outcome(t) != "recorded" || second.Result.IsError {
			t.Fatalf("%s then %s", first.Frame, second.Frame)
		}
		checkShape(t, second)
		if a, b := mustJSON(first.field(t, "result")), mustJSON(second.field(t, "result")); !bytes.Equal(a, b) {
			t.Errorf("another answer: %s then %s", a, b)
		}
		notes := string(mustJSON(second.field(t, "notes")))
		if !strings.Contains(notes, "was not run again") || !strings.Contains(notes, "sippet-mcp call create_contact") || second.text(t, "intent") == "" {
			t.Errorf("%s", second.Frame)
		}
		if n := runs(w.up.Requests()); n != 1 || len(p.questions()) != 0 {
			t.Errorf("%d runs, %d questions", n, len(p.questions()))
		}
	})
}

// TestUnknownIsNotRepeated: what may have run is put to a person before it is sent again, by those who can be asked.
func TestUnknownIsNotRepeated(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		w.up.On("run", "", rpctest.Reset)
		intent := p.call("create_contact", making).text(t, "intent")
		w.up.On("run", "", nil)
		asked := func(answer, capabilities, outcome string, questions int) *reply {
			t.Helper()
			p.answer, p.capabilities = always(answer), capabilities
			p.anew()
			before := len(p.questions())
			r := p.call("create_contact", making)
			if r.outcome(t) != outcome || len(p.questions())-before != questions {
				t.Errorf("%d questions, %s", len(p.questions())-before, r.Frame)
			}
			return r
		}
		for _, r := range []*reply{asked(accepts, `{}`, "outcome_unknown", 0), asked(refuses, `{"elicitation":{}}`, "outcome_unknown", 1)} {
			if r.text(t, "intent") != intent || r.field(t, "ran") != "unknown" || !strings.Contains(r.text(t, "nextStep"), "list_contacts") {
				t.Errorf("%s", r.Frame)
			}
		}
		asked(accepts, `{"elicitation":{}}`, "done", 1)
		if q := p.questions(); !strings.Contains(q[len(q)-1], "its outcome is unknown") {
			t.Errorf("the card: %s", q[len(q)-1])
		}
		if n := runs(w.up.Requests()); n != 2 {
			t.Errorf("%d runs", n)
		}
	})
}

// TestEmergencyStop: a stop is obeyed on every transport, and the answer says who stopped it.
func TestEmergencyStop(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		if err := w.gate.Ledger.Stop(t.Context(), ledger.Actor{Name: "grace"}, "<b>enough</b>"); err != nil {
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

// TestNoSecretIsKept: neither the key nor anything that a credential action answers is in any file of the ledger or in
// the log, and what is said of persons is in none of them in the clear.
func TestNoSecretIsKept(t *testing.T) {
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
		t.Errorf("only %d bytes were looked through", read)
	}
	if log := w.log.String(); strings.Contains(log, string(rpctest.Key)) || strings.Contains(log, "Zebedee") || len(log) < 1000 {
		t.Errorf("the log: %.3000s", log)
	}
}
