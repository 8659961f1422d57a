package ledger_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// The same call comes from many clients at once: each look at the earlier run must end.
func TestFindConflictingConcurrently(t *testing.T) {
	l := open(t, ledger.Options{Dir: t.TempDir()})
	x := call("the same")
	x.Idempotent = false
	x.Payload = []byte(`{"a":1}`)
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 { // each takes milliseconds where races are looked for
				if conflict, err := l.FindConflicting(ctx, x); err != nil || conflict == nil {
					t.Errorf("%v %v", conflict, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
