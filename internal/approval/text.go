package approval

import (
	"fmt"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Text returns the card in short, for an elicitation or a terminal: no markup, no links.
func (c Card) Text() string {
	var b strings.Builder
	if c.Simulated {
		b.WriteString("SIMULATED: this is the sandbox, nothing real happens.\n")
	}
	fmt.Fprintf(&b, "%s\n%s\n", c.Sentence, c.Effect)
	if c.Undo != "" && c.Class != schemas.Destructive { // there the effect says so
		b.WriteString(c.Undo + "\n")
	}
	if c.PreviousRun != "" {
		b.WriteString(c.PreviousRun + "\n")
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
	if c.Recipients != "" && c.RecipientCount != 1 { // a single recipient is in the sentence
		fmt.Fprintf(&b, "\nRecipients: %s", c.Recipients)
		section("", len(c.To), func(i int) string { return c.To[i] })
		if len(c.To) == 0 {
			b.WriteByte('\n')
		}
	}
	section("", len(c.Lines), func(i int) string { return c.Lines[i].Name + ": " + c.Lines[i].Value })
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
	return b.String()
}
