package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newPolicyLint(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "lint FILE...",
		Short: "Find errors and likely mistakes in policies",
		Long: `Find errors and likely mistakes in policies: in each file alone, and in all of them
together, as --policy would load them.

A policy with an error cannot be loaded, and the exit code is 1. A note is a likely
mistake: a rule that never matches or never has an effect, a list or budget that no
rule uses, a role that nothing else names, an expired exemption. With notes only, the
exit code is 0.`,
		Example: `  sippet-mcp policy lint quiet-hours.yaml
  sippet-mcp policy lint desktop quiet-hours.yaml     each alone, and both together`,
		Args: requirePolicies,
		RunE: func(_ *cobra.Command, args []string) error { return runPolicyLint(p, args) },
	}
}

// linted is the output for a pipe.
type linted struct {
	OK     bool            `json:"ok"`
	Errors []policyFault   `json:"errors"`
	Notes  []rules.Finding `json:"notes"`
}

func runPolicyLint(p *program, names []string) error {
	findings, err := rules.LintFiles(names...)
	out := linted{OK: err == nil, Errors: faultsOf(err), Notes: findings}
	if out.Errors == nil {
		out.Errors = []policyFault{}
	}
	if out.Notes == nil {
		out.Notes = []rules.Finding{}
	}
	if !p.outTerminal {
		if err := writeJSON(p.out, out); err != nil {
			return err
		}
	} else {
		out.show(p, names)
	}
	if !out.OK {
		return exitCode(1)
	}
	return nil
}

func (l *linted) show(p *program, names []string) {
	paint := painter(p)
	for _, f := range l.Errors {
		f.show(p, paint)
	}
	for _, n := range l.Notes {
		at := ""
		if n.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d: ", n.Policy, n.Line, n.Col)
		}
		fmt.Fprintf(p.out, "%s%s %s\n", paint(bold, schemas.Escape(at, 300)), paint(yellow, "note:"), schemas.Escape(n.Message, 1000))
	}
	switch what := strings.Join(names, ", "); {
	case !l.OK:
		fmt.Fprintf(p.out, "\n%s, %s\n", paint(red, count(len(l.Errors), "error")), count(len(l.Notes), "note"))
	case len(l.Notes) > 0:
		fmt.Fprintf(p.out, "\n%s: no errors, %s\n", schemas.Escape(what, 200), count(len(l.Notes), "note"))
	default:
		fmt.Fprintf(p.out, "%s: %s\n", schemas.Escape(what, 200), paint(green, "no errors, no notes"))
	}
}
