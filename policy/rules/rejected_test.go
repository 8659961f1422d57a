package rules_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// TestRejectedFiles parses the files of testdata/rejected.txtar. Each must fail with the error
// below it.
func TestRejectedFiles(t *testing.T) {
	const path = "testdata/rejected.txtar"
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		name := strings.TrimSuffix(archive.Files[i].Name, ".yaml")
		if archive.Files[i+1].Name != name+".error" {
			t.Fatalf("%s is not followed by its error", name)
		}
		p, err := rules.Parse("x.yaml", archive.Files[i].Data)
		if err == nil {
			t.Errorf("%s: accepted: %v", name, p.Name())
			continue
		}
		got := err.Error() + "\n"
		if *update {
			archive.Files[i+1].Data = []byte(got)
		} else if want := string(archive.Files[i+1].Data); got != want {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
		if f := (*rules.Fault)(nil); !errors.As(err, &f) || f.Line == 0 && name != "only-a-comment" {
			t.Errorf("%s: no position: %v", name, err)
		}
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRejectedBytes parses texts that are not valid files.
func TestRejectedBytes(t *testing.T) {
	huge := head + strings.Repeat("# comment\n", 110_000)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":      {"", "policy x: the file is empty: begin it with apiVersion: sippet.policy/v1"},
		"NUL":          {head + "a: \x00", "policy x:2:4: the file has a NUL byte here: save it as plain text in UTF-8"},
		"no UTF-8":     {head + "a: \xff", "policy x:2:4: the file is not valid UTF-8 here: save it as plain text in UTF-8"},
		"UTF-16":       {"\xff\xfea\x00", "policy x:1:4: the file has a NUL byte here: save it as plain text in UTF-8"},
		"over 1 MB":    {huge, "policy x: the file has more than 1048576 bytes: split it into several files"},
		"deep flow":    {head + "rules: " + strings.Repeat("[", 100_000), "policy x:2:32: invalid YAML: exceeded max depth of 24"},
		"deep block":   {head + "rules:\n" + deep(200), "policy x:26:50: invalid YAML: exceeded max depth of 24"},
		"many rules":   {head + "rules: [" + strings.Repeat("{}, ", 5001) + "]", "policy x:2:8: the file has 5001 rules, and may have at most 5000: split it into several files"},
		"deep in when": {head + "rules: [{id: a, reason: R, decision: deny, when: \"" + strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000) + "\"}]", ""},
	} {
		_, err := rules.Parse("x", []byte(c.text))
		if err == nil || c.want != "" && err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", name, err, c.want)
		}
	}
}

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat("  ", i+1) + "a:\n")
	}
	return b.String()
}

// TestHugeFile: ten megabytes are rejected without being read to the end.
func TestHugeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "huge.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("a", 10<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rules.Load(path); err == nil || !strings.Contains(err.Error(), "huge.yaml: the file has more than 1048576 bytes") {
		t.Error(err)
	}
}
