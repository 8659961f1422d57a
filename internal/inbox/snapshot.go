package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// snapshot is what waits and what was decided, as it was at one version of the ledger. It is made once for all who look;
// cards are opened when somebody first looks at them, and forgotten with it, so that nothing outlives an erasure.
type snapshot struct {
	version     int64
	open, ended []ledger.ApprovalRequest
	// until is when the next question runs out, which changes no version.
	until time.Time

	ledger ledger.Ledger
	mu     sync.Mutex
	opened map[string]*openedRequest
}

// openedRequest is a question with its card; card is nil where it is gone with an erased subject.
type openedRequest struct {
	ledger.ApprovalRequest
	card *approval.Card
	// ran is how the run ended; empty while it has not, and where nothing ran.
	ran  *ledger.Intent
	held time.Time // until when something can be taken
}

// maxEnded is how many decided questions are shown.
const maxEnded = 60

type snapshots struct {
	mu   sync.Mutex
	last *snapshot
}

// snapshot gives what is there now.
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
	if s.open, err = i.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true, Inbox: true}); err != nil {
		return nil, err
	}
	if s.ended, err = i.Ledger.Approvals(ctx, ledger.ApprovalFilter{Ended: true, Inbox: true, Limit: maxEnded}); err != nil {
		return nil, err
	}
	for _, q := range s.open {
		if s.until.IsZero() || q.Expires.Before(s.until) {
			s.until = q.Expires
		}
	}
	i.snapshots.last = s
	return s, nil
}

// card opens a question, once.
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
	q, err := l.Approval(ctx, id)
	if err != nil {
		return nil, err
	}
	o := &openedRequest{ApprovalRequest: q}
	var card approval.Card
	if q.Card != nil && json.Unmarshal(q.Card, &card) == nil {
		o.card = &card
	}
	o.Payload = nil // of no use here, and it may be large
	if q.State == ledger.Used {
		in, err := l.Intent(ctx, q.Intent)
		if err != nil && !errors.Is(err, ledger.ErrRejected) {
			return nil, err
		}
		if err == nil {
			in.Payload, in.Result = nil, nil
			o.ran = &in
		}
		if o.held, err = l.HandoverExpires(ctx, id); err != nil {
			return nil, err
		}
	}
	return o, nil
}
