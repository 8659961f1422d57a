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

// checkStatus compares the status that a program gets for its request with the ledger.
func (k *killWorld) checkStatus(a *requester, id string) {
	var r *reply
	// A call in flight at the kill gets an unknown outcome after a moment.
	until(k.t, 30*time.Second, func() bool {
		var err error
		r, err = a.call("approval_status", `{"id":"`+id+`"}`)
		return err == nil && !strings.Contains(r.Result.StructuredContent.Message, "is running")
	}, func() string { return fmt.Sprintf("request %s: %+v", id, r) })
	outcome := r.outcome()
	q, err := k.l.Approval(k.t.Context(), id)
	if err != nil {
		k.fail("request %s: %v", id, err)
		return
	}
	want := map[ledger.ApprovalState]string{ledger.Pending: "approval_pending", ledger.Declined: "declined", ledger.Revoked: "denied"}[q.State]
	switch {
	case q.State == ledger.Revoked && q.Fault != nil: // the reason may have been erased
		want = string(q.Outcome)
	case q.State == ledger.Approved: // it expired
		want = "denied"
	case q.State == ledger.Used:
		in, err := k.l.Intent(k.t.Context(), q.Intent)
		if err != nil {
			k.fail("request %s was used by no intent: %v", id, err)
			return
		}
		want = map[ledger.IntentState]string{ledger.Succeeded: "done", ledger.Failed: "upstream_error", ledger.Unknown: "outcome_unknown"}[in.State]
	}
	k.count("requests " + string(q.State))
	if outcome != want {
		k.fail("request %s is %s (%s), and the requester gets %s", id, q.State, want, outcome)
	}
}

// checkReplies compares ada's replies, and the answers of the API, with the audit log.
func (k *killWorld) checkReplies() {
	t := k.t
	records, err := k.l.Records(t.Context(), ledger.Filter{})
	must(t, err)
	approved, used := map[string]int64{}, map[string]bool{}
	for _, r := range records {
		switch {
		case r.Phase == ledger.PhaseAnswered && r.State == string(ledger.Approved):
			if r.By.String() != "ada, via api" || !slices.ContainsFunc(k.replies[r.ApprovalID], func(h sentReply) bool { return h.answer == "approve" }) {
				t.Errorf("record %d: %s approved %s without a reply", r.Seq, r.By, r.ApprovalID)
			}
			approved[r.ApprovalID] = r.Seq
		case r.Phase == ledger.PhasePrepared && (approved[r.ApprovalID] == 0 || approved[r.ApprovalID] > r.Seq):
			t.Errorf("record %d: %s was prepared without an approval", r.Seq, r.Action)
		case r.Phase == ledger.PhasePrepared:
			used[r.ApprovalID] = true
		case r.Phase == ledger.PhaseSettled && r.State == string(ledger.NotSent):
			used[r.ApprovalID] = false
		}
	}
	if len(used) == 0 {
		t.Error("nothing ran, so the test shows nothing")
	}
	for id, all := range k.replies {
		for _, h := range all {
			switch q, err := k.l.Approval(t.Context(), id); {
			case err != nil:
				t.Errorf("request %s: %v", id, err)
			case h.status != http.StatusOK:
			case h.answer == "approve" && approved[id] == 0:
				t.Errorf("ada's approval of %s was accepted, and is not recorded", id)
			case h.answer == "decline" && (q.State != ledger.Declined || used[id]):
				t.Errorf("ada's decline of %s was accepted, and it is %s", id, q.State)
			case h.answer == "revoke" && (q.State != ledger.Revoked || used[id]):
				t.Errorf("ada's revocation of %s was accepted, and it is %s", id, q.State)
			}
		}
	}
}

// checkRequesters compares each outcome that a program got with the ledger.
func (k *killWorld) checkRequesters() {
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
	for _, a := range k.requesters {
		for _, got := range a.results {
			switch got.outcome {
			case "done":
				if !ended[got.p][ledger.Succeeded] {
					t.Errorf("%s: a program got done", got.p.body)
				}
			case "upstream_error":
				if !ended[got.p][ledger.Failed] {
					t.Errorf("%s: a program got upstream_error", got.p.body)
				}
			case "outcome_unknown":
				if states[got.intent] == "" {
					t.Errorf("%s: the outcome is unknown, and its intent %q is missing", got.p.body, got.intent)
				}
			case "approval_pending", "declined", "denied", "upstream_unavailable":
			default:
				t.Errorf("%s: a program got %s", got.p.body, got.outcome)
			}
		}
	}
	if !testing.Short() && (k.counts["requests used"] == 0 || k.counts["abandoned"] == 0 || k.counts["approvals without a run at a kill"] == 0) {
		t.Errorf("the server was never killed at a critical moment: %s", k.summary())
	}
}
