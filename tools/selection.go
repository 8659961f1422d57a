package tools

import (
	"fmt"
	"slices"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Selection narrows which actions are shown as tools. The zero value shows all.
type Selection struct {
	// Toolsets and Tools name what is shown: the union of both; all where both are empty.
	Toolsets, Tools []string
	// ReadOnly shows reads only.
	ReadOnly bool
}

// Actions gives what is selected, in the registry's order. Unknown names, and a selection of nothing, are errors.
func (s Selection) Actions() ([]*schemas.Action, error) {
	for _, t := range s.Toolsets {
		if !slices.Contains(schemas.Toolsets, schemas.Toolset(t)) {
			return nil, fmt.Errorf("unknown toolset %q, valid: %v", t, schemas.Toolsets)
		}
	}
	for _, t := range s.Tools {
		if _, err := schemas.Find(t); err != nil {
			return nil, fmt.Errorf("selecting tools: %w", err)
		}
	}
	var out []*schemas.Action
	for _, a := range schemas.Actions() {
		if s.shows(a) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the selection leaves no tool: loosen the toolsets, tools or read-only")
	}
	return out, nil
}

func (s Selection) shows(a *schemas.Action) bool {
	if s.ReadOnly && a.Class != schemas.Read {
		return false
	}
	if len(s.Toolsets) == 0 && len(s.Tools) == 0 || slices.Contains(s.Tools, a.Name) {
		return true
	}
	return slices.ContainsFunc(s.Toolsets, func(t string) bool { return a.In(schemas.Toolset(t)) })
}
