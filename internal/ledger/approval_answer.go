package ledger

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Reply is a person's answer to an approval request, or the reason for revoking it.
type Reply struct {
	// State is Approved, Declined or Revoked.
	State ApprovalState
	// By is who answers. If it is empty, the request keeps the By and Quick of an earlier answer.
	By Actor
	// Note is their message to the requester. It is sealed, because it may mention persons.
	Note string
	// Quick is true if the answer came sooner than the card can be read.
	Quick bool
	// Until is when an approval expires, if that is before the request expires; zero for no change.
	Until time.Time
	// Outcome and Fault are why a revoked approval led to no run. Fault is JSON and is sealed.
	Outcome schemas.Outcome
	Fault   []byte
}

// AnswerApproval implements Ledger.
func (s *SQLite) AnswerApproval(ctx context.Context, want ApprovalRequest, reply Reply) error {
	if reply.State != Approved && reply.State != Declined && reply.State != Revoked || reply.Fault != nil && !json.Valid(reply.Fault) {
		return errUsage
	}
	if len(reply.Fault) > maxResult {
		reply.Fault = nil
	}
	return s.write(ctx, func(t *tx) error {
		row, err := t.approval(&want)
		switch {
		case err == ErrApprovalPending:
		case err == ErrRecipientsChanged && reply.State != Approved: // other recipients do not matter for a call that will not run
		case err != nil:
			return err
		case reply.State == Approved && reply.By.column() != row.answeredBy:
			return ErrAlreadyAnswered
		case reply.State == Approved:
			return nil // the same answer again
		}
		if reply.State == Approved {
			if err := t.checkStopped(want.Requester, want.Action, effectOf(want.Action), false); err != nil {
				return err
			}
		}
		return t.recordAnswer(row, &reply)
	})
}

func (t *tx) recordAnswer(row *approvalRow, reply *Reply) error {
	if reply.By == (Actor{}) {
		reply.By, reply.Quick = parseActor(row.answeredBy), row.quick
	}
	r := row.record(PhaseAnswered)
	r.State, r.By, r.Quick, r.Outcome = string(reply.State), reply.By, reply.Quick, reply.Outcome
	expires := row.expires
	if until := micros(reply.Until); !reply.Until.IsZero() && until < expires {
		expires, r.Expires = until, until
	}
	keys, err := t.requestKeys(row)
	if err != nil {
		return err
	}
	if keys == nil && reply.State == Approved {
		return ErrApprovalErased // its card no longer shows the whole call
	}
	if keys != nil {
		if r.Sealed, err = sealUnder(keys, Private{Note: clip(reply.Note), Fault: reply.Fault}, r.binding()); err != nil {
			return err
		}
	}
	if err := t.append(r); err != nil {
		return err
	}
	_, err = t.exec("UPDATE approvals SET state = ?, answered_by = ?, answered = ?, expires = ?, outcome = ?, quick = ?, answered_seq = ?, last_seq = ? WHERE id = ?",
		string(reply.State), reply.By.column(), micros(t.now), expires, string(reply.Outcome), reply.Quick, r.Seq, r.Seq, row.id)
	return err
}

// requestKeys returns the keys that seal the request; nil if a subject was erased since.
func (t *tx) requestKeys(row *approvalRow) ([]subjectKey, error) {
	var line []byte
	found, err := t.row("SELECT body FROM records WHERE seq = ?", []any{row.seq}, &line)
	if err != nil || !found {
		return nil, err
	}
	r, err := decodeRecord(line)
	if err != nil || r.Sealed == nil {
		return nil, nil // Verify reports a line that cannot be read
	}
	return (&keyring{s: t.s, rows: t.rows}).all(r.Sealed.Keys)
}

// revokeApprovals revokes pending requests and unused approvals, each with a record, and returns
// their number.
func (t *tx) revokeApprovals(where string, args []any, by Actor) (int, error) {
	rows, err := t.openApprovals(where, args)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if _, err := t.exec("UPDATE approvals SET state = 'revoked', last_seq = ? WHERE id = ?", t.head.seq+1, row.id); err != nil {
			return 0, err
		}
		r := row.record(PhaseAnswered)
		r.State, r.By = string(Revoked), by
		if err := t.append(r); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// openApprovals reads pending requests and unused approvals.
func (t *tx) openApprovals(where string, args []any) (rows []*approvalRow, err error) {
	err = t.rows("SELECT "+approvalColumns+" FROM approvals WHERE state IN ('pending', 'approved') AND "+where, args, func(scan func(...any) error) error {
		row := new(approvalRow)
		if err := scan(row.fields()...); err != nil {
			return err
		}
		if micros(t.now) < row.expires {
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}
