package ledger

import (
	"context"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ApprovalState is where a grant stands.
type ApprovalState string

// The states. An expired grant is one that waits, or is granted, and whose time is over.
const (
	Pending  ApprovalState = "pending" // nobody has answered
	Approved ApprovalState = "approved"
	Declined ApprovalState = "declined"
	Used     ApprovalState = "used"
	Revoked  ApprovalState = "revoked" // withdrawn: nobody could be asked, the same was asked anew, everything was stopped, it was taken back, or the yes came to nothing
)

// ApprovalRequest is a question to a person, and the answer, bound to what its card showed.
type ApprovalRequest struct {
	// ID is from NewID: whoever knows it can only use it for what it is bound to.
	ID string
	// The request is bound to the fields from Requester to Policy: who asks, with which credential, of which
	// organisation, what would run (Hash is schemas.Payload.Hash), and the version of the policy.
	Requester                                      Actor
	Credential, Organisation, Action, Hash, Policy string
	// Recipients is as in Call. It is bound like these, but a call whose reach alone differs is no other call: it has drifted.
	Recipients string
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

	State ApprovalState
	// By is who answered, and how. Quick says that they did so sooner than the card can be read.
	By                           Actor
	Quick                        bool
	Requested, Answered, Expires time.Time
	// Intent is the id of the run that spent the yes; empty where none did.
	Intent string
	// Outcome is why a yes came to nothing, and Fault the same as JSON; empty where it did not.
	Outcome schemas.Outcome
	// Note is what the person said to their answer. Note and Fault are sealed like Payload and Card.
	Note  string
	Fault []byte
	// Reported says that the caller has heard what came of it.
	Reported bool
	// OwnProcess says that this process asked; Orphaned, of a yes that is not used, that the process that asked has certainly ended.
	OwnProcess, Orphaned bool

	seq int64
}

// Open reports whether somebody may still answer, or use a yes that was given.
func (g *ApprovalRequest) Open(now time.Time) bool {
	return (g.State == Pending || g.State == Approved) && now.Before(g.Expires)
}

// Expired is the state that StateAt returns for a request that was pending or approved until its time
// was over. It is never stored.
const Expired ApprovalState = "expired"

// StateAt returns the request's state at a time.
func (g *ApprovalRequest) StateAt(now time.Time) ApprovalState {
	if (g.State == Pending || g.State == Approved) && !g.Open(now) {
		return Expired
	}
	return g.State
}

const (
	// MaxPending is how many questions of one principal may wait for a person at once, well below the workers of stdio:
	// more than a person can answer with care.
	MaxPending = 50
	// MaxPendingTotal is how many may wait over all principals: 40 callers can fill it, one cannot, and what the inbox
	// shows and every new question counts stays small.
	MaxPendingTotal = 2000
)

// approvalRow is a grant as its table holds it.
type approvalRow struct {
	id, requester, credential, organisation, action, fingerprint, policy, recipients, needs, repeats string
	state                                                                                            ApprovalState
	answeredBy                                                                                       string
	requested, answered, expires, seq                                                                int64
	person, process, intent, outcome                                                                 string
	inbox, quick, reported                                                                           bool
	answeredSeq                                                                                      int64
}

const approvalColumns = `id, requester, credential, organisation, action, fingerprint, policy, recipients, needs, repeats, state, answered_by, requested, answered, expires, seq,
	person, process, intent, outcome, inbox, quick, reported, answered_seq`

func (g *approvalRow) fields() []any {
	return []any{&g.id, &g.requester, &g.credential, &g.organisation, &g.action, &g.fingerprint, &g.policy, &g.recipients, &g.needs, &g.repeats,
		&g.state, &g.answeredBy, &g.requested, &g.answered, &g.expires, &g.seq,
		&g.person, &g.process, &g.intent, &g.outcome, &g.inbox, &g.quick, &g.reported, &g.answeredSeq}
}

// approval is the row for others to read, without what is sealed.
func (g *approvalRow) approval() ApprovalRequest {
	return ApprovalRequest{ID: g.id, Requester: parseActor(g.requester), Credential: g.credential, Organisation: g.organisation, Action: g.action, Policy: g.policy, Recipients: g.recipients,
		Needs: g.needs, Person: g.person, Inbox: g.inbox, Repeats: g.repeats, State: g.state, By: parseActor(g.answeredBy), Quick: g.quick,
		Requested: fromMicros(g.requested), Answered: fromMicros(g.answered), Expires: fromMicros(g.expires), Intent: g.intent,
		Outcome: schemas.Outcome(g.outcome), Reported: g.reported, OwnProcess: g.process == process, Orphaned: g.state == Approved && gone(g.process), seq: g.seq}
}

// matches says whether the row is bound to what want is bound to.
func (g *approvalRow) matches(want *ApprovalRequest, fingerprint string) bool {
	return g.requester == want.Requester.column() && g.credential == want.Credential && g.action == want.Action && g.fingerprint == fingerprint && g.policy == want.Policy
}

// checkState says why the grant cannot be spent now; nil where it can.
func (g *approvalRow) checkState(now time.Time) error {
	switch {
	case g.state == Used:
		return ErrApprovalUsed
	case g.state == Declined:
		return ErrApprovalDeclined
	case g.state == Revoked:
		return ErrApprovalRevoked
	case micros(now) >= g.expires:
		return ErrApprovalExpired
	case g.state == Pending:
		return ErrApprovalPending
	case g.state == Approved:
		return nil
	}
	return ErrNoApproval
}

// check says why the grant cannot be spent by want now, which fits it. A question that was answered with no, or is
// over, is so whomever the call reaches.
func (g *approvalRow) check(want *ApprovalRequest, now time.Time) error {
	wrong := g.checkState(now)
	if (wrong == nil || wrong == ErrApprovalPending) && g.recipients != want.Recipients {
		return ErrRecipientsChanged
	}
	return wrong
}

// CreateApproval implements Ledger.
func (s *SQLite) CreateApproval(ctx context.Context, g ApprovalRequest) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.checkToken(g.Credential, g.Action); err != nil {
			return err
		}
		if err := t.checkStopped(g.Action); err != nil {
			return err
		}
		fingerprint := s.seal.fingerprint(g.Organisation, g.Hash)
		now, requester := micros(t.now), g.Requester.column()
		if _, err := t.exec(`UPDATE approvals SET state = 'revoked', last_seq = ? WHERE state IN ('pending', 'approved') AND expires > ?
			AND requester = ? AND credential = ? AND action = ? AND fingerprint = ? AND policy = ?`,
			t.head.seq+1, now, requester, g.Credential, g.Action, fingerprint, g.Policy); err != nil {
			return err
		}
		// Hanging up is counted by itself: nothing else that waits may keep it from being asked.
		var waiting, own int
		if _, err := t.row("SELECT count(*), count(iif(requester = ?, 1, NULL)) FROM approvals WHERE state = 'pending' AND expires > ? AND (action = ?) = ?",
			[]any{requester, now, HangUp, g.Action == HangUp}, &waiting, &own); err != nil {
			return err
		}
		if own >= MaxPending || waiting >= MaxPendingTotal {
			return ErrTooManyPending
		}
		c := Call{Request: g.Request, Caller: g.Requester, Credential: g.Credential, Client: g.Client, Organisation: g.Organisation, Action: g.Action,
			Decision: g.Needs, Why: g.Why, Rules: g.Rules, Policy: g.Policy, Recipients: g.Recipients}
		r := c.record(PhaseRequested, fingerprint)
		r.ApprovalID, r.State, r.Repeats, r.Expires, r.Person, r.Inbox = g.ID, string(Pending), g.Repeats, micros(g.Expires), g.Person, g.Inbox
		keys, err := t.subjectKeys(g.Subjects)
		if err != nil {
			return err
		}
		if r.Sealed, err = sealUnder(keys, Private{Payload: g.Payload, Card: g.Card, Hash: g.Hash}, r.binding()); err != nil {
			return err
		}
		if err := t.append(r); err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO approvals (id, requester, credential, organisation, action, fingerprint, policy, recipients, needs, repeats, state, answered_by, requested, answered,
			expires, seq, last_seq, person, inbox, process) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', '{}', ?, 0, ?, ?, ?, ?, ?, ?)`,
			g.ID, requester, g.Credential, g.Organisation, g.Action, fingerprint, g.Policy, g.Recipients, g.Needs, g.Repeats, now, micros(g.Expires), r.Seq, r.Seq,
			g.Person, g.Inbox, process)
		return err
	})
}

// approval reads the grant that fits want, and why it cannot be spent.
func (t *tx) approval(want *ApprovalRequest) (*approvalRow, error) {
	g := new(approvalRow)
	found, err := t.row("SELECT "+approvalColumns+" FROM approvals WHERE id = ?", []any{want.ID}, g.fields()...)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, ErrNoApproval
	case want.seq != 0 && want.seq == g.seq: // it was read from here, so it is bound to itself; of its payload a key may be gone
	case !g.matches(want, t.s.seal.fingerprint(want.Organisation, want.Hash)):
		return nil, ErrApprovalMismatch
	}
	return g, g.check(want, t.now)
}

// CheckApproval implements Ledger. It reads only: a grant may be spent by another before Commit comes.
func (s *SQLite) CheckApproval(ctx context.Context, want ApprovalRequest) error {
	g := new(approvalRow)
	found, err := s.row(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE id = ?", []any{want.ID}, g.fields()...)
	switch {
	case err != nil:
		return err
	case !found:
		return ErrNoApproval
	case !g.matches(&want, s.seal.fingerprint(want.Organisation, want.Hash)):
		return ErrApprovalMismatch
	}
	return g.check(&want, s.now())
}
