package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Settle implements Ledger. An abandoned intent can still be settled: its process was only slow.
func (s *SQLite) Settle(ctx context.Context, end Settlement) error {
	switch end.State {
	case Sent, Succeeded, Failed, NotSent, Unknown:
	default:
		return fmt.Errorf("%w: %q is not an outcome of an intent", errUsage, end.State)
	}
	if end.State == NotSent && end.Sent {
		return fmt.Errorf("%w: an intent that was sent cannot end as not_sent", errUsage)
	}
	if len(end.Result) > maxResult || !json.Valid(end.Result) {
		end.Result = nil
	}
	if len(end.Fault) > maxResult || !json.Valid(end.Fault) {
		end.Fault = nil
	}
	if end.Handover != nil && (end.State != Succeeded || end.Result != nil) {
		return fmt.Errorf("%w: a handover is the result of a success, and the only copy of it", errUsage)
	}
	return s.writeWith(ctx, noReserve, func(t *tx) error {
		if t.reserve < wholeReserve {
			end.Result, end.Fault = nil, nil // the outcome itself needs the room
		}
		in, err := t.intent(intentQuery, intentArgs(end.Intent)...)
		switch {
		case err != nil:
			return err
		case in == nil:
			return ErrNoIntent
		case in.State == Sent && end.State == Sent, in.State == Unknown && in.By == (Actor{}) && end.State == Unknown:
			return nil // no change
		case in.State == Prepared, in.State == Sent:
		case in.State == Unknown && in.By == (Actor{}) && end.State != Unknown && end.State != Sent:
		default:
			return ErrAlreadySettled
		}
		return t.settle(in, &end)
	})
}

func (t *tx) settle(in *Intent, end *Settlement) error {
	r := in.record(PhaseSettled)
	r.State, r.Sent, r.Outcome, r.Status, r.Latency = string(end.State), end.Sent, end.Outcome, end.Status, end.Latency.Microseconds()
	if end.State == Sent {
		r.Phase, r.Sent = PhaseSent, true
		if err := t.append(r); err != nil {
			return err
		}
		_, err := t.exec("UPDATE intents SET state = 'sent', sent = 1 WHERE seq = ?", in.seq)
		return err
	}
	if end.CreatedSubject != noSubject {
		if err := t.adoptSubject(in, end.CreatedSubject); err != nil {
			return err
		}
	}
	// Before the result is sealed: nothing is kept under a destroyed key.
	erased, err := t.destroyKeys(end.Erased)
	if err != nil {
		return err
	}
	if in.Class == schemas.Credential {
		end.Result, end.Fault = nil, nil
	}
	if end.Handover != nil {
		if err := t.storeHandover(in, end.Handover, end.HandoverUntil); err != nil {
			return err
		}
	}
	if end.Result != nil || end.Fault != nil {
		// Nothing new is kept about a subject that was erased since.
		ring := &keyring{s: t.s, rows: t.rows}
		keys, err := ring.all(strings.Split(in.keys, ","))
		if err != nil {
			return err
		}
		if keys != nil {
			if r.Sealed, err = sealUnder(keys, Private{Result: end.Result, Fault: end.Fault}, r.binding()); err != nil {
				return err
			}
		}
	}
	// An unknown intent may still settle as not_sent.
	if in.debited > 0 && end.State == NotSent {
		if r.Budgets, err = t.returnDebits(in, t.head.seq+1); err != nil {
			return err
		}
	} else if in.debited > 0 && end.State != Unknown {
		if err := t.deleteDebits(in); err != nil {
			return err
		}
	}
	if end.State == NotSent && in.ApprovalID != "" {
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
		t.scrubAfterCommit()
	}
	_, err = t.exec(`UPDATE intents SET conflict_key = iif(?1 IN ('failed', 'not_sent'), NULL, conflict_key), state = ?1,
		sent = ?, outcome = ?, status = ?, latency = ?, settled = ?, settled_seq = ? WHERE seq = ?`,
		string(end.State), end.Sent, string(end.Outcome), end.Status, end.Latency.Microseconds(), micros(t.now), r.Seq, in.seq)
	return err
}

// returnApproval makes a used approval usable again, because its call did not run. It revokes the
// approval instead if an emergency stop covered the call since, or a newer request for the same call.
func (t *tx) returnApproval(in *Intent, r *Record) error {
	r.ApprovalID = in.ApprovalID
	stopped, err := t.stoppedSince(in)
	if err != nil {
		return err
	}
	var later int
	if _, err := t.row(`SELECT count(*) FROM approvals g JOIN approvals n ON n.requester = g.requester AND n.credential = g.credential
		AND n.action = g.action AND n.effect = g.effect AND n.seq > g.seq WHERE g.id = ?`, []any{in.ApprovalID}, &later); err != nil {
		return err
	}
	state := Approved
	if stopped || later > 0 {
		state = Revoked
	}
	_, err = t.exec("UPDATE approvals SET state = ? WHERE id = ? AND state = 'used'", string(state), in.ApprovalID)
	return err
}

// record returns a new record about the intent.
func (in *Intent) record(phase Phase) *Record {
	return &Record{Phase: phase, Intent: in.ID, Request: in.Request, Caller: in.Caller, Credential: in.Credential,
		Organisation: in.Organisation, Action: in.Action, Class: in.Class}
}

// Resolve implements Ledger.
func (s *SQLite) Resolve(ctx context.Context, id string, as IntentState, note string, by Actor) error {
	if as != Succeeded && as != Failed || by == (Actor{}) {
		return fmt.Errorf("%w: an intent is resolved as succeeded or failed, by a named person", errUsage)
	}
	return s.write(ctx, func(t *tx) error {
		in, err := t.intent(intentQuery, intentArgs(id)...)
		switch {
		case err != nil:
			return err
		case in == nil:
			return ErrNoIntent
		case in.State != Unknown:
			return ErrOutcomeKnown
		}
		r := in.record(PhaseResolved)
		r.State, r.By, r.Note, r.Sent = string(as), by, note, in.Sent
		if err := t.append(r); err != nil {
			return err
		}
		if in.debited > 0 {
			if err := t.deleteDebits(in); err != nil {
				return err
			}
		}
		_, err = t.exec(`UPDATE intents SET conflict_key = iif(?1 = 'failed', NULL, conflict_key), state = ?1,
			resolved_by = ?, note = ?, settled = ?, settled_seq = ? WHERE seq = ?`,
			string(as), by.column(), clip(note), micros(t.now), r.Seq, in.seq)
		return err
	})
}
