package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type intentsOptions struct {
	ledgerOptions
	unknown bool
}

func newAuditIntents(p *program) *cobra.Command {
	o := &intentsOptions{}
	c := &cobra.Command{
		Use:   "intents",
		Short: "List the calls that are going on, or of which nobody knows how they ended",
		Long: `List the calls that were about to be sent and have not ended (prepared, sent),
and those that may have run (unknown), newest first. An unknown one stands in
the way of the same call until a person finds out and resolves it.`,
		Example: `  sippet-mcp audit intents --unknown
  sippet-mcp audit resolve 00000000001f6c1de3a2b49a7be5d0c8 --as failed --note 'no such call in the list'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runIntents(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.unknown, "unknown", false, "only those of which nobody knows how they ended")
	return c
}

// openIntent is an intent as a pipe gets it.
type openIntent struct {
	ID           string             `json:"id"`
	State        ledger.IntentState `json:"state"`
	Action       string             `json:"action"`
	Class        schemas.Class      `json:"class"`
	Caller       ledger.Actor       `json:"caller"`
	Organisation string             `json:"organisation"`
	ApprovalID   string             `json:"approval,omitempty"`
	Prepared     time.Time          `json:"prepared"`
	// SeeWith is the action that shows whether it took effect.
	SeeWith string `json:"seeWith,omitempty"`
}

func runIntents(ctx context.Context, p *program, o *intentsOptions) error {
	f := ledger.IntentFilter{Open: true}
	if o.unknown {
		f = ledger.IntentFilter{State: ledger.Unknown}
	}
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		all, err := l.Intents(ctx, f)
		if err != nil {
			return err
		}
		if !p.outTerminal {
			for _, in := range all {
				out := openIntent{in.ID, in.State, in.Action, in.Class, in.Caller, in.Organisation, in.ApprovalID, in.Prepared, ""}
				if a, err := schemas.Find(in.Action); err == nil {
					out.SeeWith = a.ShownBy()
				}
				if err := writeJSON(p.out, out); err != nil {
					return err
				}
			}
			return nil
		}
		if len(all) == 0 {
			fmt.Fprintln(p.out, "nothing is going on, and of every call it is known how it ended")
			return nil
		}
		t, unknown, now := newTable(p, columns("id", "time", "state", "action", "caller", "see with")...), false, time.Now()
		for _, in := range all {
			list := ""
			if a, err := schemas.Find(in.Action); err == nil {
				list = a.ShownBy()
			}
			unknown = unknown || in.State == ledger.Unknown
			t.row(in.ID, shortTime(in.Prepared, now), string(in.State), orDash(in.Action, 60), orDash(in.Caller.String(), 60), orDash(list, 60))
		}
		t.flush()
		if unknown {
			fmt.Fprintln(p.out, "\nAn unknown one may have run. Find out, then: sippet-mcp audit resolve ID --as succeeded|failed --note 'how you know'"+o.same())
		}
		return nil
	})
}

type resolveOptions struct {
	ledgerOptions
	as, note string
}

func newAuditResolve(p *program) *cobra.Command {
	o := &resolveOptions{}
	c := &cobra.Command{
		Use:   "resolve ID",
		Short: "Say how a call ended of which nobody knew",
		Long: `Close an intent whose outcome is unknown, once you have found out in Sippet
whether it took effect. As succeeded it counts as done; as failed the same call
may run again. Your name and the note stay in the audit.`,
		Example: "  sippet-mcp audit resolve 00000000001f6c1de3a2b49a7be5d0c8 --as failed --note 'no such call in the list'",
		Args:    oneArg("the id of an unknown intent; see `sippet-mcp audit intents --unknown`"),
		RunE:    func(c *cobra.Command, args []string) error { return runResolve(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.as, "as", "", "succeeded or failed")
	c.Flags().StringVar(&o.note, "note", "", "how you know")
	return c
}

func runResolve(ctx context.Context, p *program, o *resolveOptions, id string) error {
	as := ledger.IntentState(o.as)
	switch {
	case as != ledger.Succeeded && as != ledger.Failed:
		return errors.New("say how it ended: --as succeeded or --as failed")
	case o.note == "":
		return errors.New("say how you know with --note: it stays in the audit")
	}
	return o.with(ctx, p, func(l *ledger.SQLite) error {
		err := l.Resolve(ctx, id, as, o.note, operator())
		switch {
		case errors.Is(err, ledger.ErrNoIntent):
			return fmt.Errorf("%q is no intent; see `sippet-mcp audit intents --unknown`", schemas.Escape(id, 80))
		case errors.Is(err, ledger.ErrOutcomeKnown):
			in, e := l.Intent(ctx, id)
			if e != nil {
				return err
			}
			return fmt.Errorf("intent %s is %s: only one of which nobody knows how it ended can be resolved", in.ID, in.State)
		case err != nil:
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, map[string]any{"id": id, "state": o.as, "by": operator(), "note": o.note})
		}
		fmt.Fprintf(p.out, "Intent %s has %s, says %s.\n", id, o.as, me())
		return nil
	})
}
