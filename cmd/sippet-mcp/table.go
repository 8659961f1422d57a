package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// column is one of a table. Without bounds it is as wide as its longest cell.
type column struct {
	name string
	// least and most bound the width in characters. Longer cells are cut; 0 is no bound.
	least, most int
	// drop orders the columns that are left out if a line does not fit the terminal, the lowest
	// first. A column with 0 stays.
	drop int
	// rest marks a last column that gets the rest of the line; longer cells are cut.
	rest bool
	// colour returns the colour of a cell, or none; nil is none for every cell.
	colour func(cell string) string
}

// columns returns columns without bounds.
func columns(names ...string) []column {
	var all []column
	for _, name := range names {
		all = append(all, column{name: name})
	}
	return all
}

// table lines up rows for a terminal. Rows can be added after a flush: the widths are those that
// the first flush chose. Where lines do not fit the terminal, columns are left out as far as they
// allow it; if that is not enough, each row is a block of lines, because a table that wraps or is
// cut cannot be read.
type table struct {
	w       io.Writer
	paint   func(code, s string) string
	screen  int // characters of a line; 0 is no bound
	columns []column
	rows    [][]string
	// The first flush chooses widths, and which columns are shown.
	widths []int
	shown  []int
	blocks bool
	begun  bool
}

// newTable returns a table on the output of the program.
func newTable(p *program, columns ...column) *table {
	return &table{w: p.out, paint: painter(p), screen: terminalWidth(p.out), columns: columns}
}

// row adds a row: a cell for each column, already escaped. A cell too few is empty; one too many is
// left out.
func (t *table) row(cells ...string) {
	row := make([]string, len(t.columns))
	copy(row, cells)
	t.rows = append(t.rows, row)
}

// flush writes the rows that were added since the last flush; before the first ones the head.
func (t *table) flush() {
	if len(t.rows) == 0 {
		return
	}
	first := !t.begun
	if first {
		t.begun = true
		t.fit()
	}
	if first && !t.blocks {
		var names []string
		for _, c := range t.columns {
			names = append(names, c.name)
		}
		fmt.Fprintln(t.w, t.paint(bold, t.line(names, false)))
	}
	for i, cells := range t.rows {
		if !t.blocks {
			fmt.Fprintln(t.w, t.line(cells, true))
			continue
		}
		if i > 0 || !first {
			fmt.Fprintln(t.w)
		}
		for n, c := range t.columns {
			fmt.Fprintf(t.w, "%s: %s\n", t.paint(bold, c.name), t.coloured(n, cells[n], cells[n]))
		}
	}
	t.rows = nil
}

const (
	columnGap = 2
	// restLeast is the room that a rest column should have before other columns are left out.
	restLeast = 24
	// restCut is the least that a cell of a rest column is cut to.
	restCut = 16
)

// fit chooses the widths, the columns that are shown, and whether rows are blocks.
func (t *table) fit() {
	t.widths = make([]int, len(t.columns))
	for i, c := range t.columns {
		t.widths[i] = max(c.least, utf8.RuneCountInString(c.name))
		for _, cells := range t.rows {
			n := utf8.RuneCountInString(cells[i])
			if c.most > 0 {
				n = min(n, c.most)
			}
			t.widths[i] = max(t.widths[i], n)
		}
		if c.rest {
			t.widths[i] = restLeast
		}
		t.shown = append(t.shown, i)
	}
	for t.screen > 0 {
		used, next := columnGap*(len(t.shown)-1), -1
		for at, i := range t.shown {
			used += t.widths[i]
			if drop := t.columns[i].drop; drop > 0 && (next < 0 || drop < t.columns[t.shown[next]].drop) {
				next = at
			}
		}
		if used <= t.screen {
			return
		}
		if next < 0 {
			t.blocks = !t.columns[len(t.columns)-1].rest
			return
		}
		t.shown = append(t.shown[:next], t.shown[next+1:]...)
	}
}

func (t *table) line(cells []string, coloured bool) string {
	var parts []string
	used := 0
	for at, i := range t.shown {
		c, text := t.columns[i], cells[i]
		switch {
		case c.rest && t.screen > 0:
			text = clipped(text, max(t.screen-used, restCut))
		case c.most > 0:
			text = clipped(text, c.most)
		}
		padded := text
		if at < len(t.shown)-1 {
			padded += strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(text)))
		}
		used += utf8.RuneCountInString(padded) + columnGap
		if coloured {
			padded = t.coloured(i, cells[i], padded)
		}
		parts = append(parts, padded)
	}
	return strings.TrimRight(strings.Join(parts, strings.Repeat(" ", columnGap)), " ")
}

// coloured returns text in the colour of the cell.
func (t *table) coloured(i int, cell, text string) string {
	if f := t.columns[i].colour; f != nil {
		if code := f(cell); code != "" {
			return t.paint(code, text)
		}
	}
	return text
}
