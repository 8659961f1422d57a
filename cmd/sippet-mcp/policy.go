package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newPolicy(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Check, test and explain policies",
		Long: `Check, test and explain policies. A policy is a YAML file. It says what an AI may do
alone, what a person must approve, and what never runs. Four are built in:
` + strings.Join(rules.Profiles, ", ") + `. With several policies the strictest decides:

  sippet-mcp stdio --policy desktop,quiet-hours.yaml

None of these commands changes or runs anything.`,
		Example: `  sippet-mcp policy lint quiet-hours.yaml
  sippet-mcp policy test quiet-hours.yaml
  sippet-mcp policy explain start_outbound_call '{"input":{"phoneNumber":"+442079460123"}}' --policy desktop,quiet-hours.yaml
  sippet-mcp policy diff desktop desktop,quiet-hours.yaml --since 7d`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPolicyLint(p), newPolicyTest(p), newPolicyExplain(p), newPolicyDiff(p), newPolicyShow(p), newPolicySchema(p))
	return c
}

func newPolicyShow(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Print a built-in policy",
		Long: `Print a built-in policy: ` + strings.Join(rules.Profiles, ", ") + `. A file that is added to
a policy can only be stricter. To allow more, copy the policy, change the copy, and use
it instead.`,
		Example: "  sippet-mcp policy show team > ours.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := rules.Profile(args[0])
			if err != nil {
				return err
			}
			_, err = p.out.Write(text)
			return err
		},
	}
}

func newPolicySchema(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policy files, for editors",
		Long: `Print the JSON Schema of policy files. An editor with YAML support, such as VS Code
with the YAML extension, completes keys and marks wrong ones. Begin a file with

  # yaml-language-server: $schema=policy.schema.json`,
		Example: "  sippet-mcp policy schema > policy.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := p.out.Write(rules.Schema())
			return err
		},
	}
}

// requirePolicies requires at least one profile or file.
func requirePolicies(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no policy is named: name files, or built-in policies: %s", strings.Join(rules.Profiles, ", "))
	}
	return nil
}

// policyFault is one reason why a policy cannot be loaded.
type policyFault struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Col     int    `json:"col,omitempty"`
	Message string `json:"message"`
	// Source is the line with a caret below the fault; empty if the fault has no line.
	Source string `json:"source,omitempty"`
}

// faultsOf splits a load error into its faults.
func faultsOf(err error) []policyFault {
	var all interface{ Unwrap() []error }
	var f *rules.Fault
	switch {
	case err == nil:
		return nil
	case errors.As(err, &all):
		var out []policyFault
		for _, e := range all.Unwrap() {
			out = append(out, faultsOf(e)...)
		}
		return out
	case errors.As(err, &f):
		source := f.Source
		if source == "" && f.Line > 0 {
			source = sourceLine(f.File, f.Line, f.Col)
		}
		return []policyFault{{f.File, f.Line, f.Col, f.Message, source}}
	}
	return []policyFault{{Message: err.Error()}}
}

// sourceLine returns a line of a file with a caret below the column; empty if it cannot be read.
func sourceLine(file string, line, col int) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(raw), "\n")
	if line > len(lines) || col < 1 {
		return ""
	}
	text := []rune(strings.ReplaceAll(strings.TrimSuffix(lines[line-1], "\r"), "\t", " "))
	at := min(col-1, len(text))
	const before, most = 60, 110
	if at > before && len(text) > most {
		text, at = append([]rune("…"), text[at-before:]...), before+1
	}
	if len(text) > most {
		text = append(text[:most], '…')
	}
	for i, r := range text {
		if _, n := schemas.Clean(string(r)); n > 0 {
			text[i] = '�' // as wide as its replacement, so that the caret is right
		}
	}
	return "    " + string(text) + "\n    " + strings.Repeat(" ", at) + "^"
}

// show prints a fault for a person.
func (f policyFault) show(p *program, paint func(code, s string) string) {
	at := ""
	switch {
	case f.Line > 0:
		at = fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Col)
	case f.File != "":
		at = f.File + ": "
	}
	fmt.Fprintf(p.out, "%s%s %s\n", paint(bold, schemas.Escape(at, 300)), paint(red, "error:"), schemas.Escape(f.Message, 1000))
	if f.Source != "" {
		for line := range strings.SplitSeq(f.Source, "\n") {
			if strings.TrimSpace(line) == "^" {
				line = paint(red, line)
			}
			fmt.Fprintln(p.out, line)
		}
	}
}

// policyNames splits names at commas.
func policyNames(s string) []string {
	var out []string
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
