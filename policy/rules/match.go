package rules

import (
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// match selects calls. An empty list selects every call.
type match struct {
	actions, classes, toolsets, roles patterns
	roleRefs                          []roleRef // the roles and their positions, for lint
}

// roleRef is a role that a rule names, and its position.
type roleRef struct {
	role string
	at   position
}

// patterns are globs for names. A name must match one of include, unless that is empty, and none of
// exclude.
type patterns struct{ include, exclude []string }

// any reports whether the patterns select something with these names.
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

// action reports whether the rule matches the action, for any caller.
func (m *match) action(a *schemas.Action) bool {
	toolsets := make([]string, 0, len(a.Toolsets))
	for _, t := range a.Toolsets {
		toolsets = append(toolsets, string(t))
	}
	return m.actions.any(a.Name) && m.classes.any(string(a.Class)) && m.toolsets.any(toolsets...)
}

// caller reports whether the rule matches the caller.
func (m *match) caller(c Caller) bool {
	return len(m.roles.include)+len(m.roles.exclude) == 0 || m.roles.any(c.Roles...)
}

// glob reports whether the name matches the pattern, in which * matches any characters.
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

// The names that the patterns of a file may match.
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

// hiddenFields returns the fields of the action's answer that the patterns of a redaction match.
func hiddenFields(globs []string, a *schemas.Action) []string {
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
