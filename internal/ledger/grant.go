package ledger

import (
	"context"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// State is where a grant stands.
type State string

// The states. An expired grant is one that waits, or is granted, and whose time is over.
const (
	Waiting State = "pending" // nobody has answered
	Granted State = "granted"
	Refused State = "denied"
	Spent   State = "spent"
	Revoked State = "revoked" // withdrawn: nobody could be asked, the same was asked anew, everything was stopped, it was taken back, or the yes came to nothing
)

// Grant is a question to a person, and the answer, bound to what its card showed.
type Grant struct {
	// ID is from NewID: whoever knows it can only use it for what it is bound to.
	ID string
	// These it is bound to: who asks with what, where it goes and what would run (schemas.Payload.Hash), under which version of the policy.
	Principal, Credential, Upstream, Action, Hash, Policy string
	// Reach is as in Call. It is bound like these, but a call whose reach alone differs is no other call: it has drifted.
	Reach string
	// Needs is the decision that demanded it: confirm, or approve by another person. The ledger only keeps it.
	Needs string
	// Person is who asks, by the name by which persons are told apart; empty where nobody knows.
	Person string
	// Inbox says that it waits in the inbox for whoever may answer it; else whoever asks puts it to their person at once.
	Inbox bool
	// Repeats is the id of the earlier intent of the same payload that the card tells of. Only for that one does
	// Commit let the payload run again.
	Repeats string
	// Request, Client, Why, Rules and Subjects are as in Call.
	Request, Client, Why string
	Rules, Subjects      []string
	// Payload and Card are sealed; both are nil where a subject was erased.
	Payload, Card []byte

	State State
	// By is who answered, and how. Quick says that they did so sooner than the card can be read.
	By                       string
	Quick                    bool
	Asked, Answered, Expires time.Time
	// Intent is the id of the run that spent the yes; empty where none did.
	Intent string
	// Outcome is why a yes came to nothing, and Fault the same as JSON; empty where it did not.
	Outcome schemas.Outcome
	// Note is what the person said to their answer. Note and Fault are sealed like Payload and Card.
	Note  string
	Fault []byte
	// Told says that the caller has heard what came of it.
	Told bool
	// Here says that this process asked; Orphaned, of a yes that is not used, that the process that asked has certainly ended.
	Here, Orphaned bool

	seq int64
}

// Open reports whether somebody may still answer, or use a yes that was given.
func (g *Grant) Open(now time.Time) bool {
	return (g.State == Waiting || g.State == Granted) && now.Before(g.Expires)
}

const (
	// MaxWaiting is how many questions of one principal may wait for a person at once, well below the workers of stdio:
	// more than a person can answer with care.
	MaxWaiting = 50
	// MaxWaitingAll is how many may wait over all principals: 40 callers can fill it, one cannot, and what the inbox
	// shows and every new question counts stays small.
	MaxWaitingAll = 2000
)

// grantRow is a grant as its table holds it.
type grantRow struct {
	id, principal, credential, upstream, action, print, policy, reach, needs, repeats string
	state                                                                             State
	by                                                                                string
	asked, answered, expires, seq                                                     int64
	person, asker, intent, outcome                                                    string
	inbox, quick, told                                                                bool
	answeredSeq                                                                       int64
}

const grantColumns = `id, principal, credential, upstream, action, print, policy, reach, needs, repeats, state, answerer, asked, answered, expires, seq,
	person, asker, intent, outcome, inbox, quick, told, answered_seq`

func (g *grantRow) into() []any {
	return []any{&g.id, &g.principal, &g.credential, &g.upstream, &g.action, &g.print, &g.policy, &g.reach, &g.needs, &g.repeats,
		&g.state, &g.by, &g.asked, &g.answered, &g.expires, &g.seq,
		&g.person, &g.asker, &g.intent, &g.outcome, &g.inbox, &g.quick, &g.told, &g.answeredSeq}
}

// grant is the row for others to read, without what is sealed.
func (g *grantRow) grant() Grant {
	return Grant{ID: g.id, Principal: g.principal, Credential: g.credential, Upstream: g.upstream, Action: g.action, Policy: g.policy, Reach: g.reach,
		Needs: g.needs, Person: g.person, Inbox: g.inbox, Repeats: g.repeats, State: g.state, By: g.by, Quick: g.quick,
		Asked: fromMicros(g.asked), Answered: fromMicros(g.answered), Expires: fromMicros(g.expires), Intent: g.intent,
		Outcome: schemas.Outcome(g.outcome), Told: g.told, Here: g.asker == owner, Orphaned: g.state == Granted && gone(g.asker), seq: g.seq}
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
		if _, err := t.exec(`UPDATE grants SET state = 'revoked', last_seq = ? WHERE state IN ('pending', 'granted') AND expires > ?
			AND principal = ? AND credential = ? AND action = ? AND print = ? AND policy = ?`,
			t.head.seq+1, now, g.Principal, g.Credential, g.Action, print, g.Policy); err != nil {
			return err
		}
		// Hanging up is counted by itself: nothing else that waits may keep it from being asked.
		var waiting, own int
		if _, err := t.row("SELECT count(*), count(iif(principal = ?, 1, NULL)) FROM grants WHERE state = 'pending' AND expires > ? AND (action = ?) = ?",
			[]any{g.Principal, now, HangUp, g.Action == HangUp}, &waiting, &own); err != nil {
			return err
		}
		if own >= MaxWaiting || waiting >= MaxWaitingAll {
			return ErrTooMany
		}
		c := Call{Request: g.Request, Principal: g.Principal, Credential: g.Credential, Client: g.Client, Upstream: g.Upstream, Action: g.Action,
			Decision: g.Needs, Why: g.Why, Rules: g.Rules, Policy: g.Policy, Reach: g.Reach}
		r := c.record(PhaseAsked, print)
		r.Grant, r.State, r.Repeats, r.Expires, r.Person, r.Inbox = g.ID, string(Waiting), g.Repeats, micros(g.Expires), g.Person, g.Inbox
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
		_, err = t.exec(`INSERT INTO grants (id, principal, credential, upstream, action, print, policy, reach, needs, repeats, state, answerer, asked, answered,
			expires, seq, last_seq, person, inbox, asker) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', '', ?, 0, ?, ?, ?, ?, ?, ?)`,
			g.ID, g.Principal, g.Credential, g.Upstream, g.Action, print, g.Policy, g.Reach, g.Needs, g.Repeats, now, micros(g.Expires), r.Seq, r.Seq,
			g.Person, g.Inbox, owner)
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
	case want.seq != 0 && want.seq == g.seq: // it was read from here, so it is bound to itself; of its payload a key may be gone
	case !g.fits(want, t.s.seal.fingerprint(want.Upstream, want.Hash)):
		return nil, ErrGrantOther
	}
	return g, g.refuses(want, t.now)
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
