package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// decisionColour is green without an approval, yellow with one, red if nothing runs.
func decisionColour(d rules.Decision) string {
	switch d {
	case rules.Allow, rules.Validate:
		return green
	case rules.Confirm, rules.Approve:
		return yellow
	}
	return red
}

// show prints an explanation for a person.
func (e *explained) show(p *program) {
	paint, w := painter(p), p.out
	sure := ""
	if e.Uncertain {
		sure = paint(yellow, " (uncertain: see the note)")
	}
	fmt.Fprintf(w, "%s: %s%s\n", paint(bold, e.Action), paint(decisionColour(e.Decision), e.Decision.String()), sure)
	fmt.Fprintf(w, "  %s.\n", upper(e.Means))
	fmt.Fprintf(w, "  Why: %s.\n\n", schemas.Escape(e.Why, 1000))

	who := schemas.Escape(e.Caller.ID, 80)
	if e.Caller.Person != "" && e.Caller.Person != e.Caller.ID {
		who += " of " + schemas.Escape(e.Caller.Person, 80)
	}
	roles := "no roles"
	if len(e.Caller.Roles) > 0 {
		roles = "roles " + schemas.Escape(strings.Join(e.Caller.Roles, ", "), 200)
	}
	fmt.Fprintf(w, "caller    %s, %s\n", who, roles)
	fmt.Fprintf(w, "time      %s\n", e.At.Local().Format("Mon 2 Jan 2006 15:04 MST"))
	fmt.Fprintf(w, "policy    %s (version %s)\n", schemas.Escape(e.Policy, 200), e.Version)
	fmt.Fprintf(w, "default   %s (%s)\n", e.Default, schemas.Escape(e.Because, 300))
	if e.Recipients != nil {
		fmt.Fprintf(w, "rings     %s\n", schemas.Escape(e.Recipients.Summary, 300))
		lines := e.Recipients.Lines(10)
		for _, l := range lines {
			fmt.Fprintf(w, "            %s\n", l)
		}
		if more := len(e.Recipients.List) - len(lines); more > 0 && e.Recipients.Known {
			fmt.Fprintf(w, "            and %d more\n", more)
		}
	}
	for _, b := range e.Budgets {
		left := "what is left is unknown: there is no ledger yet"
		if b.Left != nil {
			left = fmt.Sprintf("%d of %d left", *b.Left, b.Holds)
			if b.Full != nil {
				left += ", full again " + shortTime(*b.Full, time.Now())
			}
			switch {
			case *b.Left >= b.Takes:
			case b.Refill > 0:
				left = paint(yellow, left+": a person is asked")
			default:
				left = paint(red, left+": not enough")
			}
		}
		takes := strconv.FormatInt(b.Takes, 10)
		if b.Takes == 0 {
			takes = "one for each person it shows"
		}
		fmt.Fprintf(w, "budget    %s (%s): takes %s; %s\n", schemas.Escape(b.Budget, 100), schemas.Escape(b.Key, 100), takes, left)
	}
	if len(e.Hidden) > 0 {
		fmt.Fprintf(w, "hidden    %s\n", strings.Join(e.Hidden, ", "))
	}
	e.showRules(p, paint)
	for _, n := range e.Notes {
		fmt.Fprintf(w, "\n%s %s\n", paint(yellow, "note:"), schemas.Escape(n, 1000))
	}
}

// ruleStates lists the states of rules, the most important first, and how each is shown.
var ruleStates = []struct {
	state         rules.State
	label, colour string
}{
	{rules.Matched, "matches", green},
	{rules.Failed, "cannot be decided", red},
	{rules.Exempt, "exempt", yellow},
	{rules.NotWhen, "condition is false", faint},
	{rules.NotCaller, "for other roles", faint},
}

func (e *explained) showRules(p *program, paint func(code, s string) string) {
	if len(e.Rules) == 0 {
		fmt.Fprintf(p.out, "\nThe policy has no rules.\n")
		return
	}
	shown := 0
	fmt.Fprintln(p.out)
	for _, f := range ruleStates {
		for _, s := range e.Rules {
			if s.State != f.state {
				continue
			}
			shown++
			what := s.Reason
			if s.Detail != "" {
				what += " — " + s.Detail
			}
			fmt.Fprintf(p.out, "%s  %s: %s\n", paint(f.colour, fmt.Sprintf("%-18s", f.label)), paint(bold, s.Rule), s.Does)
			fmt.Fprintf(p.out, "%-18s  %s\n", "", paint(faint, fmt.Sprintf("%s (%s:%d)", schemas.Escape(what, 600), schemas.Escape(s.Policy, 100), s.Line)))
			if i := slices.IndexFunc(e.Exempted, func(x rules.Exempted) bool { return x.Rule == s.Rule }); i >= 0 && s.State == rules.Exempt {
				fmt.Fprintf(p.out, "%-18s  %s\n", "", paint(faint, "until "+e.Exempted[i].Until))
			}
		}
	}
	if others := len(e.Rules) - shown; others > 0 {
		fmt.Fprintf(p.out, "%s about other actions\n", count(others, "rule"))
	}
}

// upper makes the first letter upper case.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
