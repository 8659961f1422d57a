package rules

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// defaultTestTime is the time of a test without now: Wednesday noon, UTC.
var defaultTestTime = time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC)

// maxMembers is how many recipients a group without a limit counts as.
const maxMembers = 10_000

var (
	caseKeys      = []string{"name", "as", "now", "call", "ownCall", "recipients", "current", "matches", "usedUp", "expect"}
	callerKeys    = []string{"id", "person", "roles"}
	currentKeys   = []string{"fullName", "earlierNames", "metadata", "lost", "erased"}
	matchedKeys   = []string{"contact", "name", "by"}
	sharedNames   = namesOf(recipients.AllShared, func(s recipients.Shared) string { return string(s) })
	expectKeys    = []string{"decision", "rules", "without"}
	recipientKeys = []string{"contact", "name", "number", "address", "country", "kind"}
	kindNames     = namesOf(recipients.Kinds, func(k recipients.Kind) string { return string(k) })
)

// cases parses the tests of a file.
func (r *reader) cases(f *file, n *yaml.Node) {
	for _, n := range r.list(n, "tests") {
		parts, _ := r.mapping(n, "a test", caseKeys)
		if parts == nil {
			continue
		}
		t := &testCase{at: nodePosition(n)}
		what := "a test"
		if n := r.require(parts, n, what, "name", "what it shows"); n != nil {
			t.name = r.line(n, "name of a test")
			what = "the test " + quote(t.name)
		}
		t.facts.Now = defaultTestTime
		if n := parts["now"]; n != nil {
			now, err := time.Parse(time.RFC3339, n.Value)
			if err != nil {
				r.add(nodePosition(n), "now of %s must be a time with a zone, such as 2026-01-07T12:00:00Z, not %s", what, describe(n))
			}
			t.facts.Now = now
		}
		if n := parts["as"]; n != nil {
			t.facts.Caller = r.caller(n, "as of "+what)
		}
		if n := r.require(parts, n, what, "call", "{action: list_contacts}"); n != nil {
			t.facts.Payload = r.call(n, "call of "+what, t.facts.Now)
		}
		if t.facts.Payload != nil {
			t.facts.Recipients = r.recipients(parts["recipients"], t.facts.Payload, what)
			t.facts.Related = r.related(parts["current"], parts["matches"], t.facts.Payload, what)
			if n := parts["ownCall"]; n != nil {
				t.facts.OwnCall = r.boolean(n, "ownCall of "+what)
				if a := t.facts.Payload.Action; a.Safe != schemas.SafeOnOwnCall {
					r.add(nodePosition(n), "%s has ownCall, but it decides nothing about %s: remove it", what, a.Name)
				}
			}
		}
		if n := parts["usedUp"]; n != nil {
			t.usedUp = r.usedUp(f, n, "usedUp of "+what)
		}
		if n := r.require(parts, n, what, "expect", "{decision: deny}"); n != nil {
			r.expect(f, t, n, "expect of "+what)
		}
		f.cases = append(f.cases, t)
	}
}

func (r *reader) caller(n *yaml.Node, what string) (c Caller) {
	parts, _ := r.mapping(n, what, callerKeys)
	if n := parts["id"]; n != nil {
		c.ID = r.text(n, "id in "+what)
	}
	if n := parts["person"]; n != nil {
		c.Person = r.text(n, "person in "+what)
	}
	if n := parts["roles"]; n != nil {
		for _, e := range r.list(n, "roles in "+what) {
			c.Roles = append(c.Roles, r.text(e, "a role in "+what))
		}
	}
	return c
}

// call parses the call of a test. It uses the checker that every call passes.
func (r *reader) call(n *yaml.Node, what string, now time.Time) *schemas.Payload {
	parts, _ := r.mapping(n, what, nil)
	if parts == nil {
		return nil
	}
	name := r.require(parts, n, what, "action", "list_contacts")
	if name == nil {
		return nil
	}
	a, fault := schemas.Find(name.Value)
	if fault != nil {
		r.add(nodePosition(name), "%s", unknownName("action", name.Value, actionNames))
		return nil
	}
	args := map[string]any{}
	for k, v := range parts {
		if k != "action" {
			args[k] = jsonValue(v)
		}
	}
	raw, err := json.Marshal(args)
	if err != nil {
		r.add(nodePosition(n), "%s cannot be written as JSON: %v", what, err)
		return nil
	}
	p, fault := a.Check(raw, schemas.Limits{Now: now})
	if fault != nil {
		var faults []string
		for _, d := range fault.Details {
			faults = append(faults, strings.TrimPrefix(d.Path+": ", ": ")+d.Message)
		}
		if faults == nil {
			faults = []string{fault.Message}
		}
		r.add(nodePosition(n), "%s is not a valid %s: %s", what, a.Name, strings.Join(faults, "; "))
		return nil
	}
	return p
}

// jsonValue converts a node to a value for encoding/json. Numbers stay as they are written.
func jsonValue(n *yaml.Node) any {
	switch {
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = jsonValue(n.Content[i+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, jsonValue(c))
		}
		return list
	case n.Tag == "!!null":
		return nil
	case n.Tag == "!!bool":
		return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	case (n.Tag == "!!int" || n.Tag == "!!float") && json.Valid([]byte(n.Value)):
		return json.Number(n.Value)
	}
	return n.Value
}

// recipients returns the recipients that the test states, else those that the payload names.
func (r *reader) recipients(n *yaml.Node, p *schemas.Payload, what string) *recipients.Set {
	if !recipients.HasRecipients(p.Action) {
		if n != nil {
			r.add(nodePosition(n), "%s has recipients, but %s reaches nobody: remove them", what, p.Action.Name)
		}
		return nil
	}
	if n == nil {
		return recipientsOf(p)
	}
	if n.Kind == yaml.ScalarNode {
		return &recipients.Set{Group: "group", Count: int(r.integer(n, "recipients of "+what, 0, 10*maxMembers))}
	}
	s := &recipients.Set{}
	for _, n := range r.list(n, "recipients of "+what) {
		parts, _ := r.mapping(n, "a recipient of "+what, recipientKeys)
		get := func(key string) string {
			if n := parts[key]; n != nil {
				return r.text(n, key+" of a recipient")
			}
			return ""
		}
		if k := get("kind"); k != "" && !slices.Contains(recipients.Kinds, recipients.Kind(k)) {
			r.add(nodePosition(parts["kind"]), "%s", unknownName("kind of number", k, kindNames))
		}
		s.List = append(s.List, recipients.Recipient{Contact: get("contact"), Name: get("name"), Number: get("number"), Address: get("address"), Country: get("country"), Kind: recipients.Kind(get("kind"))})
	}
	s.Count = len(s.List)
	return s
}

// related returns the contacts that the test states. Without them nothing matches, and the contact
// has the name that it gets.
func (r *reader) related(current, matches *yaml.Node, p *schemas.Payload, what string) *recipients.Related {
	if matches != nil && !recipients.HasRelated(p.Action) {
		r.add(nodePosition(matches), "%s has matches, but %s writes no contact: remove them", what, p.Action.Name)
	}
	if current != nil && !recipients.HasCurrent(p.Action) {
		r.add(nodePosition(current), "%s has current, but %s updates no contact: remove it", what, p.Action.Name)
		return nil
	}
	out, _ := recipients.RelatedFromArguments(p)
	if out == nil {
		return nil
	}
	if current != nil {
		parts, _ := r.mapping(current, "current of "+what, currentKeys)
		name, erased, metadata := out.Current.Name, false, map[string]any(nil)
		if n := parts["fullName"]; n != nil {
			name = r.text(n, "fullName of current")
		}
		if n := parts["erased"]; n != nil {
			erased = r.boolean(n, "erased of current")
		}
		if n := parts["metadata"]; n != nil {
			if metadata, _ = jsonValue(n).(map[string]any); metadata == nil {
				r.add(nodePosition(n), "metadata of current must be a map, not %s", describe(n))
			}
		}
		out.Current = recipients.NewCurrent(p, name, metadata, erased)
		if n := parts["earlierNames"]; n != nil {
			for _, e := range r.list(n, "earlierNames of current") {
				out.Current.EarlierNames = append(out.Current.EarlierNames, r.text(e, "one of earlierNames"))
			}
		}
		if n := parts["lost"]; n != nil {
			for _, e := range r.list(n, "lost of current") {
				out.Current.Lost = append(out.Current.Lost, r.text(e, "one of lost"))
			}
		}
	}
	if matches == nil {
		return out
	}
	for _, n := range r.list(matches, "matches of "+what) {
		parts, _ := r.mapping(n, "a match of "+what, matchedKeys)
		get := func(key string) string {
			if n := parts[key]; n != nil {
				return r.text(n, key+" of a match")
			}
			return ""
		}
		m := recipients.Match{Contact: get("contact"), Name: get("name"), By: recipients.Shared(get("by"))}
		if by := r.require(parts, n, "a match of "+what, "by", "number"); by != nil && !slices.Contains(recipients.AllShared, m.By) {
			r.add(nodePosition(by), "%s", unknownName("value of by", string(m.By), sharedNames))
		}
		out.Matches = append(out.Matches, m)
	}
	return out
}

// recipientsOf returns the recipients that a payload names. Numbers and contacts are not looked up.
func recipientsOf(p *schemas.Payload) *recipients.Set {
	in, _ := p.Args["input"].(map[string]any)
	s := &recipients.Set{}
	if addresses, _, fault := p.Senders(); addresses != nil || fault != "" {
		for _, a := range addresses {
			s.List = append(s.List, recipients.Recipient{Address: a, Kind: recipients.Email})
		}
		s.Count = len(s.List)
		return s
	}
	text := func(key string) string { v, _ := in[key].(string); return v }
	switch ids, _ := in["contactIds"].([]any); {
	case text("groupId") != "":
		s.Group, s.Count = text("groupId"), maxMembers
		if n, ok := in["contactLimit"].(json.Number); ok {
			if most, err := n.Int64(); err == nil && most < maxMembers {
				s.Count = int(most)
			}
		}
		return s
	case ids != nil:
		for _, id := range ids {
			v, _ := id.(string)
			s.List = append(s.List, recipients.Recipient{Contact: v})
		}
	default:
		s.List = []recipients.Recipient{{Contact: text("contactId"), Number: text("phoneNumber")}}
	}
	s.Count = len(s.List)
	return s
}

// usedUp parses the budgets that hold nothing more.
func (r *reader) usedUp(f *file, n *yaml.Node, what string) (out []*budget) {
	list, nodes := r.texts(n, what)
	for i, name := range list {
		switch b := f.budgets[name]; {
		case b == nil:
			r.add(nodePosition(nodes[i]), "%s", unknownName("budget", name, names(f.budgets)))
		case b.refill == 0:
			r.add(nodePosition(nodes[i]), "the budget %s has no over: confirm, so a call over it is rejected, whatever the policy decides: remove it from %s", name, what)
		default:
			out = append(out, b)
		}
	}
	return out
}

func (r *reader) expect(f *file, t *testCase, n *yaml.Node, what string) {
	parts, _ := r.mapping(n, what, expectKeys)
	if parts == nil {
		return
	}
	if parts["decision"] == nil && parts["rules"] == nil && parts["without"] == nil {
		r.add(nodePosition(n), "%s is empty: write a decision, or rules that must match", what)
	}
	if n := parts["decision"]; n != nil {
		t.decision = r.decision(n, "decision in "+what)
	}
	ids := namesOf(f.rules, func(u *rule) string { return u.id })
	ruleIDs := func(key string) []string {
		if parts[key] == nil {
			return nil
		}
		list, nodes := r.texts(parts[key], key+" in "+what)
		for i, id := range list {
			if !slices.Contains(ids, id) {
				r.add(nodePosition(nodes[i]), "%s", unknownName("rule", id, ids))
			}
		}
		return list
	}
	t.rules, t.without = ruleIDs("rules"), ruleIDs("without")
}
