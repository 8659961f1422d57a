package main

import (
	"fmt"
	"os"

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
		Use:   "actions",
		Short: "List the actions with class, toolset and decision",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runActions(p, o) },
	}
	policyFlag(c, &o.policies)
	c.Flags().BoolVar(&o.json, "json", false, "write JSON, also on a terminal")
	c.AddCommand(&cobra.Command{
		Use:   "diff FILE",
		Short: "Compare the actions with a newer copy of the published reference",
		Long: `Compare the actions of this program with a copy of the published reference of
Sippet's org API, saved as text. Every action added or removed and every input
or field that changed is a line; the exit code is 1 if there are any.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return runDiff(p, args[0]) },
	})
	return c
}

// listed is one action as the list shows it.
type listed struct {
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
	var all []listed
	for _, a := range schemas.Actions() {
		v := pol.Mildest(a, rules.Caller{})
		all = append(all, listed{a.Name, a.Title, a.Class, a.Toolsets, v.Decision, v.Why})
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

func runDiff(p *program, file string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the reference: %w", err)
	}
	theirs, err := schemas.ParseReference(string(page))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	lines := schemas.Diff(schemas.Facts(), theirs)
	for _, l := range lines {
		fmt.Fprintln(p.out, l)
	}
	if len(lines) > 0 {
		return exitCode(1)
	}
	fmt.Fprintf(p.out, "no difference: %d actions\n", len(theirs))
	return nil
}
