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

// write prints the table, its head bold where colour is wanted. Lines are cut
// at the terminal's width: a table that wraps cannot be read.
func (t *table) write(w io.Writer, colour bool) {
	wide := make([]int, len(t.head))
	for _, r := range append([][]string{t.head}, t.rows...) {
		for i, c := range r[:min(len(r), len(wide))] {
			wide[i] = max(wide[i], utf8.RuneCountInString(c))
		}
	}
	screen := width(w)
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
		s := strings.TrimRight(b.String(), " ")
		if r := []rune(s); screen > 1 && len(r) > screen {
			s = string(r[:screen-1]) + "…"
		}
		return s
	}
	head := line(t.head)
	if colour {
		head = "\x1b[1m" + head + "\x1b[0m"
	}
	fmt.Fprintln(w, head)
	for _, r := range t.rows {
		fmt.Fprintln(w, line(r))
	}
}

func terminalWidth(fd int) int {
	if n, _, err := term.GetSize(fd); err == nil {
		return n
	}
	return 0
}
