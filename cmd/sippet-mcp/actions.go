package main

import (
	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type actionsOptions struct {
	policies []string
	json     bool
}

func newActions(p *program) *cobra.Command {
	o := &actionsOptions{}
	c := &cobra.Command{
		Use:     "actions",
		Short:   "List the actions with class, toolset and decision",
		Example: "  sippet-mcp actions --policy team",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runActions(p, o) },
	}
	policyFlag(c, &o.policies)
	c.Flags().BoolVar(&o.json, "json", false, "write JSON on a terminal too")
	c.AddCommand(newActionsDiff(p))
	return c
}

// listedAction is an action as the list shows it.
type listedAction struct {
	Name     string            `json:"name"`
	Title    string            `json:"title"`
	Class    schemas.Class     `json:"class"`
	Toolsets []schemas.Toolset `json:"toolsets"`
	Decision rules.Decision    `json:"decision"`
	Why      string            `json:"why"`
}

func runActions(p *program, o *actionsOptions) error {
	pol, err := rules.Load(o.policies...)
	if err != nil {
		return err
	}
	var all []listedAction
	for _, a := range schemas.Actions() {
		v := pol.Mildest(a, rules.Caller{})
		all = append(all, listedAction{a.Name, a.Title, a.Class, a.Toolsets, v.Decision, v.Why})
	}
	if o.json || !p.outTerminal {
		return writeJSONIndented(p.out, all)
	}
	t := newTable(p, columns("action", "class", "toolset", "decision", "what it does")...)
	for _, a := range all {
		t.row(a.Name, string(a.Class), string(a.Toolsets[0]), a.Decision.String(), a.Title)
	}
	t.flush()
	return nil
}
