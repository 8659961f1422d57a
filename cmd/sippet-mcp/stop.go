package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type stopOptions struct {
	ledgerOptions
	upstreamOptions
	endCalls bool
	note     string
}

func newStop(p *program) *cobra.Command {
	o := &stopOptions{}
	c := &cobra.Command{
		Use:   "stop",
		Short: "Stop everything but reads and hanging up, until a person resumes",
		Long: `Stop every sippet-mcp that keeps its state in the same directory, within a
second and across restarts: nothing but reads and hanging up goes on, and all
questions to a person, and yeses that were not used yet, are void. What was
sent to Sippet before that is not taken back. Only a person resumes.

With --end-calls the live outbound calls are ended as well, and those that
follow, until none has been seen for five seconds; it needs the secret key, no
running server and no policy's leave. It is done even where the ledger cannot be
written and nothing is stopped; the exit code is then 1, because programs go on
until you end them yourself.`,
		Example: `  sippet-mcp stop --note 'wrong list dialled'
  sippet-mcp stop --end-calls
  sippet-mcp resume`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runStop(c.Context(), p, o) },
	}
	o.ledgerOptions.flags(c)
	o.upstreamOptions.flags(c)
	c.Flags().BoolVar(&o.endCalls, "end-calls", false, "also end the live outbound calls")
	c.Flags().StringVar(&o.note, "note", "", "why, for whoever meets the stop")
	return c
}

func runStop(ctx context.Context, p *program, o *stopOptions) error {
	log, err := newLogger(p, "warn")
	if err != nil {
		return err
	}
	type froze struct {
		ledger *ledger.SQLite
		did    *stopped
		err    error
	}
	done := make(chan froze, 1)
	go func() {
		l, did, err := o.stop(ctx, log)
		done <- froze{l, did, err}
	}()
	report := func(f froze) {
		if f.err != nil {
			err = exitCode(1)
			fmt.Fprintf(p.err, "sippet-mcp: NOTHING IS STOPPED: %v\n", damaged(f.err))
			fmt.Fprintln(p.err, "programs that serve an AI go on: end them, or take the secret key from them")
			return
		}
		f.did.show(p, o)
	}
	if !o.endCalls {
		f := <-done
		report(f)
		if f.ledger != nil {
			f.ledger.Close()
		}
		return err
	}
	// A ledger that somebody else holds must not keep phones ringing.
	var store ledger.Ledger
	late := false
	var f froze
	select {
	case f = <-done:
		report(f)
		if f.ledger != nil {
			store = f.ledger
		}
	case <-time.After(ledgerPatience):
		late = true
		fmt.Fprintln(p.err, "sippet-mcp: the ledger is busy; calls are being ended without a record meanwhile")
	}
	if e := o.hangUp(ctx, p, log, store); e != nil {
		err = exitCode(1)
		fmt.Fprintf(p.err, "sippet-mcp: calls may still be live: %v\n", e)
	}
	if late {
		f = <-done
		report(f)
	}
	if f.ledger != nil {
		f.ledger.Close()
	}
	return err
}

// ledgerPatience is how long ending calls waits for the stop itself.
const ledgerPatience = 2 * time.Second

// hangUp ends live outbound calls. l is nil where nothing can be recorded.
func (o *stopOptions) hangUp(ctx context.Context, p *program, log *slog.Logger, l ledger.Ledger) error {
	if o.sandbox {
		return errors.New("simulated calls live in the program that simulates them; for one that `sippet-mcp sandbox serve` serves, leave --sandbox out and name it with --base-url")
	}
	client, err := o.client(p, log)
	if err != nil {
		return err
	}
	defer client.Close()
	g := &policy.Gate{Upstream: client, Ledger: l, Organisation: client.Organisation(), Now: time.Now, Log: log}
	ended, failed := 0, map[string]bool{}
	err = g.EndCalls(ctx, operator(), func(e policy.EndedCall) {
		if e.Err == nil {
			ended++
			delete(failed, e.CallUUID)
		} else if e.CallUUID != "" {
			failed[e.CallUUID] = true
		}
		o.tell(p, e)
	})
	if p.outTerminal {
		fmt.Fprintf(p.out, "%d calls were ended.\n", ended)
	}
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("%d could not be ended", len(failed))
	}
	return err
}

func (o *stopOptions) tell(p *program, e policy.EndedCall) {
	if !p.outTerminal {
		line := struct {
			Call  string `json:"call,omitempty"`
			To    string `json:"to,omitempty"`
			Ended bool   `json:"ended"`
			Error string `json:"error,omitempty"`
		}{Call: e.CallUUID, To: e.Number, Ended: e.Err == nil}
		if e.Err != nil {
			line.Error = e.Err.Message
		}
		_ = writeJSON(p.out, line)
		return
	}
	switch {
	case e.Err == nil:
		fmt.Fprintf(p.out, "Ended the call to %s.\n", schemas.Escape(e.Number, 40))
	case e.CallUUID == "":
		fmt.Fprintf(p.out, "Live calls could not be listed, trying again: %s\n", e.Err.Message)
	default:
		fmt.Fprintf(p.out, "The call to %s could not be ended: %s\n", schemas.Escape(e.Number, 40), e.Err.Message)
	}
}

// stopped is what stop did.
type stopped struct {
	Stopped bool `json:"stopped"`
	// Already is true where it had been stopped before, By whom and Since when.
	Already bool         `json:"already,omitempty"`
	By      ledger.Actor `json:"by"`
	Since   time.Time    `json:"since"`
	Note    string       `json:"note,omitempty"`
	// Directory is where every program that is stopped keeps its state. New is true where nothing did so before: then
	// the programs that were meant are probably others.
	Directory string `json:"directory"`
	New       bool   `json:"new,omitempty"`
	// Revoked counts the questions and unused yeses that this stop took back.
	Revoked int64  `json:"revoked"`
	Resume  string `json:"resume"`
}

// stop also leaves a record where everything is stopped already: that somebody else wanted it too.
// The ledger stays open, so that the calls that are ended next are recorded.
func (o *stopOptions) stop(ctx context.Context, log *slog.Logger) (*ledger.SQLite, *stopped, error) {
	dir, err := makeState(o.stateDir)
	if err != nil {
		return nil, nil, err
	}
	fresh := !hasLedger(ledgerDir(dir, o.sandbox))
	l, err := openLedger(ctx, dir, o.sandbox, keeping{}, log)
	if err != nil {
		return nil, nil, err
	}
	before, err := l.CurrentStop(ctx)
	if err != nil {
		before = nil // freezing goes first; what it says afterwards is not worth failing for
	}
	if err := l.Stop(ctx, operator(), o.note); err != nil {
		return l, nil, err
	}
	s := &stopped{Stopped: true, Already: before != nil, By: operator(), Since: time.Now().UTC(), Note: o.note,
		Directory: absolute(dir), New: fresh, Resume: "sippet-mcp resume" + o.same()}
	if f, err := l.CurrentStop(ctx); err == nil && f != nil {
		s.By, s.Since, s.Note = f.By, f.At, f.Note
	}
	if last, err := l.Records(ctx, ledger.Filter{Phase: ledger.PhaseStopped, Limit: 1, Last: true}); err == nil && len(last) == 1 {
		s.Revoked = last[0].Count
	}
	return l, s, nil
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
	fmt.Fprintf(p.out, "%s, by %s %s%s.\n", what, schemas.Escape(s.By.String(), 80), sinceText(s.Since), noteSuffix(s.Note))
	fmt.Fprintf(p.out, "Only reads and hanging up go on, in every sippet-mcp with the state directory %s.\n", s.Directory)
	if s.New {
		paint := painter(p)
		fmt.Fprintln(p.out, paint(yellow, "None had kept anything there before: if yours use another one, they are not stopped; name it with --state-dir."))
	}
	switch s.Revoked {
	case 0:
		fmt.Fprintln(p.out, "No question to a person was waiting.")
	case 1:
		fmt.Fprintln(p.out, "1 question to a person, or its unused yes, is void.")
	default:
		fmt.Fprintf(p.out, "%d questions to a person, or their unused yeses, are void.\n", s.Revoked)
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
		before, err := l.CurrentStop(ctx)
		if err != nil {
			return err
		}
		was, err := l.Resume(ctx, operator())
		if err != nil {
			return err
		}
		if !p.outTerminal {
			r := struct {
				Resumed bool         `json:"resumed"`
				By      ledger.Actor `json:"by"`
				Stopper ledger.Actor `json:"stoppedBy,omitzero"`
				Since   *time.Time   `json:"since,omitempty"`
				Note    string       `json:"note,omitempty"`
			}{Resumed: was, By: operator()}
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
			fmt.Fprintf(p.out, "Resumed. It was stopped by %s %s%s.\n", schemas.Escape(before.By.String(), 80), sinceText(before.At), noteSuffix(before.Note))
		}
		return nil
	})
}
