package inbox

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ending is the one attempt to end all live calls that runs at a time.
type ending struct {
	mu      sync.Mutex
	running bool
	by      ledger.Actor
	calls   []endedCall
	fault   string
}

// endedCall is a call that was ended, or that could not be.
type endedCall struct {
	To    string `json:"to,omitempty"`
	Error string `json:"error,omitempty"`
}

// endingView is the progress of an attempt.
type endingView struct {
	Running bool         `json:"running"`
	By      ledger.Actor `json:"by,omitzero"`
	Calls   []endedCall  `json:"calls,omitempty"`
	Fault   string       `json:"fault,omitempty"`
}

func (e *ending) view() endingView {
	e.mu.Lock()
	defer e.mu.Unlock()
	return endingView{Running: e.running, By: e.by, Calls: append([]endedCall(nil), e.calls...), Fault: e.fault}
}

// stopView is an emergency stop in force.
type stopView struct {
	Scope   ledger.StopKind `json:"scope"`
	Person  string          `json:"person,omitempty"`
	By      ledger.Actor    `json:"by"`
	Since   time.Time       `json:"since"`
	Note    string          `json:"note,omitempty"`
	Revoked int64           `json:"revoked"`
	// What and Rest say in words what is stopped, and what is not.
	What string `json:"-"`
	Rest string `json:"-"`
}

// stops returns the emergency stops in force that the visitor may see, without Revoked.
func (i *Inbox) stops(ctx context.Context, v *visit) ([]stopView, error) {
	current, err := i.Ledger.CurrentStops(ctx)
	var all []stopView
	for _, s := range current {
		if !v.person.MaySeeStop(s.StopScope) {
			continue
		}
		is := " is stopped"
		if s.Kind == ledger.StopAssistant {
			is = " are stopped"
		}
		all = append(all, stopView{Scope: s.Kind, Person: s.Person, By: s.By, Since: s.At, Note: s.Note,
			What: strings.TrimSuffix(sentences(s.String()+is), "."), Rest: sentences(s.Continues())})
	}
	return all, err
}

// stopsRevoked returns the same with Revoked: how many requests and approvals each revoked, also
// when it was repeated.
func (i *Inbox) stopsRevoked(ctx context.Context, v *visit) ([]stopView, error) {
	all, err := i.stops(ctx, v)
	for n := range all {
		s := &all[n]
		records, e := i.Ledger.Records(ctx, ledger.Filter{Phase: ledger.PhaseStopped, Since: s.Since})
		if err == nil {
			err = e
		}
		for _, r := range records {
			if r.Scope == string(s.Scope) && strings.EqualFold(r.Person, s.Person) {
				s.Revoked += r.Count
			}
		}
	}
	return all, err
}

type stopPageView struct {
	frame
	// MayStopAll is true if the visitor may make every stop, and end calls; MayResume if they may
	// end stops.
	MayStopAll, MayResume bool
	// Everything, Ringing and Own are true if a stop of that is in force, Own of the visitor's own
	// assistants. MayEnd is true if calls can be ended.
	Everything, Ringing, Own, MayEnd bool
	// People are those with assistants that the visitor may stop.
	People []string
	Live   []endedCall
	// LiveFault is why the live calls are unknown; empty if they are known. CanEnd is true if they
	// can be ended here.
	LiveFault    string
	CanEnd       bool
	Ending       endingView
	CommandStamp string
}

// liveWithin bounds how long the page waits for the list of live calls.
const liveWithin = 8 * time.Second

func (i *Inbox) stopPage(w http.ResponseWriter, r *http.Request, v *visit) {
	view := stopPageView{frame: i.frame(v, "Emergency stop"), MayStopAll: v.person.MayStopAll(), MayResume: v.person.MayResume(),
		CommandStamp: i.stamps.Make(v.secret, "command", i.Now())}
	var err error
	if view.Stops, err = i.stopsRevoked(r.Context(), v); err == nil && view.MayStopAll {
		view.People, err = approval.People(r.Context(), i.Ledger, v.person.Name)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	for _, s := range view.Stops {
		view.Everything = view.Everything || s.Scope == ledger.StopEverything
		view.Ringing = view.Ringing || s.Scope == ledger.StopRinging
		view.Own = view.Own || v.person.OwnAssistants().Same(ledger.StopScope{Kind: s.Scope, Person: s.Person})
	}
	view.MayEnd = view.Everything || view.Ringing
	if view.CanEnd = view.MayStopAll && i.Gates != nil && len(i.Gates()) > 0; view.CanEnd {
		view.Ending = i.ending.view()
		view.Live, view.LiveFault = i.liveCalls(r.Context())
	}
	i.render(w, r, http.StatusOK, "stop", view)
}

// liveCalls lists the live outbound calls of all organisations.
func (i *Inbox) liveCalls(ctx context.Context) (all []endedCall, fault string) {
	ctx, cancel := context.WithTimeout(ctx, liveWithin)
	defer cancel()
	seen := map[string]bool{} // two keys of an organisation list the same calls
	for _, g := range i.Gates() {
		calls, unseen := g.LiveCalls(ctx)
		if len(unseen) > 0 {
			fault = "Not all live calls can be seen: " + (&policy.UnseenError{Unseen: unseen}).Error() + "."
		}
		for _, c := range calls {
			if !seen[c.CallUUID] {
				seen[c.CallUUID] = true
				all = append(all, endedCall{To: schemas.Escape(c.Number, 40)})
			}
		}
	}
	return all, fault
}

func (i *Inbox) stop(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "command") {
		return
	}
	scope := scopeOf(v, r.PostFormValue("scope"), r.PostFormValue("person"))
	i.command(w, r, i.Approvals.Stop(background(r), v.person, scope, r.PostFormValue("note")))
}

// scopeOf returns the scope that a form or an API request names: of the visitor's own assistants if
// it names no person. The form of the stop page sends a person with every kind.
func scopeOf(v *visit, kind, person string) ledger.StopScope {
	scope := ledger.StopScope{Kind: ledger.StopKind(kind), Person: person}
	switch scope.Kind {
	case ledger.StopEverything, ledger.StopRinging:
		scope.Person = ""
	case ledger.StopAssistant:
		if person == "" {
			return v.person.OwnAssistants()
		}
	}
	return scope
}

func (i *Inbox) resume(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "command") {
		return
	}
	scope := scopeOf(v, r.PostFormValue("scope"), r.PostFormValue("person"))
	i.command(w, r, i.Approvals.Resume(background(r), v.person, scope))
}

func (i *Inbox) endCalls(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "command") {
		return
	}
	i.command(w, r, i.hangUp(background(r), v.person))
}

func (i *Inbox) command(w http.ResponseWriter, r *http.Request, fault *schemas.Error) {
	if fault != nil {
		i.errorPage(w, r, http.StatusConflict, "That was not done", sentences(fault.Message, fault.Next))
		return
	}
	http.Redirect(w, r, i.path("/stop"), http.StatusSeeOther)
}

// hangUp starts an attempt to end all live outbound calls, unless one is running. It needs a stop of
// ringing or of everything first: otherwise programs could ring the same people again.
func (i *Inbox) hangUp(ctx context.Context, person approval.Person) *schemas.Error {
	fault := func(message, next string) *schemas.Error {
		return &schemas.Error{Outcome: schemas.Denied, Message: message, Next: next}
	}
	if !person.MayStopAll() {
		return fault("only somebody with the role approver or admin may end all calls", "")
	}
	if i.Gates == nil || len(i.Gates()) == 0 {
		return fault("this program has no connection to Sippet", "use `sippet-mcp stop --end-calls`")
	}
	switch stopped, err := i.ringingStopped(ctx); {
	case err != nil:
		return fault("the ledger cannot be used now", "use `sippet-mcp stop --end-calls`")
	case !stopped:
		return fault("calls can be ended only after a stop of ringing or of everything, or programs may ring again", "stop ringing first")
	}
	e := &i.ending
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running {
		return nil
	}
	e.running, e.by, e.calls, e.fault = true, person.Actor(), nil, ""
	go i.hangUpAll(person)
	return nil
}

// ringingStopped reports whether nobody's programs may ring.
func (i *Inbox) ringingStopped(ctx context.Context) (bool, error) {
	stops, err := i.Ledger.CurrentStops(ctx)
	return slices.ContainsFunc(stops, func(s ledger.EmergencyStop) bool { return s.Kind != ledger.StopAssistant }), err
}

const (
	// endFor bounds an attempt. A bulk call rings its people one after the other, so it can take
	// long.
	endFor = 30 * time.Minute
	// endPollEvery is how often an attempt checks whether somebody resumed.
	endPollEvery = 250 * time.Millisecond
)

func (i *Inbox) hangUpAll(person approval.Person) {
	ctx, cancel := context.WithTimeout(context.Background(), endFor)
	defer cancel()
	// After somebody resumed, here or in another process, new calls are meant to ring.
	go func() {
		for ctx.Err() == nil {
			if stopped, err := i.ringingStopped(ctx); err == nil && !stopped {
				cancel()
			}
			select {
			case <-ctx.Done():
			case <-time.After(endPollEvery):
			}
		}
	}()
	var wg sync.WaitGroup
	var faults []string
	for _, g := range i.Gates() {
		wg.Go(func() {
			err := g.EndCalls(ctx, person.Actor(), func(c policy.EndedCall) {
				one := endedCall{To: schemas.Escape(cmp.Or(c.Number, c.CallUUID), 40)}
				if c.Err != nil {
					one.Error = c.Err.Message
				}
				i.ending.mu.Lock()
				defer i.ending.mu.Unlock()
				if c.CallUUID == "" {
					i.ending.fault = "Not all calls can be seen, trying again: " + one.Error + "."
					return
				}
				i.ending.calls = append(i.ending.calls, one)
			})
			i.ending.mu.Lock()
			defer i.ending.mu.Unlock()
			switch {
			case errors.Is(err, context.Canceled):
				faults = append(faults, "Ending calls was cancelled, because somebody resumed.")
			case err != nil:
				faults = append(faults, "Calls may still be live: "+err.Error()+".")
			}
		})
	}
	wg.Wait()
	i.ending.mu.Lock()
	i.ending.running, i.ending.fault = false, strings.Join(faults, " ")
	i.ending.mu.Unlock()
}
