package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPoliciesOnATerminal checks the words and colours for a person.
func TestPoliciesOnATerminal(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("apiVersion: sippet.policy/v1\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrong := write("wrong.yaml", "rules:\n  - {id: a, decision: dney, reason: \"x\u202e\x1b\"}\n")
	caret := write("caret.yaml", "ruls: []\n")
	notes := write("notes.yaml", "rules: [{id: never, when: false, decision: deny, reason: R}]\n")
	fails := write("fails.yaml", "defaults: {class: {read: allow}}\nrules: [{id: a, match: {actions: [end_call]}, decision: deny, reason: R}]\n"+
		"tests: [{name: look, call: {action: list_calls}, expect: {decision: deny}}]\n")
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"lint", wrong}, 1, []string{"\x1b[31merror:\x1b[0m", "\x1b[31m1 error\x1b[0m, 0 notes"}},
		{[]string{"lint", caret}, 1, []string{caret + ":2:1: ", "unknown key \"ruls\", did you mean rules? (in a policy file)\n    ruls: []\n\x1b[31m    ^\x1b[0m\n"}},
		{[]string{"lint", notes}, 0, []string{"notes.yaml:2:14: \x1b[0m\x1b[33mnote:\x1b[0m the rule never never matches", "no errors, 2 notes"}},
		{[]string{"lint", "desktop", "team"}, 0, []string{"desktop, team: \x1b[32mno errors, no notes\x1b[0m\n"}},
		{[]string{"test", fails}, 1, []string{"FAIL fails.yaml:4:\x1b[0m look\n    expected deny, got allow (policy fails.yaml: default for read actions is allow)", "\x1b[31m1 failed\x1b[0m, 0 passed; 0 of 1 rule fired", "no test fires\x1b[0m a\n"}},
		{[]string{"explain", "start_bulk_outbound_call", `{"input":{"contactIds":["0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"]}}`, "--recipients", "+442079460123"}, 0,
			[]string{"\x1b[1mstart_bulk_outbound_call\x1b[0m: \x1b[33mconfirm\x1b[0m\n  It runs after the caller's person has approved it.\n",
				"rings     1 number in GB\n            +44 20 7946 0123 (GB, fixed line)\n", "takes 1; what is left is unknown", "3 rules about other actions"[1:]}},
		{[]string{"diff", "desktop", "team", "--since", "2h"}, 1, []string{"nothing is recorded in "}},
	} {
		t.Run(strings.Join(c.args[:2], " "), func(t *testing.T) {
			code, out, errs := runTerminal(t, append([]string{"policy"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, errs)
			}
			for _, w := range c.want {
				if !strings.Contains(out+errs, w) {
					t.Errorf("no %q in\n%s", w, out+errs)
				}
			}
			if strings.Contains(out+errs, "\u202e") || strings.Contains(out+errs, "\x1b\"") {
				t.Errorf("a control character of the file is printed: %q", out)
			}
		})
	}
}
