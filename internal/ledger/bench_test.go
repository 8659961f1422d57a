package ledger_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// plainInsert is the baseline: one row, one commit, one fsync, by SQLite alone.
func plainInsert(b *testing.B) func() {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)"); err != nil {
		b.Fatal(err)
	}
	st, err := db.Prepare("INSERT INTO t (body) VALUES (?)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	body := string(call("a").Payload)
	return func() {
		if _, err := st.Exec(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainInsert(b *testing.B) {
	insert := plainInsert(b)
	for b.Loop() {
		insert()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkRatio alternates plain inserts and our commits, because a disk's speed changes from
// second to second. It reports the median of the rounds.
func BenchmarkRatio(b *testing.B) {
	const each = 2048
	// full is the number of intents that settled before, half of them as a success.
	for _, size := range []struct{ n, full int }{{1, 0}, {16, 0}, {64, 0}, {64, 20_000}} {
		n := size.n
		b.Run(fmt.Sprintf("%d-callers-%d-before", n, size.full), func(b *testing.B) {
			dir, c := filepath.Join(b.TempDir(), "state"), newClock()
			insert, l := plainInsert(b), open(b, ledger.Options{Dir: dir, Now: c.now})
			fillIntents(b, l, size.full)
			l.Close()
			c.advance(time.Hour)
			l = open(b, ledger.Options{Dir: dir, Now: c.now})
			var ratios, rates []float64
			for b.Loop() {
				began := time.Now()
				for range each {
					insert()
				}
				alone := time.Since(began)
				began = time.Now()
				var wg sync.WaitGroup
				for range n {
					wg.Go(func() {
						for range each / n {
							commit(b, l, call(ledger.NewID()))
						}
					})
				}
				wg.Wait()
				ours := time.Since(began)
				ratios = append(ratios, alone.Seconds()/ours.Seconds())
				rates = append(rates, each/ours.Seconds())
			}
			slices.Sort(ratios)
			slices.Sort(rates)
			b.ReportMetric(ratios[len(ratios)/2], "x-bare")
			b.ReportMetric(rates[len(rates)/2], "commits/s")
		})
	}
}

// fillIntents adds n settled intents to the file.
func fillIntents(b *testing.B, l ledger.Ledger, n int) {
	b.Helper()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range n / 64 {
				settle(b, l, commit(b, l, call(ledger.NewID())), []ledger.IntentState{ledger.Succeeded, ledger.Failed}[i%2])
			}
		})
	}
	wg.Wait()
}

// BenchmarkCommit measures a durable intent, for several callers at once.
func BenchmarkCommit(b *testing.B) {
	benchmarkCallers(b, func(l ledger.Ledger, x ledger.Txn) error { _, err := l.Commit(b.Context(), x); return err })
}

// BenchmarkCall measures Commit and Settle, the cost of a mutating call.
func BenchmarkCall(b *testing.B) {
	benchmarkCallers(b, func(l ledger.Ledger, x ledger.Txn) error {
		in, err := l.Commit(b.Context(), x)
		if err != nil {
			return err
		}
		return l.Settle(b.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"id":"r1"}`)})
	})
}

func benchmarkCallers(b *testing.B, do func(ledger.Ledger, ledger.Txn) error) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := open(b, ledger.Options{})
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range n {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := do(l, call(fmt.Sprint(i))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkRecordEvent measures what a read waits for; the rest happens in the background.
func BenchmarkRecordEvent(b *testing.B) {
	l := open(b, ledger.Options{})
	e := event("contact:1", "contact:2", "contact:3")
	for b.Loop() {
		l.RecordEvent(e)
	}
}

// BenchmarkWriteEvents measures the background work for a read of 25 contacts until it is durable:
// of new contacts and of known ones, alone in the transaction or with 255 others.
func BenchmarkWriteEvents(b *testing.B) {
	for _, batch := range []int{1, 256} {
		for _, again := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d-at-once-known-%t", batch, again), func(b *testing.B) {
				l := open(b, ledger.Options{})
				contacts, n := make([]string, 25), 0
				for b.Loop() {
					var all []ledger.Event
					for range batch {
						for i := range contacts {
							if !again || n < len(contacts) {
								n++
								contacts[i] = fmt.Sprint("contact:", n)
							}
						}
						e := event(slices.Clone(contacts)...)
						e.Payload = []byte(`{"page":1}`)
						all = append(all, e)
					}
					ledger.WriteEvents(l, all)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/event")
			})
		}
	}
}

// BenchmarkCurrentStops measures the check for an emergency stop in every call.
func BenchmarkCurrentStops(b *testing.B) {
	l := open(b, ledger.Options{})
	for b.Loop() {
		if _, err := l.CurrentStops(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFindConflicting(b *testing.B) {
	l := open(b, ledger.Options{})
	for i := range 2000 {
		commit(b, l, call(fmt.Sprint(i)))
	}
	for b.Loop() {
		if _, err := l.FindConflicting(b.Context(), ledger.Txn{Call: ledger.Call{Caller: ledger.Actor{Name: "ada"}, EffectKey: "nothing"}}); err != nil {
			b.Fatal(err)
		}
	}
}
