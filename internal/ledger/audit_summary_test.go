package ledger_test

import (
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func TestSummary(t *testing.T) {
	ada := ledger.Actor{Name: "ada", Via: "inbox"}
	card := &ledger.Private{Card: []byte(`{"title":"Change the contact."}`), Payload: []byte(`{"action":"x"}`)}
	for _, c := range []struct {
		record ledger.Record
		want   string
	}{
		{ledger.Record{Phase: ledger.PhaseRequested, Private: card}, "Change the contact."},
		{ledger.Record{Phase: ledger.PhaseUnanswered, By: ledger.Actor{Via: "client Cowork 1"}, Note: "cancelled"}, "client Cowork 1 closed its dialogue without an answer"},
		{ledger.Record{Phase: ledger.PhaseUnanswered, By: ledger.Actor{Via: "client Cowork 1"}, Note: "x"}, "client Cowork 1 sent x"},
		{ledger.Record{Phase: ledger.PhasePrepared, Private: &ledger.Private{Payload: []byte(`{"action":"x","fields":["id"],"identity":"7","input":{"a":1}}`)}}, `identity "7", input {"a":1}`},
		{ledger.Record{Phase: ledger.PhasePrepared}, ""},
		{ledger.Record{Phase: ledger.PhasePrepared, Sealed: &ledger.Sealed{}}, "concerns a person who was erased"},
		{ledger.Record{Phase: ledger.PhaseRead, Private: card, Prefetch: true}, "read by the gate for another call: Change the contact."},
		{ledger.Record{Phase: ledger.PhaseRejected, Private: card, Why: "outside the hours"}, "outside the hours"},
		{ledger.Record{Phase: ledger.PhaseRejected, Private: card}, "Change the contact."},
		{ledger.Record{Phase: ledger.PhaseAnswered, State: "approved", By: ada}, "approved by ada, via inbox"},
		{ledger.Record{Phase: ledger.PhaseAnswered, State: "declined", By: ada, Private: &ledger.Private{Note: "she asked us not to"}}, "declined by ada, via inbox: she asked us not to"},
		{ledger.Record{Phase: ledger.PhaseAnswered, State: "declined", By: ada, Quick: true}, "declined by ada, via inbox (faster than the card can be read)"},
		{ledger.Record{Phase: ledger.PhaseAnswered, State: "revoked"}, "revoked"},
		{ledger.Record{Phase: ledger.PhaseAnswered, State: "revoked", By: ada, Outcome: schemas.Declined}, "revoked by ada, via inbox"},
		{ledger.Record{Phase: ledger.PhaseAnswered, State: "revoked", By: ada, Outcome: schemas.LimitExceeded}, "approval by ada, via inbox could not be used"},
		{ledger.Record{Phase: ledger.PhaseAnswered, State: "revoked", By: ada, Outcome: schemas.LimitExceeded, Private: &ledger.Private{Fault: []byte(`{"Outcome":"limit_exceeded","Message":"the budget is empty"}`)}},
			"approval by ada, via inbox could not be used: the budget is empty"},
		{ledger.Record{Phase: ledger.PhaseSent}, "sent to Sippet"},
		{ledger.Record{Phase: ledger.PhaseSettled, State: "succeeded", Status: 200, Latency: 1234}, "succeeded, HTTP 200, 1.2ms"},
		{ledger.Record{Phase: ledger.PhaseSettled, State: "not_sent"}, "not_sent"},
		{ledger.Record{Phase: ledger.PhaseAbandoned, State: "unknown"}, "outcome unknown: nobody settled it"},
		{ledger.Record{Phase: ledger.PhaseResolved, State: "failed", By: ada, Note: "not in the list"}, "resolved as failed by ada, via inbox: not in the list"},
		{ledger.Record{Phase: ledger.PhaseDropped, Count: 2}, "2 events not recorded: too many at once"},
		{ledger.Record{Phase: ledger.PhaseStopped, Scope: "everything", By: ada, Count: 3}, "everything stopped by ada, via inbox; 3 approval requests revoked"},
		{ledger.Record{Phase: ledger.PhaseStopped, Scope: "ringing", By: ada, Note: "wrong list", Count: 1}, "ringing stopped by ada, via inbox: wrong list; 1 approval request revoked"},
		{ledger.Record{Phase: ledger.PhaseResumed, Scope: "assistant", Person: "bob", By: ada}, "the assistants of bob resumed by ada, via inbox"},
		{ledger.Record{Phase: ledger.PhaseErased, By: ledger.Actor{Name: "Sippet"}, Subjects: []string{"1", "2"}, Note: "found erased"}, "2 personal keys destroyed by Sippet: found erased"},
		{ledger.Record{Phase: ledger.PhasePruned, Count: 5, Upto: 7}, "5 records removed, up to record 7: older than the retention"},
		{ledger.Record{Phase: ledger.PhaseLogin, State: "code", By: ada}, "one-time login link created by ada, via inbox"},
		{ledger.Record{Phase: ledger.PhaseLogin, State: "session", Credential: "t1"}, "logged in to the inbox with token t1"},
		{ledger.Record{Phase: ledger.PhaseLogin, State: "session", Note: "open"}, "logged in to the inbox with the browser that was opened"},
		{ledger.Record{Phase: ledger.PhaseLogin, State: "session", Note: "code"}, "logged in to the inbox with a link"},
		{ledger.Record{Phase: ledger.PhaseLogout}, "logged out of the inbox"},
		{ledger.Record{Phase: ledger.PhaseTaken, By: ada}, "issued credential shown once to ada, via inbox, then destroyed"},
		{ledger.Record{Phase: ledger.PhaseIssued, By: ada, Credential: "t1", Roles: []string{"agent", "admin"}, Note: "interactive"}, "token t1 (agent, admin) issued by ada, via inbox: interactive"},
		{ledger.Record{Phase: ledger.PhaseRevoked, By: ada, Credential: "t1"}, "token t1 revoked by ada, via inbox"},
		{ledger.Record{Phase: ledger.PhaseRemoved, By: ada, Count: 2}, "removed by ada, via inbox; 2 tokens revoked"},
		{ledger.Record{Phase: ledger.PhaseSettled, State: "succeeded", Fault: "it is not in canonical form"}, "INVALID RECORD: it is not in canonical form"},
	} {
		if got := c.record.Summary(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.record.Phase, got, c.want)
		}
	}
}

// Every phase has a summary, and no text of a record writes to the terminal.
func TestSummaryIsSafe(t *testing.T) {
	const evil = "x\x1b[2J\u202e\n"
	for _, phase := range ledger.Phases {
		r := ledger.Record{Phase: phase, State: evil, By: ledger.Actor{Name: evil, Via: evil}, Note: evil, Why: evil, Credential: evil, Roles: []string{evil},
			Private: &ledger.Private{Note: evil, Card: []byte(`{"title":"\u001b[2J\u202e"}`)}}
		s := r.Summary()
		if s == "" || strings.ContainsAny(s, "\x1b\u202e\n") {
			t.Errorf("%s: %q", phase, s)
		}
		r.Fault = evil
		if s := r.Summary(); strings.ContainsAny(s, "\x1b\u202e\n") {
			t.Errorf("%s with a fault: %q", phase, s)
		}
	}
}
