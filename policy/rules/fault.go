package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Fault is one mistake in a policy file.
type Fault struct {
	// File is the profile's name or the path that was loaded.
	File string
	// Line and Col are its position, from 1; 0 for the whole file.
	Line, Col int
	// Message says what is wrong and what to write instead: lower case, no full stop.
	Message string
	// Source is the line of an expression with a caret below the fault; empty outside of
	// expressions.
	Source string
}

// Error returns the position, the message and the source line.
func (f *Fault) Error() string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col)
	}
	s := fmt.Sprintf("policy %s: %s", at, f.Message)
	if f.Source != "" {
		s += "\n" + f.Source
	}
	return s
}

// maxFaults is how many faults one load reports.
const maxFaults = 20

// faults collects the faults of one file.
type faults struct {
	file string
	list []error
}

func (f *faults) add(at position, format string, args ...any) {
	f.addWithSource(at, "", format, args...)
}

func (f *faults) addWithSource(at position, source, format string, args ...any) {
	if len(f.list) < maxFaults {
		f.list = append(f.list, &Fault{File: f.file, Line: at.line, Col: at.col, Message: fmt.Sprintf(format, args...), Source: source})
	}
}

func (f *faults) err() error { return errors.Join(f.list...) }

// position is a position in a file, from 1; the zero position is the whole file.
type position struct{ line, col int }

// unknownName returns the message for a wrong name, with the nearest valid name or else all of
// them.
func unknownName(what, name string, valid []string) string {
	m := fmt.Sprintf("unknown %s %s", what, quote(name))
	switch n := schemas.Nearest(name, valid); {
	case n != "":
		return m + ", did you mean " + n + "?"
	case len(valid) == 0:
		return m + ": this file has none"
	}
	return m + ", valid: " + strings.Join(valid, ", ")
}

func quote(s string) string { return strconv.QuoteToASCII(clip(s, 60)) }

// clip cuts a string after n characters.
func clip(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i] + "…"
		}
	}
	return s
}
