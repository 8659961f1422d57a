package approval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Short returns the card for a client's dialogue: no markup, no links, and no line of more than 80
// columns. The deed comes first, because a client may show the first lines only. It has all that was
// sent, so nothing repeats it.
func (c Card) Short() string {
	var b body
	for _, line := range c.Deed {
		b.line(line)
	}
	if c.Deed == nil {
		b.line(c.Title)
	}
	b.line(c.Earlier) // before the rest, because some clients show three lines
	if c.Simulated {  // the first line of a deed says so too
		b.line(simulated)
	}
	if c.Deed == nil {
		b.list("Look at this first:", c.Warnings)
	}
	c.consequences(&b)
	c.facts(&b)
	b.list("Values that are replaced:", c.changes(false))
	c.circumstances(&b)
	return b.text()
}

// Long returns the whole card for a terminal, in the same form.
func (c Card) Long() string {
	var b body
	b.line(c.Title)
	b.line(c.Earlier)
	if c.Simulated {
		b.line(simulated)
	}
	b.list("Look at this first:", c.Warnings)
	c.consequences(&b)
	c.facts(&b)
	b.list("Values that are replaced:", c.changes(true))
	if c.RecipientCount > 1 { // a single recipient is in the title
		b.list("Recipients: "+c.Recipients, c.To)
		if more := c.RecipientCount - len(c.To); more > 0 {
			b.line(fmt.Sprintf("  and %d more", more))
		}
	}
	var lines []string
	for _, l := range c.Sent {
		if !l.Body || c.hasDiff(l.Name) {
			lines = append(lines, l.Name+": "+l.Value)
			continue
		}
		lines = append(lines, l.Name+":")
		for _, text := range l.Lines() {
			lines = append(lines, "| "+text)
		}
	}
	b.list("What is sent:", lines)
	c.circumstances(&b)
	return b.text()
}

const simulated = "SIMULATED: this is the sandbox, nothing real happens."

// consequences writes who will notice, and whether it can be undone.
func (c Card) consequences(b *body) {
	b.line(c.Effect)
	if c.Class != schemas.Destructive { // there the effect says so
		b.line(c.Undo)
	}
}

func (c Card) facts(b *body) {
	facts := make([]string, len(c.Facts))
	for i, f := range c.Facts {
		facts[i] = f.Name + ": " + f.Value
	}
	b.list("About this:", facts)
}

// changes returns what the call overwrites, with the differences of texts if long is true.
func (c Card) changes(long bool) (out []string) {
	for _, v := range c.Changes {
		switch {
		case long && v.Diff != nil:
			out = append(out, v.Name+":")
			for _, d := range v.Diff {
				out = append(out, strings.Replace(d.Sign, " ", "=", 1)+" "+d.Text)
			}
		case v.New != "":
			out = append(out, v.Name+": "+v.Old+" → "+v.New)
		default:
			out = append(out, v.Name+": "+v.Old)
		}
	}
	return out
}

// hasDiff reports whether the card has the difference of a value that is sent.
func (c Card) hasDiff(sent string) bool {
	return slices.ContainsFunc(c.Changes, func(v Change) bool { return v.Diff != nil && sent == "input."+v.Name })
}

// circumstances writes what the call takes, and who asks and why. The model's reason is last.
func (c Card) circumstances(b *body) {
	for i, cost := range c.Costs {
		if i == 0 {
			b.WriteByte('\n')
		}
		b.line("This takes " + cost.String() + ".")
	}
	why := fmt.Sprintf("Action %s, requested by %s. %s.", c.Action, c.Requester, c.Why)
	if c.Client != "" {
		client, _ := schemas.Quote(c.Client, 100)
		why += " Their program calls itself " + client + "."
	}
	b.paragraph(why)
	if c.Reason != "" {
		b.paragraph("Written by the AI as its reason: " + c.Reason)
	}
}

// body is the text of a card while it is written.
type body struct{ strings.Builder }

// line writes a line; nothing for an empty one.
func (b *body) line(s string) {
	if s != "" {
		b.WriteString(s + "\n")
	}
}

func (b *body) paragraph(s string) { b.WriteString("\n" + s + "\n") }

// list writes lines under a heading; nothing without lines.
func (b *body) list(heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.paragraph(heading)
	for _, l := range lines {
		b.line("  " + l)
	}
}

func (b *body) text() string { return wrap(strings.TrimSuffix(b.String(), "\n")) }

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
