package ledger

import (
	"maps"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Events of a caller that has used up half of its share of the ledger (share.go) are counted. A
// record says how many there were of each kind, once a minute.

const (
	countEvery = time.Minute
	// maxKinds bounds the kinds that one such minute tells apart; the others are counted together.
	maxKinds = 200
)

// eventKind is what a record of counted events has in common with them.
type eventKind struct {
	caller             Actor
	credential, action string
	class              schemas.Class
	outcome            schemas.Outcome
	note               string
}

// keepsEvents reports whether an event of the caller is recorded, and not only counted.
func (t *tx) keepsEvents(caller Actor) (bool, error) {
	for _, name := range []string{caller.clipped().Name, ""} {
		if left, s, err := t.shareLeft(name); err != nil || left < s.most/2 {
			return false, err
		}
	}
	return true, nil
}

// count counts an event once the transaction is durable.
func (t *tx) count(k eventKind) {
	t.afterCommit = append(t.afterCommit, func() {
		s := t.s
		if len(s.counts) == 0 {
			s.countedSince.Store(time.Now().UnixNano())
		}
		if _, known := s.counts[k]; !known && len(s.counts) >= maxKinds {
			k = eventKind{}
		}
		s.counts[k]++
	})
}

// countsDue reports whether the counts are to be recorded; with all true, also those of the minute
// that goes on.
func (s *SQLite) countsDue(all bool) bool {
	since := s.countedSince.Load()
	return since != 0 && (all || time.Since(time.Unix(0, since)) >= countEvery)
}

func (s *SQLite) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// recordCounts records the counts and begins new ones.
func (t *tx) recordCounts() error {
	recorded := maps.Clone(t.s.counts)
	for k, n := range recorded {
		r := &Record{Phase: PhaseCounted, Caller: k.caller, Credential: k.credential, Action: k.action, Class: k.class, Outcome: k.outcome, Note: k.note, Count: n}
		if err := t.append(r); err != nil {
			return err
		}
	}
	t.afterCommit = append(t.afterCommit, func() {
		for k, n := range recorded { // others may have been counted in this transaction
			if t.s.counts[k] -= n; t.s.counts[k] == 0 {
				delete(t.s.counts, k)
			}
		}
		t.s.countedSince.Store(0)
		if len(t.s.counts) > 0 {
			t.s.countedSince.Store(time.Now().UnixNano())
		}
	})
	return nil
}
