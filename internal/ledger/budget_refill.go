package ledger

import "encoding/json"

// clipRefills returns refills with the names that the table of budgets has.
func clipRefills(all []Refill) (out []Refill) {
	for _, f := range all {
		out = append(out, Refill{clipName(f.Budget), clipName(f.Key), f.Units})
	}
	return out
}

// encodeRefills returns refills as a row of an approval request has them; empty for none.
func encodeRefills(all []Refill) string {
	if len(all) == 0 {
		return ""
	}
	raw, _ := json.Marshal(all) // texts and numbers
	return string(raw)
}

// refill returns how many units the approval adds to a budget: none if it was used before, and returned
// because its call was not sent.
func (a *approvalRow) refill(budget, key string) (units int64) {
	var all []Refill
	if a.intent != "" || a.refills == "" || json.Unmarshal([]byte(a.refills), &all) != nil {
		return 0
	}
	for _, f := range all {
		if f.Budget == budget && f.Key == key {
			units = f.Units
		}
	}
	return units
}
