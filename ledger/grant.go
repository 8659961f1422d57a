package ledger

import (
	"context"
	"time"
)

// State is where a grant stands.
type State string

// The states. An expired grant is one that waits, or is granted, and whose time is over.
const (
	Waiting State = "pending" // nobody has answered
	Granted State = "granted"
	Refused State = "denied"
	Spent   State = "spent"
	Revoked State = "revoked" // withdrawn: nobody could be asked, the same was asked anew, or everything was stopped
)

// Grant is a person's answer to one card, bound to what the card showed.
type Grant struct {
	// ID is from NewID: whoever knows it can only use it for what it is bound to.
	ID string
	// These it is bound to: who asks with what, where it goes and what would run (schemas.Payload.Hash), under which version of the policy.
	Principal, Credential, Upstream, Action, Hash, Policy string
	// Reach is as in Call. It is bound like these, but a call whose reach alone differs is no other call: it has drifted.
	Reach string
	// Needs is the decision that demanded it: confirm, or approve by another person. The ledger only keeps it.
	Needs string
	// Repeats is the id of the earlier intent of the same payload that the card tells of. Only for that one does
	// Commit let the payload run again.
	Repeats string
	// Request, Client, Why, Rules and Subjects are as in Call.
	Request, Client, Why string
	Rules, Subjects      []string
	// Payload and Card are sealed; both are nil where a subject was erased.
	Payload, Card []byte

	State State
	// By is who answered, and how.
	By                       string
	Asked, Answered, Expires time.Time
}

const (
	// MaxWaiting is how many questions of one principal may wait for a person at once, well below the workers of stdio:
	// more than a person can answer with care.
	MaxWaiting = 16
	// MaxWaitingAll is how many may wait over all principals: 16 callers can fill it, one cannot, and what the inbox
	// shows and every new question counts stays small.
	MaxWaitingAll = 256
)

// grantRow is a grant as its table holds it.
type grantRow struct {
	id, principal, credential, upstream, action, print, policy, reach, needs, repeats string
	state                                                                             State
	by                                                                                string
	asked, answered, expires, seq                                                     int64
}

const grantColumns = "id, principal, credential, upstream, action, print, policy, reach, needs, repeats, state, answerer, asked, answered, expires, seq"

func (g *grantRow) into() []any {
	return []any{&g.id, &g.principal, &g.credential, &g.upstream, &g.action, &g.print, &g.policy, &g.reach, &g.needs, &g.repeats,
		&g.state, &g.by, &g.asked, &g.answered, &g.expires, &g.seq}
}

// fits says whether the row is bound to what want is bound to.
func (g *grantRow) fits(want *Grant, print string) bool {
	return g.principal == want.Principal && g.credential == want.Credential && g.action == want.Action && g.print == print && g.policy == want.Policy
}

// wrong says why the grant cannot be spent now; nil where it can.
func (g *grantRow) wrong(now time.Time) error {
	switch {
	case g.state == Spent:
		return ErrGrantSpent
	case g.state == Refused:
		return ErrGrantDenied
	case g.state == Revoked:
		return ErrGrantRevoked
	case micros(now) >= g.expires:
		return ErrGrantExpired
	case g.state == Waiting:
		return ErrGrantWaiting
	case g.state == Granted:
		return nil
	}
	return ErrNoGrant
}

// refuses says why the grant cannot be spent by want now, which fits it. A question that was answered with no, or is
// over, is so whomever the call reaches.
func (g *grantRow) refuses(want *Grant, now time.Time) error {
	wrong := g.wrong(now)
	if (wrong == nil || wrong == ErrGrantWaiting) && g.reach != want.Reach {
		return ErrGrantDrift
	}
	return wrong
}

// Ask implements Ledger.
func (s *SQLite) Ask(ctx context.Context, g Grant) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.checkToken(g.Credential, g.Action); err != nil {
			return err
		}
		if err := t.checkFrozen(g.Action); err != nil {
			return err
		}
		print := s.seal.fingerprint(g.Upstream, g.Hash)
		now := micros(t.now)
		if _, err := t.exec(`UPDATE grants SET state = 'revoked' WHERE state IN ('pending', 'granted') AND expires > ?
			AND principal = ? AND credential = ? AND action = ? AND print = ? AND policy = ?`,
			now, g.Principal, g.Credential, g.Action, print, g.Policy); err != nil {
			return err
		}
		var waiting, own int
		if _, err := t.row("SELECT count(*), count(iif(principal = ?, 1, NULL)) FROM grants WHERE state = 'pending' AND expires > ?",
			[]any{g.Principal, now}, &waiting, &own); err != nil {
			return err
		}
		if own >= MaxWaiting || waiting >= MaxWaitingAll {
			return ErrTooMany
		}
		c := Call{Request: g.Request, Principal: g.Principal, Credential: g.Credential, Client: g.Client, Upstream: g.Upstream, Action: g.Action,
			Decision: g.Needs, Why: g.Why, Rules: g.Rules, Policy: g.Policy, Reach: g.Reach}
		r := c.record(PhaseAsked, print)
		r.Grant, r.State, r.Repeats, r.Expires = g.ID, string(Waiting), g.Repeats, micros(g.Expires)
		keys, err := t.subjectKeys(g.Subjects)
		if err != nil {
			return err
		}
		if r.Sealed, err = sealUnder(keys, Private{Payload: g.Payload, Card: g.Card, Hash: g.Hash}, r.place()); err != nil {
			return err
		}
		if err := t.append(r); err != nil {
			return err
		}
		_, err = t.exec("INSERT INTO grants ("+grantColumns+", last_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', '', ?, 0, ?, ?, ?)",
			g.ID, g.Principal, g.Credential, g.Upstream, g.Action, print, g.Policy, g.Reach, g.Needs, g.Repeats, now, micros(g.Expires), r.Seq, r.Seq)
		return err
	})
}

// grant reads the grant that fits want, and why it cannot be spent.
func (t *tx) grant(want *Grant) (*grantRow, error) {
	g := new(grantRow)
	found, err := t.row("SELECT "+grantColumns+" FROM grants WHERE id = ?", []any{want.ID}, g.into()...)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, ErrNoGrant
	case !g.fits(want, t.s.seal.fingerprint(want.Upstream, want.Hash)):
		return nil, ErrGrantOther
	}
	return g, g.refuses(want, t.now)
}

// Answer implements Ledger.
func (s *SQLite) Answer(ctx context.Context, want Grant, state State, by string) error {
	return s.write(ctx, func(t *tx) error {
		if state != Granted && state != Refused && state != Revoked {
			return errUsage
		}
		g, err := t.grant(&want)
		switch {
		case err == ErrGrantWaiting:
		case err == ErrGrantDrift && state != Granted: // a no counts whomever it would have reached
		case err != nil:
			return err
		case state == Granted:
			return nil // said already
		}
		if state == Granted {
			if err := t.checkFrozen(want.Action); err != nil {
				return err
			}
		}
		if _, err := t.exec("UPDATE grants SET state = ?, answerer = ?, answered = ?, last_seq = ? WHERE id = ?", string(state), by, micros(t.now), t.head.seq+1, g.id); err != nil {
			return err
		}
		return t.append(&Record{Phase: PhaseAnswered, Grant: g.id, Principal: g.principal, Credential: g.credential, Upstream: g.upstream, Action: g.action,
			Print: g.print, Policy: g.policy, State: string(state), By: by})
	})
}

// Check implements Ledger. It reads only: a grant may be spent by another before Commit comes.
func (s *SQLite) Check(ctx context.Context, want Grant) error {
	g := new(grantRow)
	found, err := s.row(ctx, "SELECT "+grantColumns+" FROM grants WHERE id = ?", []any{want.ID}, g.into()...)
	switch {
	case err != nil:
		return err
	case !found:
		return ErrNoGrant
	case !g.fits(&want, s.seal.fingerprint(want.Upstream, want.Hash)):
		return ErrGrantOther
	}
	return g.refuses(&want, s.now())
}

// Grant implements Ledger.
func (s *SQLite) Grant(ctx context.Context, id string) (Grant, error) {
	all, err := s.grants(ctx, "id = ?", id)
	if err != nil || len(all) == 0 {
		if err == nil {
			err = ErrNoGrant
		}
		return Grant{}, err
	}
	return all[0], nil
}

// Waiting implements Ledger.
func (s *SQLite) Waiting(ctx context.Context) ([]Grant, error) {
	return s.grants(ctx, "state = 'pending' AND expires > ?", micros(s.now()))
}

func (s *SQLite) grants(ctx context.Context, where string, args ...any) ([]Grant, error) {
	var found []*grantRow
	err := s.rows(ctx, "SELECT "+grantColumns+" FROM grants WHERE "+where+" ORDER BY asked", args, func(scan func(...any) error) error {
		g := new(grantRow)
		found = append(found, g)
		return scan(g.into()...)
	})
	if err != nil {
		return nil, err
	}
	ring := s.keyring(ctx)
	var all []Grant
	for _, row := range found {
		g := Grant{ID: row.id, Principal: row.principal, Credential: row.credential, Upstream: row.upstream, Action: row.action, Policy: row.policy, Reach: row.reach, Needs: row.needs,
			Repeats: row.repeats, State: row.state, By: row.by, Asked: fromMicros(row.asked), Answered: fromMicros(row.answered), Expires: fromMicros(row.expires)}
		r, err := s.recordAt(ctx, row.seq, ring)
		if err != nil {
			return nil, err
		}
		if r != nil {
			g.Request, g.Client, g.Why, g.Rules, g.Subjects = r.Request, r.Client, r.Why, r.Rules, r.People
			if p := r.Private; p != nil {
				g.Payload, g.Card, g.Hash = p.Payload, p.Card, p.Hash
			}
		}
		all = append(all, g)
	}
	return all, nil
}
