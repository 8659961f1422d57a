package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// exitCodes are those of the outcomes, one each, for scripts. 1 is for the program's own errors.
var exitCodes = map[schemas.Outcome]exitCode{
	schemas.Done: 0, schemas.Recorded: 0,
	schemas.InvalidArguments: 2, schemas.ValidationFailed: 3, schemas.ApprovalPending: 4, schemas.Declined: 5,
	schemas.Denied: 6, schemas.LimitExceeded: 7, schemas.Stopped: 8, schemas.UpstreamError: 9,
	schemas.UpstreamUnavailable: 10, schemas.Unavailable: 11, schemas.OutcomeUnknown: 12,
}

type callOptions struct {
	connection
	json, again bool
}

func newCall(p *program) *cobra.Command {
	o := &callOptions{}
	c := &cobra.Command{
		Use:   "call ACTION [ARGUMENTS]",
		Short: "Run one action through the gate",
		Long: `Run one action with the arguments of its tool, as JSON. The call goes through the
same gate as an AI's. If the policy requires an approval, you are asked on the
terminal, and the request is in the inbox. Without a terminal the call waits for an
answer there, up to --approval-wait. The request ends with the command.

A terminal gets a table, a pipe gets JSON. The exit code is the outcome:
  0 done or recorded       5 declined         9 upstream_error
  2 invalid_arguments      6 denied          10 upstream_unavailable
  3 validation_failed      7 limit_exceeded  11 unavailable
  4 approval_pending       8 stopped         12 outcome_unknown (do not repeat it)
  1 the command itself could not start`,
		Example: `  sippet-mcp call list_contacts '{"fields":["id","fullName"],"page":{"limit":5}}' --sandbox`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("name an action, such as list_calls; see `sippet-mcp actions`")
			case len(args) > 2:
				return errors.New("give the arguments as one JSON object in quotes, such as '{\"page\":{\"limit\":5}}'")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runCall(c.Context(), p, o, args) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.again, "again", false, "run the call even if the same call ran a moment ago; you must approve it")
	c.Flags().BoolVar(&o.json, "json", false, "write JSON on a terminal too")
	setDefault(c, "log-level", "warn")
	return c
}

func runCall(ctx context.Context, p *program, o *callOptions, args []string) error {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return err
	}
	c, err := o.open(ctx, p, log)
	if err != nil {
		return err
	}
	defer c.close()
	defer c.background(false)()
	q := tools.Request{Caller: local(approval.ViaTerminal), Action: args[0], Again: o.again}
	q.Client = "sippet-mcp " + version()
	if len(args) > 1 {
		q.Args = []byte(args[1])
	}
	res := c.runner.Call(ctx, q)
	if res.Pending != nil {
		res = o.awaitPerson(ctx, p, c, q, res.Pending)
	}
	o.show(p, res)
	if code := exitCodes[res.Outcome]; code != 0 {
		return code
	}
	return nil
}

// awaitPerson asks the person at the terminal, if they may answer, and waits for an answer in the
// inbox. The request ends with this command: nobody could run its call later.
func (o *callOptions) awaitPerson(ctx context.Context, p *program, c *connected, q tools.Request, pending *policy.PendingApproval) tools.Result {
	tty, err := p.terminal()
	asked := false
	switch {
	case err == nil && pending.Card.Needs == rules.Confirm.String():
		defer tty.Close()
		asked = askOnTerminal(ctx, tty, c, q, pending)
	case p.errTerminal:
		fmt.Fprintf(p.err, "%s\n\n", pending.Card.Long())
	}
	if r, err := c.runner.Gate.Ledger.Approval(ctx, pending.ApprovalID); err == nil && r.State == ledger.Pending {
		c.host.Show(q.Caller, pending, false)
		if p.errTerminal {
			fmt.Fprintf(p.err, "Waiting for up to %s for %s, in the inbox: %s\n",
				o.approvalWait, pending.WhoMayAnswer(), c.host.Link(pending.ApprovalID))
		}
	}
	res := c.runner.Await(ctx, ctx, q, pending, nil)
	if res.Pending != nil {
		res = c.runner.Withdraw(ctx, q, pending)
	}
	if asked && res.Err != nil {
		// The next step is for a model; here the person has just answered.
		res.Err.Next = ""
	}
	return res
}

// askOnTerminal asks the person at the terminal until somebody has answered anywhere. It reports
// whether they answered.
func askOnTerminal(ctx context.Context, tty terminal, c *connected, q tools.Request, pending *policy.PendingApproval) bool {
	asked, cancel := context.WithDeadline(ctx, pending.Card.Expires)
	defer cancel()
	go func() {
		c.runner.Gate.AwaitApproval(asked, c.host.inbox.Watch, pending.ApprovalID)
		cancel()
	}()
	approved, err := askApproval(asked, tty, &pending.Card)
	if err != nil {
		fmt.Fprintln(tty)
		return false
	}
	person := approval.Person{Name: me(), Local: true, Via: approval.ViaTerminal, Fresh: true}
	reply := approval.Reply{Approve: approved, StatedNumber: pending.Card.RecipientCount}
	if got := c.host.inbox.Approvals.Answer(ctx, []string{pending.ApprovalID}, person, reply); got[0].Err != nil {
		fmt.Fprintf(tty, "Your answer was not recorded: %s\n", got[0].Err.Message)
		return false
	}
	return true
}

func (o *callOptions) show(p *program, r tools.Result) {
	if o.json || !p.outTerminal {
		fmt.Fprintf(p.out, "%s\n", r.Structured)
		return
	}
	if r.Err != nil {
		showError(p.err, r.Err)
		return
	}
	showDone(p, r)
}

func showError(w io.Writer, e *schemas.Error) {
	fmt.Fprintf(w, "%s: %s\n", e.Outcome, e.Message)
	for _, d := range e.Details {
		at := ""
		if d.Path != "" {
			at = schemas.Escape(d.Path, 80) + ": "
		}
		fmt.Fprintf(w, "  %s%s\n", at, schemas.Escape(d.Message, 500))
	}
	if e.Next != "" {
		fmt.Fprintf(w, "next: %s\n", e.Next)
	}
}

// showDone writes a list as a table, a record as lines, and the notes beneath.
func showDone(p *program, r tools.Result) {
	w := p.out
	var a struct {
		Results   []json.RawMessage `json:"results"`
		Result    json.RawMessage   `json:"result"`
		HasMore   bool              `json:"hasMore"`
		Next      json.RawMessage   `json:"next"`
		Notes     []string          `json:"notes"`
		Simulated bool              `json:"simulated"`
	}
	if err := json.Unmarshal(r.Structured, &a); err != nil {
		fmt.Fprintf(w, "%s\n", r.Structured)
		return
	}
	switch {
	case a.Result != nil:
		for _, f := range resultFields(a.Result, r.Fields) {
			fmt.Fprintf(w, "%s: %s\n", f.name, f.value)
		}
	case len(a.Results) == 0:
		fmt.Fprintln(w, "nothing found")
	default:
		var t *table
		for _, row := range a.Results {
			var names, values []string
			for _, f := range resultFields(row, r.Fields) {
				names, values = append(names, f.name), append(values, f.value)
			}
			if t == nil {
				t = newTable(p, columns(names...)...)
			}
			t.row(values...)
		}
		t.flush()
	}
	if a.HasMore && a.Next != nil {
		fmt.Fprintf(w, "there is more: call again with %s\n", quote(ascii(a.Next)))
	}
	for _, n := range a.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	if a.Simulated {
		fmt.Fprintln(w, "simulated: this is the sandbox")
	}
}

type field struct{ name, value string }

// resultFields returns a record's fields, escaped: first those asked for, in their order, then
// others.
func resultFields(raw json.RawMessage, asked []string) []field {
	var out []field
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return []field{{"value", valueText(raw)}}
	}
	schemas.EachJSON(raw, func(k, v []byte) {
		out = append(out, field{schemas.Escape(schemas.DecodeString(k), 40), valueText(v)})
	})
	position := func(f field) int {
		if i := slices.Index(asked, f.name); i >= 0 {
			return i
		}
		return len(asked)
	}
	slices.SortStableFunc(out, func(a, b field) int { return position(a) - position(b) })
	return out
}

func valueText(v []byte) string {
	switch v[0] {
	case '"':
		return schemas.Escape(schemas.DecodeString(v), 60)
	case 'n':
		return "-"
	}
	return schemas.Escape(string(v), 60)
}
