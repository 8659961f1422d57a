package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func newApprovalsWatch(p *program) *cobra.Command {
	o := &answererOptions{}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show each question as it comes, and what came of it",
		Long: `Show each question that you may see as it comes, and what came of it, until you
end it with Ctrl-C. A pipe gets a line of JSON for each change.`,
		Example: "  sippet-mcp approvals watch",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runApprovalsWatch(c.Context(), p, o) },
	}
	o.flags(c)
	return c
}

func runApprovalsWatch(ctx context.Context, p *program, o *answererOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		who, err := o.who(ctx, p, l)
		if err != nil {
			return err
		}
		seen, version := map[string]string{}, int64(-1)
		for first := true; ctx.Err() == nil; first = false {
			now, err := l.ApprovalsVersion(ctx)
			if err == nil && (now != version || len(seen) > 0) {
				version = now
				err = o.changes(ctx, p, l, who, seen, first)
			}
			if err != nil && ctx.Err() == nil { // else it was ended while it looked
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
		return nil
	})
}

// changes shows what is new since the last look; at the first only what waits.
func (o *answererOptions) changes(ctx context.Context, p *program, l *ledger.SQLite, who approval.Person, seen map[string]string, first bool) error {
	open, err := l.Approvals(ctx, ledger.ApprovalFilter{Open: true, Inbox: true})
	if err != nil {
		return err
	}
	ended, err := l.Approvals(ctx, ledger.ApprovalFilter{Ended: true, Inbox: true, Limit: 50})
	if err != nil {
		return err
	}
	for _, list := range [][]ledger.ApprovalRequest{ended, open} {
		for i := range list {
			q := &list[i]
			state := stateOf(q, time.Now())
			if was, known := seen[q.ID]; !who.MaySee(q) || known && was == state {
				continue
			}
			seen[q.ID] = state
			if first && !q.Open(time.Now()) {
				continue
			}
			one, err := read(ctx, l, q.ID)
			if err != nil {
				return err
			}
			if one.running {
				delete(seen, q.ID) // it is told when it has ended
				continue
			}
			if !p.outTerminal {
				if err := writeJSON(p.out, one); err != nil {
					return err
				}
				continue
			}
			if one.State == string(ledger.Pending) {
				fmt.Fprintln(p.out)
				showApproval(p, one)
				fmt.Fprintf(p.out, "Answer with: sippet-mcp approvals approve %s%s   or deny\n", q.ID[:8], o.same())
				continue
			}
			fmt.Fprintf(p.out, "%s  ", q.ID[:8])
			one.showStatus(p)
		}
	}
	return nil
}
