package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type declineOptions struct {
	answererOptions
	note string
	all  bool
}

func newApprovalsDecline(p *program) *cobra.Command {
	o := &declineOptions{}
	c := &cobra.Command{
		Use:   "decline ID",
		Short: "Decline an approval request, or all of its caller",
		Long: `Decline an approval request. With --all decline every request of the same caller that is
pending now and that you may answer, each by itself.`,
		Example: "  sippet-mcp approvals decline 3f9a --note 'she asked us not to ring'",
		Args:    oneArg(approvalArg),
		RunE:    func(c *cobra.Command, args []string) error { return runApprovalsDecline(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.note, "note", "", "message to the requester, such as the reason")
	c.Flags().BoolVar(&o.all, "all", false, "also decline the other pending requests of the same caller")
	return c
}

func runApprovalsDecline(ctx context.Context, p *program, o *declineOptions, id string) error {
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		r, err := o.find(ctx, l, person, id)
		if err != nil {
			return err
		}
		if o.all {
			return o.declineAll(ctx, p, l, person, &r)
		}
		if err := o.answer(ctx, l, r.ID, person, approval.Reply{Note: o.note}); err != nil {
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				ID    string               `json:"id"`
				State ledger.ApprovalState `json:"state"`
			}{r.ID, ledger.Declined})
		}
		fmt.Fprintln(p.out, "Declined; nothing runs.")
		return nil
	})
}

// declineAll declines all requests of the caller who made r.
func (o *declineOptions) declineAll(ctx context.Context, p *program, l *ledger.SQLite, person approval.Person, r *ledger.ApprovalRequest) error {
	approvals, now := answersOn(l), time.Now()
	all, fault := approvals.PendingOf(ctx, r.ID, person)
	if fault != nil {
		return errors.New(fault.Message)
	}
	results, fault := approvals.DeclineAll(ctx, r.ID, person, now, approval.Reply{Note: o.note})
	if fault != nil {
		return errors.New(fault.Message)
	}
	failed := map[string]*schemas.Error{}
	for _, a := range results {
		if failed[a.ApprovalID] = a.Err; a.Err != nil {
			fmt.Fprintf(p.err, "sippet-mcp: %s was not declined: %s\n", a.ApprovalID[:8], a.Err.Message)
		}
	}
	declined := all[:0]
	for _, one := range all {
		if fault, answered := failed[one.ID]; answered && fault == nil {
			declined = append(declined, one)
		}
	}
	kinds := approval.Kinds(declined)
	if !p.outTerminal {
		return writeJSON(p.out, struct {
			Requester ledger.Actor    `json:"requester"`
			Declined  int             `json:"declined"`
			Actions   []approval.Kind `json:"actions"`
		}{r.Requester, len(declined), kinds})
	}
	var list []string
	for _, k := range kinds {
		list = append(list, fmt.Sprintf("%d %s", k.Count, k.Action))
	}
	text := ""
	if len(list) > 0 {
		text = ": " + strings.Join(list, ", ")
	}
	fmt.Fprintf(p.out, "Declined: %s of %s%s. None of them runs.\n", count(len(declined), "request"), schemas.Escape(r.Requester.String(), 80), text)
	return nil
}
