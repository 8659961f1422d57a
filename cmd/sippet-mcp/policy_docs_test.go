package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

const docs = "../../docs/"

// TestGuideFiles loads, lints and tests each file of the guide. Each rule must have a test.
func TestGuideFiles(t *testing.T) {
	files, err := filepath.Glob(docs + "policies/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		var out bytes.Buffer
		if code := (&program{out: &out, err: &out, env: os.Getenv}).run(t.Context(), []string{"policy", "test", file}); code != 0 {
			t.Errorf("policy test %s: %s", file, out.String())
		}
		p, err := rules.Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if r := rules.RunTests(p); len(r.Unfired) > 0 || len(r.Results) == 0 {
			t.Errorf("%s: rules that no test fires: %v", file, r.Unfired)
		}
		for _, f := range p.Lint() {
			t.Error(f)
		}
		if with := []string{"desktop", file}; p.WithoutDefaults() {
			if found, err := rules.LintFiles(with...); err != nil || len(found) > 0 && !strings.Contains(file, "on-call") { // its exemption expires
				t.Errorf("%v: %v %v", with, found, err)
			}
		}
	}
}

// TestGuide compares each block of YAML with the file that the line before links to. After "From"
// it may be an excerpt.
func TestGuide(t *testing.T) {
	raw, err := os.ReadFile(docs + "policy.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`^(From )?\[([a-z0-9-]+\.yaml)\]\(policies/([a-z0-9-]+\.yaml)\):$`)
	lines := strings.SplitAfter(string(raw), "\n")
	var shown []string
	for i := 0; i < len(lines); i++ {
		if !strings.HasPrefix(strings.TrimSpace(lines[i]), "```yaml") {
			continue
		}
		before := ""
		for j := i - 1; j >= 0 && before == ""; j-- {
			before = strings.TrimSpace(lines[j])
		}
		end := i + 1 + slices.Index(lines[i+1:], "```\n")
		block := strings.Join(lines[i+1:end], "")
		m := link.FindStringSubmatch(before)
		if m == nil || m[2] != m[3] {
			t.Errorf("line %d: the line before a block of YAML must link to its file, not %q", i+1, before)
			continue
		}
		file, err := os.ReadFile(docs + "policies/" + m[2])
		switch {
		case err != nil:
			t.Error(err)
		case m[1] == "" && string(file) != block:
			t.Errorf("line %d: the block is not %s", i+1, m[2])
		case !strings.Contains("\n"+string(file), "\n"+block):
			t.Errorf("line %d: the block is not an excerpt of %s", i+1, m[2])
		}
		shown = append(shown, m[2])
		i = end
	}
	files, _ := filepath.Glob(docs + "policies/*.yaml")
	for _, f := range files {
		if !slices.Contains(shown, filepath.Base(f)) {
			t.Errorf("the guide does not show %s", f)
		}
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(string(raw), -1) {
		heading := regexp.MustCompile(`(?mi)^#+ ` + strings.ReplaceAll(m[1], "-", "[ -]") + `$`)
		if !heading.Match(raw) {
			t.Errorf("no heading for #%s", m[1])
		}
	}
}

// TestRoles checks that tokens and policies have the same roles.
func TestRoles(t *testing.T) {
	if !slices.Equal(knownRoles, rules.Roles) {
		t.Errorf("%v and %v", knownRoles, rules.Roles)
	}
}

// TestGuideCommands parses each command line of the guide.
func TestGuideCommands(t *testing.T) {
	raw, err := os.ReadFile(docs + "policy.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(raw), "\\\n", " ")
	seen := 0
	for line := range strings.SplitSeq(text, "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "sippet-mcp ")
		if !ok || !strings.HasPrefix(line, "    ") {
			continue
		}
		rest, _, _ = strings.Cut(rest, " | ")
		c, args, err := newRoot(&program{env: os.Getenv}).Find(strings.Fields(rest))
		if err == nil {
			err = c.ParseFlags(args)
		}
		if err == nil && c.Args != nil {
			err = c.Args(c, c.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		seen++
	}
	if seen < 8 {
		t.Errorf("only %d commands", seen)
	}
	if every := map[time.Duration]string{time.Second: "every second", 2 * time.Second: "every two seconds"}[policy.PollInterval]; every == "" ||
		!strings.Contains(text, "A server checks its policy files "+every+".") {
		t.Errorf("the guide does not say that policy files are checked every %s", policy.PollInterval)
	}
	for _, k := range recipients.Kinds {
		if !strings.Contains(text, "`"+string(k)+"`") {
			t.Errorf("the guide does not name the kind %s", k)
		}
	}
	for _, name := range slices.Concat(rules.Roles, rules.Profiles) {
		if !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("the guide does not explain %s", name)
		}
	}
}
