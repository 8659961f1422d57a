package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestRetentionAtRandom: after random calls and prunings the log verifies, and no unknown intent
// runs again.
func TestRetentionAtRandom(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		seed := uint64(time.Now().UnixNano()) + uint64(round)
		r := rand.New(rand.NewPCG(seed, 1))
		c := newClock()
		l := open(t, ledger.Options{Now: c.now, Retention: 3 * time.Hour, Stale: 1000 * day, Records: 20})
		var open []ledger.Intent
		var approvals []ledger.ApprovalRequest
		unknown := map[string]ledger.Txn{}
		for range 300 {
			c.advance(time.Duration(r.Int64N(int64(10 * time.Minute))))
			x := call(fmt.Sprint(r.IntN(30)))
			x.Subjects = []string{fmt.Sprint("contact:", r.IntN(10)), fmt.Sprint("new:", r.IntN(5))}[r.IntN(2):]
			if r.IntN(3) == 0 { // sealed in parts
				var to []callee
				for _, i := range r.Perm(10)[:2+r.IntN(3)] {
					to = append(to, callee{id: fmt.Sprint(i), name: fmt.Sprint("Ada ", i), number: fmt.Sprint("+44794600000", i)})
				}
				bulk, _ := bulkCall("", to, "Hello.")
				x.Subjects, x.RecipientList, x.Payload = bulk.Subjects, bulk.RecipientList, bulk.Payload
			}
			switch r.IntN(11) {
			case 0, 1:
				request := approvalFor(x, c.now().Add(time.Hour))
				request.RecipientList = x.RecipientList
				if p, err := l.FindConflicting(t.Context(), x); err == nil && p != nil {
					request.Repeats = p.ID
				}
				if err := l.CreateApproval(t.Context(), request); err == nil {
					approvals = append(approvals, request)
				}
			case 2, 3:
				if len(approvals) > 0 {
					_ = l.AnswerApproval(t.Context(), approvals[r.IntN(len(approvals))], ledger.Reply{State: []ledger.ApprovalState{ledger.Approved, ledger.Approved, ledger.Declined}[r.IntN(3)], By: ledger.Actor{Name: "ada"}})
				}
			case 4, 5, 6:
				if len(approvals) > 0 && r.IntN(2) == 0 {
					request := approvals[r.IntN(len(approvals))]
					x.Hash, x.EffectKey, x.ApprovalID = request.Hash, request.EffectKey, request.ID
				}
				in, err := l.Commit(t.Context(), x)
				if err != nil {
					continue
				}
				for id, u := range unknown {
					if u.Hash == x.Hash {
						if x.ApprovalID == "" {
							t.Fatalf("seed %d: %s ran again", seed, id)
						}
					}
				}
				open = append(open, in)
				unknown[in.ID] = x
			case 7, 8:
				if len(open) == 0 {
					continue
				}
				i := r.IntN(len(open))
				in := open[i]
				open = append(open[:i], open[i+1:]...)
				s := ledger.Settlement{Intent: in.ID, State: []ledger.IntentState{ledger.Succeeded, ledger.Failed, ledger.NotSent, ledger.Unknown}[r.IntN(4)],
					Result: []byte(`{}`), Outcome: schemas.Done}
				s.Sent = s.State != ledger.NotSent
				if r.IntN(2) == 0 {
					s.CreatedSubject = fmt.Sprint("contact:", r.IntN(10))
				}
				if r.IntN(4) == 0 {
					s.Erased = []string{fmt.Sprint("contact:", r.IntN(10))}
				}
				if err := l.Settle(t.Context(), s); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if s.State != ledger.Unknown {
					delete(unknown, in.ID)
				} else if r.IntN(2) == 0 {
					c.advance(time.Duration(r.Int64N(int64(4 * time.Hour))))
					if err := l.Resolve(t.Context(), in.ID, ledger.Failed, "", ledger.Actor{Name: "ada"}); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					delete(unknown, in.ID)
				}
			case 9:
				switch r.IntN(8) {
				case 0:
					_ = l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, "")
				case 1, 2, 3, 4:
					_, _ = l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"})
				case 5:
					_, _ = l.Erase(t.Context(), fmt.Sprint("contact:", r.IntN(10)), ledger.Actor{Name: "ada"})
				default:
					l.RecordEvent(event(x.Subjects...))
				}
			case 10:
				ledger.Prune(t, l)
			}
		}
		ledger.Prune(t, l)
		got := verifyClean(t, l)
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, got)
		}
		records(t, l, ledger.Filter{}) // all that is kept can be opened
		for id := range unknown {
			if in, err := l.Intent(t.Context(), id); err != nil || in.State == "" {
				t.Fatalf("seed %d: unfinished intent %s is missing: %v", seed, id, err)
			}
		}
		t.Logf("%d records, %d removed, %d unknown", got.Records, got.Pruned, got.Unknown)
		l.Close()
	}
}
