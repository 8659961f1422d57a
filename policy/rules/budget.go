package rules

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v4"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxUnits     = 1 << 30 // of a budget
	costShown    = "shown" // the cost of a budget of reading, which is no expression
	maxPerCaller = 1 << 20

	callerKey       = "caller"
	organisationKey = "organisation"
)

var (
	budgetKeys   = []string{"key", "rate", "burst", "perCaller", "cost", "over", "refill"}
	budgetOwners = []string{callerKey, "role", organisationKey}
	ratePattern  = regexp.MustCompile(`^([1-9][0-9]{0,8})/([smhd])$`)
)

// budget is how much a caller, a role or the organisation may use.
type budget struct {
	name     string
	title    string // as a Debit has it
	at       position
	key      string
	interval time.Duration
	burst    int64
	// perCaller makes a budget of the organisation grow with it: the budget holds so many units for each
	// named caller, if that is more than burst. 0: it does not grow.
	perCaller int64
	// refill is how many units an approval of a call over the budget adds; 0: such a call is rejected.
	refill int64
	cost   *expr // nil: 1
	shown  bool  // the cost is the number of persons in the answer
}

func (r *reader) budgets(f *file, n *yaml.Node) {
	values, keys := r.mapping(n, "budgets", nil)
	for _, k := range keys {
		if !idPattern.MatchString(k.Value) {
			r.add(nodePosition(k), "the budget's name %s must consist of letters, digits, . _ and -", quote(k.Value))
		}
		what := "the budget " + k.Value
		parts, _ := r.mapping(values[k.Value], what, budgetKeys)
		if parts == nil {
			continue
		}
		b := &budget{name: k.Value, at: nodePosition(k), burst: 1}
		if n := r.require(parts, values[k.Value], what, "key", "caller"); n != nil {
			if b.key = r.text(n, "key of "+what); b.key != "" && !contains(budgetOwners, b.key) {
				r.add(nodePosition(n), "%s", unknownName("key of a budget", b.key, budgetOwners))
			}
		}
		if n := r.require(parts, values[k.Value], what, "rate", "20/h"); n != nil {
			b.interval = r.rate(n)
		}
		if n := r.require(parts, values[k.Value], what, "burst", "5"); n != nil {
			b.burst = r.integer(n, "burst of "+what, 1, maxUnits)
		}
		if n := parts["perCaller"]; n != nil {
			if b.perCaller = r.integer(n, "perCaller of "+what, 1, maxPerCaller); b.key != organisationKey {
				r.add(nodePosition(n), "%s has perCaller, but only a budget with key: organisation grows with the callers", what)
			}
		}
		if n := parts["cost"]; n != nil {
			if b.shown = n.Value == costShown; !b.shown {
				b.cost = r.expression(n, "cost of "+what)
			}
		}
		r.refill(b, parts, what)
		if b.title = f.name + "/" + b.name; b.key == organisationKey {
			b.title = organisationKey + "/" + b.name // of all policies
		}
		f.budgets[k.Value] = b
	}
}

// refill parses what happens to a call over the budget.
func (r *reader) refill(b *budget, parts map[string]*yaml.Node, what string) {
	over, refill := parts["over"], parts["refill"]
	switch {
	case over == nil && refill == nil:
		return
	case over == nil:
		r.add(nodePosition(refill), "%s has a refill without over: write over: confirm", what)
	case over.Value != "confirm" || over.Kind != yaml.ScalarNode:
		r.add(nodePosition(over), "over of %s must be confirm, not %s; without it a call over the budget is rejected", what, describe(over))
	case b.shown:
		r.add(nodePosition(over), "%s has over: confirm and cost: shown, but what a read shows is counted after it: remove over and refill", what)
	case refill == nil:
		r.add(nodePosition(over), "%s has over: confirm without refill: write how many units an approval adds, such as refill: 100", what)
	}
	if refill != nil {
		b.refill = r.integer(refill, "refill of "+what, 1, maxUnits)
	}
}

// rate parses a rate to the time in which one unit grows back.
func (r *reader) rate(n *yaml.Node) time.Duration {
	m := ratePattern.FindStringSubmatch(n.Value)
	if m == nil || n.Kind != yaml.ScalarNode {
		r.add(nodePosition(n), "rate must be units per second, minute, hour or day (s, m, h, d), such as 20/h, not %s", describe(n))
		return 0
	}
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	count, _ := strconv.ParseInt(m[1], 10, 64)
	return per / time.Duration(count)
}

// size returns the burst and the interval. A budget that is larger because there are many callers fills up
// in the same time.
func (b *budget) size(callers CallerCounter) (int64, time.Duration, error) {
	if b.perCaller == 0 || callers == nil {
		return b.burst, b.interval, nil
	}
	n, err := callers.Callers(context.Background()) // it is cheap
	burst := min(b.perCaller*min(n, maxUnits), maxUnits)
	if err != nil || burst <= b.burst {
		return b.burst, b.interval, err
	}
	return burst, max(1, time.Duration(float64(b.interval)*float64(b.burst)/float64(burst))), nil
}

// limits returns the actions that a rule limits by the budget.
func (f *file) limits(b *budget) (out []*schemas.Action) {
	for _, a := range schemas.Actions() {
		if slices.ContainsFunc(f.rules, func(u *rule) bool { return u.limit == b && u.match.action(a) }) {
			out = append(out, a)
		}
	}
	return out
}

// debit adds what the call takes from the rule's budget. Several rules with one budget take from it
// once.
func (a *activation) debit(v *Verdict, b *boundRule) error {
	cost, list := int64(1), &v.Debits
	if b.limit.shown {
		cost, list = 0, &v.Reading
	}
	if b.cost != nil {
		out, err := a.eval(b.cost, b.file)
		if err != nil {
			return fmt.Errorf("the cost of budget %s: %w", b.limit.name, err)
		}
		n, ok := out.(types.Int)
		if !ok || n < 0 {
			return fmt.Errorf("the cost of budget %s is %v, but must be 0 or more", b.limit.name, out.Value())
		}
		cost = int64(n)
	}
	var keys []string
	switch b.limit.key {
	case callerKey:
		keys = []string{"caller:" + a.facts.Caller.ID}
	case "role":
		for _, r := range unique(slices.Clone(a.facts.Caller.Roles)) {
			keys = append(keys, "role:"+r)
		}
		if keys == nil {
			keys = []string{"role:"} // callers without roles share one
		}
	default:
		keys = []string{organisationKey}
	}
	if cost == 0 && !b.limit.shown {
		return nil
	}
	burst, interval, err := b.limit.size(a.facts.Callers)
	if err != nil {
		return fmt.Errorf("the size of budget %s: %w", b.limit.name, err)
	}
	for _, k := range keys {
		addDebit(list, Debit{Budget: b.limit.title, Key: k, Cost: cost, Interval: interval, Burst: burst, Refill: b.limit.refill})
	}
	return nil
}

// addDebit adds a debit. Of the same share, under the same name in several policies, the strictest counts.
func addDebit(all *[]Debit, d Debit) {
	i := slices.IndexFunc(*all, func(o Debit) bool { return o.Budget == d.Budget && o.Key == d.Key })
	if i < 0 {
		*all = append(*all, d)
		return
	}
	o := &(*all)[i]
	o.Cost, o.Burst, o.Interval, o.Refill = max(o.Cost, d.Cost), min(o.Burst, d.Burst), max(o.Interval, d.Interval), min(o.Refill, d.Refill)
}

// Over returns the verdict of a call that exceeds a budget which an approval refills: a person must
// confirm it.
func (p *Policy) Over(v Verdict, budget string) Verdict {
	for _, u := range p.rules {
		if u.limit != nil && u.limit.title == budget && v.Decision < Confirm && slices.Contains(v.Rules, u.id) {
			v.Decision = Confirm
			v.Why = fmt.Sprintf("policy %s: rule %s: %s", u.file.name, u.id, strings.TrimSuffix(u.reason, "."))
		}
	}
	v.Decision = max(v.Decision, Confirm)
	return v
}

// Limited returns the names of the actions that a budget limits.
func (p *Policy) Limited(budget string) (out []string) {
	for _, f := range p.files {
		for _, b := range f.budgets {
			if b.title == budget {
				out = append(out, namesOf(f.limits(b), func(a *schemas.Action) string { return a.Name })...)
			}
		}
	}
	return unique(out)
}
