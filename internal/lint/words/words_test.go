package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each kind of name and of prose has a case that is found and a neighbour that is not.
func TestFound(t *testing.T) {
	const file = "testdata/found.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := a.Files[0]
	root, err := txtar.FS(&txtar.Archive{Files: a.Files[1:]})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if _, err := run(&got, root, false, 0); err != nil {
		t.Fatal(err)
	}
	if *update {
		a.Files[0].Data = []byte(got.String())
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want.Data), got.String()); diff != "" {
		t.Errorf("found (- wanted, + got):\n%s", diff)
	}
}

func TestCount(t *testing.T) {
	root, err := txtar.FS(&txtar.Archive{Files: []txtar.File{
		{Name: "a/x.md", Data: []byte("frozen\nfrozen grant\n")},
		{Name: "b/x.md", Data: []byte("frozen\n")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	n, err := run(&got, root, true, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := "     3 a\n     1 b\n     4 in all\n"; n != 4 || got.String() != want {
		t.Errorf("%d findings:\n%s", n, got.String())
	}
}

func TestColumns(t *testing.T) {
	root, err := txtar.FS(&txtar.Archive{Files: []txtar.File{{Name: "x.go", Data: []byte(
		"package x\n\n// short\n// this is a longer comment\nvar x = 1 // beside code\n\nfunc f() {\n\t\t\t\t// indented\n}\n",
	)}}})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if _, err := run(&got, root, false, 20); err != nil {
		t.Fatal(err)
	}
	if want := "x.go:4: a comment of 27 columns\nx.go:8: a comment of 27 columns\n"; got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}

func TestTermsFile(t *testing.T) {
	for file, want := range map[string]string{
		"names way\n":                "terms.txt:1: unknown line",
		"# fine\nexcept docs: way\n": "terms.txt:2: an exception is",
		"except docs way | because":  "terms.txt:1: an exception is",
	} {
		if _, err := parseTerms(file); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("parseTerms(%q): %v, want %q", file, err, want)
		}
	}
	if _, err := parseTerms(termsFile); err != nil {
		t.Error(err)
	}
}

// An exception that nothing needs any more would hide a retired term that somebody writes later.
func TestExceptionsAreNeeded(t *testing.T) {
	terms, err := parseTerms(termsFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := search(os.DirFS("../../.."), terms, 0); err != nil {
		t.Fatal(err)
	}
	for _, e := range terms.excepted {
		if !e.used {
			t.Errorf("terms.txt: %q in %s is no longer found", e.text, e.path)
		}
	}
}

func TestSplit(t *testing.T) {
	for name, want := range map[string]string{
		"recipientKey": "recipient key", "HTTPPlace": "http place", "parseJSON": "parse json", "road_map": "road map",
		"UTF8Text": "utf text", "x": "x", "_": "", "grant2": "grant", "end-calls": "end calls", "É": "é",
	} {
		if got := strings.Join(split(name), " "); got != want {
			t.Errorf("split(%q) is %q, want %q", name, got, want)
		}
	}
}
