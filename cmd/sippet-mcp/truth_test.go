package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// checkStatus holds what a program is told of its question against the ledger.
func (k *killed) checkStatus(a *asker, id string) {
	var r *reply
	// Of what was in flight when its server was killed, nobody knows how it ended, after a moment.
	until(k.t, 30*time.Second, func() bool {
		var err error
		r, err = a.call("approval_status", `{"id":"`+id+`"}`)
		return err == nil && !strings.Contains(r.Result.StructuredContent.Message, "is running")
	}, func() string { return fmt.Sprintf("question %s: %+v", id, r) })
	outcome := r.outcome()
	q, err := k.l.Approval(k.t.Context(), id)
	if err != nil {
		k.fail("question %s: %v", id, err)
		return
	}
	want := map[ledger.ApprovalState]string{ledger.Pending: "approval_pending", ledger.Declined: "declined", ledger.Revoked: "denied"}[q.State]
	switch {
	case q.State == ledger.Revoked && q.Fault != nil: // why may be gone, with somebody whose data was erased
		want = string(q.Outcome)
	case q.State == ledger.Approved: // its time ran out
		want = "denied"
	case q.State == ledger.Used:
		in, err := k.l.Intent(k.t.Context(), q.Intent)
		if err != nil {
			k.fail("question %s is spent by nothing: %v", id, err)
			return
		}
		want = map[ledger.IntentState]string{ledger.Succeeded: "done", ledger.Failed: "upstream_error", ledger.Unknown: "outcome_unknown"}[in.State]
	}
	k.count("questions " + string(q.State))
	if outcome != want {
		k.fail("question %s is %s (%s), and whoever asked is told %s", id, q.State, want, outcome)
	}
}

// checkSaid holds what ada said, and what she was told, against the chain.
func (k *killed) checkSaid() {
	t := k.t
	records, err := k.l.Records(t.Context(), ledger.Filter{})
	must(t, err)
	agreed, spent := map[string]int64{}, map[string]bool{}
	for _, r := range records {
		switch {
		case r.Phase == ledger.PhaseAnswered && r.State == string(ledger.Approved):
			if r.By.String() != "ada, via api" || !slices.ContainsFunc(k.said[r.ApprovalID], func(h heard) bool { return h.answer == "approve" }) {
				t.Errorf("record %d: %s agreed to %s, and nobody said so", r.Seq, r.By, r.ApprovalID)
			}
			agreed[r.ApprovalID] = r.Seq
		case r.Phase == ledger.PhasePrepared && (agreed[r.ApprovalID] == 0 || agreed[r.ApprovalID] > r.Seq):
			t.Errorf("record %d: %s was about to run, and nobody had agreed", r.Seq, r.Action)
		case r.Phase == ledger.PhasePrepared:
			spent[r.ApprovalID] = true
		case r.Phase == ledger.PhaseSettled && r.State == string(ledger.NotSent):
			spent[r.ApprovalID] = false
		}
	}
	if len(spent) == 0 {
		t.Error("nothing was ever run, so nothing was shown")
	}
	for id, all := range k.said {
		for _, h := range all {
			switch q, err := k.l.Approval(t.Context(), id); {
			case err != nil:
				t.Errorf("question %s: %v", id, err)
			case h.status != http.StatusOK:
			case h.answer == "approve" && agreed[id] == 0:
				t.Errorf("ada was told that her yes to %s was taken, and it is nowhere", id)
			case h.answer == "decline" && (q.State != ledger.Declined || spent[id]):
				t.Errorf("ada was told that her no to %s was taken, and it is %s", id, q.State)
			case h.answer == "revoke" && (q.State != ledger.Revoked || spent[id]):
				t.Errorf("ada was told that %s is taken back, and it is %s", id, q.State)
			}
		}
	}
}

// checkAskers holds each answer that a program got against the ledger.
func (k *killed) checkAskers() {
	t := k.t
	intents, err := k.l.Intents(t.Context(), ledger.IntentFilter{})
	must(t, err)
	states := map[string]ledger.IntentState{}
	ended := map[*payload]map[ledger.IntentState]bool{}
	for _, in := range intents {
		states[in.ID] = in.State
		for _, p := range k.payloads {
			for _, r := range p.runs {
				if r.intent.ID == in.ID {
					if ended[p] == nil {
						ended[p] = map[ledger.IntentState]bool{}
					}
					ended[p][in.State] = true
				}
			}
		}
	}
	for _, a := range k.askers {
		for _, got := range a.told {
			switch got.outcome {
			case "done":
				if !ended[got.p][ledger.Succeeded] {
					t.Errorf("%s: a program was told that it ran", got.p.body)
				}
			case "upstream_error":
				if !ended[got.p][ledger.Failed] {
					t.Errorf("%s: a program was told that Sippet refused it", got.p.body)
				}
			case "outcome_unknown":
				if states[got.intent] == "" {
					t.Errorf("%s: nobody knows how it ended, and its intent %q is lost", got.p.body, got.intent)
				}
			case "approval_pending", "declined", "denied", "upstream_unavailable":
			default:
				t.Errorf("%s: a program was told %s", got.p.body, got.outcome)
			}
		}
	}
	if !testing.Short() && (k.counts["questions spent"] == 0 || k.counts["swept"] == 0 || k.counts["yeses without a run at a kill"] == 0) {
		t.Errorf("the server was never killed at a moment that matters: %s", k.figures())
	}
}
