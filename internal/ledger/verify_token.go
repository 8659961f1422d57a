package ledger

import (
	"context"
	"database/sql"
)

// WrongToken is a token that nobody issued, that was changed, or that was revoked and is not any more.
const WrongToken FindingKind = "token"

// replayedToken is a token as the chain tells of it.
type replayedToken struct {
	fingerprint  string
	seq, revoked int64 // the records; seq is 0 where its record was pruned
	seen         bool
}

func (p *replay) token(v *verifier, r *Record) {
	t := p.tokens[r.Credential]
	switch {
	case r.Phase == PhaseIssued && t != nil:
		v.find(WrongToken, r.Seq, r.Credential, "token %s was issued twice", r.Credential)
	case r.Phase == PhaseIssued:
		p.tokens[r.Credential] = &replayedToken{fingerprint: r.Fingerprint, seq: r.Seq}
	case t == nil && v.anchor.seq > 0: // issued before the chain begins now
		p.tokens[r.Credential] = &replayedToken{revoked: r.Seq}
	case t == nil || t.revoked != 0:
		v.find(WrongToken, r.Seq, r.Credential, "record %d revokes a token that was not in use", r.Seq)
	default:
		t.revoked = r.Seq
	}
}

// under looks whether an intent came under a token that was revoked before.
func (p *replay) under(v *verifier, r *Record) {
	if t := p.tokens[r.Credential]; t != nil && t.revoked != 0 && r.Action != HangUp {
		v.find(WrongToken, r.Seq, r.Credential, "intent %s was prepared under token %s after that was revoked", r.Intent, r.Credential)
	}
}

// tokens holds the table of tokens against the chain.
func (v *verifier) tokens(ctx context.Context, conn *sql.Conn) error {
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
			v.find(WrongToken, 0, r.id, "token %s of %s is in no record", r.id, r.person)
			return nil
		case r.fingerprint != r.seal(v.s.seal), !pruned && (t.seq != r.seq || t.fingerprint != r.fingerprint):
			v.find(WrongToken, t.seq, r.id, "token %s is not as it was issued", r.id)
		case t.revoked != r.revokedSeq || (r.revoked != 0) != (r.revokedSeq != 0):
			v.find(WrongToken, t.revoked, r.id, "whether token %s is revoked is not as the chain says", r.id)
		}
		t.seen = true
		return nil
	})
	for id, t := range v.replay.tokens {
		if !t.seen {
			v.find(WrongToken, max(t.seq, t.revoked), id, "token %s has a record, but is gone", id)
		}
	}
	return err
}
