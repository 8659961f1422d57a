package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed terms.txt
var termsFile string

// terms is what terms.txt says.
type terms struct {
	names, prose map[string]bool
	excepted     []exception
}

// exception is a text that is allowed below a path.
type exception struct {
	path, text string
	used       bool
}

func parseTerms(file string) (*terms, error) {
	t := &terms{names: map[string]bool{}, prose: map[string]bool{}}
	for i, line := range strings.Split(file, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "", "#":
		case "name", "prose":
			into := t.names
			if kind == "prose" {
				into = t.prose
			}
			for _, w := range strings.Fields(rest) {
				into[w] = true
			}
		case "except":
			rest, reason, _ := strings.Cut(rest, " | ")
			p, text, ok := strings.Cut(rest, ": ")
			if !ok || reason == "" {
				return nil, fmt.Errorf("terms.txt:%d: an exception is PATH: TEXT | REASON", i+1)
			}
			t.excepted = append(t.excepted, exception{path: p, text: text})
		default:
			return nil, fmt.Errorf("terms.txt:%d: unknown line %q", i+1, line)
		}
	}
	return t, nil
}

// scan collects the findings of one file.
type scan struct {
	file    string
	terms   *terms
	columns int
	found   []finding
}

func (s *scan) add(line int, format string, args ...any) {
	if f := (finding{s.file, line, fmt.Sprintf(format, args...)}); !slices.Contains(s.found, f) {
		s.found = append(s.found, f)
	}
}

// without leaves out of a text what is excepted in this file.
func (s *scan) without(text string) string {
	for i := range s.terms.excepted {
		e := &s.terms.excepted[i]
		if (s.file == e.path || strings.HasPrefix(s.file, e.path+"/")) && strings.Contains(text, e.text) {
			text, e.used = strings.ReplaceAll(text, e.text, ""), true
		}
	}
	return text
}

// name looks at a name that the project chose.
func (s *scan) name(line int, kind, name string) {
	if s.columns > 0 {
		return
	}
	for _, w := range split(s.without(name)) {
		if s.terms.names[w] {
			s.add(line, "%s %s: %q is retired", kind, name, w)
		}
	}
}

// prose looks at a text, of which the first line is the given one.
func (s *scan) prose(line int, text string) {
	if s.columns > 0 {
		return
	}
	for i, l := range strings.Split(s.without(text), "\n") {
		for _, w := range strings.FieldsFunc(l, func(r rune) bool { return !unicode.IsLetter(r) }) {
			for _, part := range split(w) {
				if s.terms.prose[part] {
					s.add(line+i, "text: %q is retired", part)
				}
			}
		}
	}
}

// width reports lines of a comment that are too wide. A tab counts as four.
func (s *scan) width(line int, comment string) {
	for i, l := range strings.Split(comment, "\n") {
		if n := utf8.RuneCountInString(strings.ReplaceAll(l, "\t", "    ")); s.columns > 0 && n > s.columns {
			s.add(line+i, "a comment of %d columns", n)
		}
	}
}

// split returns the words of a name in lower case: parts of camelCase, of snake_case, and runs of
// capitals.
func split(name string) []string {
	var words []string
	runes := []rune(name)
	begin := 0
	end := func(i int) {
		if begin < i {
			words = append(words, strings.ToLower(string(runes[begin:i])))
		}
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r):
			end(i)
			begin = i + 1
		case unicode.IsUpper(r) && i > begin && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end(i)
			begin = i
		}
	}
	end(len(runes))
	return words
}
