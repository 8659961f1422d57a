package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// eachCommand calls f for a command and all below it.
func eachCommand(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		eachCommand(sub, f)
	}
}

func testRoot(env map[string]string) *cobra.Command {
	return newRoot(&program{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}, env: func(name string) string { return env[name] },
		terminal: func() (terminal, error) { return nil, errors.New("none") }})
}

var variableInText = regexp.MustCompile(`\bSIPPET_[A-Z_]*[A-Z]\b`)

// otherVariables are those that no flag has.
var otherVariables = []string{"SIPPET_SECRET_KEY", "SIPPET_APPROVER_TOKEN", "SIPPET_NOTIFY_URL", "SIPPET_NOTIFY_SECRET"}

// TestVariables checks that the help of a flag names its environment variable and no other, and
// that no other variable sets it.
func TestVariables(t *testing.T) {
	values := map[string]string{"bool": "true", "string": "x", "stringSlice": "x", "stringArray": "x", "duration": "7m", "int": "7", "uint64": "7", "float64": "7"}
	eachCommand(testRoot(nil), func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			variable := variableOf(f)
			var named []string
			for _, v := range variableInText.FindAllString(f.Usage, -1) {
				if !slices.Contains(otherVariables, v) {
					named = append(named, v)
				}
			}
			if variable == "" && named != nil || variable != "" && (!slices.Equal(named, []string{variable}) || !strings.HasSuffix(f.Usage, "["+variable+"]")) {
				t.Errorf("%v --%s has the variable %q, and its help is %q", path, f.Name, variable, f.Usage)
			}
			for _, name := range []string{variable, "SIPPET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))} {
				if name == "" {
					continue
				}
				value := values[f.Value.Type()]
				sub, _, err := testRoot(nil).Find(path)
				must(t, err)
				env := func(v string) string { return map[string]string{name: value}[v] }
				must(t, fromEnvironment(sub, env))
				if set := sub.Flag(f.Name) != nil && sub.Flag(f.Name).Changed; set != (name == variable) {
					t.Errorf("%v --%s: %s sets it: %v", path, f.Name, name, set)
				}
			}
		})
	})
}

// TestOneOffFlags checks that no variable answers for a person, or stays set after its command.
func TestOneOffFlags(t *testing.T) {
	seen := map[string]bool{"note": false, "json": false, "url": false, "yes": false, "again": false}
	eachCommand(testRoot(nil), func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, known := seen[f.Name]; known {
				seen[f.Name] = true
				if v := variableOf(f); v != "" {
					t.Errorf("%s --%s is set by %s", c.CommandPath(), f.Name, v)
				}
			}
		})
	})
	for name, found := range seen {
		if !found {
			t.Errorf("no command has --%s", name)
		}
	}
}

// TestDocumentedVariables checks that the documents name no variable that does not exist.
func TestDocumentedVariables(t *testing.T) {
	known := slices.Clone(otherVariables)
	eachCommand(testRoot(nil), func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { known = append(known, variableOf(f)) })
		for _, v := range variableInText.FindAllString(c.Long, -1) {
			if !slices.Contains(otherVariables, v) {
				t.Errorf("%s: its help names %s", c.CommandPath(), v)
			}
		}
	})
	check := func(file string) {
		raw, err := os.ReadFile(file)
		must(t, err)
		for _, v := range variableInText.FindAllString(string(raw), -1) {
			if !slices.Contains(known, v) {
				t.Errorf("%s names %s, which nothing reads", file, v)
			}
		}
	}
	check("../../README.md")
	must(t, filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") && !strings.Contains(path, "decisions") {
			check(path)
		}
		return err
	}))
}

// TestHelp checks the form of every help text: a short verb phrase, one example, lines that fit.
func TestHelp(t *testing.T) {
	eachCommand(testRoot(nil), func(c *cobra.Command) {
		if n := len(c.Short); n == 0 || n >= 60 || strings.HasSuffix(c.Short, ".") || strings.ToUpper(c.Short[:1]) != c.Short[:1] {
			t.Errorf("%s: the first line is %d characters: %q", c.CommandPath(), n, c.Short)
		}
		if c.HasParent() && !strings.Contains(c.Example, "sippet-mcp ") {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Long, "\n") {
			if len([]rune(line)) > 88 {
				t.Errorf("%s: a long line: %q", c.CommandPath(), line)
			}
		}
	})
}
