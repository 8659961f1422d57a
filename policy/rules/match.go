package rules

import (
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// match says which calls a rule is about. What it does not mention, any call has.
type match struct {
	actions, classes, toolsets, roles patterns
	named                             []named // the roles, for lint
}

// named is a role that a rule names, and where.
type named struct {
	role string
	at   position
}

// patterns are names with globs: one of yes, where there is any, and none of no.
type patterns struct{ include, exclude []string }

// any reports whether the patterns take something that has these names.
func (p patterns) any(names ...string) bool {
	has := func(globs []string) bool {
		for _, g := range globs {
			for _, n := range names {
				if glob(g, n) {
					return true
				}
			}
		}
		return false
	}
	return (len(p.include) == 0 || has(p.include)) && !has(p.exclude)
}

// action reports whether the rule is about the action, whoever calls it.
func (m *match) action(a *schemas.Action) bool {
	toolsets := make([]string, 0, len(a.Toolsets))
	for _, t := range a.Toolsets {
		toolsets = append(toolsets, string(t))
	}
	return m.actions.any(a.Name) && m.classes.any(string(a.Class)) && m.toolsets.any(toolsets...)
}

// caller reports whether the rule is about the caller.
func (m *match) caller(c Caller) bool {
	return len(m.roles.include)+len(m.roles.exclude) == 0 || m.roles.any(c.Roles...)
}

// glob reports whether the name fits the pattern, in which * stands for any number of characters.
func glob(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	for _, p := range parts[:len(parts)-1] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}

// The names that patterns of a file can mean.
var (
	actionNames  = namesOf(schemas.Actions(), func(a *schemas.Action) string { return a.Name })
	classNames   = namesOf(schemas.Classes, func(c schemas.Class) string { return string(c) })
	toolsetNames = namesOf(schemas.Toolsets, func(t schemas.Toolset) string { return string(t) })
)

func namesOf[T any](all []T, name func(T) string) []string {
	var out []string
	for _, v := range all {
		out = append(out, name(v))
	}
	return out
}

// hides gives the fields of the action's answer that the patterns of a redaction mean.
func hides(globs []string, a *schemas.Action) []string {
	if a.Resource == nil {
		return nil
	}
	var out []string
	for _, f := range a.Resource.Names() {
		name := a.Resource.Name + "." + f
		if slices.ContainsFunc(globs, func(g string) bool { return glob(g, name) }) {
			out = append(out, name)
		}
	}
	return out
}
