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
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// check compares what the upstream saw, and the outcomes that clients got, with the ledger. No
// server may be running.
func (w *crashWorld) check(outside string) {
	t := w.t
	if err := w.l.Close(); err != nil {
		t.Error(err)
	}
	w.verifyCommand(outside)
	w.l = openState(t, w.dir) // abandons the open intents of dead servers
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
		t.Errorf("%d intents are in flight, and no server is running", report.InFlight)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts["intents"], w.counts["unknown"], w.counts["records"] = report.Intents, report.Unknown, int(report.Records)
	intents := w.checkIntents()
	for _, p := range w.payloads {
		checkRuns(t, p, intents)
	}
	w.checkResults(intents)
}

// verifyCommand runs audit verify, as a person would after a crash.
func (w *crashWorld) verifyCommand(outside string) {
	var errs bytes.Buffer
	c := exec.Command("sippet-mcp", "audit", "verify", "--state-dir", w.dir, "--checkpoint", outside)
	c.Stderr = &errs
	if out, err := c.Output(); err != nil {
		w.t.Errorf("audit verify: %v: %s %s", err, out, errs.String())
	}
}

// keptIntent is an intent of the ledger and its payload.
type keptIntent struct {
	ledger.Intent
	p *payload
}

// checkIntents checks in the audit log that each intent has a payload and an outcome, and that no
// approval was used twice.
func (w *crashWorld) checkIntents() map[string]keptIntent {
	t := w.t
	records, err := w.l.Records(t.Context(), ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	intents, err := w.l.Intents(t.Context(), ledger.IntentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	byFingerprint := w.payloadsByFingerprint(records)
	fingerprints, uses := map[string]string{}, map[string]int{}
	for _, r := range records {
		switch {
		case r.Phase == ledger.PhasePrepared:
			fingerprints[r.Intent] = r.Fingerprint
			if r.ApprovalID != "" {
				uses[r.ApprovalID]++
			}
		case r.Phase == ledger.PhaseAbandoned:
			w.counts["abandoned"]++
		case r.Phase == ledger.PhaseSettled && r.State == string(ledger.NotSent) && r.ApprovalID != "":
			uses[r.ApprovalID]-- // returned: nothing was sent
		}
	}
	for id, n := range uses {
		if n > 1 {
			t.Errorf("approval %s was used %d times", id, n)
		}
	}
	all := map[string]keptIntent{}
	for _, in := range intents {
		w.counts["intents "+string(in.State)]++
		all[in.ID] = keptIntent{in, byFingerprint[fingerprints[in.ID]]}
		switch {
		case all[in.ID].p == nil:
			t.Errorf("intent %s has no payload: %+v", in.ID, in)
		case in.Caller != all[in.ID].p.txn.Caller || in.Action != all[in.ID].p.action.Name:
			t.Errorf("intent %s belongs to another call: %+v", in.ID, in)
		case in.State == ledger.Prepared || in.State == ledger.Sent:
			t.Errorf("intent %s has no outcome", in.ID)
		}
	}
	return all
}

// payloadsByFingerprint returns the payload of each fingerprint: from the sealed copy, or, if the
// subject was erased since, from the intent that was in the ledger when it ran.
func (w *crashWorld) payloadsByFingerprint(records []ledger.Record) map[string]*payload {
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

// checkRuns checks that each run had its own intent and, if required, its own approval, and that a
// repeat followed only a known outcome.
func checkRuns(t *testing.T, p *payload, intents map[string]keptIntent) {
	seen, approvals := map[string]bool{}, map[string]bool{}
	for i, r := range p.runs {
		in := intents[r.intent.ID]
		switch {
		case in.p != p:
			t.Errorf("%s ran, and its intent %q is missing", p.body, r.intent.ID)
			continue
		case p.overlaps():
			// Two runs of these bytes can be in flight, and which is of which intent is unknown.
		case seen[in.ID]:
			t.Errorf("%s ran twice with the intent %s", p.body, in.ID)
		case p.confirmed() && (in.ApprovalID == "" || approvals[in.ApprovalID]):
			t.Errorf("%s ran without its own approval (%q)", p.body, in.ApprovalID)
		case !slices.Contains(possibleStates[r.end], in.State):
			t.Errorf("%s was %s, and its intent is %s", p.body, r.end, in.State)
		case in.Prepared.After(r.at.Add(time.Millisecond)):
			t.Errorf("%s ran at %v, before its intent of %v", p.body, r.at, in.Prepared)
		}
		seen[in.ID], approvals[in.ApprovalID] = true, true
		if i+1 < len(p.runs) {
			checkRepeat(t, p, in, p.runs[i+1])
		}
	}
	if p.confirmed() && len(p.runs) > p.approved {
		t.Errorf("%s ran %d times after %d approvals", p.body, len(p.runs), p.approved)
	}
}

// overlaps reports whether the same call runs while an earlier one is in flight.
func (p *payload) overlaps() bool {
	return p.action.Safe == schemas.SafeAlways && p.action.Idempotent
}

// checkRepeat checks that a repeat followed a failed run, or a run of an action that may be repeated. Nobody
// approves other repeats in this test. The safe direction waits for nothing: a second run of it changes
// nothing more.
func checkRepeat(t *testing.T, p *payload, first keptIntent, second *run) {
	if p.overlaps() {
		return
	}
	known := first.State == ledger.Failed || first.State == ledger.Succeeded && !p.action.Repeats()
	if !known || first.Settled.After(second.intent.Prepared) {
		t.Errorf("%s ran again at %v, when the previous run was %s (settled %v)", p.body, second.at, first.State, first.Settled)
	}
}

// checkResults compares each outcome that a client got with the ledger.
func (w *crashWorld) checkResults(intents map[string]keptIntent) {
	t := w.t
	succeeded := map[*payload]int{}
	for _, in := range intents {
		if in.State == ledger.Succeeded {
			succeeded[in.p]++
			answered := 0
			for _, r := range in.p.runs {
				if r.end == answeredRun && (r.intent.ID == in.ID || in.p.overlaps()) {
					answered++
				}
			}
			if answered == 0 || in.p.overlaps() && answered < succeeded[in.p] {
				t.Errorf("intent %s succeeded, and the upstream did not run it: %s", in.ID, in.p.body)
			}
		}
	}
	for _, p := range w.payloads {
		// Several calls may get the result of one approval.
		if p.done > succeeded[p] && (!p.confirmed() || succeeded[p] == 0) {
			t.Errorf("clients got done %d times for %s; the ledger has %d runs", p.done, p.body, succeeded[p])
		}
	}
	for _, a := range w.results {
		in := intents[a.intent]
		switch a.outcome {
		case "recorded":
			if in.p != a.p || in.State != ledger.Succeeded {
				t.Errorf("recorded was answered, and the intent is %+v", in)
			}
		case "outcome_unknown":
			if in.p != a.p {
				t.Errorf("%s has an unknown outcome, and its intent %q is missing", a.p.body, a.intent)
			}
		case "done", "approval_pending", "crashed", "declined", "denied", "upstream_error", "upstream_unavailable":
		default:
			t.Errorf("%s was answered with %s", a.p.body, a.outcome)
		}
	}
}

func (w *crashWorld) summary() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(w.counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", w.counts[k], k))
	}
	return strings.Join(parts, ", ")
}
