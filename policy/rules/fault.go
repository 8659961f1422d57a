package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Fault is one thing that is wrong in a policy file.
type Fault struct {
	// File is the profile's name or the path as it was given.
	File string
	// Line and Col are where it is, from 1; 0 where it is the whole file.
	Line, Col int
	// Message says what is wrong and what to write instead: lower case, no full stop.
	Message string
	// Source is the line of an expression with a caret below the fault; empty elsewhere.
	Source string
}

// Error gives the place, the message and the source line.
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

// maxFaults bounds what one load reports: more than anybody mends at once.
const maxFaults = 20

// faults collects what is wrong in one file.
type faults struct {
	file string
	list []error
}

func (f *faults) add(at position, format string, args ...any) { f.source(at, "", format, args...) }

func (f *faults) source(at position, source, format string, args ...any) {
	if len(f.list) < maxFaults {
		f.list = append(f.list, &Fault{File: f.file, Line: at.line, Col: at.col, Message: fmt.Sprintf(format, args...), Source: source})
	}
}

func (f *faults) err() error { return errors.Join(f.list...) }

// position is a position in a file, from 1; the zero place is the whole file.
type position struct{ line, col int }

// unknown words the fault of a wrong name: with the nearest right one, or else all of them.
func unknown(what, name string, valid []string) string {
	m := fmt.Sprintf("unknown %s %s", what, quote(name))
	switch n := schemas.Nearest(name, valid); {
	case n != "":
		return m + ", did you mean " + n + "?"
	case len(valid) == 0:
		return m + ": this file has none"
	}
	return m + ", valid: " + strings.Join(valid, ", ")
}
