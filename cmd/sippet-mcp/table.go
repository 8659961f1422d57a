package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// table lines up columns for a terminal.
type table struct {
	head []string
	rows [][]string
}

func newTable(head ...string) *table { return &table{head: head} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table, its head bold where colour is wanted. Where a line
// would not fit the terminal, each row is written as a block of its own: a
// table that wraps, or is cut, cannot be read.
func (t *table) write(w io.Writer, colour bool) {
	wide := make([]int, len(t.head))
	for _, r := range append([][]string{t.head}, t.rows...) {
		for i, c := range r[:min(len(r), len(wide))] {
			wide[i] = max(wide[i], utf8.RuneCountInString(c))
		}
	}
	bold := func(s string) string {
		if colour {
			return "\x1b[1m" + s + "\x1b[0m"
		}
		return s
	}
	all := 2 * (len(wide) - 1)
	for _, n := range wide {
		all += n
	}
	if screen := width(w); screen > 0 && all > screen {
		t.blocks(w, bold)
		return
	}
	line := func(cells []string) string {
		var b strings.Builder
		for i, c := range cells[:min(len(cells), len(wide))] {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(c)
			if i < len(wide)-1 {
				b.WriteString(strings.Repeat(" ", wide[i]-utf8.RuneCountInString(c)))
			}
		}
		return strings.TrimRight(b.String(), " ")
	}
	fmt.Fprintln(w, bold(line(t.head)))
	for _, r := range t.rows {
		fmt.Fprintln(w, line(r))
	}
}

// blocks writes each row as lines of `name: value`, a blank line between rows.
func (t *table) blocks(w io.Writer, bold func(string) string) {
	for n, r := range t.rows {
		if n > 0 {
			fmt.Fprintln(w)
		}
		for i, c := range r[:min(len(r), len(t.head))] {
			fmt.Fprintf(w, "%s: %s\n", bold(t.head[i]), c)
		}
	}
}

func terminalWidth(fd int) int {
	if n, _, err := term.GetSize(fd); err == nil {
		return n
	}
	return 0
}
