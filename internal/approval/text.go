package approval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Text returns the card in short, for an elicitation or a terminal: no markup, no links, and no line
// of more than 80 columns. The deed comes first.
func (c Card) Text() string {
	var b strings.Builder
	for _, line := range c.Deed {
		b.WriteString(line + "\n")
	}
	const simulated = "SIMULATED: this is the sandbox, nothing real happens.\n"
	if c.Simulated && c.Deed == nil {
		b.WriteString(simulated)
	}
	if c.Deed == nil {
		b.WriteString(c.Sentence + "\n")
	}
	if c.PreviousRun != "" { // before the rest, because some clients show three lines
		b.WriteString(c.PreviousRun + "\n")
	}
	if c.Simulated && c.Deed != nil { // its first line says so too
		b.WriteString(simulated)
	}
	b.WriteString(c.Effect + "\n")
	if c.Undo != "" && c.Class != schemas.Destructive { // there the effect says so
		b.WriteString(c.Undo + "\n")
	}
	section := func(heading string, n int, line func(i int) string) {
		if n == 0 {
			return
		}
		if heading != "" {
			b.WriteString("\n" + heading)
		}
		for i := range n {
			b.WriteString("\n  " + line(i))
		}
		b.WriteByte('\n')
	}
	section("About this record:", len(c.About), func(i int) string { return c.About[i].Name + ": " + c.About[i].Value })
	if c.Recipients != "" && c.RecipientCount != 1 && c.Deed == nil { // a single recipient is in the sentence
		fmt.Fprintf(&b, "\nRecipients: %s", c.Recipients)
		section("", len(c.To), func(i int) string { return c.To[i] })
		if len(c.To) == 0 {
			b.WriteByte('\n')
		}
	}
	deed := strings.Join(c.Deed, " ")
	lines := slices.DeleteFunc(slices.Clone(c.Lines), func(l Line) bool { return strings.Contains(deed, l.Value) })
	section("", len(lines), func(i int) string { return lines[i].Name + ": " + lines[i].Value })
	section("Values that are replaced:", len(c.Replaces), func(i int) string {
		r := c.Replaces[i]
		if r.New != "" {
			return fmt.Sprintf("%s: %s → %s", r.Name, r.Old, r.New)
		}
		return r.Name + ": " + r.Old
	})
	for _, line := range c.Budgets {
		fmt.Fprintf(&b, "\nThis takes %s.", line)
	}
	fmt.Fprintf(&b, "\nAction %s, requested by %s. %s.", c.Action, c.Requester, c.Why)
	if c.Client != "" {
		fmt.Fprintf(&b, " Their program calls itself %q.", c.Client)
	}
	if c.Reason != "" {
		fmt.Fprintf(&b, "\n\nWritten by the AI as its reason: %s", c.Reason)
	}
	return wrap(b.String())
}

// hang begins the second and further lines of a line that was broken. No other line begins like it.
const hang = "    "

// wrap breaks each line of more than 80 columns, at spaces where it has any.
func wrap(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		end, next := breakLine(line, maxColumns)
		for b.WriteString(line[:end]); next < len(line); b.WriteString("\n" + hang + line[:end]) {
			line = line[next:]
			end, next = breakLine(line, maxColumns-len(hang))
		}
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// breakLine returns where the part of a line ends that fits in n columns, and where the rest begins.
func breakLine(line string, n int) (end, next int) {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	for i, r := range line {
		if r == ' ' && i > indent {
			end, next = i, i+1
		}
		if n -= runeColumns(r); n < 0 {
			if end == 0 {
				return i, i
			}
			return end, next
		}
	}
	return len(line), len(line)
}
