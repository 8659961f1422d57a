package ledger

import (
	"context"
	"database/sql"
)

// WrongToken is a token that nobody issued, that was changed, or that is valid after its
// revocation.
const WrongToken FindingKind = "token"

// replayedToken is a token as the log describes it.
type replayedToken struct {
	fingerprint  string
	seq, revoked int64 // the records; seq is 0 if its record was pruned
	inTable      bool
}

func (p *replay) applyToken(v *verifier, r *Record) {
	t := p.tokens[r.Credential]
	switch {
	case r.Phase == PhaseIssued && t != nil:
		v.add(WrongToken, r.Seq, r.Credential, "token %s was issued twice", r.Credential)
	case r.Phase == PhaseIssued:
		p.tokens[r.Credential] = &replayedToken{fingerprint: r.Fingerprint, seq: r.Seq}
	case t == nil && v.anchor.seq > 0: // its record was pruned
		p.tokens[r.Credential] = &replayedToken{revoked: r.Seq}
	case t == nil || t.revoked != 0:
		v.add(WrongToken, r.Seq, r.Credential, "record %d revokes a token that was not valid", r.Seq)
	default:
		t.revoked = r.Seq
	}
}

// checkRevoked reports an intent under a token that was revoked before.
func (p *replay) checkRevoked(v *verifier, r *Record) {
	if t := p.tokens[r.Credential]; t != nil && t.revoked != 0 && r.Action != HangUp {
		v.add(WrongToken, r.Seq, r.Credential, "intent %s was prepared under token %s after its revocation", r.Intent, r.Credential)
	}
}

// checkTokens compares the table of tokens with the log.
func (v *verifier) checkTokens(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT "+tokenColumns+" FROM tokens")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var r tokenRow
		if err := scan(r.fields()...); err != nil {
			return err
		}
		pruned := r.seq > 0 && r.seq <= v.anchor.seq
		t := v.replay.tokens[r.id]
		if t == nil && pruned {
			t = &replayedToken{revoked: r.revokedSeq}
		}
		switch {
		case t == nil:
			v.add(WrongToken, 0, r.id, "token %s of %s has no record", r.id, r.person)
			return nil
		case r.fingerprint != r.seal(v.s.seal), !pruned && (t.seq != r.seq || t.fingerprint != r.fingerprint):
			v.add(WrongToken, t.seq, r.id, "token %s differs from the issued one", r.id)
		case t.revoked != r.revokedSeq || (r.revoked != 0) != (r.revokedSeq != 0):
			v.add(WrongToken, t.revoked, r.id, "the revocation of token %s differs from the log", r.id)
		}
		t.inTable = true
		return nil
	})
	for id, t := range v.replay.tokens {
		if !t.inTable {
			v.add(WrongToken, max(t.seq, t.revoked), id, "token %s has a record, but is missing from its table", id)
		}
	}
	return err
}
