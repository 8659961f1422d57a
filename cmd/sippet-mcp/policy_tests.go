package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newPolicyTest(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE...",
		Short: "Run the tests in policy files",
		Long: `Run the tests in policy files. A test is a call and the decision that is expected:

  tests:
    - name: nobody is rung at night
      now: 2026-01-07T23:00:00Z
      as: {roles: [agent]}
      call: {action: start_outbound_call, input: {phoneNumber: "+442079460123"}}
      expect: {decision: deny, rules: [quiet-hours]}

expect has the decision, the rules that must match, and the rules that must not match
(without). Each file is tested alone. The output names rules that no test fires: they
are untested. The exit code is 1 if a test fails.`,
		Example: "  sippet-mcp policy test quiet-hours.yaml desktop",
		Args:    requirePolicies,
		RunE:    func(_ *cobra.Command, args []string) error { return runPolicyTest(p, args) },
	}
}

// tested is the output for a pipe.
type tested struct {
	OK       bool          `json:"ok"`
	Policies []testedFile  `json:"policies"`
	Errors   []policyFault `json:"errors,omitempty"`
}

type testedFile struct {
	Policy string `json:"policy"`
	Passed int    `json:"passed"`
	Failed int    `json:"failed"`
	rules.Report
}

func runPolicyTest(p *program, names []string) error {
	out := tested{OK: true, Policies: []testedFile{}}
	for _, name := range names {
		pol, err := rules.Load(name)
		if err != nil {
			out.OK, out.Errors = false, append(out.Errors, faultsOf(err)...)
			continue
		}
		f := testedFile{Policy: pol.Name(), Report: rules.RunTests(pol)}
		for _, r := range f.Results {
			if r.Passed {
				f.Passed++
			} else {
				f.Failed++
			}
		}
		out.OK = out.OK && f.Failed == 0
		out.Policies = append(out.Policies, f)
	}
	if !p.outTerminal {
		if err := writeJSON(p.out, out); err != nil {
			return err
		}
	} else {
		out.show(p)
	}
	if !out.OK {
		return exitCode(1)
	}
	return nil
}

func (t *tested) show(p *program) {
	paint := painter(p)
	for _, f := range t.Errors {
		f.show(p, paint)
	}
	for _, f := range t.Policies {
		name := schemas.Escape(f.Policy, 200)
		for _, r := range f.Results {
			if !r.Passed {
				fmt.Fprintf(p.out, "%s %s\n    %s\n", paint(red, fmt.Sprintf("FAIL %s:%d:", name, r.Line)), schemas.Escape(r.Name, 200), schemas.Escape(r.Why, 1000))
			}
		}
		if len(f.Results) == 0 {
			fmt.Fprintf(p.out, "%s %s has no tests\n", paint(yellow, "note:"), name)
			continue
		}
		verdict := paint(green, fmt.Sprintf("%d passed", f.Passed))
		if f.Failed > 0 {
			verdict = paint(red, fmt.Sprintf("%d failed", f.Failed)) + fmt.Sprintf(", %d passed", f.Passed)
		}
		fmt.Fprintf(p.out, "%s: %s; %d of %s fired\n", name, verdict, f.Rules-len(f.Unfired), count(f.Rules, "rule"))
		if len(f.Unfired) > 0 {
			fmt.Fprintf(p.out, "    %s %s\n", paint(yellow, "no test fires"), schemas.Escape(strings.Join(f.Unfired, ", "), 1000))
		}
	}
}
