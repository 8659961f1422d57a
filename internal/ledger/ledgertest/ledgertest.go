// Package ledgertest opens ledgers for tests.
package ledgertest

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// Open opens a ledger in a temporary directory, or in that of the options. When the test ends, Open
// verifies the ledger, unless the test has closed it, and closes it. Findings fail the test. A test
// that tampers uses ledger.Open.
func Open(t testing.TB, o ...ledger.Options) *ledger.SQLite {
	t.Helper()
	var with ledger.Options
	if len(o) > 0 {
		with = o[0]
	}
	if with.Dir == "" {
		with.Dir = filepath.Join(t.TempDir(), "ledger")
	}
	if with.Log == nil {
		with.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	l, err := ledger.Open(t.Context(), with)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r, err := l.Verify(context.Background(), ledger.VerifyOptions{})
		var storeErr *ledger.StoreError
		switch {
		case errors.As(err, &storeErr) && storeErr.Kind == ledger.Closed:
		case err != nil:
			t.Errorf("the ledger cannot be verified: %v", err)
		}
		for _, f := range r.Findings {
			t.Errorf("the ledger does not verify: %s (%s)", f.Text, f.Kind)
		}
		if err := l.Close(); err != nil {
			t.Errorf("the ledger cannot be closed: %v", err)
		}
	})
	return l
}
