package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type stopOptions struct {
	ledgerOptions
	endCalls bool
	note     string
	// hangUp ends the live outbound calls as they appear, until none is left for a while or the context ends. It must
	// work without the ledger: what cannot be frozen can still be hung up.
	hangUp func(ctx context.Context, by string) error
}

func newStop(p *program) *cobra.Command {
	o := &stopOptions{}
	o.hangUp = func(context.Context, string) error {
		return errors.New("not built in yet: hang up in Sippet itself")
	}
	c := &cobra.Command{
		Use:   "stop",
		Short: "Stop everything but reads and hanging up, until a person resumes",
		Long: `Stop every sippet-mcp that keeps its state in the same directory, within a
second and across restarts: nothing but reads and hanging up goes on, and all
questions to a person, and yeses that were not used yet, are void. What was
sent to Sippet before that is not taken back. Only a person resumes.

With --end-calls the live outbound calls are ended as well. That is tried even
where the ledger cannot be written and nothing is stopped; the exit code is
then 1, because programs go on until you end them yourself.`,
		Example: `  sippet-mcp stop --note 'wrong list dialled'
  sippet-mcp stop --end-calls
  sippet-mcp resume`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runStop(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.endCalls, "end-calls", false, "also end the live outbound calls")
	c.Flags().StringVar(&o.note, "note", "", "why, for whoever meets the stop")
	return c
}

func runStop(ctx context.Context, p *program, o *stopOptions) error {
	s, err := o.freeze(ctx, p)
	if err != nil {
		fmt.Fprintf(p.err, "sippet-mcp: NOTHING IS STOPPED: %v\n", damaged(err))
		fmt.Fprintln(p.err, "programs that serve an AI go on: end them, or take the secret key from them")
	} else {
		s.show(p, o)
	}
	if o.endCalls {
		if e := o.hangUp(ctx, me()); e != nil {
			fmt.Fprintf(p.err, "sippet-mcp: ending calls: %v\n", e)
			err = e
		}
	}
	if err != nil {
		return exitCode(1)
	}
	return nil
}

// stopped is what stop did.
type stopped struct {
	Stopped bool `json:"stopped"`
	// Already is true where it had been stopped before, By whom and Since when.
	Already bool      `json:"already,omitempty"`
	By      string    `json:"by"`
	Since   time.Time `json:"since"`
	Note    string    `json:"note,omitempty"`
	// Directory is where every program that is stopped keeps its state. New is true where nothing did so before: then
	// the programs that were meant are probably others.
	Directory string `json:"directory"`
	New       bool   `json:"new,omitempty"`
	// Voided counts the questions and unused yeses that this stop took back.
	Voided int64  `json:"voided"`
	Resume string `json:"resume"`
}

// freeze also leaves a record where everything is stopped already: that somebody else wanted it too.
func (o *stopOptions) freeze(ctx context.Context, p *program) (*stopped, error) {
	log, err := newLogger(p, "warn")
	if err != nil {
		return nil, err
	}
	dir, err := makeState(o.stateDir)
	if err != nil {
		return nil, err
	}
	fresh := !hasLedger(ledgerDir(dir, o.sandbox))
	l, err := openLedger(ctx, dir, o.sandbox, log)
	if err != nil {
		return nil, err
	}
	// Closed before anybody hangs up, which may open it again.
	defer l.Close()
	before, err := l.Frozen(ctx)
	if err != nil {
		before = nil // freezing goes first; what it says afterwards is not worth failing for
	}
	if err := l.Freeze(ctx, me(), o.note); err != nil {
		return nil, err
	}
	s := &stopped{Stopped: true, Already: before != nil, By: me(), Since: time.Now().UTC(), Note: o.note,
		Directory: absolute(dir), New: fresh, Resume: "sippet-mcp resume" + o.same()}
	if f, err := l.Frozen(ctx); err == nil && f != nil {
		s.By, s.Since, s.Note = f.By, f.At, f.Note
	}
	if last, err := l.Records(ctx, ledger.Filter{Phase: ledger.PhaseFrozen, Limit: 1, Last: true}); err == nil && len(last) == 1 {
		s.Voided = last[0].Count
	}
	return s, nil
}

func (s *stopped) show(p *program, o *stopOptions) {
	if !p.outTerminal {
		_ = writeJSON(p.out, s)
		return
	}
	what := "Stopped"
	if o.sandbox {
		what = "The sandbox is stopped"
	}
	if s.Already {
		what += " already"
	}
	fmt.Fprintf(p.out, "%s, by %s %s%s.\n", what, schemas.Escape(s.By, 80), since(s.Since), because(s.Note))
	fmt.Fprintf(p.out, "Only reads and hanging up go on, in every sippet-mcp with the state directory %s.\n", s.Directory)
	if s.New {
		paint := painter(p)
		fmt.Fprintln(p.out, paint(yellow, "None had kept anything there before: if yours use another one, they are not stopped; name it with --state-dir."))
	}
	switch s.Voided {
	case 0:
		fmt.Fprintln(p.out, "No question to a person was waiting.")
	case 1:
		fmt.Fprintln(p.out, "1 question to a person, or its unused yes, is void.")
	default:
		fmt.Fprintf(p.out, "%d questions to a person, or their unused yeses, are void.\n", s.Voided)
	}
	fmt.Fprintf(p.out, "Resume with: %s\n", s.Resume)
}

func newResume(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "resume",
		Short: "Let everything go on after a stop",
		Long: `Let every sippet-mcp that keeps its state in the same directory go on after a
stop. Questions that the stop voided stay void: the AI has to ask again.`,
		Example: "  sippet-mcp resume",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runResume(c.Context(), p, o) },
	}
	o.flags(c)
	return c
}

func runResume(ctx context.Context, p *program, o *ledgerOptions) error {
	return o.with(ctx, p, func(l *ledger.SQLite) error {
		before, err := l.Frozen(ctx)
		if err != nil {
			return err
		}
		was, err := l.Resume(ctx, me())
		if err != nil {
			return err
		}
		if !p.outTerminal {
			r := struct {
				Resumed bool       `json:"resumed"`
				By      string     `json:"by"`
				Stopper string     `json:"stoppedBy,omitempty"`
				Since   *time.Time `json:"since,omitempty"`
				Note    string     `json:"note,omitempty"`
			}{Resumed: was, By: me()}
			if was && before != nil {
				r.Stopper, r.Since, r.Note = before.By, &before.At, before.Note
			}
			return writeJSON(p.out, r)
		}
		switch {
		case !was:
			fmt.Fprintln(p.out, "Nothing was stopped.")
		case before == nil:
			fmt.Fprintln(p.out, "Resumed.")
		default:
			fmt.Fprintf(p.out, "Resumed. It was stopped by %s %s%s.\n", schemas.Escape(before.By, 80), since(before.At), because(before.Note))
		}
		return nil
	})
}

// since says from when on something has held.
func since(t time.Time) string {
	ago := time.Since(t)
	switch {
	case ago < 5*time.Second:
		return "just now"
	case ago < time.Minute:
		return fmt.Sprintf("%d seconds ago", int(ago.Seconds()))
	}
	return "at " + t.Local().Format("2 Jan 2006 15:04:05 MST")
}

// because adds a person's note to a sentence.
func because(note string) string {
	if note == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", schemas.Escape(note, 500))
}
