package approval

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// PendingOf returns the pending requests of the caller who made the request id, as far as the person
// may answer them, oldest first.
func (s *Approvals) PendingOf(ctx context.Context, id string, person Person) ([]ledger.ApprovalRequest, *schemas.Error) {
	of, fault := s.find(ctx, id, person)
	if fault != nil {
		return nil, fault
	}
	all, err := s.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true})
	if err != nil {
		return nil, ledgerError(err)
	}
	return slices.DeleteFunc(all, func(r ledger.ApprovalRequest) bool {
		return r.Requester != of.Requester || r.State != ledger.Pending || !person.MaySee(&r, s.Now()) || person.CheckAnswer(&r) != nil
	}), nil
}

// DeclineAll declines the requests that PendingOf returns, each by itself, without those that were
// made after a time. Answer sets reply.By.
func (s *Approvals) DeclineAll(ctx context.Context, id string, person Person, until time.Time, reply Reply) ([]AnswerResult, *schemas.Error) {
	all, fault := s.PendingOf(ctx, id, person)
	if fault != nil {
		return nil, fault
	}
	var ids []string
	for i := range all {
		if !all[i].Requested.After(until) {
			ids = append(ids, all[i].ID)
		}
	}
	reply.Approve = false
	return s.Answer(ctx, ids, person, reply), nil
}

// Kind is how many requests there are for one action.
type Kind struct {
	// Action is its name, Title its name for people.
	Action string        `json:"action"`
	Title  string        `json:"title"`
	Class  schemas.Class `json:"class"`
	Count  int           `json:"count"`
}

// Kinds counts requests by action, the most frequent first.
func Kinds(all []ledger.ApprovalRequest) (kinds []Kind) {
	for i := range all {
		at := slices.IndexFunc(kinds, func(k Kind) bool { return k.Action == all[i].Action })
		if at < 0 {
			at = len(kinds)
			kinds = append(kinds, Kind{Action: all[i].Action, Title: all[i].Action})
			if a, err := schemas.Find(all[i].Action); err == nil {
				kinds[at].Title, kinds[at].Class = a.Title, a.Class
			}
		}
		kinds[at].Count++
	}
	slices.SortStableFunc(kinds, func(a, b Kind) int { return cmp.Compare(b.Count, a.Count) })
	return kinds
}

// CheckLift returns why the person may not end the pause; nil if they may, which are those who may
// answer such a request.
func (p Person) CheckLift(pause *ledger.Pause) *schemas.Error { return p.CheckAnswer(&pause.Declined) }

// LiftPause ends the pause of new requests by the caller, and for the action, of the request id.
func (s *Approvals) LiftPause(ctx context.Context, id string, person Person) *schemas.Error {
	r, fault := s.find(ctx, id, person)
	if fault != nil {
		return fault
	}
	all, err := s.Ledger.Pauses(ctx)
	if err != nil {
		return ledgerError(err)
	}
	for i := range all {
		if d := &all[i].Declined; d.Requester == r.Requester && d.Action == r.Action {
			if fault := person.CheckLift(&all[i]); fault != nil {
				return fault
			}
		}
	}
	if err := s.Ledger.LiftPause(ctx, id, person.Actor()); err != nil {
		return ledgerError(err)
	}
	s.Watch.Poke()
	return nil
}

// find returns a request, without its card, that the person may see.
func (s *Approvals) find(ctx context.Context, id string, person Person) (*ledger.ApprovalRequest, *schemas.Error) {
	all, err := s.Ledger.Approvals(ctx, ledger.ApprovalFilter{ID: id})
	switch {
	case err != nil:
		return nil, ledgerError(err)
	case id == "" || len(all) == 0 || !person.MaySee(&all[0], s.Now()):
		return nil, ledgerError(ledger.ErrNoApproval)
	}
	return &all[0], nil
}
