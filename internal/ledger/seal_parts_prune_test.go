package ledger_test

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// requestAll makes a request for a call to all of them. It returns the call with the request's id.
func requestAll(t *testing.T, l ledger.Ledger, n string, to []callee, expires time.Time) (ledger.Txn, ledger.ApprovalRequest) {
	t.Helper()
	x, card := bulkCall(n, to, "We move.")
	request := approvalFor(x, expires)
	request.Card, request.RecipientList = card, x.RecipientList
	if err := l.CreateApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	x.ApprovalID = request.ID
	return x, request
}

// ringAll makes an approved call to all of them.
func ringAll(t *testing.T, l ledger.Ledger, c *clock, n string, to []callee) ledger.Intent {
	t.Helper()
	x, request := requestAll(t, l, n, to, c.now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	in := commit(t, l, x)
	settle(t, l, in, ledger.Succeeded)
	return in
}

func eraseOne(t *testing.T, l ledger.Ledger, c callee) {
	t.Helper()
	if existed, err := l.Erase(t.Context(), c.subject(), ledger.Actor{Name: "root"}); !existed || err != nil {
		t.Fatal(existed, err)
	}
}

// wantKeys checks how many keys are kept, and of how many only the id is left.
func wantKeys(t *testing.T, dir string, kept, destroyed int) {
	t.Helper()
	tamper(t, dir, func(db *sql.DB) {
		var all, whole int
		if err := db.QueryRow("SELECT count(*), count(wrapped) FROM keys").Scan(&all, &whole); err != nil {
			t.Fatal(err)
		}
		if whole != kept || all-whole != destroyed {
			t.Errorf("%d keys and %d destroyed ones are left, want %d and %d", whole, all-whole, kept, destroyed)
		}
	})
}

// wantReadable checks which of the people can be found, by name and number, in something.
func wantReadable(t *testing.T, what any, to []callee, gone ...callee) {
	t.Helper()
	raw, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range to {
		want := true
		for _, g := range gone {
			want = want && c != g
		}
		if strings.Contains(string(raw), c.name) != want || strings.Contains(string(raw), c.shown) != want {
			t.Errorf("%s is readable: %v, want %v", c.name, !want, want)
		}
	}
}

// TestPruneParts: pruning removes the keys of people that only removed records name. Of a call that
// is kept it removes nothing: neither what belongs to people that a removed call reached too, nor
// that one of them was erased.
func TestPruneParts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now, Retention: 5*day + time.Hour})
	all := callees(12)
	first, second := all[:8], all[4:]
	old := ringAll(t, l, c, "old", first)
	c.advance(3 * day)
	eraseOne(t, l, first[1]) // only the old call reached them
	c.advance(day)
	kept := ringAll(t, l, c, "kept", second)
	eraseOne(t, l, all[5]) // both reached them
	wantKeys(t, dir, 10, 2)

	c.advance(2 * day)
	ledger.Prune(t, l)
	if r := verifyClean(t, l); r.Pruned == 0 {
		t.Fatalf("nothing was removed: %+v", r)
	}
	_, err := ledger.FindCall(t.Context(), l, old.ID)
	wantErr(t, "the old call", err, ledger.ErrNoCall)
	wantKeys(t, dir, 7, 2)
	for _, gone := range first[:4] {
		wantNowhere(t, dir, gone)
	}
	for i, gone := range [][]callee{{all[5]}, {all[5], all[9]}} {
		if i > 0 {
			eraseOne(t, l, all[9])
		}
		found, err := ledger.FindCall(t.Context(), l, kept.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantReadable(t, found, second, gone...)
		if found.Erased == nil || found.Erased.Count != len(gone) || !found.Erased.Partly || len(found.People) != len(second)-len(gone) {
			t.Errorf("%+v, people %q", found.Erased, found.People)
		}
	}
	verifyClean(t, l)

	c.advance(7 * day)
	ledger.Prune(t, l)
	_, err = ledger.FindCall(t.Context(), l, kept.ID)
	wantErr(t, "the call that was kept", err, ledger.ErrNoCall)
	wantKeys(t, dir, 0, 0)
	verifyClean(t, l)
}

// TestPruneOpenParts: a request that nobody answered, or an approval that nobody used, is kept with
// what belongs to the people who were not erased. It lets nothing run, and then it goes too.
func TestPruneOpenParts(t *testing.T) {
	for _, state := range []ledger.ApprovalState{ledger.Pending, ledger.Approved} {
		t.Run(string(state), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			c := newClock()
			l := open(t, ledger.Options{Dir: dir, Now: c.now, Retention: 2 * day})
			to := callees(12)
			x, request := requestAll(t, l, "open", to, c.now().Add(10*day))
			if state == ledger.Approved {
				answer(t, l, request, ledger.Approved)
			}
			eraseOne(t, l, to[4])
			runDaily(t, l, c, 5)
			ledger.Prune(t, l)
			q, err := l.Approval(t.Context(), request.ID)
			if err != nil || q.State != state || q.Erased != 1 || q.Payload != nil {
				t.Fatalf("%s, %d erased, payload %s, %v", q.State, q.Erased, q.Payload, err)
			}
			wantReadable(t, string(q.Card), to, to[4])
			if state == ledger.Approved {
				_, err := l.Commit(t.Context(), x)
				wantErr(t, "the very same call", err, ledger.ErrApprovalErased)
			} else {
				wantErr(t, "approving it", l.AnswerApproval(t.Context(), q, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "bob"}}), ledger.ErrApprovalErased)
			}
			verifyClean(t, l)
			c.advance(10 * day)
			ledger.Prune(t, l)
			_, err = l.Approval(t.Context(), request.ID)
			wantErr(t, "the request after it expired", err, ledger.ErrNoApproval)
			wantKeys(t, dir, 0, 0)
			verifyClean(t, l)
		})
	}
}
