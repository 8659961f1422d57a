package ledger_test

import (
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/ledger"
)

func TestNotesNeverBlock(t *testing.T) {
	l := open(t, ledger.Options{})
	release := ledger.HoldNotes(l)
	const many = 10_000
	began := time.Now()
	for range many {
		l.Note(event("contact:1"))
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("noting took %v while the store was busy", d)
	}
	release()
	l.Note(event("contact:1"))
	var written, dropped int64
	for end := time.Now().Add(10 * time.Second); written+dropped < many+1 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		written, dropped = 0, 0
		for _, r := range records(t, l, ledger.Filter{}) {
			switch r.Phase {
			case ledger.PhaseRead:
				written++
			case ledger.PhaseDropped:
				dropped += r.Count
			}
		}
	}
	if written+dropped != many+1 || dropped == 0 {
		t.Errorf("of %d reads %d were written and %d counted as dropped", many+1, written, dropped)
	}
	clean(t, l)
}
