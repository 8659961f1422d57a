package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	// ValidFor is how long an approval may wait for its run: an approval applies to immediate
	// execution only.
	ValidFor = time.Minute
	// maxUnstated is how many people an approval may reach without stating their number.
	maxUnstated = 10
)

// MustStateNumber reports whether an approval of calls to n people must state the number.
func MustStateNumber(n int) bool { return n > maxUnstated }

// Store is what this package needs of the ledger.
type Store interface {
	ledger.ApprovalStore
	ledger.StopStore
	ledger.HandoverStore
}

// Approvals records people's answers to the requests in the inbox. An executor (package policy)
// runs what they approve, in this process or in the one that made the request.
type Approvals struct {
	Ledger Store
	Watch  *Watcher
	Now    func() time.Time
}

// Reply is a person's answer to a card.
type Reply struct {
	Approve bool
	// StatedNumber is the number of people that they typed. It must be the card's if the card asks
	// for it.
	StatedNumber int
	// By is who answered.
	By ledger.Actor
	// Note is their message to the requester.
	Note string
	// Quick is true if they answered sooner than the card can be read.
	Quick bool
}

// AnswerResult is the result of one answer.
type AnswerResult struct {
	ApprovalID string
	// Err is why the answer does not count; nil if it does.
	Err *schemas.Error
}

// Answer records a person's answer to the requests that they saw together, each by itself. If the
// approved calls reach more than ten people in all, reply.StatedNumber must be their number; a
// wrong number changes nothing. Answer sets reply.By.
func (s *Approvals) Answer(ctx context.Context, ids []string, person Person, reply Reply) []AnswerResult {
	reply.By = person.Actor()
	out, all, people := make([]AnswerResult, len(ids)), make([]ledger.ApprovalRequest, len(ids)), 0
	for i, id := range ids {
		out[i].ApprovalID = id
		r, err := s.Ledger.Approval(ctx, id)
		if err != nil {
			out[i].Err = ledgerError(err)
			continue
		}
		all[i] = r
		card, err := ReadCard(r.Card)
		switch {
		case reply.Approve && r.Orphaned && EndsWithProgram(&r):
			out[i].Err = orphaned()
		case (err != nil || r.Erased > 0) && reply.Approve && r.State == ledger.Pending: // a used one has no card any more
			out[i].Err = CardErased()
		default:
			out[i].Err = person.CheckAnswer(&r)
		}
		if out[i].Err == nil && reply.Approve && NeedsFresh(r.Action) && !person.Fresh {
			out[i].Err = &schemas.Error{Outcome: schemas.Denied, Message: "a recent login is required, because this cannot be undone",
				Next: "log in again, then approve"}
		}
		if card != nil {
			people += card.RecipientCount
		}
	}
	if reply.Approve && MustStateNumber(people) && reply.StatedNumber != people {
		for i := range out {
			if out[i].Err == nil {
				out[i].Err = &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("type the number of people that this reaches: %d", people),
					Next: "nothing was changed; read the card, then answer again"}
			}
		}
	}
	for i := range out {
		if out[i].Err == nil {
			out[i].Err = s.answer(ctx, all[i], reply)
		}
	}
	s.Watch.Poke()
	return out
}

func (s *Approvals) answer(ctx context.Context, r ledger.ApprovalRequest, reply Reply) *schemas.Error {
	a := ledger.Reply{State: ledger.Declined, By: reply.By, Note: reply.Note, Quick: reply.Quick}
	if reply.Approve {
		a.State, a.Note = ledger.Approved, ""
		if !IsRead(r.Action) {
			a.Until = s.Now().Add(ValidFor)
		}
	}
	err := s.Ledger.AnswerApproval(ctx, r, a)
	if err == nil {
		return nil
	}
	// If somebody else was faster, the error names them.
	if now, e := s.Ledger.Approval(ctx, r.ID); e == nil && now.By != (ledger.Actor{}) && !ledger.IsStoreError(err) {
		return &schemas.Error{Outcome: schemas.Denied,
			Message: fmt.Sprintf("%s answered this already, %s", PersonName(now.By), Ago(now.Answered, s.Now())), Err: err}
	}
	return ledgerError(err)
}

// Revoke revokes a pending request or an unused approval.
func (s *Approvals) Revoke(ctx context.Context, id string, person Person) *schemas.Error {
	r, err := s.Ledger.Approval(ctx, id)
	if err != nil {
		return ledgerError(err)
	}
	if !person.MaySee(&r, s.Now()) {
		return notAllowed("only the requester, or somebody with the role approver, may revoke this request")
	}
	why := &schemas.Error{Outcome: schemas.Declined, Message: person.Name + " revoked the request; nothing ran",
		Next: "do not ask again for the same; ask the person what they want instead"}
	err = s.Ledger.AnswerApproval(ctx, r, ledger.Reply{State: ledger.Revoked, By: person.Actor(), Outcome: why.Outcome, Fault: ledger.EncodeError(why)})
	s.Watch.Poke()
	if err != nil {
		return ledgerError(err)
	}
	return nil
}

// TakeHandover returns what an action issued to the person who approved it, once.
func (s *Approvals) TakeHandover(ctx context.Context, id string, person Person) ([]byte, *schemas.Error) {
	r, err := s.Ledger.Approval(ctx, id)
	switch {
	case err != nil:
		return nil, ledgerError(err)
	case !person.MayTakeHandover(&r):
		return nil, notAllowed("only the person who approved it may take it")
	case !person.Fresh:
		return nil, &schemas.Error{Outcome: schemas.Denied, Message: "a recent login is required, because anybody with this credential can act with it",
			Next: "log in again, then take it"}
	}
	data, err := s.Ledger.TakeHandover(ctx, id, person.Actor())
	if err != nil {
		return nil, ledgerError(err)
	}
	return data, nil
}

// MayTakeHandover reports whether the person may take what the approved call issued.
func (p Person) MayTakeHandover(r *ledger.ApprovalRequest) bool {
	return r.State == ledger.Used && p.HasRole(RoleApprover) && !p.HasRole(RoleAgent) && !p.isRequester(r) && strings.EqualFold(r.By.Name, p.Name)
}

// ledgerError returns the ledger's error as a person reads it.
func ledgerError(err error) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: err.Error(), Err: err}
	var stopped *ledger.StoppedError
	switch {
	case errors.As(err, &stopped):
		e.Outcome = schemas.Stopped
	case ledger.IsStoreError(err):
		e.Outcome, e.Message = schemas.Unavailable, "the ledger cannot be used now, so nothing was changed"
		e.Next = "read the server's log, which says what to do"
	}
	return e
}

// CardErased is the error for a request with an erased card.
func CardErased() *schemas.Error {
	return &schemas.Error{Outcome: schemas.Denied,
		Message: "the card of this request, or a part of it, was erased together with a person's data; nothing ran",
		Next:    "call again, and the person is asked again"}
}

// IsRead reports whether the action of that name only reads.
func IsRead(action string) bool {
	a, err := schemas.Find(action)
	return err == nil && a.Class == schemas.Read
}

// Ago returns how long ago a time was, in words: `5 minutes ago`; a date after two days.
func Ago(then, now time.Time) string {
	switch d := now.Sub(then); {
	case d < 2*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d seconds ago", int(d.Seconds()))
	case d < 2*time.Minute:
		return "a minute ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return "on " + then.UTC().Format("2 January 2006")
}
