package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newApprovalsApprove(p *program) *cobra.Command {
	o := &answererOptions{}
	c := &cobra.Command{
		Use:   "approve ID",
		Short: "Show a card, and approve the call on the terminal",
		Long: `Show the card of a request, and approve it by typing "approve" on the terminal. For
more than ten people you type their number instead. Without a terminal nothing is
approved. The command waits up to a minute for the program that made the request
to run the call.`,
		Example: "  sippet-mcp approvals approve 3f9a",
		Args:    oneArg(approvalArg),
		RunE:    func(c *cobra.Command, args []string) error { return runApprovalsApprove(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runApprovalsApprove(ctx context.Context, p *program, o *answererOptions, id string) error {
	tty, err := p.terminal()
	if err != nil {
		return errors.New("there is no terminal to approve on; use the inbox or its API")
	}
	defer tty.Close()
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		r, err := o.find(ctx, l, person, id)
		if err != nil {
			return err
		}
		if why := person.CheckAnswer(&r); why != nil {
			return errors.New(why.Message)
		}
		a, err := readApproval(ctx, l, r.ID)
		switch {
		case err != nil:
			return err
		case a.State != ledger.Pending:
			return errors.New("the request is not pending any more: " + orDash(a.Status, 200))
		case a.Card == nil, a.Erased > 0:
			return errors.New("the card, or a part of it, was erased together with a person's data; the request can only be declined")
		}
		shown := time.Now()
		asked, cancel := context.WithDeadline(ctx, r.Expires)
		defer cancel()
		approved, err := askApproval(asked, tty, a.Card)
		if errors.Is(err, errFlush) {
			return errors.New("what was typed earlier could not be dropped, so nothing was asked; use the inbox")
		}
		if err != nil || !approved {
			return fmt.Errorf("not approved; the request is still pending, and `sippet-mcp approvals decline %s%s` declines it", r.ID[:8], o.same())
		}
		reply := approval.Reply{Approve: true, StatedNumber: a.Card.RecipientCount, Quick: time.Since(shown) < 2*time.Second}
		if err := o.answer(ctx, l, r.ID, person, reply); err != nil {
			return err
		}
		return o.waitForRun(ctx, p, l, r.ID)
	})
}

// waitForRun waits until the approved call has ended, and reports how. Its error is for a call that
// did not run, failed, or has an unknown outcome.
func (o *answererOptions) waitForRun(ctx context.Context, p *program, l *ledger.SQLite, id string) error {
	reading := context.WithoutCancel(ctx)
	show := fmt.Sprintf("`sippet-mcp approvals show %s%s`", id[:8], o.same())
	var last ledger.ApprovalState
	for end := time.Now().Add(approval.ValidFor + 2*time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		r, err := l.Approval(reading, id)
		if err != nil {
			return err
		}
		last = r.State
		switch {
		case r.State == ledger.Revoked && r.Fault == nil:
			return errors.New("approved, but it did not run: the request was withdrawn, or an emergency stop revoked it")
		case r.State == ledger.Revoked:
			return fmt.Errorf("approved, but it did not run: %s", orDash(ledger.ErrorMessage(r.Fault), 500))
		case r.State == ledger.Approved && approval.IsRead(r.Action):
			fmt.Fprintln(p.out, "Approved. The program that asked gets the result when it repeats its call.")
			return nil
		case r.State == ledger.Used:
			in, err := l.Intent(reading, r.Intent)
			if err != nil {
				return err
			}
			switch in.State {
			case ledger.Succeeded:
				fmt.Fprintln(p.out, "Approved, and it ran.")
				if a, err := schemas.Find(r.Action); err == nil && a.Class == schemas.Credential {
					fmt.Fprintln(p.out, "Take what was issued in the inbox, once, within 15 minutes.")
				}
				return nil
			case ledger.Failed:
				return fmt.Errorf("approved, but Sippet rejected it: %s", orDash(ledger.ErrorMessage(in.Fault), 500))
			case ledger.Unknown:
				return fmt.Errorf("approved, but it is unknown whether it ran: check in Sippet, "+
					"then record the outcome with `sippet-mcp audit resolve %s%s`", in.ID, o.same())
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("approved; its result was not waited for, see %s", show)
		}
	}
	if last == ledger.Used {
		return fmt.Errorf("approved, and it is still running; see %s", show)
	}
	return errors.New("approved, but it did not run: the program that asked has ended, and the approval has expired")
}
