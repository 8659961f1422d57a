package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// erasingLedger erases a subject in the moment before a commit.
type erasingLedger struct {
	ledger.Ledger
	erase func()
}

func (l erasingLedger) Commit(ctx context.Context, x ledger.Txn) (ledger.Intent, error) {
	l.erase()
	return l.Ledger.Commit(ctx, x)
}

// TestErasedRecipient checks that a call to several people does not run by an approval of a card on
// which one of them was erased, also if the very same call is repeated, and that the caller and the
// next approver are told. A new approval lets it run once.
func TestErasedRecipient(t *testing.T) {
	const gone = 1
	var contacts []string
	numbers := map[string]string{}
	for i := range 3 {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		numbers[id] = fmt.Sprintf("+44207946%04d", i)
		contacts = append(contacts, `"`+id+`"`)
	}
	for name, c := range map[string]struct {
		// do runs or repeats the call. It returns the result that its caller gets.
		do func(o *approvalWorld, c policy.Call, erase func()) policy.Result
		// asked is true if do has made a new request.
		asked bool
	}{
		"executor": {func(o *approvalWorld, c policy.Call, erase func()) policy.Result {
			erase()
			o.runOnce(t)
			return o.status(t, c.ApprovalID)
		}, false},
		"repeated after the executor": {func(o *approvalWorld, c policy.Call, erase func()) policy.Result {
			erase()
			o.runOnce(t)
			c.ApprovalID = ""
			return o.Do(t.Context(), c)
		}, false},
		"repeated with its approval": {func(o *approvalWorld, c policy.Call, erase func()) policy.Result {
			erase()
			return o.Do(t.Context(), c)
		}, false},
		"erased before the commit": {func(o *approvalWorld, c policy.Call, erase func()) policy.Result {
			kept := o.Ledger
			defer func() { o.Gate.Ledger = kept }()
			o.Gate.Ledger = erasingLedger{kept, erase}
			return o.Do(t.Context(), c)
		}, false},
		"repeated": {func(o *approvalWorld, c policy.Call, erase func()) policy.Result {
			erase()
			c.ApprovalID = ""
			return o.Do(t.Context(), c)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, house)
			o.up.numbers = numbers
			bulk := call(t, adaCaller, "start_bulk_outbound_call", `{"input":{"contactIds":[`+strings.Join(contacts, ",")+`]}}`)
			first := o.ask(t, bulk)
			o.answer(t, first, bobPerson, approves)
			approved := bulk
			approved.ApprovalID = first
			got := c.do(o, approved, func() {
				if existed, err := o.Ledger.Erase(t.Context(), "contact:"+strings.Trim(contacts[gone], `"`), ledger.Actor{Name: "root"}); !existed || err != nil {
					t.Error(existed, err)
				}
			})
			if len(o.up.runs()) != 0 {
				t.Fatalf("it ran by the approval of the erased card: %+v", got)
			}
			if !c.asked {
				if got.Outcome() != schemas.Denied || !strings.Contains(got.Err.Message, "erased together with a person's data; nothing ran") || !strings.Contains(got.Err.Next, "the person is asked again") {
					t.Errorf("the caller gets %s", brief(got))
				}
				o.MarkReported(t.Context(), o.status(t, first))
				got = o.Do(t.Context(), bulk)
			}
			if got.Pending == nil || !got.Pending.New || got.Pending.ApprovalID == first {
				t.Fatalf("no new request: %s", brief(got))
			}
			second := got.Pending.ApprovalID
			if card := got.Pending.Card; card.RecipientCount != 3 || !strings.Contains(card.Earlier, "a person on its card was erased") {
				t.Errorf("the new card: %+v", card)
			}
			if q := o.request(t, first); q.State != ledger.Revoked {
				t.Errorf("the approval is %s", q.State)
			}
			if again := o.Do(t.Context(), approved); again.Err == nil || again.Outcome() == schemas.Done {
				t.Errorf("the old approval: %s", brief(again))
			}
			o.runOnce(t)
			if len(o.up.runs()) != 0 {
				t.Fatal("it ran without a new approval")
			}
			o.clock.Add(time.Second)
			o.answer(t, second, bobPerson, approves)
			o.runOnce(t)
			if runs := o.up.runs(); len(runs) != 1 || runs[0] != string(bulk.Payload.Body) {
				t.Errorf("after a new approval: %q, %s", runs, brief(o.status(t, second)))
			}
		})
	}
}

// TestErasedPendingRecipient checks that nobody approves a card on which one of several people was
// erased, and that the repeated call makes a new card of the whole call.
func TestErasedPendingRecipient(t *testing.T) {
	o := newApprovalWorld(t, house)
	const other = "00000000-0000-4000-8000-000000000002"
	o.up.numbers = map[string]string{anID: "+442079460123", other: "+442079460124"}
	bulk := call(t, adaCaller, "start_bulk_outbound_call", `{"input":{"contactIds":["`+anID+`","`+other+`"]}}`)
	first := o.ask(t, bulk)
	if existed, err := o.Ledger.Erase(t.Context(), "contact:"+other, ledger.Actor{Name: "root"}); !existed || err != nil {
		t.Fatal(existed, err)
	}
	if got := o.approvals.Answer(t.Context(), []string{first}, bobPerson, approves); got[0].Err == nil || got[0].Err.Message != approval.CardErased().Message {
		t.Errorf("it was approved: %+v", got[0])
	}
	var card approval.Card
	if q := o.request(t, first); json.Unmarshal(q.Card, &card) != nil || card.RecipientCount != 2 || len(card.To) != 2 {
		t.Errorf("what belongs to the other is gone: %s", q.Card)
	}
	second := o.ask(t, bulk)
	if q := o.request(t, first); q.State != ledger.Revoked {
		t.Errorf("the first is %s", q.State)
	}
	o.answer(t, second, bobPerson, approves)
	o.runOnce(t)
	if runs := o.up.runs(); len(runs) != 1 {
		t.Errorf("%q, %s", runs, brief(o.status(t, second)))
	}
}
