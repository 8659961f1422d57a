package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type stopOptions struct {
	ledgerOptions
	upstreamOptions
	scope    scopeOptions
	endCalls bool
	note     string
}

// scopeOptions say which emergency stop is meant.
type scopeOptions struct{ kind, person string }

func (o *scopeOptions) flags(c *cobra.Command, kind, usage string) {
	c.Flags().StringVar(&o.kind, "scope", kind, usage)
	c.Flags().StringVar(&o.person, "of", "", "with --scope assistant: the person with the assistants (default: you)")
}

// scope returns the scope; zero if no --scope is given.
func (o *scopeOptions) scope() (ledger.StopScope, error) {
	s := ledger.StopScope{Kind: ledger.StopKind(o.kind), Person: o.person}
	switch {
	case s.Kind != "" && !slices.Contains(ledger.StopKinds, s.Kind):
		return s, fmt.Errorf("--scope: %q is no scope: give everything, ringing or assistant", schemas.Escape(o.kind, 40))
	case s.Kind == ledger.StopAssistant && s.Person == "":
		s.Person = me()
	case s.Kind != ledger.StopAssistant && s.Person != "":
		return s, errors.New("--of needs --scope assistant")
	}
	return s, nil
}

// args returns the flags that mean the scope, for a command that is shown.
func (o *scopeOptions) args(s ledger.StopScope) string {
	switch s.Kind {
	case ledger.StopEverything:
		return ""
	case ledger.StopAssistant:
		return " --scope assistant --of " + quote(s.Person)
	}
	return " --scope " + string(s.Kind)
}

func newStop(p *program) *cobra.Command {
	o := &stopOptions{}
	c := &cobra.Command{
		Use:   "stop",
		Short: "Make an emergency stop: only reads and hanging up go on",
		Long: `Make an emergency stop. Every sippet-mcp with the same state directory obeys it
within a second, also after a restart: only reads and hanging up go on. Pending
approval requests and unused approvals are revoked. What was sent to Sippet before
is not taken back. Only a person ends the stop, with "sippet-mcp resume".

--scope says what is stopped:
  everything  every call of everybody
  ringing     calls that ring a phone; everything else goes on, email too
  assistant   the calls in the name of one person (--of): of all their tokens, and
              of the programs that their user runs on this machine
Requests and approvals of other calls stay. Several stops can be in force.

With --end-calls the live outbound calls are ended too, until none has been seen for
five seconds. That needs the secret key, but no running server, and no policy is
asked. It is done even if the ledger cannot be written. Then nothing is stopped, and
the exit code is 1: end the programs that serve an AI yourself.`,
		Example: "  sippet-mcp stop --scope ringing --note 'wrong list dialled'",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runStop(c.Context(), p, o) },
	}
	o.ledgerOptions.flags(c)
	o.upstreamOptions.flags(c)
	o.scope.flags(c, string(ledger.StopEverything), "what to stop: everything, ringing or assistant")
	c.Flags().BoolVar(&o.endCalls, "end-calls", false, "also end the live outbound calls")
	c.Flags().StringVar(&o.note, "note", "", "the reason, for the answers to calls that are stopped")
	return c
}

// ledgerPatience is how long ending calls waits for the stop itself.
const ledgerPatience = 2 * time.Second

func runStop(ctx context.Context, p *program, o *stopOptions) error {
	log, err := newLogger(p, "warn")
	if err != nil {
		return err
	}
	scope, err := o.scope.scope()
	if err == nil && o.endCalls && scope.Kind == ledger.StopAssistant {
		err = errors.New("--end-calls needs --scope ringing or everything: otherwise other programs may ring again")
	}
	if err != nil {
		return err
	}
	type result struct {
		ledger *ledger.SQLite
		done   *stopped
		err    error
	}
	results := make(chan result, 1)
	go func() {
		l, done, err := o.stop(ctx, log, scope)
		results <- result{l, done, err}
	}()
	report := func(r result) {
		if r.err != nil {
			err = exitCode(1)
			fmt.Fprintf(p.err, "sippet-mcp: NOTHING IS STOPPED: %v\n", damaged(r.err))
			fmt.Fprintln(p.err, "programs that serve an AI go on: end them, or take the secret key from them")
			return
		}
		r.done.show(p, o)
	}
	if !o.endCalls {
		r := <-results
		report(r)
		if r.ledger != nil {
			r.ledger.Close()
		}
		return err
	}
	// Calls are ended even while another process holds the ledger.
	var store ledger.Ledger
	var r result
	late := false
	select {
	case r = <-results:
		report(r)
		if r.ledger != nil {
			store = r.ledger
		}
	case <-time.After(ledgerPatience):
		late = true
		fmt.Fprintln(p.err, "sippet-mcp: the ledger is busy; calls are ended without a record in the meantime")
	}
	if e := o.hangUp(ctx, p, log, store); e != nil {
		err = exitCode(1)
		fmt.Fprintf(p.err, "sippet-mcp: calls may still be live: %v\n", e)
	}
	if late {
		r = <-results
		report(r)
	}
	if r.ledger != nil {
		r.ledger.Close()
	}
	return err
}

// stopped is what stop did, as a pipe gets it.
type stopped struct {
	Stopped bool `json:"stopped"`
	// Scope is what is stopped. Already is true if that was stopped before. By, Since and Note are then that stop's.
	shownStop
	Already bool `json:"already,omitempty"`
	// StateDir is the state directory of every program that is stopped. New is true if it had no
	// ledger before: then the programs that were meant probably use another one.
	StateDir string `json:"stateDir"`
	New      bool   `json:"new,omitempty"`
	// Revoked counts the approval requests, pending or approved, that this stop revoked.
	Revoked int64 `json:"revoked"`
	// Resume is the command that ends the stop.
	Resume string `json:"resume"`

	scope ledger.StopScope
}

// shownStop is an emergency stop, as a pipe gets it.
type shownStop struct {
	Scope  ledger.StopKind `json:"scope"`
	Person string          `json:"person,omitempty"`
	By     ledger.Actor    `json:"by"`
	Since  time.Time       `json:"since"`
	Note   string          `json:"note,omitempty"`
}

func showStop(s ledger.EmergencyStop) shownStop {
	return shownStop{Scope: s.Kind, Person: s.Person, By: s.By, Since: s.At, Note: s.Note}
}

// stopOf returns the stop of the scope among those in force; nil if there is none.
func stopOf(all []ledger.EmergencyStop, scope ledger.StopScope) *ledger.EmergencyStop {
	for i := range all {
		if all[i].Same(scope) {
			return &all[i]
		}
	}
	return nil
}

// stop records the stop, also if there is one already: another person wanted it too. It leaves the
// ledger open, to record the calls that are ended next.
func (o *stopOptions) stop(ctx context.Context, log *slog.Logger, scope ledger.StopScope) (*ledger.SQLite, *stopped, error) {
	dir, err := makeStateDir(o.stateDir)
	if err != nil {
		return nil, nil, err
	}
	fresh := !hasLedger(ledgerDir(dir, o.sandbox))
	l, err := openLedger(ctx, dir, o.sandbox, keeping{}, log)
	if err != nil {
		return nil, nil, err
	}
	before, err := l.CurrentStops(ctx)
	if err != nil {
		before = nil // it is for the report only, and must not prevent the stop
	}
	if fault := approval.CheckKnown(ctx, l, me(), scope); fault != nil {
		return l, nil, errors.New(fault.Message + ": " + fault.Next)
	}
	if err := l.Stop(ctx, scope, operator(), o.note); err != nil {
		return l, nil, err
	}
	s := &stopped{Stopped: true, Already: stopOf(before, scope) != nil,
		shownStop: shownStop{Scope: scope.Kind, Person: scope.Person, By: operator(), Since: time.Now().UTC(), Note: o.note},
		StateDir:  absolute(dir), New: fresh, Resume: "sippet-mcp resume" + o.same() + o.scope.args(scope), scope: scope}
	if current, err := l.CurrentStops(ctx); err == nil && stopOf(current, scope) != nil {
		s.shownStop = showStop(*stopOf(current, scope))
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
	what := "Stopped "
	if s.Already {
		what = "Stopped already: "
	}
	if o.sandbox {
		what = "In the sandbox: " + strings.ToLower(what)
	}
	fmt.Fprintf(p.out, "%s%s, by %s %s%s.\n", what, s.scope, schemas.Escape(s.By.String(), 80), sinceText(s.Since), noteSuffix(s.Note))
	fmt.Fprintf(p.out, "%s, in every sippet-mcp with the state directory %s.\n", upper(s.scope.Continues()), s.StateDir)
	if s.New {
		fmt.Fprintln(p.out, painter(p)(yellow, "No program had used that state directory before. "+
			"If yours use another one, they are not stopped: name it with --state-dir."))
	}
	fmt.Fprintf(p.out, "Revoked: %s.\n", count(s.Revoked, "approval request"))
	fmt.Fprintf(p.out, "Resume with: %s\n", s.Resume)
}

// hangUp ends live outbound calls. Without a ledger it records nothing.
func (o *stopOptions) hangUp(ctx context.Context, p *program, log *slog.Logger, l ledger.Ledger) error {
	if o.sandbox {
		return errors.New("simulated calls exist only in the program that simulates them; " +
			"for those of `sippet-mcp sandbox serve` use --base-url instead of --sandbox")
	}
	client, err := o.client(p, log)
	if err != nil {
		return err
	}
	defer client.Close()
	g := &policy.Gate{Upstream: client, Ledger: l, Organisation: client.KeyName(), Now: time.Now, Log: log}
	if l != nil {
		soon, cancel := context.WithTimeout(ctx, ledgerPatience)
		defer cancel()
		if id, _, err := l.OpenOrganisation(soon, client.KeyName()); err == nil {
			g.Organisation = id
		} // else calls are ended all the same, and recorded under the key's name
	}
	ended, failed := 0, map[string]bool{}
	err = g.EndCalls(ctx, operator(), func(e policy.EndedCall) {
		if e.Err == nil {
			ended++
			delete(failed, e.CallUUID)
		} else if e.CallUUID != "" {
			failed[e.CallUUID] = true
		}
		showEndedCall(p, e)
	})
	if p.outTerminal {
		fmt.Fprintf(p.out, "Ended: %s.\n", count(ended, "call"))
	}
	var unseen *policy.UnseenError
	if errors.As(err, &unseen) && !p.outTerminal {
		_ = writeJSON(p.out, struct {
			Unseen []policy.Unseen `json:"unseen"`
		}{unseen.Unseen})
	}
	switch {
	case len(failed) > 0 && unseen != nil:
		err = fmt.Errorf("%d could not be ended; %w", len(failed), err)
	case len(failed) > 0 && err == nil:
		err = fmt.Errorf("%d could not be ended", len(failed))
	}
	return err
}

func showEndedCall(p *program, e policy.EndedCall) {
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
		fmt.Fprintf(p.out, "Ended the call to %s.\n", schemas.Escape(cmp.Or(e.Number, e.CallUUID), 40))
	case e.CallUUID == "":
		fmt.Fprintf(p.out, "Not all calls can be seen, trying again: %s.\n", e.Err.Message)
	default:
		fmt.Fprintf(p.out, "The call to %s could not be ended: %s\n", schemas.Escape(cmp.Or(e.Number, e.CallUUID), 40), e.Err.Message)
	}
}
