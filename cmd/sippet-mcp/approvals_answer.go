package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newApprovalsApprove(p *program) *cobra.Command {
	o := &answererOptions{}
	c := &cobra.Command{
		Use:   "approve ID",
		Short: "Show a card, and agree to it on the terminal",
		Long: `Show the card of a question and ask for a yes on the terminal; for more than ten
people their number is typed. There must be a terminal: a yes that nobody typed
is none. It waits up to a minute for the program that asked to run it.`,
		Example: "  sippet-mcp approvals approve 3f9a",
		Args:    oneArg("the beginning of a question's id; see `sippet-mcp approvals list`"),
		RunE:    func(c *cobra.Command, args []string) error { return runApprove(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runApprove(ctx context.Context, p *program, o *answererOptions, id string) error {
	tty, err := p.terminal()
	if err != nil {
		return errors.New("there is no terminal to agree on; use the inbox, or its API")
	}
	defer tty.Close()
	return o.with(ctx, p, func(l *ledger.SQLite) error {
		who, err := o.who(ctx, p, l)
		if err != nil {
			return err
		}
		q, err := o.approval(ctx, l, who, id)
		if err != nil {
			return err
		}
		if why := who.CheckAnswer(&q); why != nil {
			return errors.New(why.Message)
		}
		one, err := read(ctx, l, q.ID)
		switch {
		case err != nil:
			return err
		case one.State != string(ledger.Pending):
			return errors.New("it does not wait any more: " + orDash(one.Status, 200))
		case one.Card == nil:
			return errors.New("what this was about is gone, with somebody whose data was erased; it can only be refused")
		}
		if err := tty.Flush(); err != nil {
			return errors.New("what was typed before cannot be told from an answer; use the inbox")
		}
		word := "yes"
		if n := one.Card.StateNumber; n > 0 {
			word = strconv.Itoa(n)
		}
		shown := time.Now()
		fmt.Fprintf(tty, "\n%s\n\nType %s to agree: ", one.Card.Text(), word)
		asked, cancel := context.WithDeadline(ctx, q.Expires)
		defer cancel()
		line, err := readLine(asked, tty)
		if err != nil || !strings.EqualFold(strings.TrimSpace(line), word) {
			return errors.New("you did not agree; it still waits, and `sippet-mcp approvals deny` refuses it")
		}
		desk := &approval.Approvals{Ledger: l, Watch: &approval.Watcher{Ledger: l}, Now: time.Now}
		said := desk.Answer(ctx, []string{q.ID}, who, approval.Reply{Approve: true, StatedNumber: one.Card.RecipientCount, Quick: time.Since(shown) < 2*time.Second})
		if said[0].Err != nil {
			return errors.New(said[0].Err.Message)
		}
		return o.outcome(ctx, p, l, q.ID)
	})
}

// outcome waits for what came of a yes, and says it.
func (o *answererOptions) outcome(ctx context.Context, p *program, l *ledger.SQLite, id string) error {
	look := context.WithoutCancel(ctx)
	var last ledger.ApprovalState
	for end := time.Now().Add(approval.ValidFor + 2*time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		q, err := l.Approval(look, id)
		if err != nil {
			return err
		}
		last = q.State
		switch {
		case q.State == ledger.Revoked && q.Fault == nil:
			return errors.New("you agreed, and it did not run: the question was withdrawn, or everything was stopped")
		case q.State == ledger.Revoked:
			return fmt.Errorf("you agreed, and it did not run: %s", orDash(ledger.ErrorMessage(q.Fault), 500))
		case q.State == ledger.Approved && approval.IsRead(q.Action):
			fmt.Fprintln(p.out, "Agreed. The program that asked gets the answer when it comes for it.")
			return nil
		case q.State == ledger.Used:
			in, err := l.Intent(look, q.Intent)
			if err != nil {
				return err
			}
			switch in.State {
			case ledger.Succeeded:
				fmt.Fprintln(p.out, "Agreed, and it ran.")
				if a, err := schemas.Find(q.Action); err == nil && a.Class == schemas.Credential {
					fmt.Fprintln(p.out, "Take what was issued in the inbox, once, within a quarter of an hour.")
				}
				return nil
			case ledger.Failed:
				return fmt.Errorf("you agreed, and Sippet refused it: %s", orDash(ledger.ErrorMessage(in.Fault), 500))
			case ledger.Unknown:
				return fmt.Errorf("you agreed, and nobody knows whether it ran: look, and close it with `sippet-mcp audit resolve %s%s`", in.ID, o.same())
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("you agreed, and did not wait for what comes of it; see `sippet-mcp approvals show %s%s`", id[:8], o.same())
		}
	}
	if last == ledger.Used {
		return fmt.Errorf("you agreed, and it is still running; see `sippet-mcp approvals show %s%s`", id[:8], o.same())
	}
	return errors.New("you agreed, and nobody ran it within a minute, so the yes is void: the program that asked has ended")
}

type declineOptions struct {
	answererOptions
	note string
}

func newApprovalsDecline(p *program) *cobra.Command {
	o := &declineOptions{}
	c := &cobra.Command{
		Use:     "deny ID",
		Short:   "Refuse a question, and say why to whoever asked",
		Example: "  sippet-mcp approvals deny 3f9a --note 'she asked us not to ring'",
		Args:    oneArg("the beginning of a question's id; see `sippet-mcp approvals list`"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.with(c.Context(), p, func(l *ledger.SQLite) error {
				who, err := o.who(c.Context(), p, l)
				if err != nil {
					return err
				}
				q, err := o.approval(c.Context(), l, who, args[0])
				if err != nil {
					return err
				}
				desk := &approval.Approvals{Ledger: l, Watch: &approval.Watcher{Ledger: l}, Now: time.Now}
				if said := desk.Answer(c.Context(), []string{q.ID}, who, approval.Reply{Note: o.note}); said[0].Err != nil {
					return errors.New(said[0].Err.Message)
				}
				if !p.outTerminal {
					return writeJSON(p.out, struct {
						ID    string `json:"id"`
						State string `json:"state"`
					}{q.ID, string(ledger.Declined)})
				}
				fmt.Fprintln(p.out, "Refused; nothing runs.")
				return nil
			})
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.note, "note", "", "why, for whoever asked")
	return c
}
