package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// This file holds what commands write with: JSON for a pipe, colours and words for a terminal.
// The table is in table.go.

// writeJSON writes one line of JSON. Characters that a terminal would obey are escaped, because a
// pipe may end at one.
func writeJSON(w io.Writer, v any) error { return encodeJSON(w, v, "") }

// writeJSONIndented is writeJSON over several lines.
func writeJSONIndented(w io.Writer, v any) error { return encodeJSON(w, v, "  ") }

func encodeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(visible(b.Bytes()))
	return err
}

// visible returns the same JSON with escapes for invisible characters and terminal controls.
func visible(doc []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(doc) {
		s := string(r)
		switch {
		case r < 0x20 && r != '\n', r == 0x7f: // only in a stored line that was tampered with
			s = fmt.Sprintf(`\u%04x`, r)
		case r > 0x7f:
			if _, n := schemas.Clean(s); n > 0 {
				s = ascii([]byte(s))
			}
		}
		b.WriteString(s)
	}
	return b.Bytes()
}

// ascii returns the same JSON with escapes for every character beyond ASCII.
func ascii(doc []byte) string {
	var b strings.Builder
	for _, r := range string(doc) {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// The colours of a terminal, as SGR codes.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// painter returns the function that colours a text. It returns texts unchanged in a pipe, and with
// NO_COLOR set (https://no-color.org).
func painter(p *program) func(code, s string) string {
	if !p.outTerminal || p.env("NO_COLOR") != "" {
		return func(_, s string) string { return s }
	}
	return func(code, s string) string { return "\x1b[" + code + "m" + s + "\x1b[0m" }
}

// terminalWidth returns how many characters fit a line of the terminal behind w; 0 if there is
// none.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

// count returns a number with its noun, which gets an s unless the number is 1.
func count[T ~int | ~int64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// orDash returns a text for a table's cell, escaped and at most so many characters, or a dash for
// an empty one.
func orDash(s string, most int) string {
	if s == "" {
		return "-"
	}
	return schemas.Escape(s, most)
}

// clipped cuts an escaped text to so many characters.
func clipped(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// noteSuffix returns a person's note in brackets, to follow a sentence; empty without a note.
func noteSuffix(note string) string {
	if note == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", schemas.Escape(note, 500))
}

// shortTime returns a local time, with the day only if it is not today; a dash for the zero time.
func shortTime(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t, now = t.Local(), now.Local()
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format(time.TimeOnly)
	case t.Year() == now.Year():
		return t.Format("2 Jan 15:04:05")
	}
	return t.Format("2006-01-02 15:04")
}

// longTime returns a local time with its day and zone.
func longTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// sinceText returns when something began: as an age within the last minute, else as a time.
func sinceText(t time.Time) string {
	age := time.Since(t)
	switch {
	case age < 5*time.Second:
		return "just now"
	case age < time.Minute:
		return fmt.Sprintf("%d seconds ago", int(age.Seconds()))
	}
	return "at " + t.Local().Format("2 Jan 2006 15:04:05 MST")
}
