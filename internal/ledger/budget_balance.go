package ledger

import (
	"context"
	"database/sql"
)

// budgets are what the chain tells of the budgets: the same reckoning as that of the table, so that the two can be
// compared to the nanosecond.
type budgets map[[2]string]*balanceRow

// balanceRow is one budget's share of one key.
type balanceRow struct {
	full int64
	// owed may be given back, the oldest first.
	owed []debitRow
	seen bool
}

type debitRow struct {
	intent     string
	seq        int64
	cost, rest int64
}

func of(b *Balance) [2]string { return [2]string{b.Budget, b.Key} }

// taken follows an intent's debits.
func (all budgets) taken(v *verifier, r *Record) {
	now := r.Time.UnixNano()
	for i := range r.Budgets {
		b := &r.Budgets[i]
		k := all[of(b)]
		if k == nil {
			k = &balanceRow{}
			// Where records were removed, what it held before may have gone with them.
			if all[of(b)] = k; v.anchor.seq > 0 {
				k.full = b.Full - b.Cost
			}
		}
		if b.Cost <= 0 || b.Full != max(now, k.full)+b.Cost || b.After >= b.Before || b.After < 0 {
			v.find(WrongBudget, r.Seq, r.Intent, "record %d takes something else from the budget %s of %q than it held", r.Seq, b.Budget, b.Key)
		}
		for i := range k.owed {
			k.owed[i].rest = max(k.owed[i].rest, now) + b.Cost
		}
		k.full = b.Full
		k.owed = append(k.owed, debitRow{r.Intent, r.Seq, b.Cost, 0})
	}
}

// ended follows what an intent took when it has ended: it is given back where nothing was sent. What nobody knows may
// still be.
func (all budgets) ended(v *verifier, r *Record, took []Balance) {
	if IntentState(r.State) == Unknown || IntentState(r.State) == Sent {
		return
	}
	back := r.Phase == PhaseSettled && IntentState(r.State) == NotSent
	given := r.Budgets
	for i := len(took) - 1; i >= 0; i-- {
		k := all[of(&took[i])]
		at := len(k.owed) - 1
		for at >= 0 && k.owed[at].intent != r.Intent {
			at--
		}
		if at < 0 {
			continue
		}
		o := k.owed[at]
		k.owed = append(k.owed[:at], k.owed[at+1:]...)
		if !back {
			continue
		}
		k.full = max(o.rest, k.full-o.cost)
		for i := range k.owed[:at] {
			k.owed[i].rest = max(o.rest, k.owed[i].rest-o.cost)
		}
		if len(given) == 0 || of(&given[0]) != of(&took[i]) || given[0].Full != k.full || given[0].After < given[0].Before {
			v.find(WrongBudget, r.Seq, r.Intent, "record %d gives something else back to the budget %s of %q than was taken from it", r.Seq, took[i].Budget, took[i].Key)
			continue
		}
		given = given[1:]
	}
	if len(given) > 0 {
		v.find(WrongBudget, r.Seq, r.Intent, "record %d gives back what was not taken", r.Seq)
	}
}

// carried takes over the budgets whose last record was removed.
func (all budgets) carried(v *verifier, r *Record) {
	for i := range r.Budgets {
		b := &r.Budgets[i]
		if k := all[of(b)]; k == nil {
			all[of(b)] = &balanceRow{full: b.Full}
		} else if k.full != b.Full {
			v.find(WrongBudget, r.Seq, "", "record %d tells something else of the budget %s of %q than the records before it", r.Seq, b.Budget, b.Key)
		}
	}
}

// budgets holds the tables of budgets against the chain.
func (v *verifier) budgets(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT budget, key, full FROM budgets")
	if err != nil {
		return err
	}
	all := v.replay.budgets
	err = eachRow(rows, func(scan func(...any) error) error {
		var b Balance
		if err := scan(&b.Budget, &b.Key, &b.Full); err != nil {
			return err
		}
		k := all[of(&b)]
		if k == nil || k.full != b.Full {
			v.find(WrongBudget, 0, b.Budget, "the budget %s of %q is not as the chain says", b.Budget, b.Key)
		}
		if k != nil {
			k.seen = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	open := map[debitRow]int{}
	for name, k := range all {
		if !k.seen {
			v.find(WrongBudget, 0, name[0], "the budget %s of %q is gone: it would look full", name[0], name[1])
		}
		for _, o := range k.owed {
			o.intent = name[0] + "\x00" + name[1]
			open[o]++
		}
	}
	rows, err = conn.QueryContext(ctx, "SELECT budget, key, seq, cost, rest FROM debits")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var b Balance
		var o debitRow
		if err := scan(&b.Budget, &b.Key, &o.seq, &o.cost, &o.rest); err != nil {
			return err
		}
		o.intent = b.Budget + "\x00" + b.Key
		open[o]--
		return nil
	})
	for o, n := range open {
		if n != 0 {
			v.find(WrongBudget, o.seq, "", "what the intent of record %d may give back to a budget is not as the chain says", o.seq)
		}
	}
	return err
}
