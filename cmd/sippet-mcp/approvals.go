package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newApprovals(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "approvals",
		Short: "Answer what waits in the inbox, on the terminal",
		Long: `Look at what waits in the inbox, and answer it, on the terminal: the same questions,
the same card, and the same say in who may answer.

You are the person at this machine, who may answer what programs ask that you
started here. To answer as an approver, put your token into SIPPET_APPROVER_TOKEN
or into a file named by --token-file.

What you agree to is run by the program that asked, within a minute.`,
		Example: `  sippet-mcp approvals list
  sippet-mcp approvals approve 3f9a
  sippet-mcp approvals deny 3f9a --note 'wrong customer'
  sippet-mcp approvals watch`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newApprovalsList(p), newApprovalsShow(p), newApprovalsApprove(p), newApprovalsDecline(p), newApprovalsWatch(p))
	return c
}

// answererOptions say who answers, and of which ledger.
type answererOptions struct {
	ledgerOptions
	tokenFile string
}

func (o *answererOptions) flags(c *cobra.Command) {
	o.ledgerOptions.flags(c)
	c.Flags().StringVar(&o.tokenFile, "token-file", "", "file with your token as an approver (else SIPPET_APPROVER_TOKEN; without either you are this machine's user)")
}

// who says who is at the terminal.
func (o *answererOptions) who(ctx context.Context, p *program, l *ledger.SQLite) (approval.Person, error) {
	secret := p.env("SIPPET_APPROVER_TOKEN")
	if o.tokenFile != "" {
		raw, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return approval.Person{}, fmt.Errorf("reading the token: %w", err)
		}
		secret = strings.TrimSpace(string(raw))
	}
	if secret == "" {
		return approval.Person{Name: me(), Local: true, Via: "terminal", Fresh: true}, nil
	}
	t, err := l.Authenticate(ctx, secret)
	switch {
	case errors.Is(err, ledger.ErrTokenUnknown), errors.Is(err, ledger.ErrTokenExpired), errors.Is(err, ledger.ErrTokenRevoked), errors.Is(err, ledger.ErrNoTokens):
		return approval.Person{}, errors.New("the token lets nobody in; see `sippet-mcp tokens list`")
	case err != nil:
		return approval.Person{}, err
	}
	who := approval.Person{Name: t.Person, Roles: t.Roles, Via: "terminal", Credential: t.ID, Fresh: true}
	if who.HasRole(approval.RoleAgent) {
		return who, errors.New("the token is a program's (role agent), and programs do not answer: use one of your own")
	}
	return who, nil
}

// approval finds the open or ended question that an id, or the beginning of one, names.
func (o *answererOptions) approval(ctx context.Context, l *ledger.SQLite, who approval.Person, id string) (ledger.ApprovalRequest, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	all, err := l.Approvals(ctx, ledger.ApprovalFilter{Inbox: true})
	if err != nil {
		return ledger.ApprovalRequest{}, err
	}
	var found []string
	for i := range all {
		if strings.HasPrefix(all[i].ID, id) && id != "" && who.MaySee(&all[i]) {
			found = append(found, all[i].ID)
		}
	}
	switch len(found) {
	case 0:
		return ledger.ApprovalRequest{}, fmt.Errorf("there is no question %q that you may see; see `sippet-mcp approvals list%s`", schemas.Escape(id, 40), o.same())
	case 1:
		return l.Approval(ctx, found[0])
	}
	return ledger.ApprovalRequest{}, fmt.Errorf("%d questions begin with %q: give more of the id", len(found), schemas.Escape(id, 40))
}

// listedApproval is a question as a pipe gets it.
type listedApproval struct {
	ID        string       `json:"id"`
	State     string       `json:"state"`
	Action    string       `json:"action"`
	Needs     string       `json:"needs"`
	Requester ledger.Actor `json:"requester"`
	Asked     time.Time    `json:"requested"`
	Expires   time.Time    `json:"expires"`
	By        ledger.Actor `json:"by,omitzero"`
	Note      string       `json:"note,omitempty"`
	Quick     bool         `json:"quick,omitempty"`
	// Status and Detail say in words what came of it.
	Status string         `json:"status"`
	Detail string         `json:"detail,omitempty"`
	Card   *approval.Card `json:"card,omitempty"`

	running bool
}

// stateOf is a question's state, where one that ran out has its own name.
func stateOf(q *ledger.ApprovalRequest, now time.Time) string {
	if (q.State == ledger.Pending || q.State == ledger.Approved) && !q.Open(now) {
		return "expired"
	}
	return string(q.State)
}

// read gives a question with its card and what came of it.
func read(ctx context.Context, l *ledger.SQLite, id string) (listedApproval, error) {
	q, err := l.Approval(ctx, id)
	if err != nil {
		return listedApproval{}, err
	}
	var ran *ledger.Intent
	if q.State == ledger.Used {
		in, err := l.Intent(ctx, q.Intent)
		switch {
		case err == nil:
			ran = &in
		case !errors.Is(err, ledger.ErrNoIntent):
			return listedApproval{}, err
		}
	}
	now := time.Now()
	came := inbox.DescribeOutcome(&q, ran, now)
	out := listedApproval{ID: q.ID, State: stateOf(&q, now), Action: q.Action, Needs: q.Needs, Requester: q.Requester, Asked: q.Requested, Expires: q.Expires,
		By: q.By, Note: q.Note, Quick: q.Quick, Status: came.Status, Detail: came.Detail, running: came.Running}
	var card approval.Card
	if q.Card != nil && json.Unmarshal(q.Card, &card) == nil {
		out.Card = &card
	}
	return out, nil
}

type approvalsListOptions struct {
	answererOptions
	all bool
}

func newApprovalsList(p *program) *cobra.Command {
	o := &approvalsListOptions{}
	c := &cobra.Command{
		Use:     "list",
		Short:   "List what waits for an answer, oldest first",
		Example: "  sippet-mcp approvals list\n  sippet-mcp approvals list --all | jq -r 'select(.quick) | .id'",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runApprovalsList(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.all, "all", false, "also the last that were decided")
	return c
}

func runApprovalsList(ctx context.Context, p *program, o *approvalsListOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		who, err := o.who(ctx, p, l)
		if err != nil {
			return err
		}
		all, err := l.Approvals(ctx, ledger.ApprovalFilter{Open: true, Inbox: true})
		if err == nil && o.all {
			var ended []ledger.ApprovalRequest
			ended, err = l.Approvals(ctx, ledger.ApprovalFilter{Ended: true, Inbox: true, Limit: 50})
			all = append(ended, all...)
		}
		if err != nil {
			return err
		}
		table := newTable(p, columns("id", "what", "asked by", "needs", "state", "until")...)
		for i := range all {
			if !who.MaySee(&all[i]) {
				continue
			}
			one, err := read(ctx, l, all[i].ID)
			if err != nil {
				return err
			}
			if !p.outTerminal {
				if err := writeJSON(p.out, one); err != nil {
					return err
				}
				continue
			}
			what := one.Action
			if one.Card != nil {
				what = one.Card.Sentence
			}
			table.row(one.ID[:8], orDash(what, 70), orDash(one.Requester.String(), 40), one.Needs, one.Status, one.Expires.Local().Format("2 Jan 15:04"))
		}
		if p.outTerminal && len(table.rows) == 0 {
			fmt.Fprintln(p.out, "nothing waits")
		} else if p.outTerminal {
			table.flush()
		}
		return nil
	})
}

func newApprovalsShow(p *program) *cobra.Command {
	o := &answererOptions{}
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show the card of one question",
		Example: "  sippet-mcp approvals show 3f9a",
		Args:    oneArg("the beginning of a question's id; see `sippet-mcp approvals list`"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.reading(c.Context(), p, func(l *ledger.SQLite) error {
				who, err := o.who(c.Context(), p, l)
				if err != nil {
					return err
				}
				q, err := o.approval(c.Context(), l, who, args[0])
				if err != nil {
					return err
				}
				one, err := read(c.Context(), l, q.ID)
				if err != nil {
					return err
				}
				if !p.outTerminal {
					return writeJSON(p.out, one)
				}
				showApproval(p, one)
				return nil
			})
		},
	}
	o.flags(c)
	return c
}

func showApproval(p *program, q listedApproval) {
	if q.Card == nil {
		fmt.Fprintln(p.out, "What this was about is gone, with somebody whose data was erased.")
	} else {
		fmt.Fprintln(p.out, q.Card.Text())
	}
	fmt.Fprintf(p.out, "\n%s, until %s: ", q.ID, q.Expires.Local().Format("2 Jan 15:04"))
	q.showStatus(p)
}

func (q *listedApproval) showStatus(p *program) {
	fmt.Fprint(p.out, orDash(q.Status, 200))
	if q.Detail != "" {
		fmt.Fprintf(p.out, ": %s", orDash(q.Detail, 500))
	}
	fmt.Fprintln(p.out)
}
