package ledgertest_test

import (
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	l := ledgertest.Open(t, ledger.Options{Dir: dir})
	x := ledger.Txn{Call: ledger.Call{Caller: ledger.Actor{Name: "ada"}, Organisation: "acme", Action: "create_contact", Class: schemas.Write, Hash: "h", EffectKey: "e"}}
	if _, err := l.Commit(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil { // a test may close the ledger and open it again
		t.Fatal(err)
	}
	if p, err := ledgertest.Open(t, ledger.Options{Dir: dir}).FindConflicting(t.Context(), x); err != nil || p == nil {
		t.Errorf("%+v, %v", p, err)
	}
}
