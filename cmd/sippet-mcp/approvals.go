package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newApprovals(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "approvals",
		Short: "Answer approval requests on the terminal",
		Long: `List approval requests, and answer them on the terminal. Requests, cards, and the
rule who may answer are those of the inbox.

Without a token you are this machine's user, and answer the requests of programs
that run here under your name. To answer as an approver, set SIPPET_APPROVER_TOKEN to
your token, or name a file that holds it with --token-file.

The program that made a request runs the approved call, within a minute.`,
		Example: "  sippet-mcp approvals list",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newApprovalsList(p), newApprovalsShow(p), newApprovalsApprove(p), newApprovalsDecline(p), newApprovalsLift(p), newApprovalsWatch(p))
	return c
}

// approvalArg is what commands about one request take.
const approvalArg = "the id of an approval request, or its first characters; see `sippet-mcp approvals list`"

// answererOptions name the ledger, and the person who reads and answers its requests.
type answererOptions struct {
	ledgerOptions
	tokenFile string
}

func (o *answererOptions) flags(c *cobra.Command) {
	o.ledgerOptions.flags(c)
	c.Flags().StringVar(&o.tokenFile, "token-file", "",
		"file with your token as an approver (else SIPPET_APPROVER_TOKEN; without either you are this machine's user)")
	bindVariables(c, "token-file")
}

// person returns the owner of the token, or this machine's user without one.
func (o *answererOptions) person(ctx context.Context, p *program, l *ledger.SQLite) (approval.Person, error) {
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
	case errors.Is(err, ledger.ErrTokenUnknown), errors.Is(err, ledger.ErrTokenExpired),
		errors.Is(err, ledger.ErrTokenRevoked), errors.Is(err, ledger.ErrNoTokens):
		return approval.Person{}, errors.New("the token is unknown, expired or revoked; see `sippet-mcp tokens list --all" + o.same() + "`")
	case err != nil:
		return approval.Person{}, err
	}
	person := approval.Person{Name: t.Person, Roles: t.Roles, Via: "terminal", Credential: t.ID, Fresh: true}
	if person.HasRole(approval.RoleAgent) {
		return person, errors.New("the token has the role agent, and programs cannot answer approval requests: use a token of your own")
	}
	return person, nil
}

// find returns the request with an id that begins with prefix, pending or not.
func (o *answererOptions) find(ctx context.Context, l *ledger.SQLite, person approval.Person, prefix string) (ledger.ApprovalRequest, error) {
	prefix = strings.ToLower(strings.TrimSpace(prefix))
	all, err := l.Approvals(ctx, ledger.ApprovalFilter{})
	if err != nil {
		return ledger.ApprovalRequest{}, err
	}
	var found []string
	for i := range all {
		if strings.HasPrefix(all[i].ID, prefix) && prefix != "" && person.MaySee(&all[i], time.Now()) {
			found = append(found, all[i].ID)
		}
	}
	switch len(found) {
	case 0:
		return ledger.ApprovalRequest{}, fmt.Errorf("there is no approval request %q that you may see; see `sippet-mcp approvals list%s`",
			schemas.Escape(prefix, 40), o.same())
	case 1:
		return l.Approval(ctx, found[0])
	}
	return ledger.ApprovalRequest{}, fmt.Errorf("%d approval requests begin with %q: add characters of the id", len(found), schemas.Escape(prefix, 40))
}

// answer records a person's answer to one request.
func (o *answererOptions) answer(ctx context.Context, l *ledger.SQLite, id string, person approval.Person, reply approval.Reply) error {
	if results := answersOn(l).Answer(ctx, []string{id}, person, reply); results[0].Err != nil {
		return errors.New(results[0].Err.Message)
	}
	return nil
}

// answersOn records answers in a ledger. The program that made a request runs it.
func answersOn(l *ledger.SQLite) *approval.Approvals {
	return &approval.Approvals{Ledger: l, Watch: &approval.Watcher{Ledger: l}, Now: time.Now}
}

// shownApproval is a request as a pipe gets it.
type shownApproval struct {
	ID        string               `json:"id"`
	State     ledger.ApprovalState `json:"state"`
	Action    string               `json:"action"`
	Needs     string               `json:"needs"`
	Requester ledger.Actor         `json:"requester"`
	Requested time.Time            `json:"requested"`
	Expires   time.Time            `json:"expires"`
	// Departed is since when the requester's program no longer waits for the answer.
	Departed time.Time    `json:"departed,omitzero"`
	By       ledger.Actor `json:"by,omitzero"`
	Note     string       `json:"note,omitempty"`
	Quick    bool         `json:"quick,omitempty"`
	// Status and Detail describe the result in words.
	Status string         `json:"status"`
	Detail string         `json:"detail,omitempty"`
	Card   *approval.Card `json:"card,omitempty"`
	// Erased is how many of the persons on the card were erased.
	Erased int `json:"erased,omitempty"`

	running bool
}

// readApproval returns a request with its card and its result.
func readApproval(ctx context.Context, l *ledger.SQLite, id string) (shownApproval, error) {
	r, err := l.Approval(ctx, id)
	if err != nil {
		return shownApproval{}, err
	}
	var run *ledger.Intent
	if r.State == ledger.Used {
		in, err := l.Intent(ctx, r.Intent)
		switch {
		case err == nil:
			run = &in
		case !errors.Is(err, ledger.ErrNoIntent):
			return shownApproval{}, err
		}
	}
	now := time.Now()
	outcome := approval.DescribeOutcome(&r, run, now)
	out := shownApproval{ID: r.ID, State: r.StateAt(now), Action: r.Action, Needs: r.Needs, Requester: r.Requester,
		Requested: r.Requested, Expires: r.Expires, By: r.By, Note: r.Note, Quick: r.Quick,
		Status: outcome.Status, Detail: outcome.Detail, Erased: r.Erased, running: outcome.Running}
	if r.State == ledger.Pending {
		out.Departed = r.Departed
	}
	if card, err := approval.ReadCard(r.Card); err == nil {
		out.Card = card
	}
	return out, nil
}

// show writes the card and the state for a person.
func (a *shownApproval) show(p *program) {
	if a.Card == nil {
		fmt.Fprintln(p.out, "The card was erased together with a person's data.")
	} else {
		fmt.Fprintln(p.out, a.Card.Long())
		if a.Erased > 0 {
			fmt.Fprintf(p.out, "\n%s. What belonged to them, or to all recipients together, is gone.\n", ledger.ErasedText(a.Erased))
		}
	}
	if !a.Departed.IsZero() {
		fmt.Fprintf(p.out, "\nThe assistant no longer waits for the answer, since %s. It gets the result when it asks.\n", a.Departed.Local().Format("2 Jan 15:04"))
	}
	fmt.Fprintf(p.out, "\n%s, until %s: ", a.ID, a.Expires.Local().Format("2 Jan 15:04"))
	a.showStatus(p)
}

func (a *shownApproval) showStatus(p *program) {
	fmt.Fprint(p.out, orDash(a.Status, 200))
	if a.Detail != "" {
		fmt.Fprintf(p.out, ": %s", orDash(a.Detail, 500))
	}
	fmt.Fprintln(p.out)
}
