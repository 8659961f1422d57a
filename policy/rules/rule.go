package rules

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// rules parses the rules of a file.
func (r *reader) rules(f *file, n *yaml.Node) {
	list := r.list(n, "rules")
	if len(list) > maxRules {
		r.add(nodePosition(n), "the file has %d rules, and may have at most %d: split it into several files", len(list), maxRules)
		return
	}
	seen := map[string]position{}
	for _, n := range list {
		parts, _ := r.mapping(n, "a rule", ruleKeys)
		if parts == nil {
			continue
		}
		u := &rule{at: nodePosition(n), file: f}
		what := "a rule"
		if n := r.require(parts, n, what, "id", "some-name"); n != nil {
			u.id, u.at = r.text(n, "id of a rule"), nodePosition(n)
			switch first, twice := seen[u.id]; {
			case u.id == "":
			case !idPattern.MatchString(u.id):
				r.add(nodePosition(n), "the rule's id %s must consist of at most 64 letters, digits, . _ and -", quote(u.id))
			case twice:
				r.add(nodePosition(n), "the rule %s is a duplicate of line %d: change the id of one of them", u.id, first.line)
			}
			seen[u.id] = nodePosition(n)
			what = "the rule " + u.id
		}
		if n := r.require(parts, n, what, "reason", "a sentence for the person or model that reads the decision"); n != nil {
			u.reason = r.line(n, "reason of "+what)
		}
		if n := parts["match"]; n != nil {
			u.match = r.match(n, what)
		}
		if n := parts["when"]; n != nil {
			u.when = r.expression(n, "when of "+what)
		}
		r.effect(f, u, parts, n, what)
		f.rules = append(f.rules, u)
	}
}

// effect parses the effect of a rule.
func (r *reader) effect(f *file, u *rule, parts map[string]*yaml.Node, n *yaml.Node, what string) {
	given := 0
	for _, k := range []string{"decision", "limit", "redact"} {
		if parts[k] != nil {
			given++
		}
	}
	if given != 1 {
		r.add(nodePosition(n), "%s has %s of decision, limit and redact: write exactly one", what, []string{"none", "one", "two", "all"}[given])
		return
	}
	if n := parts["decision"]; n != nil {
		if u.decision = r.decision(n, "decision of "+what); u.decision == Allow {
			r.add(nodePosition(n), "%s decides allow, which has no effect, since rules only make decisions stricter: set a milder default in defaults.action, or an exemption from the rule that is too strict", what)
		}
	}
	if n := parts["limit"]; n != nil {
		if name := r.text(n, "limit of "+what); name != "" {
			if u.limit = f.budgets[name]; u.limit == nil {
				r.add(nodePosition(n), "%s", unknownName("budget", name, names(f.budgets)))
			}
		}
	}
	if n := parts["redact"]; n != nil {
		var nodes []*yaml.Node
		u.redact, nodes = r.texts(n, "redact of "+what)
		for i, g := range u.redact {
			r.redaction(nodes[i], g)
		}
		if w := parts["when"]; w != nil {
			r.add(nodePosition(w), "%s redacts and has a when: hidden fields depend on the caller only, so remove when and name roles in match", what)
		}
	}
}

// reading rejects a limit by persons shown of anything but reads: only their answers are counted.
func (r *reader) reading(u *rule, about []*schemas.Action) {
	for _, a := range about {
		if a.Class != schemas.Read {
			r.add(u.at, "the rule %s limits by %s, which takes the persons that reads show, and matches %s: write match: {classes: [read]}", u.id, u.limit.name, a.Name)
			return
		}
	}
}

// redaction rejects a pattern that hides nothing.
func (r *reader) redaction(n *yaml.Node, g string) {
	var all, fields []string
	for name, res := range schemas.Resources() {
		for _, f := range res.Names() {
			if glob(g, name+"."+f) {
				return
			}
			all = append(all, name+"."+f)
			if head, _, _ := strings.Cut(g, "."); head == name {
				fields = append(fields, f)
			}
		}
	}
	slices.Sort(all)
	resource, field, dot := strings.Cut(g, ".")
	switch {
	case !dot:
		r.add(nodePosition(n), "%s names no field: write a resource and a field, such as Contact.dateOfBirth", quote(g))
	case fields != nil && !strings.Contains(g, "*"):
		r.add(nodePosition(n), "%s", unknownName("field of "+resource, field, fields))
	case strings.Contains(g, "*"):
		r.add(nodePosition(n), "%s matches no field of any resource", quote(g))
	default:
		r.add(nodePosition(n), "%s", unknownName("resource", resource, names(schemas.Resources())))
	}
}

func (r *reader) match(n *yaml.Node, what string) (m match) {
	parts, _ := r.mapping(n, "match of "+what, matchKeys)
	for _, p := range []struct {
		key, what string
		into      *patterns
		valid     []string
	}{
		{"actions", "action", &m.actions, actionNames},
		{"classes", "class", &m.classes, classNames},
		{"toolsets", "toolset", &m.toolsets, toolsetNames},
		{"roles", "role", &m.roles, nil},
	} {
		n := parts[p.key]
		if n == nil {
			continue
		}
		list, nodes := r.texts(n, p.key+" of "+what)
		for i, s := range list {
			g, negated := strings.CutPrefix(s, "!")
			if p.key == "roles" {
				m.roleRefs = append(m.roleRefs, roleRef{g, nodePosition(nodes[i])})
			}
			switch {
			case g == "":
				r.add(nodePosition(nodes[i]), "%s names no %s", quote(s), p.what)
			case p.valid == nil, slices.ContainsFunc(p.valid, func(v string) bool { return glob(g, v) }):
			case strings.Contains(g, "*"):
				r.add(nodePosition(nodes[i]), "%s matches no %s", quote(s), p.what)
			default:
				r.add(nodePosition(nodes[i]), "%s", unknownName(p.what, g, p.valid))
			}
			if negated {
				p.into.exclude = append(p.into.exclude, g)
			} else {
				p.into.include = append(p.into.include, g)
			}
		}
	}
	return m
}

// exemptions parses the exemptions and adds each to its rule.
func (r *reader) exemptions(f *file, n *yaml.Node) {
	byID := map[string]*rule{}
	for _, u := range f.rules {
		byID[u.id] = u
	}
	list := r.list(n, "exempt")
	if len(list) > maxRules {
		r.add(nodePosition(n), "the file has %d exemptions, and may have at most %d: remove the expired ones", len(list), maxRules)
		return
	}
	for _, n := range list {
		parts, _ := r.mapping(n, "an exemption", exemptKeys)
		if parts == nil {
			continue
		}
		x := &exemption{at: nodePosition(n)}
		what := "an exemption"
		var u *rule
		if n := r.require(parts, n, what, "rule", "the id of a rule"); n != nil {
			if id := r.text(n, "rule of an exemption"); id != "" {
				what = "the exemption from " + id
				switch u = byID[id]; {
				case u == nil:
					r.add(nodePosition(n), "%s (an exemption must be in the file of its rule)", unknownName("rule", id, names(byID)))
				case u.redact != nil:
					r.add(nodePosition(n), "the rule %s redacts, so it cannot have an exemption: write match: {roles: [\"!some-role\"]} in the rule", id)
				}
			}
		}
		if n := r.require(parts, n, what, "reason", "a sentence for the audit log"); n != nil {
			x.reason = r.line(n, "reason of "+what)
		}
		if n := r.require(parts, n, what, "until", "2027-01-31, its last day"); n != nil {
			until, err := time.Parse(time.DateOnly, n.Value)
			if err != nil {
				r.add(nodePosition(n), "until of %s must be its last day, such as 2027-01-31 (UTC), not %s", what, describe(n))
			}
			x.until = until
		}
		if n := parts["when"]; n != nil {
			x.when = r.expression(n, "when of "+what)
		}
		if u != nil {
			u.exempt = append(u.exempt, x)
		}
	}
}
