package ledger

import (
	"context"
	"slices"
)

// ClientEvent is what a client did with an open request instead of passing on a person's answer.
type ClientEvent struct {
	Kind ClientEventKind
	// Via names the client, such as `client claude-code 2.1.332`: its own claim.
	Via string
}

// ClientEventKind is the kind of a ClientEvent.
type ClientEventKind string

// The kinds.
const (
	// ClientCancelled: the dialogue was closed without an answer.
	ClientCancelled ClientEventKind = "cancelled"
	// ClientTooFast: it answered sooner than a person can.
	ClientTooFast ClientEventKind = "too_fast"
	// ClientUnclear: it answered, but neither approved as the dialogue demands nor declined.
	ClientUnclear ClientEventKind = "unclear"
	// ClientFailed: it answered with an error.
	ClientFailed ClientEventKind = "failed"
	// ClientDeparted: it cancelled the call, or its connection ended, before it received anything.
	ClientDeparted ClientEventKind = "departed"
	// ClientReturned: it sent the call again after it had departed.
	ClientReturned ClientEventKind = "returned"
)

var clientEventKinds = []ClientEventKind{ClientCancelled, ClientTooFast, ClientUnclear, ClientFailed, ClientDeparted, ClientReturned}

// RecordUnanswered implements Ledger.
func (s *SQLite) RecordUnanswered(ctx context.Context, id string, e ClientEvent) error {
	if !slices.Contains(clientEventKinds, e.Kind) {
		return errUsage
	}
	return s.write(ctx, func(t *tx) error {
		row, err := t.openApproval(id)
		if err != nil {
			return err
		}
		if row == nil {
			return ErrNoApproval
		}
		r := row.record(PhaseUnanswered)
		r.By, r.Note = Actor{Via: clip(e.Via)}, string(e.Kind)
		if keeps, err := t.keepsEvents(r.Caller); err != nil {
			return err
		} else if !keeps {
			t.count(eventKind{r.Caller, r.Credential, r.Action, "", "", r.Note})
		} else if err := t.append(r); err != nil {
			return err
		}
		departed := row.departed
		switch e.Kind {
		case ClientDeparted:
			departed = micros(t.now)
		case ClientReturned:
			departed = 0
		}
		_, err = t.exec("UPDATE approvals SET departed = ?, last_seq = max(last_seq, ?) WHERE id = ?", departed, r.Seq, id)
		return err
	})
}

// TakeOver implements Ledger.
func (s *SQLite) TakeOver(ctx context.Context, id string) (own bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		row, err := t.openApproval(id)
		if err != nil || row == nil {
			return err
		}
		if own = row.process == process; own || !processEnded(row.process) {
			return nil
		}
		own = true
		_, err = t.exec("UPDATE approvals SET process = ? WHERE id = ?", process, id)
		return err
	})
	return own && err == nil, err
}

// openApproval reads a request that is pending, or approved and not used, and has not expired; nil
// if there is none.
func (t *tx) openApproval(id string) (*approvalRow, error) {
	row := new(approvalRow)
	found, err := t.row("SELECT "+approvalColumns+" FROM approvals WHERE id = ? AND state IN ('pending', 'approved') AND expires > ?",
		[]any{id, micros(t.now)}, row.fields()...)
	if err != nil || !found {
		return nil, err
	}
	return row, nil
}
