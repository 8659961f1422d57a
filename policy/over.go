package policy

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// A budget with a refill does not reject the call that exceeds it: a person must confirm the call, and
// their approval adds the refill, for the calls that follow. Commit decides which call that is, in its
// transaction: of two calls that take the last unit, one is asked about.

const (
	maxOverChanges = 5   // that a card lists
	oneOfMany      = 100 // a call that takes no more than such a part of what is left has no line on the card
)

// exceeds reports whether the call is over a budget of which so much is left.
func (at *attempt) exceeds(d *ledger.Debit, left int64) bool {
	return left < d.Cost || at.over != nil && at.over.Budget == d.Budget && at.over.Key == d.Key
}

// costs returns what the call takes from each budget, for the card, and sets at.refills. A budget that
// cannot be read now is left out: the commit checks it.
func (at *attempt) costs(ctx context.Context) (out []approval.Cost) {
	at.refills = nil
	for i := range at.txn.Debits {
		d := &at.txn.Debits[i]
		left, _, err := at.Ledger.BudgetLeft(ctx, *d)
		if err != nil {
			continue
		}
		c := approval.Cost{Budget: d.Budget, Takes: d.Cost, Left: left}
		switch over := at.exceeds(d, left); {
		case over && d.Refill > 0:
			c.Refill = d.Refill
			at.refills = append(at.refills, ledger.Refill{Budget: d.Budget, Key: d.Key, Units: d.Refill})
		case !over && (d.Refill > 0 || d.Cost <= left/oneOfMany):
			continue
		}
		out = append(out, c)
	}
	return out
}

// explainBudgets raises the decision to confirm if the call exceeds a budget that an approval refills.
func (at *attempt) explainBudgets(ctx context.Context) *schemas.Error {
	for i := range at.txn.Debits {
		d := &at.txn.Debits[i]
		if d.Refill == 0 {
			continue
		}
		left, _, err := at.Ledger.BudgetLeft(ctx, *d)
		if err != nil {
			return at.ledgerError(ctx, err)
		}
		if at.exceeds(d, left) {
			at.verdict = at.policy.Over(at.verdict, d.Budget)
		}
	}
	return nil
}

// readOver reads, for the card, how many changes there were in each budget that the call exceeds, and the
// first of them.
func (at *attempt) readOver(ctx context.Context) (out []approval.Over) {
	ctx, cancel := context.WithTimeout(ctx, recordDeadline) // for all of them
	defer cancel()
	for _, f := range at.refills {
		i := slices.IndexFunc(at.txn.Debits, func(d ledger.Debit) bool { return d.Budget == f.Budget && d.Key == f.Key })
		d := &at.txn.Debits[i]
		over := approval.Over{Budget: d.Budget, Refill: f.Units, Period: time.Duration(d.Burst) * d.Interval}
		changes, more, err := at.Ledger.FindChanges(ctx, ledger.ChangeFilter{Organisation: at.txn.Organisation, Caller: at.Actor.Name,
			Since: at.Now().Add(-over.Period), Actions: at.policy.Limited(d.Budget), Limit: maxHistoryRead})
		if over.Unreadable = err != nil; strings.HasPrefix(d.Key, "caller:") {
			over.Changes = len(changes) + more
		}
		slices.Reverse(changes) // the oldest first
		for _, c := range changes[:min(maxOverChanges, len(changes))] {
			over.First = append(over.First, at.readEarlier(ctx, c))
		}
		out = append(out, over)
	}
	return out
}

// readEarlier reads what a card tells of an earlier change. The card is sealed for whom it was about.
func (at *attempt) readEarlier(ctx context.Context, c ledger.Change) approval.EarlierChange {
	e := approval.EarlierChange{Change: c}
	var fault *schemas.Error
	if e.Payload, fault = schemas.ParsePayload(c.Action, c.Payload); fault != nil {
		e.Payload = nil
		return e
	}
	for _, subject := range e.Payload.Subjects() {
		if !slices.Contains(at.txn.Subjects, subject) {
			at.txn.Subjects = append(at.txn.Subjects, subject)
		}
	}
	if about := e.Payload.AboutRead(); about != nil {
		e.Hidden = at.Hidden(at.Caller, about.Action)
		if data, fault := at.prefetch(ctx, about, "earlier changes of "+at.Payload.Action.Name); fault == nil {
			e.Named = e.Payload.Named(data)
		}
	}
	return e
}
