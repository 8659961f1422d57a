package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ApprovalState is the state of an approval request.
type ApprovalState string

// The states. A request expires without a change of state: it is still pending or approved, and its
// time is over.
const (
	Pending  ApprovalState = "pending" // nobody has answered
	Approved ApprovalState = "approved"
	Declined ApprovalState = "declined"
	Used     ApprovalState = "used"
	// Revoked is a request that was withdrawn, replaced by another for the same call, ended by an
	// emergency stop, or approved for a run that failed its checks.
	Revoked ApprovalState = "revoked"
)

// ApprovalRequest is a request that a person approves a call, with the answer. It is bound to what
// its card shows.
type ApprovalRequest struct {
	// ID is from NewID. An id is no secret: it allows only what the request is bound to.
	ID string
	// The request is bound to the fields from Requester to Hash: the requester and their credential,
	// the organisation, the action and the payload (Hash is schemas.Payload.Hash).
	Requester                              Actor
	Credential, Organisation, Action, Hash string
	// EffectKey is schemas.Payload.EffectKey. Requests with the same one ask for the same call.
	EffectKey string
	// Policy is the version of the policy that demanded the request. It is not bound: when the call
	// runs, the policy of then decides.
	Policy string
	// Recipients is as in Call. The request is bound to it too, but other recipients do not make it
	// another call: the error is ErrRecipientsChanged.
	Recipients string
	// Needs is the decision that demanded the request: confirm, or approve for an approval by
	// another person. The ledger only stores it.
	Needs string
	// Person is the requester's name among persons; empty if unknown.
	Person string
	// Shown is from when approvers see the request. The requester's own person sees it at once; the
	// others later if the client is asked first.
	Shown time.Time
	// Repeats is the id of the earlier intent of the same call that the card shows. Commit lets the
	// call run again for this intent only.
	Repeats string
	// Refills are what the approval adds to budgets, as the card says. They are not read back.
	Refills []Refill
	// Request, Client, Why, Rules, Subjects, RecipientList and Key are as in Call. RecipientList and
	// Key are not read back.
	Request, Client, Why string
	Key                  string
	Rules, Subjects      []string
	RecipientList        []Recipient
	// Payload and Card are sealed. Erased is how many of the sealing keys are destroyed. If it is
	// not 0, Payload is nil, and Card lacks what belongs to the erased, or is nil. Such a request
	// cannot be approved.
	Payload, Card []byte
	Erased        int

	State ApprovalState
	// By is who answered. Quick is true if they answered sooner than the card can be read.
	By                           Actor
	Quick                        bool
	Requested, Answered, Expires time.Time
	// Intent is the id of the run that used the approval; empty if there is none.
	Intent string
	// Outcome is why an approval led to no run, and Fault the same as JSON; both are empty
	// otherwise.
	Outcome schemas.Outcome
	// Note is the person's message with their answer. Note and Fault are sealed like Payload and
	// Card.
	Note  string
	Fault []byte
	// Reported is true once the requester has received the outcome.
	Reported bool
	// Departed is when the requester's program stopped waiting without having received anything;
	// zero if it did not.
	Departed time.Time
	// OwnProcess is true if this process runs the call: it created the request or took it over.
	// Orphaned is true for a pending request or an unused approval if that process has ended.
	OwnProcess, Orphaned bool

	seq    int64
	effect string // of its row; empty for a request that was not read
}

// Open reports whether the request can still be answered, or its approval still be used.
func (r *ApprovalRequest) Open(now time.Time) bool {
	return (r.State == Pending || r.State == Approved) && now.Before(r.Expires)
}

// Expired is the state that StateAt returns for a request that was pending or approved until its
// time was over. It is never stored.
const Expired ApprovalState = "expired"

// StateAt returns the request's state at a time.
func (r *ApprovalRequest) StateAt(now time.Time) ApprovalState {
	if (r.State == Pending || r.State == Approved) && !r.Open(now) {
		return Expired
	}
	return r.State
}

// approvalRow is a row of the table approvals.
type approvalRow struct {
	id, requester, credential, organisation, action, fingerprint, effect, policy, recipients, needs, repeats, refills string
	state                                                                                                             ApprovalState
	answeredBy                                                                                                        string
	requested, answered, expires, seq                                                                                 int64
	person, process, intent, outcome                                                                                  string
	quick, reported                                                                                                   bool
	answeredSeq, shown, departed                                                                                      int64
}

const approvalColumns = `id, requester, credential, organisation, action, fingerprint, effect, policy, recipients, needs, repeats, refills, state, answered_by, requested, answered, expires, seq,
	person, process, intent, outcome, quick, reported, answered_seq, shown, departed`

func (a *approvalRow) fields() []any {
	return []any{&a.id, &a.requester, &a.credential, &a.organisation, &a.action, &a.fingerprint, &a.effect, &a.policy, &a.recipients, &a.needs, &a.repeats, &a.refills,
		&a.state, &a.answeredBy, &a.requested, &a.answered, &a.expires, &a.seq,
		&a.person, &a.process, &a.intent, &a.outcome, &a.quick, &a.reported, &a.answeredSeq, &a.shown, &a.departed}
}

// request returns the row as a request, without its sealed parts.
func (a *approvalRow) request() ApprovalRequest {
	return ApprovalRequest{
		ID: a.id, Requester: parseActor(a.requester), Credential: a.credential, Organisation: a.organisation, Action: a.action,
		Policy: a.policy, Recipients: a.recipients, Needs: a.needs, Person: a.person, Shown: fromMicros(a.shown), Repeats: a.repeats,
		State: a.state, By: parseActor(a.answeredBy), Quick: a.quick, Requested: fromMicros(a.requested),
		Answered: fromMicros(a.answered), Expires: fromMicros(a.expires), Intent: a.intent, Outcome: schemas.Outcome(a.outcome),
		Reported: a.reported, OwnProcess: a.process == process, Orphaned: (a.state == Pending || a.state == Approved) && processEnded(a.process),
		Departed: fromMicros(a.departed), seq: a.seq, effect: a.effect,
	}
}

// record returns a new record about the request.
func (a *approvalRow) record(phase Phase) *Record {
	return &Record{Phase: phase, ApprovalID: a.id, Caller: parseActor(a.requester), Credential: a.credential,
		Organisation: a.organisation, Action: a.action, Fingerprint: a.fingerprint, Effect: a.effect, Policy: a.policy}
}

// matches reports whether the row has the same binding as want.
func (a *approvalRow) matches(want *ApprovalRequest, fingerprint string) bool {
	return a.requester == want.Requester.column() && a.credential == want.Credential && a.action == want.Action &&
		a.fingerprint == fingerprint
}

// checkState returns why the approval cannot be used now; nil if it can.
func (a *approvalRow) checkState(now time.Time) error {
	switch {
	case a.state == Used:
		return ErrApprovalUsed
	case a.state == Declined:
		return ErrApprovalDeclined
	case a.state == Revoked:
		return ErrApprovalRevoked
	case micros(now) >= a.expires:
		return ErrApprovalExpired
	case a.state == Pending:
		return ErrApprovalPending
	case a.state == Approved:
		return nil
	}
	return ErrNoApproval
}

// check returns why want cannot use the approval now; nil if it can. A declined, revoked, used or
// expired request is reported as such even if the recipients differ.
func (a *approvalRow) check(want *ApprovalRequest, now time.Time) error {
	err := a.checkState(now)
	if (err == nil || err == ErrApprovalPending) && a.recipients != want.Recipients {
		return ErrRecipientsChanged
	}
	return err
}

// CreateApproval implements Ledger.
func (s *SQLite) CreateApproval(ctx context.Context, request ApprovalRequest) error {
	if request.Hash == "" || request.EffectKey == "" {
		return fmt.Errorf("%w: a request needs the hash and the effect key of its payload", errUsage)
	}
	private, err := Private{Payload: request.Payload, Card: request.Card, Hash: request.Hash}.divide(request.RecipientList)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		if err := t.checkToken(request.Credential, request.Action); err != nil {
			return err
		}
		if err := t.checkKey(request.Key, request.Organisation, request.Action); err != nil {
			return err
		}
		if err := t.checkStopped(request.Requester, request.Action, effectOf(request.Action), false); err != nil {
			return err
		}
		c := Call{Request: request.Request, Caller: request.Requester, Credential: request.Credential, Client: request.Client,
			Organisation: request.Organisation, Action: request.Action, Hash: request.Hash, EffectKey: request.EffectKey, Decision: request.Needs,
			Why: request.Why, Rules: request.Rules, Policy: request.Policy, Recipients: request.Recipients}
		hashes := s.hashes(&c)
		now, requester := micros(t.now), request.Requester.column()
		replaced, err := t.exec(`UPDATE approvals SET state = 'revoked', last_seq = ? WHERE state IN ('pending', 'approved') AND expires > ?
			AND requester = ? AND credential = ? AND action = ? AND effect = ?`,
			t.head.seq+1, now, requester, request.Credential, request.Action, hashes.effect)
		if err != nil {
			return err
		}
		if err := t.checkPending(requester, request.Action); err != nil {
			return err
		}
		if err := t.checkPaused(requester, request.Action); err != nil {
			return err
		}
		r := c.record(PhaseRequested, hashes)
		r.ApprovalID, r.State, r.Repeats, r.EffectKind = request.ID, string(Pending), request.Repeats, effectOf(request.Action)
		r.Refills = clipRefills(request.Refills)
		r.Expires, r.Person, r.Shown = micros(request.Expires), request.Person, now
		if request.Shown.After(t.now) {
			r.Shown = micros(request.Shown)
		}
		keys, err := t.subjectKeys(request.Subjects)
		if err != nil {
			return err
		}
		r.Sealed = t.seal(keys, private, r.binding())
		if err := t.append(r); err != nil {
			return err
		}
		// A request to hang up is stored all the same, unless there is one already.
		if err := t.checkShare(request.Requester); err != nil && (request.Action != HangUp || replaced > 0) {
			return err
		}
		_, err = t.exec(`INSERT INTO approvals (id, requester, credential, organisation, action, fingerprint, effect, policy, recipients, needs, repeats, refills, state, answered_by, requested, answered,
			expires, seq, last_seq, person, shown, process) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', '{}', ?, 0, ?, ?, ?, ?, ?, ?)`,
			request.ID, requester, request.Credential, request.Organisation, request.Action, hashes.payload, hashes.effect, request.Policy, request.Recipients, request.Needs, request.Repeats, encodeRefills(r.Refills), now, micros(request.Expires), r.Seq, r.Seq,
			request.Person, r.Shown, process)
		return err
	})
}

// approval reads the request that want matches, with the error that check returns for it.
func (t *tx) approval(want *ApprovalRequest) (*approvalRow, error) {
	row := new(approvalRow)
	found, err := t.row("SELECT "+approvalColumns+" FROM approvals WHERE id = ?", []any{want.ID}, row.fields()...)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, ErrNoApproval
	case want.seq != 0 && want.seq == row.seq: // it was read from the ledger; its payload may be erased
	case !row.matches(want, t.s.seal.fingerprint(want.Organisation, want.Hash)):
		return nil, ErrApprovalMismatch
	}
	return row, row.check(want, t.now)
}

// CheckApproval implements Ledger. It reserves nothing: another call may use the approval before
// Commit.
func (s *SQLite) CheckApproval(ctx context.Context, want ApprovalRequest) error {
	row := new(approvalRow)
	found, err := s.row(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE id = ?", []any{want.ID}, row.fields()...)
	switch {
	case err != nil:
		return err
	case !found:
		return ErrNoApproval
	case !row.matches(&want, s.seal.fingerprint(want.Organisation, want.Hash)):
		return ErrApprovalMismatch
	}
	return row.check(&want, s.now())
}
