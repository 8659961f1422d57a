package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// check holds what the upstream saw and the clients were told against the ledger, once no server lives.
func (w *crashWorld) check(outside string) {
	t := w.t
	if err := w.l.Close(); err != nil {
		t.Error(err)
	}
	w.verifyCommand(outside)
	w.l = openState(t, w.dir) // sweeps what the last ones left
	report := verified(t, w.l, ledger.VerifyOptions{})
	var o ledger.VerifyOptions
	var key []byte
	var err error
	if o.Checkpoint, err = os.ReadFile(outside); err == nil {
		key, err = os.ReadFile(filepath.Join(filepath.Dir(outside), ledger.VerifyKeyFile))
		o.Key = string(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	verified(t, w.l, o)
	if report.InFlight != 0 {
		t.Errorf("%d intents are in flight, and nobody is alive", report.InFlight)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts["intents"], w.counts["unknown"], w.counts["records"] = report.Intents, report.Unknown, int(report.Records)
	intents := w.checkIntents()
	for _, p := range w.payloads {
		checkRuns(t, p, intents)
	}
	w.checkTold(intents)
}

// verifyCommand is what a person does after a crash.
func (w *crashWorld) verifyCommand(outside string) {
	var errs bytes.Buffer
	c := exec.Command("sippet-mcp", "audit", "verify", "--state-dir", w.dir, "--checkpoint", outside)
	c.Stderr = &errs
	if out, err := c.Output(); err != nil {
		w.t.Errorf("audit verify: %v: %s %s", err, out, errs.String())
	}
}

// kept is an intent and the payload that it is of.
type kept struct {
	ledger.Intent
	p *payload
}

// checkIntents reads the chain: every intent is of one of our payloads and has ended, and no yes was spent twice.
func (w *crashWorld) checkIntents() map[string]kept {
	t := w.t
	records, err := w.l.Records(t.Context(), ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	intents, err := w.l.Intents(t.Context(), ledger.IntentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	of := w.payloadsByPrint(records)
	prints, spent := map[string]string{}, map[string]int{}
	for _, r := range records {
		switch {
		case r.Phase == ledger.PhasePrepared:
			prints[r.Intent] = r.Fingerprint
			if r.ApprovalID != "" {
				spent[r.ApprovalID]++
			}
		case r.Phase == ledger.PhaseAbandoned:
			w.counts["swept"]++
		case r.Phase == ledger.PhaseSettled && r.State == string(ledger.NotSent) && r.ApprovalID != "":
			spent[r.ApprovalID]-- // given back: nothing had left the machine
		}
	}
	for id, n := range spent {
		if n > 1 {
			t.Errorf("the yes %s was spent %d times", id, n)
		}
	}
	all := map[string]kept{}
	for _, in := range intents {
		w.counts["intents "+string(in.State)]++
		all[in.ID] = kept{in, of[prints[in.ID]]}
		switch {
		case all[in.ID].p == nil:
			t.Errorf("intent %s is of no payload: %+v", in.ID, in)
		case in.Caller != all[in.ID].p.txn.Caller || in.Action != all[in.ID].p.action.Name:
			t.Errorf("intent %s is of another call: %+v", in.ID, in)
		case in.State == ledger.Prepared || in.State == ledger.Sent:
			t.Errorf("intent %s has no outcome", in.ID)
		}
	}
	return all
}

// payloadsByPrint says which payload a print is of: by a sealed copy that can be read, or, where the subject was
// erased since, by what was durable when it ran.
func (w *crashWorld) payloadsByPrint(records []ledger.Record) map[string]*payload {
	bodies, ran, of := map[string]*payload{}, map[string]*payload{}, map[string]*payload{}
	for _, p := range w.payloads {
		bodies[p.body] = p
		for _, r := range p.runs {
			ran[r.intent.ID] = p
		}
	}
	for _, r := range records {
		if r.Private != nil && bodies[string(r.Private.Payload)] != nil {
			of[r.Fingerprint] = bodies[string(r.Private.Payload)]
		} else if p := ran[r.Intent]; p != nil && r.Phase == ledger.PhasePrepared {
			of[r.Fingerprint] = p
		}
	}
	return of
}

// checkRuns: each run had an intent of its own and, where one was due, a yes of its own; and it was followed by
// another only where it was known how it had ended.
func checkRuns(t *testing.T, p *payload, intents map[string]kept) {
	seen, yeses := map[string]bool{}, map[string]bool{}
	for i, r := range p.runs {
		in := intents[r.intent.ID]
		switch {
		case in.p != p:
			t.Errorf("%s ran, and its intent %q is lost", p.body, r.intent.ID)
			continue
		case seen[in.ID]:
			t.Errorf("%s ran twice by the one intent %s", p.body, in.ID)
		case p.confirmed() && (in.ApprovalID == "" || yeses[in.ApprovalID]):
			t.Errorf("%s ran without a yes of its own (%q)", p.body, in.ApprovalID)
		case !slices.Contains(mayBecome[r.end], in.State):
			t.Errorf("%s was %s, and its intent is %s", p.body, r.end, in.State)
		case in.Prepared.After(r.at.Add(time.Millisecond)):
			t.Errorf("%s ran at %v, before its intent of %v", p.body, r.at, in.Prepared)
		}
		seen[in.ID], yeses[in.ApprovalID] = true, true
		if i+1 < len(p.runs) {
			checkRepeat(t, p, in, p.runs[i+1])
		}
	}
	if p.confirmed() && len(p.runs) > p.approved {
		t.Errorf("%s ran %d times after %d yeses", p.body, len(p.runs), p.approved)
	}
}

// checkRepeat: nobody agrees to a repeat here, so one may only follow where nothing ran, or where running again is no harm.
func checkRepeat(t *testing.T, p *payload, first kept, second *run) {
	known := first.State == ledger.Failed || first.State == ledger.Succeeded && p.action.Idempotent
	if !known || first.Settled.After(second.intent.Prepared) {
		t.Errorf("%s ran again at %v, when the run before was %s (settled %v)", p.body, second.at, first.State, first.Settled)
	}
}

// checkTold holds each answer against the ledger.
func (w *crashWorld) checkTold(intents map[string]kept) {
	t := w.t
	succeeded := map[*payload]int{}
	for _, in := range intents {
		if in.State == ledger.Succeeded {
			succeeded[in.p]++
			if !slices.ContainsFunc(in.p.runs, func(r *run) bool { return r.intent.ID == in.ID && r.end == answered }) {
				t.Errorf("intent %s succeeded, and the upstream did not run it: %s", in.ID, in.p.body)
			}
		}
	}
	for _, p := range w.payloads {
		if p.done > succeeded[p] {
			t.Errorf("clients were told %d times that %s ran; in the ledger it did %d times", p.done, p.body, succeeded[p])
		}
	}
	for _, a := range w.told {
		in := intents[a.intent]
		switch a.outcome {
		case "recorded":
			if in.p != a.p || in.State != ledger.Succeeded {
				t.Errorf("an answer came from the record, and that says: %+v", in)
			}
		case "outcome_unknown":
			if in.p != a.p {
				t.Errorf("nobody knows how %s ended, and its intent %q is lost", a.p.body, a.intent)
			}
		case "done", "crashed", "declined", "denied", "upstream_error", "upstream_unavailable":
		default:
			t.Errorf("%s was answered with %s", a.p.body, a.outcome)
		}
	}
}

func (w *crashWorld) figures() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(w.counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", w.counts[k], k))
	}
	return strings.Join(parts, ", ")
}
