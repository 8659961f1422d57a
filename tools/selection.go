package tools

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Selection chooses which actions are tools. The zero value chooses all.
type Selection struct {
	// Toolsets and Tools are names; both choose, and if both are empty, all actions are chosen.
	Toolsets, Tools []string
	// ReadOnly leaves only reads.
	ReadOnly bool
}

// actions returns the selected actions in the registry's order. It returns an error for an unknown
// name, and if no action is left.
func (s Selection) actions() ([]*schemas.Action, error) {
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
		if s.includes(a) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the selection leaves no tool: add toolsets or tools, or leave out read-only")
	}
	return out, nil
}

func (s Selection) includes(a *schemas.Action) bool {
	if s.ReadOnly && a.Class != schemas.Read {
		return false
	}
	if len(s.Toolsets) == 0 && len(s.Tools) == 0 || slices.Contains(s.Tools, a.Name) {
		return true
	}
	return slices.ContainsFunc(s.Toolsets, func(t string) bool { return a.In(schemas.Toolset(t)) })
}
