package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newAuditShow(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show everything recorded about one call",
		Long: `Show everything recorded about one call: caller, decision, approval, payload,
what it replaced, Sippet's answer, and all records in order. ID is the id of an
intent or an approval request, or the number of a record, as "audit list" shows
them. A pipe gets one JSON object.`,
		Example: "  sippet-mcp audit show 1",
		Args:    oneArg("the id of an intent or an approval request, or a record's number; see `sippet-mcp audit list`"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.reading(c.Context(), p, func(l *ledger.SQLite) error { return runShow(c.Context(), p, l, args[0]) })
		},
	}
	o.flags(c)
	return c
}

func runShow(ctx context.Context, p *program, l *ledger.SQLite, id string) error {
	call, err := findCall(ctx, l, id)
	if err != nil {
		return err
	}
	if !p.outTerminal {
		return writeJSON(p.out, call)
	}
	printCall(p, call)
	return nil
}

func findCall(ctx context.Context, l *ledger.SQLite, id string) (*ledger.AuditedCall, error) {
	call, err := ledger.FindCall(ctx, l, id)
	if errors.Is(err, ledger.ErrNoCall) {
		return nil, fmt.Errorf("no intent, approval request or record %q is recorded; see `sippet-mcp audit list`", schemas.Escape(id, 80))
	}
	return call, err
}

// printCall writes a call in sections.
func printCall(p *program, c *ledger.AuditedCall) {
	w, paint := p.out, painter(p)
	fmt.Fprintln(w, paint(bold, schemas.Escape(callTitle(c), 120)))
	printCallFields(w, c)
	printCard(w, paint, c.Card)
	printJSON(w, paint, "Payload", c.Payload)
	printJSON(w, paint, "Replaced", c.Replaced)
	printJSON(w, paint, "Sippet's answer", c.Result)
	fmt.Fprintf(w, "\n%s\n", paint(bold, "Records"))
	for i := range c.Records {
		r := &c.Records[i].Record
		outcome := ""
		if r.Outcome != "" {
			outcome = paint(outcomeColour(string(r.Outcome)), string(r.Outcome)) + "  "
		}
		fmt.Fprintf(w, "  %5d  %s  %-9s %s%s\n", r.Seq, longTime(r.Time), r.Phase, outcome, r.Summary())
		if r.Fault != "" {
			fmt.Fprintf(w, "         %s\n", schemas.Escape(string(r.Line), 2000))
		}
	}
	if c.Kind == ledger.KindIntent && c.State == string(ledger.Unknown) {
		fmt.Fprintf(w, "\nThe outcome is unknown. Check%s whether it ran, then: sippet-mcp audit resolve %s --as succeeded --note 'how you know'\n", checkWith(c.Action), c.ID)
	}
}

func callTitle(c *ledger.AuditedCall) string {
	switch {
	case c.Action != "" && c.State != "":
		return c.Action + ": " + c.State
	case c.Action != "":
		return c.Action
	case len(c.Records) > 0:
		return string(c.Records[0].Phase)
	}
	return string(c.Kind)
}

func printCallFields(w io.Writer, c *ledger.AuditedCall) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-12s %s\n", name, schemas.Escape(value, 1000))
		}
	}
	line(string(c.Kind), c.ID) // a record has no id
	line("class", string(c.Class))
	line("caller", c.Caller.String())
	line("client", c.Client)
	line("organisation", c.Organisation)
	line("outcome", string(c.Outcome))
	if c.Status != 0 {
		line("status", "HTTP "+strconv.Itoa(c.Status))
	}
	line("decision", c.Decision)
	line("why", c.Why)
	line("rules", strings.Join(c.Rules, ", "))
	line("policy", c.Policy)
	if c.Kind == ledger.KindIntent {
		line("approval", c.ApprovalID)
	}
	line("answer", c.AnswerSummary())
	line("cause", c.Cause)
	line("repeats", c.Repeats)
	line("people", strings.Join(c.People, ", "))
	if e := c.Erased; e != nil {
		what := "a person in this call was erased; the sealed parts can no longer be read"
		if e.Partly {
			what = ledger.ErasedText(e.Count) + "; what belonged to them, or to all together, can no longer be read"
		}
		line("erased", what)
		if e.By != (ledger.Actor{}) {
			line("", e.By.String()+", "+longTime(e.At))
		}
	}
}

// checkWith names the action that lists an action's effect, if there is one.
func checkWith(action string) string {
	if list := listAction(action); list != "" {
		return " with " + list
	}
	return ""
}

// listAction returns the action that shows whether an action took effect; empty if there is none.
func listAction(action string) string {
	a, err := schemas.Find(action)
	if err != nil {
		return ""
	}
	return a.ShownBy()
}

// printCard writes the card that the approver saw.
func printCard(w io.Writer, paint func(code, s string) string, raw json.RawMessage) {
	if raw == nil {
		return
	}
	const title = "Approval card"
	card, err := approval.ReadCard(raw)
	if err != nil {
		printJSON(w, paint, title, raw)
		return
	}
	fmt.Fprintf(w, "\n%s\n", paint(bold, title))
	for line := range strings.Lines(card.Long()) {
		fmt.Fprintln(w, strings.TrimRight("  "+schemas.Escape(strings.TrimSuffix(line, "\n"), 2000), " "))
	}
}

// maxPrintedLines is how many lines of a JSON document a terminal gets.
const maxPrintedLines = 200

// printJSON writes a document indented, under a title; nothing for nil.
func printJSON(w io.Writer, paint func(code, s string) string, title string, doc json.RawMessage) {
	if doc == nil {
		return
	}
	fmt.Fprintf(w, "\n%s\n", paint(bold, title))
	var b bytes.Buffer
	b.WriteString("  ")
	if err := json.Indent(&b, doc, "  ", "  "); err != nil {
		b.Write(doc)
	}
	lines := strings.Split(b.String(), "\n")
	for _, line := range lines[:min(len(lines), maxPrintedLines)] {
		fmt.Fprintln(w, schemas.Escape(line, 2000))
	}
	if more := len(lines) - maxPrintedLines; more > 0 {
		fmt.Fprintf(w, "  … (%d more lines; `sippet-mcp audit show ID | jq` prints all)\n", more)
	}
}
