package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type approvalsListOptions struct {
	answererOptions
	all bool
}

func newApprovalsList(p *program) *cobra.Command {
	o := &approvalsListOptions{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List pending approval requests, oldest first",
		Long: `List pending approval requests, oldest first, and then the pauses: a caller cannot ask
for an action for five minutes after three such requests were declined. In a pipe a
pause is a line with the state "paused".`,
		Example: "  sippet-mcp approvals list --all | jq -r 'select(.quick) | .id'",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runApprovalsList(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.all, "all", false, "also list the last requests that are not pending any more")
	return c
}

// endedApprovals is how many requests that are not pending any more are read.
const endedApprovals = 50

func runApprovalsList(ctx context.Context, p *program, o *approvalsListOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		all, err := l.Approvals(ctx, ledger.ApprovalFilter{Open: true})
		if err == nil && o.all {
			var ended []ledger.ApprovalRequest
			ended, err = l.Approvals(ctx, ledger.ApprovalFilter{Ended: true, Limit: endedApprovals})
			all = append(ended, all...)
		}
		if err != nil {
			return err
		}
		table := newTable(p, columns("id", "what", "requester", "needs", "state", "until")...)
		for i := range all {
			if !person.MaySee(&all[i], time.Now()) {
				continue
			}
			a, err := readApproval(ctx, l, all[i].ID)
			if err != nil {
				return err
			}
			if !p.outTerminal {
				if err := writeJSON(p.out, a); err != nil {
					return err
				}
				continue
			}
			what := a.Action
			if a.Card != nil {
				what = a.Card.Title
				if a.Erased > 0 {
					what = ledger.ErasedText(a.Erased) + ": " + what
				}
			}
			table.row(a.ID[:8], orDash(what, 70), orDash(a.Requester.String(), 40), a.Needs, a.Status, a.Expires.Local().Format("2 Jan 15:04"))
		}
		if p.outTerminal && len(table.rows) == 0 {
			fmt.Fprintln(p.out, "no request is pending")
		}
		table.flush()
		return o.showPauses(ctx, p, l, person)
	})
}

// showPauses lists the pauses of new requests, after the requests.
func (o *approvalsListOptions) showPauses(ctx context.Context, p *program, l *ledger.SQLite, person approval.Person) error {
	all, err := l.Pauses(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		r := &all[i].Declined
		switch {
		case !person.MaySee(r, time.Now()):
		case p.outTerminal:
			fmt.Fprintf(p.out, "paused: %s cannot ask for %s until %s; let it ask again with: sippet-mcp approvals lift %s%s\n",
				schemas.Escape(r.Requester.String(), 80), r.Action, all[i].Until.Local().Format("15:04"), r.ID[:8], o.same())
		default:
			if err := writeJSON(p.out, struct {
				ID        string       `json:"id"`
				State     string       `json:"state"`
				Action    string       `json:"action"`
				Requester ledger.Actor `json:"requester"`
				Until     time.Time    `json:"pausedUntil"`
			}{r.ID, "paused", r.Action, r.Requester, all[i].Until}); err != nil {
				return err
			}
		}
	}
	return nil
}
