package ledger_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// BenchmarkBare is the measure: one row, one commit, one fsync, as SQLite does it alone.
func BenchmarkBare(b *testing.B) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)"); err != nil {
		b.Fatal(err)
	}
	st, err := db.Prepare("INSERT INTO t (body) VALUES (?)")
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	body := string(call("a").Payload)
	for b.Loop() {
		if _, err := st.Exec(body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkCommit is a durable intent, by so many callers at once.
func BenchmarkCommit(b *testing.B) {
	callers(b, func(l ledger.Ledger, x ledger.Txn) error { _, err := l.Commit(b.Context(), x); return err })
}

// BenchmarkCall is what a mutating call pays: Commit and Settle.
func BenchmarkCall(b *testing.B) {
	callers(b, func(l ledger.Ledger, x ledger.Txn) error {
		in, err := l.Commit(b.Context(), x)
		if err != nil {
			return err
		}
		return l.Settle(b.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"id":"r1"}`)})
	})
}

func callers(b *testing.B, do func(ledger.Ledger, ledger.Txn) error) {
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

// BenchmarkNote is what a read pays on its own road; the rest happens in the background.
func BenchmarkNote(b *testing.B) {
	l := open(b, ledger.Options{})
	e := event("contact:1", "contact:2", "contact:3")
	for b.Loop() {
		l.Note(e)
	}
}

// BenchmarkFrozen is what every call pays to know that nothing is stopped.
func BenchmarkFrozen(b *testing.B) {
	l := open(b, ledger.Options{})
	for b.Loop() {
		if _, err := l.Frozen(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrior(b *testing.B) {
	l := open(b, ledger.Options{})
	for i := range 2000 {
		commit(b, l, call(fmt.Sprint(i)))
	}
	for b.Loop() {
		if _, err := l.Prior(b.Context(), "ada", "nothing", false); err != nil {
			b.Fatal(err)
		}
	}
}
