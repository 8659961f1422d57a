package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Settle implements Ledger. What the sweeper called unknown can still be
// settled: its process was only slow.
func (s *SQLite) Settle(ctx context.Context, o Settlement) error {
	switch o.State {
	case Sent, Succeeded, Failed, NotSent, Unknown:
	default:
		return fmt.Errorf("%w: %q is no way for an intent to end", errUsage, o.State)
	}
	if o.State == NotSent && o.Sent {
		return fmt.Errorf("%w: an intent of which something was sent did not end as not_sent", errUsage)
	}
	if len(o.Result) > MaxResult || !json.Valid(o.Result) {
		o.Result = nil
	}
	if len(o.Fault) > MaxResult || !json.Valid(o.Fault) {
		o.Fault = nil
	}
	if o.Handover != nil && (o.State != Succeeded || o.Result != nil) {
		return fmt.Errorf("%w: what is handed over is the result of a success, and kept nowhere else", errUsage)
	}
	return s.write(ctx, func(t *tx) error {
		in, err := t.intent(byID, idArgs(o.Intent)...)
		switch {
		case err != nil:
			return err
		case in == nil:
			return ErrNoIntent
		case in.State == Sent && o.State == Sent, in.State == Unknown && in.By == (Actor{}) && o.State == Unknown:
			return nil // said already, the latter by the sweeper
		case in.State == Prepared, in.State == Sent:
		case in.State == Unknown && in.By == (Actor{}) && o.State != Unknown && o.State != Sent:
		default:
			return ErrAlreadySettled
		}
		return t.settle(in, &o)
	})
}

func (t *tx) settle(in *Intent, o *Settlement) error {
	r := in.record(PhaseSettled)
	r.State, r.Sent, r.Outcome, r.Status, r.Latency = string(o.State), o.Sent, o.Outcome, o.Status, o.Latency.Microseconds()
	if o.State == Sent {
		r.Phase, r.Sent = PhaseSent, true
		if err := t.append(r); err != nil {
			return err
		}
		_, err := t.exec("UPDATE intents SET state = 'sent', sent = 1 WHERE seq = ?", in.seq)
		return err
	}
	if o.CreatedSubject != allRows {
		if err := t.adoptSubject(in, o.CreatedSubject); err != nil {
			return err
		}
	}
	// Before the result, of which nothing is kept under a key that goes.
	erased, err := t.destroy(o.Erased)
	if err != nil {
		return err
	}
	if in.Class == schemas.Credential {
		o.Result, o.Fault = nil, nil
	}
	if o.Handover != nil {
		if err := t.handOver(in, o.Handover, o.HandoverUntil); err != nil {
			return err
		}
	}
	if o.Result != nil || o.Fault != nil {
		// Of a subject that was erased meanwhile nothing new is kept.
		ring := &keyring{s: t.s, rows: t.rows}
		keys, err := ring.all(strings.Split(in.keys, ","))
		if err != nil {
			return err
		}
		if keys != nil {
			if r.Sealed, err = sealUnder(keys, Private{Result: o.Result, Fault: o.Fault}, r.binding()); err != nil {
				return err
			}
		}
	}
	// Unknown ones may still turn out not to have been sent.
	if in.debited > 0 && o.State == NotSent {
		if r.Budgets, err = t.restore(in, t.head.seq+1); err != nil {
			return err
		}
	} else if in.debited > 0 && o.State != Unknown {
		if err := t.forgetDebits(in); err != nil {
			return err
		}
	}
	if o.State == NotSent && in.ApprovalID != "" {
		if err := t.returnApproval(in, r); err != nil {
			return err
		}
	}
	if err := t.append(r); err != nil {
		return err
	}
	if in.ApprovalID != "" {
		t.approvalsChanged = true
		if _, err := t.exec("UPDATE approvals SET last_seq = ? WHERE id = ?", r.Seq, in.ApprovalID); err != nil {
			return err
		}
	}
	if len(erased) > 0 {
		if err := t.append(&Record{Phase: PhaseErased, Intent: in.ID, Subjects: erased, By: Actor{Name: "Sippet", Via: in.Action}}); err != nil {
			return err
		}
		t.scrubSoon()
	}
	_, err = t.exec("UPDATE intents SET conflict_key = iif(?1 IN ('failed', 'not_sent'), NULL, conflict_key), state = ?1, sent = ?, outcome = ?, status = ?, latency = ?, settled = ?, settled_seq = ? WHERE seq = ?",
		string(o.State), o.Sent, string(o.Outcome), o.Status, o.Latency.Microseconds(), micros(t.now), r.Seq, in.seq)
	return err
}

// returnApproval makes a spent yes good again: what it was for did not happen. A
// freeze since then has voided it, and so has the same question asked anew.
func (t *tx) returnApproval(in *Intent, r *Record) error {
	r.ApprovalID = in.ApprovalID
	var stops int
	if _, err := t.row("SELECT count(*) FROM stops WHERE at >= ? OR resumed IS NULL", []any{micros(in.Prepared)}, &stops); err != nil {
		return err
	}
	var anew int
	if _, err := t.row(`SELECT count(*) FROM approvals g JOIN approvals n ON n.requester = g.requester AND n.credential = g.credential
		AND n.action = g.action AND n.fingerprint = g.fingerprint AND n.policy = g.policy AND n.seq > g.seq WHERE g.id = ?`, []any{in.ApprovalID}, &anew); err != nil {
		return err
	}
	state := Approved
	if stops > 0 || anew > 0 {
		state = Revoked
	}
	_, err := t.exec("UPDATE approvals SET state = ? WHERE id = ? AND state = 'used'", string(state), in.ApprovalID)
	return err
}

// record begins a record about the intent.
func (in *Intent) record(phase Phase) *Record {
	return &Record{Phase: phase, Intent: in.ID, Request: in.Request, Caller: in.Caller, Credential: in.Credential, Organisation: in.Organisation, Action: in.Action, Class: in.Class}
}

// Resolve implements Ledger.
func (s *SQLite) Resolve(ctx context.Context, id string, as IntentState, text string, by Actor) error {
	if as != Succeeded && as != Failed || by == (Actor{}) {
		return fmt.Errorf("%w: a person resolves an intent as succeeded or failed, and is named", errUsage)
	}
	return s.write(ctx, func(t *tx) error {
		in, err := t.intent(byID, idArgs(id)...)
		switch {
		case err != nil:
			return err
		case in == nil:
			return ErrNoIntent
		case in.State != Unknown:
			return ErrOutcomeKnown
		}
		r := in.record(PhaseResolved)
		r.State, r.By, r.Note, r.Sent = string(as), by, text, in.Sent
		if err := t.append(r); err != nil {
			return err
		}
		if in.debited > 0 {
			if err := t.forgetDebits(in); err != nil {
				return err
			}
		}
		_, err = t.exec("UPDATE intents SET conflict_key = iif(?1 = 'failed', NULL, conflict_key), state = ?1, resolved_by = ?, note = ?, settled = ?, settled_seq = ? WHERE seq = ?",
			string(as), by.column(), clip(text), micros(t.now), r.Seq, in.seq)
		return err
	})
}
