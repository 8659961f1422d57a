// Command words looks for retired terms in the whole project, and exits with 1 if it found any:
//
//	go run ./internal/lint/words [-count] [-columns N] [FOLDER]
//
// The terms, and the few places where one is allowed, are in terms.txt. Identifiers are taken from
// the syntax tree and split into words (recipientKey is recipient and key), so that no part of a
// name is missed and none is found by chance. Only declarations count: a name from a library is not
// ours to choose. What is looked at beside identifiers: keys in struct tags, columns in CREATE
// TABLE, property names of a JSON schema, flags and command words, file names; and as prose
// comments, strings and whole text files.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

func main() {
	count := flag.Bool("count", false, "print the number of findings by folder")
	columns := flag.Int("columns", 0, "instead list comment lines of more than this many columns")
	flag.Parse()
	n, err := run(os.Stdout, os.DirFS(cmp.Or(flag.Arg(0), ".")), *count, *columns)
	if err != nil {
		fmt.Fprintln(os.Stderr, "words:", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

// finding is a retired term, or a line that is too long.
type finding struct {
	file string
	line int
	text string // what was found, and of which kind
}

// run prints what it finds below root and returns how many findings there were.
func run(w io.Writer, root fs.FS, count bool, columns int) (int, error) {
	terms, err := parseTerms(termsFile)
	if err != nil {
		return 0, err
	}
	found, err := search(root, terms, columns)
	if err != nil {
		return 0, err
	}
	if !count {
		for _, f := range found {
			fmt.Fprintf(w, "%s:%d: %s\n", f.file, f.line, f.text)
		}
		return len(found), nil
	}
	folders := map[string]int{}
	for _, f := range found {
		folders[path.Dir(f.file)]++
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		fmt.Fprintf(w, "%6d %s\n", folders[folder], folder)
	}
	fmt.Fprintf(w, "%6d in all\n", len(found))
	return len(found), nil
}

// search reads every file below root that is written by people.
func search(root fs.FS, terms *terms, columns int) ([]finding, error) {
	var found []finding
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && skipped(name) {
				return fs.SkipDir
			}
			return err
		}
		read := reader(name)
		if read == nil {
			return nil
		}
		raw, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		s := &scan{file: name, terms: terms, columns: columns}
		s.name(1, "file", strings.TrimSuffix(path.Base(name), path.Ext(name)))
		if err := read(s, raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		slices.SortStableFunc(s.found, func(a, b finding) int { return cmp.Compare(a.line, b.line) })
		found = append(found, s.found...)
		return nil
	})
	return found, err
}

const own = "internal/lint/words"

// skipped are folders of other people's text, of what is built, and of this program's own examples.
func skipped(dir string) bool {
	switch path.Base(dir) {
	case ".git", ".cache", "bin", "artifacts", "node_modules", "fuzz", "rapid":
		return true
	}
	return strings.HasSuffix(dir, own+"/testdata")
}

// reader returns how a file is read, or nil for what is not looked at.
func reader(name string) func(*scan, []byte) error {
	if strings.HasSuffix(name, own+"/words_test.go") {
		return nil
	}
	switch path.Ext(name) {
	case ".go":
		return (*scan).source
	case ".sql":
		return (*scan).tables
	case ".json":
		if strings.HasSuffix(name, ".schema.json") {
			return (*scan).properties
		}
	case ".md", ".yaml", ".yml", ".html", ".css", ".js", ".txtar", ".sh":
	default:
		if base := path.Base(name); base != "Makefile" && base != "run" {
			return nil
		}
	}
	return (*scan).text
}
