package policy

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Comparison counts how two policies decide recorded calls.
type Comparison struct {
	// Calls is how many calls were recorded: Same + Different + all of NotCompared.
	Calls     int `json:"calls"`
	Same      int `json:"same"`
	Different int `json:"different"`
	Stricter  int `json:"stricter"`
	Milder    int `json:"milder"`
	// OtherFields is how many reads would return other fields.
	OtherFields int `json:"otherFields,omitempty"`
	// NotCompared counts calls by the reason why they were not compared.
	NotCompared map[string]int `json:"notCompared,omitempty"`
	// RolesUnknown is how many compared calls were made with a token that was removed. They are
	// compared without roles.
	RolesUnknown int `json:"rolesUnknown,omitempty"`
	// Unrecorded is how many events were too fast to be recorded. They are in none of the other
	// numbers.
	Unrecorded int64            `json:"unrecorded,omitempty"`
	Changes    []DecisionChange `json:"changes"`
}

// DecisionChange is one call that the two policies decide differently.
type DecisionChange struct {
	Seq    int64          `json:"seq"`
	Time   time.Time      `json:"time"`
	Action string         `json:"action"`
	Caller string         `json:"caller"`
	Old    rules.Decision `json:"old"`
	New    rules.Decision `json:"new"`
	// Rule is the rule that decides under the stricter policy, with that policy's name; or
	// "default".
	Rule   string `json:"rule"`
	OldWhy string `json:"oldWhy"`
	NewWhy string `json:"newWhy"`
	// Uncertain says that a rule about the recipients' numbers may decide otherwise, and they are
	// not recorded.
	Uncertain bool `json:"uncertain,omitempty"`
}

// Why a call is not compared.
const (
	skipErased     = "its content is erased"
	skipNotKept    = "its content was not recorded"
	skipDamaged    = "its record is damaged"
	skipInvalid    = "its arguments are no longer valid"
	skipNobody     = "it has no valid recipient, so no policy decides it"
	skipRecipients = "rules depend on its recipients' numbers, which are not recorded"
	skipRelated    = "rules depend on what the contacts were, which is not recorded"
)

// Compare decides each recorded call under the old and the new policy. It counts a call once, with
// its own time and the roles that its token has now. The reads that the gate made for other calls
// do not count. It returns the first error of records.
func Compare(ctx context.Context, old, new *rules.Policy, tokens []ledger.Token, records iter.Seq2[ledger.Record, error]) (Comparison, error) {
	c := comparer{old: old, new: new, tokens: map[string]ledger.Token{}, seen: map[string]bool{},
		out: Comparison{NotCompared: map[string]int{}, Changes: []DecisionChange{}}}
	for _, t := range tokens {
		c.tokens[t.ID] = t
	}
	for r, err := range records {
		if err != nil {
			return c.out, err
		}
		c.add(ctx, &r)
	}
	return c.out, nil
}

type comparer struct {
	old, new *rules.Policy
	tokens   map[string]ledger.Token // by id
	seen     map[string]bool         // approvals and requests of counted calls
	out      Comparison
}

// add compares the call that begins with the record, if one does.
func (c *comparer) add(ctx context.Context, r *ledger.Record) {
	if r.Phase == ledger.PhaseDropped || r.Phase == ledger.PhaseCounted {
		c.out.Unrecorded += r.Count
	}
	if !c.beginsCall(r) {
		return
	}
	c.out.Calls++
	f, skip := c.facts(r)
	uncertain, equal := false, true
	if skip == "" {
		uncertain, equal, skip = c.addRecipients(ctx, &f)
	}
	unread := false
	if skip == "" {
		related, known := recipients.RelatedFromArguments(f.Payload)
		if unread = !known; known {
			f.Related = related
		}
	}
	old, new := c.old.Explain(f), c.new.Explain(f)
	if unread && !(isSettled(old) && isSettled(new)) {
		skip = skipRelated
	}
	if uncertain && (anyFailed(old) || anyFailed(new) || !equal && old.Decision < rules.Deny && new.Decision < rules.Deny) {
		skip = skipRecipients
	}
	if skip != "" {
		c.out.NotCompared[skip]++
		return
	}
	if _, found := c.tokens[r.Credential]; r.Credential != "" && !found {
		c.out.RolesUnknown++
	}
	if !slices.Equal(old.Hidden, new.Hidden) {
		c.out.OtherFields++
	}
	if old.Decision == new.Decision {
		c.out.Same++
		return
	}
	c.out.Different++
	changed := DecisionChange{Seq: r.Seq, Time: r.Time, Action: r.Action, Caller: r.Caller.String(), Old: old.Decision, New: new.Decision,
		OldWhy: old.Why, NewWhy: new.Why, Uncertain: uncertain}
	if new.Decision > old.Decision {
		c.out.Stricter++
		changed.Rule = decidingRule(new)
	} else {
		c.out.Milder++
		changed.Rule = decidingRule(old)
	}
	c.out.Changes = append(c.out.Changes, changed)
}

// beginsCall reports whether the record is the first of a call. Later records of the same call
// share its approval or its request. A rejection without a request says that an approval request
// was revoked.
func (c *comparer) beginsCall(r *ledger.Record) bool {
	switch r.Phase {
	case ledger.PhaseRequested, ledger.PhasePrepared, ledger.PhaseRead:
	case ledger.PhaseRejected:
		if r.Outcome == schemas.Declined || r.Request == "" {
			return false
		}
	default:
		return false
	}
	if r.Prefetch {
		return false
	}
	var keys []string
	if r.ApprovalID != "" {
		keys = append(keys, "approval "+r.ApprovalID)
	}
	if r.Request != "" {
		keys = append(keys, "request "+r.Request+" "+r.Action)
	}
	first := true
	for _, key := range keys {
		first = first && !c.seen[key]
		c.seen[key] = true
	}
	return first
}

// facts returns what the record holds about the call. skip says why that is too little; empty if it
// is enough.
func (c *comparer) facts(r *ledger.Record) (f rules.Facts, skip string) {
	switch {
	case r.Fault != "":
		return f, skipDamaged
	case r.Erased():
		return f, skipErased
	case r.Private == nil || r.Private.Payload == nil:
		return f, skipNotKept
	}
	a, fault := schemas.Find(r.Action)
	if fault != nil {
		return f, skipInvalid
	}
	if f.Payload, fault = a.Check(argumentsOf(r.Private.Payload), schemas.Limits{Now: r.Time}); fault != nil {
		return f, skipInvalid
	}
	f.Now, f.Caller, f.OwnCall = r.Time, c.caller(r), r.Safe
	return f, ""
}

// argumentsOf returns a recorded payload without the action's name.
func argumentsOf(payload []byte) []byte {
	out := []byte{'{'}
	schemas.EachJSON(payload, func(k, v []byte) {
		if schemas.DecodeString(k) == "action" {
			return
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, k...), ':'), v...)
	})
	return append(out, '}')
}

// caller returns the caller as the rules saw it.
func (c *comparer) caller(r *ledger.Record) rules.Caller {
	if t, found := c.tokens[r.Credential]; found && r.Credential != "" {
		return rules.Caller{ID: t.ID, Person: t.Person, Roles: t.Roles}
	}
	name := r.Caller.Name
	if r.Credential != "" {
		return rules.Caller{ID: r.Credential, Person: name}
	}
	return rules.Caller{ID: name, Person: name} // local, so without roles
}

// addRecipients adds the recipients as far as the arguments tell. uncertain says that rules depend
// on unknown numbers, equal that the rules of both policies that do are the same.
func (c *comparer) addRecipients(ctx context.Context, f *rules.Facts) (uncertain, equal bool, skip string) {
	s, known, fault := recipients.FromArguments(ctx, f.Payload)
	f.Recipients = s
	switch {
	case fault != nil:
		return false, true, skipNobody
	case known:
		return false, true, ""
	}
	old, new := c.old.RecipientConditions(f.Payload.Action), c.new.RecipientConditions(f.Payload.Action)
	return len(old)+len(new) > 0, slices.Equal(old, new), ""
}

func anyFailed(e rules.Explanation) bool {
	return slices.ContainsFunc(e.Steps, func(s rules.Step) bool { return s.State == rules.Failed })
}

// isSettled reports whether no rule failed, or the call is denied whatever the failed rules say.
func isSettled(e rules.Explanation) bool {
	return !anyFailed(e) || e.Default == rules.Deny || slices.ContainsFunc(e.Steps, func(s rules.Step) bool {
		return s.State == rules.Matched && s.Does == rules.Deny.String()
	})
}

// decidingRule returns the policy and id of the rule that decided, or "default". A rule that failed
// decided only if no other rule did.
func decidingRule(e rules.Explanation) string {
	failed := "default"
	for _, s := range e.Steps {
		switch {
		case s.State == rules.Matched && s.Does == e.Decision.String():
			return s.Policy + ": " + s.Rule
		case s.State == rules.Failed:
			failed = s.Policy + ": " + s.Rule
		}
	}
	return failed
}
