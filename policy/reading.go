package policy

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// startReading begins a call of which the answer is taken from budgets of reading. It returns why it
// may not run: a budget is used up. nil if it may.
func (at *attempt) startReading(ctx context.Context, budgets []rules.Debit) *schemas.Error {
	if len(budgets) == 0 {
		return nil
	}
	debits := make([]ledger.Debit, len(budgets))
	for i, d := range budgets {
		debits[i] = ledger.Debit(d)
	}
	reading, err := at.Ledger.StartReading(ctx, debits, at.mostShown())
	if err != nil {
		return at.ledgerError(ctx, err)
	}
	at.reading = reading
	return nil
}

// mostShown returns how many persons an answer may show at most.
func (at *attempt) mostShown() int64 {
	if !at.Payload.Action.List() && !at.tested { // one record
		return 1
	}
	page, _ := at.Payload.Args["page"].(map[string]any)
	limit, _ := page["limit"].(json.Number)
	if n, err := limit.Int64(); err == nil && n > 0 && n < schemas.MaxLimit {
		return n
	}
	return schemas.MaxLimit
}

// endReading counts the persons that the answer shows; one at least where the filter may guess what is
// known about somebody, as in recordExplained.
func (at *attempt) endReading(res Result) {
	if at.reading == nil {
		return
	}
	var persons []string
	least := int64(0)
	if res.Err == nil {
		if at.Payload.Guesses() {
			least = 1
		}
		rows := -1
		if at.Shows != nil {
			rows = at.Shows(res.Data)
		}
		persons = at.Payload.Shown(res.Data, rows, fieldsOf(at.Payload.Action, at.verdict.Hidden))
	}
	at.taken = at.reading.Show(persons, least)
}

// recordExplained records that a call was tested, and takes the persons from whom the answer depends
// from budgets of reading; one person at least, so that many guesses about one cost as much.
func (at *attempt) recordExplained(e Explanation, took time.Duration) {
	at.taken = at.reading.Show(at.txn.Subjects, 1)
	at.recordEvent(Result{Err: e.Fault}, took)
}

// contactBudgets returns the budgets from which a read of contacts is taken. validate_action takes
// from them too: what it says depends on contacts, and on the people who would be reached.
func (at *attempt) contactBudgets() []rules.Debit {
	contacts, fault := schemas.Find(recipients.ContactList)
	if fault != nil {
		return nil
	}
	payload, fault := contacts.Check(nil, schemas.Limits{Now: at.Now()})
	if fault != nil {
		return nil
	}
	return at.policy.Decide(rules.Facts{Payload: payload, Caller: at.Caller.rules(), Now: at.Now()}).Reading
}
