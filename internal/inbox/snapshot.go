package inbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// snapshot is the list of requests at one version of the ledger. All readers share it. A card is
// decoded when somebody first reads it, and is dropped with the snapshot, so that no card outlives
// an erasure.
type snapshot struct {
	version     int64
	open, ended []ledger.ApprovalRequest
	// until is the next time at which a request expires or is shown to approvers, or a pause ends, which
	// changes no version; zero if there is none. shown is how many open requests are shown to approvers, over
	// how many requests are shown because their program has ended.
	until       time.Time
	shown, over int
	pauses      []ledger.Pause

	ledger ledger.Ledger
	mu     sync.Mutex
	opened map[string]*openedRequest
}

// openedRequest is a request with its card.
type openedRequest struct {
	ledger.ApprovalRequest
	card *approval.Card // nil if it was erased with a person's data
	run  *ledger.Intent // the run of the approved call; nil without one
	// heldUntil is until when what was issued can be taken; zero if there is nothing to take.
	heldUntil time.Time
}

// maxEnded is how many decided requests are shown.
const maxEnded = 60

type snapshots struct {
	mu   sync.Mutex
	last *snapshot
}

// snapshot returns the current snapshot.
func (i *Inbox) snapshot(ctx context.Context) (*snapshot, error) {
	version, err := i.Ledger.ApprovalsVersion(ctx)
	if err != nil {
		return nil, err
	}
	i.snapshots.mu.Lock()
	defer i.snapshots.mu.Unlock()
	now := i.Now()
	if s := i.snapshots.last; s != nil && s.version == version && (s.until.IsZero() || now.Before(s.until)) {
		return s, nil
	}
	s := &snapshot{version: version, ledger: i.Ledger, opened: map[string]*openedRequest{}}
	if s.open, err = i.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true}); err != nil {
		return nil, err
	}
	s.ended, err = i.Ledger.Approvals(ctx, ledger.ApprovalFilter{Ended: true, Limit: maxEnded})
	if err != nil {
		return nil, err
	}
	if s.pauses, err = i.Ledger.Pauses(ctx); err != nil {
		return nil, err
	}
	for _, p := range s.pauses {
		s.lastsUntil(p.Until)
	}
	for _, req := range s.open {
		next := req.Expires
		if now.Before(req.Shown) {
			next = req.Shown
		} else {
			s.shown++
		}
		s.lastsUntil(next)
	}
	for k := range s.ended {
		if req := &s.ended[k]; isOver(req, now) {
			s.over++
			s.lastsUntil(req.Expires)
		}
	}
	i.snapshots.last = s
	return s, nil
}

// lastsUntil says that the snapshot is out of date at a time.
func (s *snapshot) lastsUntil(t time.Time) {
	if s.until.IsZero() || t.Before(s.until) {
		s.until = t
	}
}

// isOver reports whether the request could still be answered if its program had not ended.
func isOver(r *ledger.ApprovalRequest, now time.Time) bool {
	return approval.IsProgramEnded(r) && now.Before(r.Expires)
}

// card returns a request with its card. It reads each request once.
func (s *snapshot) card(ctx context.Context, id string) (*openedRequest, error) {
	s.mu.Lock()
	o := s.opened[id]
	s.mu.Unlock()
	if o != nil {
		return o, nil
	}
	o, err := openRequest(ctx, s.ledger, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[id] = o
	return o, nil
}

func openRequest(ctx context.Context, l ledger.Ledger, id string) (*openedRequest, error) {
	req, err := l.Approval(ctx, id)
	if err != nil {
		return nil, err
	}
	o := &openedRequest{ApprovalRequest: req}
	if card, err := approval.ReadCard(req.Card); err == nil {
		o.card = card
	}
	o.Payload = nil // pages do not show it, and it may be large
	if req.State == ledger.Used {
		in, err := l.Intent(ctx, req.Intent)
		if err != nil && !errors.Is(err, ledger.ErrRejected) {
			return nil, err
		}
		if err == nil {
			in.Payload, in.Replaced, in.Result = nil, nil, nil
			o.run = &in
		}
		if o.heldUntil, err = l.HandoverExpires(ctx, id); err != nil {
			return nil, err
		}
	}
	return o, nil
}
