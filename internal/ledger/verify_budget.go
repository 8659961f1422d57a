package ledger

import (
	"context"
	"database/sql"
)

// budgetReplay holds the budgets as the audit log describes them. It calculates as the tables do,
// so that the two are equal to the nanosecond.
type budgetReplay map[[2]string]*replayedBudget

// replayedBudget is one budget for one key.
type replayedBudget struct {
	full, refilled int64
	// debits may still be returned, the oldest first.
	debits  []replayedDebit
	inTable bool
}

type replayedDebit struct {
	intent     string
	seq        int64
	cost, rest int64
}

func budgetKey(b *Balance) [2]string { return [2]string{b.Budget, b.Key} }

// applyDebits applies an intent's debits. request is the one that it used; nil without one.
func (all budgetReplay) applyDebits(v *verifier, r *Record, request *replayedApproval) {
	now := r.Time.UnixNano()
	for i := range r.Budgets {
		b := &r.Budgets[i]
		budget := all[budgetKey(b)]
		if budget == nil {
			budget = &replayedBudget{}
			// The records of earlier debits may be pruned.
			if all[budgetKey(b)] = budget; v.anchor.seq > 0 {
				budget.full, budget.refilled = b.Full-b.Cost, b.Refilled+b.Taken
			}
		}
		full, refilled := budget.full, int64(0)
		if budget.full > now {
			refilled = budget.refilled
		}
		if b.Cost > 0 {
			full = max(now, full) + b.Cost
		}
		if b.Cost < 0 || b.Taken < 0 || b.Cost+b.Taken == 0 || b.Full != full || b.After >= b.Before+b.Refill || b.After < 0 ||
			b.Refilled < 0 || b.Refilled != max(refilled, b.Refill)-b.Taken {
			v.add(WrongBudget, r.Seq, r.Intent, "record %d debits the budget %s of %q by an amount that it did not hold", r.Seq, b.Budget, b.Key)
		}
		if b.Refill != 0 && (request == nil || b.Refill > request.refill(b)) {
			v.add(WrongBudget, r.Seq, r.Intent, "record %d adds units to the budget %s of %q that no approval allowed", r.Seq, b.Budget, b.Key)
		}
		if budget.full, budget.refilled = b.Full, b.Refilled; b.Cost > 0 {
			for i := range budget.debits {
				budget.debits[i].rest = max(budget.debits[i].rest, now) + b.Cost
			}
			budget.debits = append(budget.debits, replayedDebit{r.Intent, r.Seq, b.Cost, 0})
		}
	}
}

// applyShown applies what events took from budgets of reading, which may be more than they held.
func (all budgetReplay) applyShown(v *verifier, r *Record) {
	now := r.Time.UnixNano()
	for i := range r.Budgets {
		b := &r.Budgets[i]
		budget := all[budgetKey(b)]
		if budget == nil {
			budget = &replayedBudget{}
			if all[budgetKey(b)] = budget; v.anchor.seq > 0 {
				budget.full = b.Full - b.Cost
			}
		}
		if b.Cost <= 0 || b.Full != max(now, budget.full)+b.Cost || b.After > b.Before || b.After < 0 {
			v.add(WrongBudget, r.Seq, "", "record %d takes another amount from the budget %s of %q than it says", r.Seq, b.Budget, b.Key)
		}
		for i := range budget.debits {
			budget.debits[i].rest = max(budget.debits[i].rest, now) + b.Cost
		}
		budget.full, budget.refilled = b.Full, 0
	}
}

// refill returns how many units the approval adds to a budget: none if it was used before.
func (a *replayedApproval) refill(b *Balance) (units int64) {
	for _, f := range a.refills {
		if f.Budget == b.Budget && f.Key == b.Key && !a.ran {
			units = f.Units
		}
	}
	return units
}

// applyOutcome applies the outcome of an intent: its debits are returned if nothing was sent. An
// unknown outcome keeps them for a later record.
func (all budgetReplay) applyOutcome(v *verifier, r *Record, debited []Balance) {
	if IntentState(r.State) == Unknown || IntentState(r.State) == Sent {
		return
	}
	returns := r.Phase == PhaseSettled && IntentState(r.State) == NotSent
	returned := r.Budgets
	for i := len(debited) - 1; i >= 0; i-- {
		budget := all[budgetKey(&debited[i])]
		at := len(budget.debits) - 1
		for at >= 0 && budget.debits[at].intent != r.Intent {
			at--
		}
		if at < 0 {
			continue
		}
		d := budget.debits[at]
		budget.debits = append(budget.debits[:at], budget.debits[at+1:]...)
		if !returns {
			continue
		}
		budget.full = max(d.rest, budget.full-d.cost)
		for i := range budget.debits[:at] {
			budget.debits[i].rest = max(d.rest, budget.debits[i].rest-d.cost)
		}
		if len(returned) == 0 || budgetKey(&returned[0]) != budgetKey(&debited[i]) || returned[0].Full != budget.full || returned[0].Refilled != budget.refilled ||
			returned[0].After < returned[0].Before && budget.refilled == 0 { // a refill ends when the budget is full
			v.add(WrongBudget, r.Seq, r.Intent, "record %d returns another amount to the budget %s of %q than was debited", r.Seq, debited[i].Budget, debited[i].Key)
			continue
		}
		returned = returned[1:]
	}
	if len(returned) > 0 {
		v.add(WrongBudget, r.Seq, r.Intent, "record %d returns an amount that was not debited", r.Seq)
	}
}

// applyPruned applies the budgets of which the last record was pruned.
func (all budgetReplay) applyPruned(v *verifier, r *Record) {
	for i := range r.Budgets {
		b := &r.Budgets[i]
		if budget := all[budgetKey(b)]; budget == nil {
			all[budgetKey(b)] = &replayedBudget{full: b.Full, refilled: b.Refilled}
		} else if budget.full != b.Full || budget.refilled != b.Refilled {
			v.add(WrongBudget, r.Seq, "", "record %d contradicts the records before it about the budget %s of %q", r.Seq, b.Budget, b.Key)
		}
	}
}

// checkBudgets compares the tables of budgets with the audit log.
func (v *verifier) checkBudgets(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT budget, key, full, refilled FROM budgets")
	if err != nil {
		return err
	}
	all := v.replay.budgets
	err = eachRow(rows, func(scan func(...any) error) error {
		var b Balance
		if err := scan(&b.Budget, &b.Key, &b.Full, &b.Refilled); err != nil {
			return err
		}
		budget := all[budgetKey(&b)]
		if budget == nil || budget.full != b.Full || budget.refilled != b.Refilled {
			v.add(WrongBudget, 0, b.Budget, "the budget %s of %q differs from the audit log", b.Budget, b.Key)
		}
		if budget != nil {
			budget.inTable = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	open := map[replayedDebit]int{}
	for name, budget := range all {
		if !budget.inTable {
			v.add(WrongBudget, 0, name[0], "the budget %s of %q is missing, so it would look full", name[0], name[1])
		}
		for _, d := range budget.debits {
			d.intent = name[0] + "\x00" + name[1]
			open[d]++
		}
	}
	rows, err = conn.QueryContext(ctx, "SELECT budget, key, seq, cost, rest FROM debits")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var b Balance
		var d replayedDebit
		if err := scan(&b.Budget, &b.Key, &d.seq, &d.cost, &d.rest); err != nil {
			return err
		}
		d.intent = b.Budget + "\x00" + b.Key
		open[d]--
		return nil
	})
	for d, n := range open {
		if n != 0 {
			v.add(WrongBudget, d.seq, "", "the returnable debits of the intent in record %d differ from the audit log", d.seq)
		}
	}
	return err
}
