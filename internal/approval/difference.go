package approval

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// DiffLine is one line of the difference of two texts. The difference has the lines that changed, and
// one line before and after them.
type DiffLine struct {
	// Sign is - for a line of the old text, + for one of the new text, and a space for one of both.
	Sign string `json:"sign"`
	// Text is the line, escaped so that it stays one. It cannot be mistaken for another text: a tab is
	// \t, and a backslash is \\.
	Text string `json:"text"`
	// Number is the line's number in the old text where Sign is -, else in the new text, from 1. A 0
	// stands for lines that are left out, because they are the same.
	Number int `json:"number"`
}

const (
	maxDiffLines = 1000
	maxDiffBytes = 400_000 // of both texts
	longLine     = 160     // bytes; see splitTexts
)

// edit is a line of a difference with the text as it is.
type edit struct {
	sign   byte
	text   string
	number int
}

// diffTexts returns the difference of two texts; nil if they are equal. If it has too many lines, it is
// the whole old text and the whole new text, as one line each. cut is true if these are too long.
func diffTexts(old, new string) (lines []DiffLine, cut bool) {
	var edits []edit
	if len(old)+len(new) <= maxDiffBytes {
		edits = findEdits(splitTexts(old, new))
	}
	switch {
	case old == new:
		return nil, false
	case edits == nil, len(edits) > maxDiffLines:
		for i, text := range []string{old, new} {
			shown, isCut := escapeWhole(text)
			cut = cut || isCut
			lines = append(lines, DiffLine{Sign: "-+"[i : i+1], Text: shown, Number: 1})
		}
		return lines, cut
	}
	return showEdits(edits), false
}

// breaks are where a long line is split: after closing tags, line breaks and images of HTML, and after
// sentences.
var breaks = regexp.MustCompile(`(?i)</[^<>]*>\s*|<(?:br|hr|img)\b[^<>]*>\s*|[.!?:;]["'”’)]*\s+`)

// splitTexts splits two texts into lines, with their line feeds. If any line is long, all lines are
// split in a finer way: the HTML of an email is often a single line.
func splitTexts(old, new string) (oldLines, newLines []string) {
	oldLines, newLines = slices.Collect(strings.Lines(old)), slices.Collect(strings.Lines(new))
	if !slices.ContainsFunc(slices.Concat(oldLines, newLines), func(line string) bool { return len(line) > longLine }) {
		return oldLines, newLines
	}
	finer := func(lines []string) (out []string) {
		for _, line := range lines {
			start := 0
			for _, at := range breaks.FindAllStringIndex(line, -1) {
				out = append(out, line[start:at[1]])
				start = at[1]
			}
			if start < len(line) {
				out = append(out, line[start:])
			}
		}
		return out
	}
	return finer(oldLines), finer(newLines)
}

// findEdits returns the lines that differ, and up to three lines around them.
func findEdits(old, new []string) (out []edit) {
	encode := func(lines []string) []byte { // one line of printable text each
		var b bytes.Buffer
		for _, line := range lines {
			b.WriteString(strconv.Quote(line) + "\n")
		}
		return b.Bytes()
	}
	var atOld, atNew int // the number of the next line
	for line := range strings.Lines(string(diff.Diff("old", encode(old), "new", encode(new)))) {
		var count int
		if n, _ := fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &atOld, &count, &atNew, &count); n == 4 {
			continue
		}
		text, err := strconv.Unquote(strings.TrimSuffix(line[1:], "\n"))
		if err != nil { // the heading
			continue
		}
		e := edit{sign: line[0], text: text, number: atNew}
		if e.sign != '+' {
			if e.sign == '-' {
				e.number = atOld
			}
			atOld++
		}
		if e.sign != '-' {
			atNew++
		}
		out = append(out, e)
	}
	return out
}

// showEdits keeps one line around what changed, and escapes the lines.
func showEdits(edits []edit) (out []DiffLine) {
	changed := func(i int) bool { return i >= 0 && i < len(edits) && edits[i].sign != ' ' }
	signs := map[string]string{} // of each line that changed, without its end
	for _, e := range edits {
		if e.sign != ' ' && !strings.Contains(signs[trimEnd(e.text)], string(e.sign)) {
			signs[trimEnd(e.text)] += string(e.sign)
		}
	}
	last := -1
	for i, e := range edits {
		if !changed(i) && !changed(i-1) && !changed(i+1) {
			continue
		}
		if last >= 0 && last != i-1 {
			out = append(out, DiffLine{Sign: " ", Text: "…"})
		}
		last = i
		text := trimEnd(e.text)
		if e.sign != ' ' && len(signs[text]) > 1 { // only the ends may differ
			text = e.text
		}
		out = append(out, DiffLine{Sign: string(e.sign), Text: escapeLine(text), Number: e.number})
	}
	return out
}

// formatLines returns a text with its lines escaped; as one line if it has too many.
func (c *Card) formatLines(text string) string {
	lines, _ := splitTexts(text, "")
	if len(lines) > maxDiffLines || len(text) > maxDiffBytes {
		shown, cut := escapeWhole(text)
		c.Cut = c.Cut || cut
		return shown
	}
	for i, line := range lines {
		lines[i] = escapeLine(trimEnd(line))
	}
	return strings.Join(lines, "\n")
}

// escapeWhole returns a text as one line, which it cuts if it is too long.
func escapeWhole(text string) (shown string, cut bool) {
	escaped := escapeBackslash.Replace(text)
	return schemas.Escape(escaped, maxDiffBytes) + schemas.Marks(text), utf8.RuneCountInString(escaped) > maxDiffBytes
}

// escapeLine returns a text on one line, with what schemas.Quote says after it.
func escapeLine(text string) string {
	escaped := escapeBackslash.Replace(text)
	return schemas.Escape(escaped, len(escaped)) + schemas.Marks(text)
}

var escapeBackslash = strings.NewReplacer(`\`, `\\`, "\t", `\t`)

func trimEnd(line string) string { return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") }
