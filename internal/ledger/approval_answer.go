package ledger

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Reply is an answer to a question, or what became of one.
type Reply struct {
	// State is Granted, Refused or Revoked.
	State ApprovalState
	// By is who answers, and how, such as `ada (inbox)`. Empty where nobody did; who answered before, and how soon, stays then.
	By Actor
	// Note is what they say to it, for whoever asked. It is sealed, because it may tell of a person.
	Note string
	// Quick says that the answer came sooner than the card can be read.
	Quick bool
	// Until ends a yes sooner than its question would have ended; zero: it does not.
	Until time.Time
	// Outcome and Fault say why a yes that is revoked came to nothing: the word for it, and JSON that is sealed.
	Outcome schemas.Outcome
	Fault   []byte
}

// AnswerApproval implements Ledger.
func (s *SQLite) AnswerApproval(ctx context.Context, want ApprovalRequest, reply Reply) error {
	if reply.State != Approved && reply.State != Declined && reply.State != Revoked || reply.Fault != nil && !json.Valid(reply.Fault) {
		return errUsage
	}
	return s.write(ctx, func(t *tx) error {
		g, err := t.approval(&want)
		switch {
		case err == ErrApprovalPending:
		case err == ErrRecipientsChanged && reply.State != Approved: // a no counts whomever it would have reached
		case err != nil:
			return err
		case reply.State == Approved && reply.By.column() != g.answeredBy:
			return ErrAlreadyAnswered
		case reply.State == Approved:
			return nil // said already
		}
		if reply.State == Approved {
			if err := t.checkStopped(want.Action); err != nil {
				return err
			}
		}
		return t.answer(g, &reply)
	})
}

func (t *tx) answer(g *approvalRow, reply *Reply) error {
	if reply.By == (Actor{}) {
		reply.By, reply.Quick = parseActor(g.answeredBy), g.quick
	}
	r := &Record{Phase: PhaseAnswered, ApprovalID: g.id, Caller: parseActor(g.requester), Credential: g.credential, Organisation: g.organisation, Action: g.action,
		Fingerprint: g.fingerprint, Policy: g.policy, State: string(reply.State), By: reply.By, Quick: reply.Quick, Outcome: reply.Outcome}
	expires := g.expires
	if until := micros(reply.Until); !reply.Until.IsZero() && until < expires {
		expires, r.Expires = until, until
	}
	keys, err := t.keysOf(g)
	if err != nil {
		return err
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
		string(reply.State), reply.By.column(), micros(t.now), expires, string(reply.Outcome), reply.Quick, r.Seq, r.Seq, g.id)
	return err
}

// keysOf gives the keys under which the question is sealed; nil where a subject of it was erased meanwhile.
func (t *tx) keysOf(g *approvalRow) ([]subjectKey, error) {
	var line []byte
	found, err := t.row("SELECT body FROM records WHERE seq = ?", []any{g.seq}, &line)
	if err != nil || !found {
		return nil, err
	}
	r, err := decodeRecord(line)
	if err != nil || r.Sealed == nil {
		return nil, nil // a line that cannot be read is Verify's to find
	}
	return (&keyring{s: t.s, rows: t.rows}).all(r.Sealed.Keys)
}
