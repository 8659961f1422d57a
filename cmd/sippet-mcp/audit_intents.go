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
		Short: "List calls that have no outcome yet, or an unknown one",
		Long: `List calls that have no outcome yet (prepared, sent) and calls that may have run
(unknown), newest first. A call with an unknown outcome blocks the same call
until a person records the outcome with "audit resolve".`,
		Example: "  sippet-mcp audit intents --unknown",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runIntents(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.unknown, "unknown", false, "only calls with an unknown outcome")
	return c
}

// openIntent is an intent as JSON.
type openIntent struct {
	ID           string             `json:"id"`
	State        ledger.IntentState `json:"state"`
	Action       string             `json:"action"`
	Class        schemas.Class      `json:"class"`
	Caller       ledger.Actor       `json:"caller"`
	Organisation string             `json:"organisation"`
	ApprovalID   string             `json:"approval,omitempty"`
	Prepared     time.Time          `json:"prepared"`
	// CheckWith is the action that shows whether the call took effect.
	CheckWith string `json:"checkWith,omitempty"`
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
		if p.outTerminal {
			o.print(p, all)
			return nil
		}
		for _, in := range all {
			out := openIntent{in.ID, in.State, in.Action, in.Class, in.Caller, in.Organisation, in.ApprovalID, in.Prepared, listAction(in.Action)}
			if err := writeJSON(p.out, out); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *intentsOptions) print(p *program, all []ledger.Intent) {
	if len(all) == 0 {
		fmt.Fprintln(p.out, "no calls found: every call has a known outcome")
		return
	}
	t, unknown, now := newTable(p, columns("id", "time", "state", "action", "caller", "check with")...), false, time.Now()
	for _, in := range all {
		unknown = unknown || in.State == ledger.Unknown
		t.row(in.ID, shortTime(in.Prepared, now), string(in.State), orDash(in.Action, 60), orDash(in.Caller.String(), 60), orDash(listAction(in.Action), 60))
	}
	t.flush()
	if unknown {
		fmt.Fprintln(p.out, "\nA call in state unknown may have run. Check, then: sippet-mcp audit resolve ID --as succeeded|failed --note 'how you know'"+o.same())
	}
}

type resolveOptions struct {
	ledgerOptions
	as, note string
}

func newAuditResolve(p *program) *cobra.Command {
	o := &resolveOptions{}
	c := &cobra.Command{
		Use:   "resolve ID",
		Short: "Record the outcome of a call with an unknown result",
		Long: `Record the outcome of a call with an unknown result, once you have checked in
Sippet whether it took effect. A succeeded call counts as done. After a failed
one the same call may run again. Your name and the note stay in the audit log.`,
		Example: "  sippet-mcp audit resolve 00000000001f6c1de3a2b49a7be5d0c8 --as failed --note 'not in list_contacts'",
		Args:    oneArg("the id of an intent with an unknown outcome; see `sippet-mcp audit intents --unknown`"),
		RunE:    func(c *cobra.Command, args []string) error { return runResolve(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.as, "as", "", "the outcome: succeeded or failed")
	c.Flags().StringVar(&o.note, "note", "", "how you know the outcome")
	return c
}

func runResolve(ctx context.Context, p *program, o *resolveOptions, id string) error {
	as := ledger.IntentState(o.as)
	switch {
	case as != ledger.Succeeded && as != ledger.Failed:
		return errors.New("the outcome is missing: give --as succeeded or --as failed")
	case o.note == "":
		return errors.New("the note is missing: say with --note how you know the outcome")
	}
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		err := l.Resolve(ctx, id, as, o.note, operator())
		switch {
		case errors.Is(err, ledger.ErrNoIntent):
			return fmt.Errorf("%q is not the id of an intent; see `sippet-mcp audit intents --unknown`", schemas.Escape(id, 80))
		case errors.Is(err, ledger.ErrOutcomeKnown):
			in, e := l.Intent(ctx, id)
			if e != nil {
				return err
			}
			return fmt.Errorf("intent %s is %s: only an unknown outcome can be resolved", in.ID, in.State)
		case err != nil:
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, map[string]any{"id": id, "state": o.as, "by": operator(), "note": o.note})
		}
		fmt.Fprintf(p.out, "Intent %s: %s recorded by %s.\n", id, o.as, me())
		return nil
	})
}
