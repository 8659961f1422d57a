package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func newApprovalsWatch(p *program) *cobra.Command {
	o := &answererOptions{}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show approval requests and their results as they happen",
		Long: `Show each approval request that you may see when it is made, and its result, until
you end the command with Ctrl-C. A pipe gets a line of JSON for each change.`,
		Example: "  sippet-mcp approvals watch",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runApprovalsWatch(c.Context(), p, o) },
	}
	o.flags(c)
	return c
}

func runApprovalsWatch(ctx context.Context, p *program, o *answererOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		w := &approvalsWatch{answererOptions: o, ledger: l, person: person, states: map[string]ledger.ApprovalState{}}
		version := int64(-1)
		for first := true; ctx.Err() == nil; first = false {
			now, err := l.ApprovalsVersion(ctx)
			// A request expires without a new version, so those that were shown are read every
			// time.
			if err == nil && (now != version || len(w.states) > 0) {
				version = now
				err = w.showChanges(ctx, p, first)
			}
			if err != nil && ctx.Err() == nil {
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

// approvalsWatch holds the state of each request as it was shown last.
type approvalsWatch struct {
	*answererOptions
	ledger *ledger.SQLite
	person approval.Person
	states map[string]ledger.ApprovalState
}

// showChanges shows what has changed since it was called before; at first only what is open.
func (w *approvalsWatch) showChanges(ctx context.Context, p *program, first bool) error {
	open, err := w.ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true})
	if err != nil {
		return err
	}
	ended, err := w.ledger.Approvals(ctx, ledger.ApprovalFilter{Ended: true, Limit: endedApprovals})
	if err != nil {
		return err
	}
	for _, list := range [][]ledger.ApprovalRequest{ended, open} {
		for i := range list {
			r := &list[i]
			state := r.StateAt(time.Now())
			if shown, known := w.states[r.ID]; !w.person.MaySee(r, time.Now()) || known && shown == state {
				continue
			}
			w.states[r.ID] = state
			if first && !r.Open(time.Now()) {
				continue
			}
			a, err := readApproval(ctx, w.ledger, r.ID)
			if err != nil {
				return err
			}
			if a.running {
				delete(w.states, r.ID) // it is shown when it has ended
				continue
			}
			if err := w.show(p, &a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *approvalsWatch) show(p *program, a *shownApproval) error {
	if !p.outTerminal {
		return writeJSON(p.out, a)
	}
	if a.State != ledger.Pending {
		fmt.Fprintf(p.out, "%s  ", a.ID[:8])
		a.showStatus(p)
		return nil
	}
	fmt.Fprintln(p.out)
	a.show(p)
	fmt.Fprintf(p.out, "Answer with: sippet-mcp approvals approve %s%s   or decline\n", a.ID[:8], w.same())
	return nil
}
