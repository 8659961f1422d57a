package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// The colours of a terminal, as SGR codes.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// painter gives the function that colours a text, or leaves it where nobody wants colour (https://no-color.org).
func painter(p *program) func(code, s string) string {
	if !p.outTerminal || p.env("NO_COLOR") != "" {
		return func(_, s string) string { return s }
	}
	return func(code, s string) string { return "\x1b[" + code + "m" + s + "\x1b[0m" }
}

// column is one of a list that may go on: more rows can come after those by which the widths were chosen.
type column struct {
	name string
	// least is the least width, most the largest; a text that is longer pushes the rest to the right.
	least, most int
	// drop says in which order columns go where the terminal is narrow; 0 stays.
	drop   int
	cell   func(*ledger.Record) string
	colour func(*ledger.Record) string
	wide   int
}

// listing writes records as a table whose last column takes what room is left.
type listing struct {
	w       io.Writer
	columns []column
	paint   func(code, s string) string
	screen  int // columns of characters; 0 is no bound
	begun   bool
}

const gap = 2

// add writes records; the first ones decide on the widths.
func (l *listing) add(all []ledger.Record) {
	if len(all) == 0 {
		return
	}
	if !l.begun {
		l.begun = true
		l.fit(all)
		var names []string
		for i := range l.columns {
			names = append(names, l.pad(i, l.columns[i].name))
		}
		fmt.Fprintln(l.w, l.paint(bold, strings.TrimRight(strings.Join(names, strings.Repeat(" ", gap)), " ")))
	}
	for i := range all {
		fmt.Fprintln(l.w, l.line(&all[i]))
	}
}

// fit chooses widths, and drops columns until the line fits with some room for the last.
func (l *listing) fit(all []ledger.Record) {
	const room = 24
	for i := range l.columns {
		c := &l.columns[i]
		c.wide = max(c.least, utf8.RuneCountInString(c.name))
		for j := range all {
			c.wide = max(c.wide, min(c.most, utf8.RuneCountInString(c.cell(&all[j]))))
		}
	}
	for l.screen > 0 {
		used, next := room, -1
		for i, c := range l.columns[:len(l.columns)-1] {
			used += c.wide + gap
			if c.drop > 0 && (next < 0 || c.drop < l.columns[next].drop) {
				next = i
			}
		}
		if used <= l.screen || next < 0 {
			break
		}
		l.columns = slices.Delete(l.columns, next, next+1)
	}
}

func (l *listing) pad(i int, s string) string {
	if i == len(l.columns)-1 {
		return s
	}
	return s + strings.Repeat(" ", max(0, l.columns[i].wide-utf8.RuneCountInString(s)))
}

func (l *listing) line(r *ledger.Record) string {
	used := 0
	var parts []string
	for i := range l.columns {
		c := &l.columns[i]
		s := c.cell(r)
		if i == len(l.columns)-1 {
			if left := l.screen - used; l.screen > 0 {
				s = clipped(s, max(left, 16))
			}
		} else {
			s = clipped(s, c.most)
		}
		s = l.pad(i, s)
		used += utf8.RuneCountInString(s) + gap
		if c.colour != nil {
			if code := c.colour(r); code != "" {
				s = l.paint(code, s)
			}
		}
		parts = append(parts, s)
	}
	return strings.TrimRight(strings.Join(parts, strings.Repeat(" ", gap)), " ")
}

// clipped cuts a text that is safe already to so many characters.
func clipped(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
