package inbox

import (
	"context"
	"errors"
	"net/http"
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

type stopPageView struct {
	frame
	// Revoked is how many pending requests and unused approvals the stop revoked.
	Revoked int64
	Live    []endedCall
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
	if !v.person.MayStop() {
		i.errorPage(w, r, http.StatusForbidden, "You may not stop everything",
			"This needs the role admin. Tell an admin, or the person who runs the server.")
		return
	}
	view := stopPageView{frame: i.frame(v, "Stop everything"), Ending: i.ending.view(),
		CommandStamp: i.stamps.Make(v.secret, "command", i.Now())}
	var err error
	if view.Stop, err = i.Ledger.CurrentStop(r.Context()); err == nil && view.Stop != nil {
		view.Revoked, err = i.revokedByStop(r.Context(), view.Stop)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	view.CanEnd = i.Gates != nil && len(i.Gates()) > 0
	if view.CanEnd {
		view.Live, view.LiveFault = i.liveCalls(r.Context())
	}
	i.render(w, r, http.StatusOK, "stop", view)
}

// revokedByStop returns how many requests and approvals the current stop revoked. A repeated stop
// revokes none.
func (i *Inbox) revokedByStop(ctx context.Context, current *ledger.EmergencyStop) (n int64, err error) {
	stops, err := i.Ledger.Records(ctx, ledger.Filter{Phase: ledger.PhaseStopped, Since: current.At})
	for _, s := range stops {
		n += s.Count
	}
	return n, err
}

// liveCalls lists the live outbound calls of all organisations.
func (i *Inbox) liveCalls(ctx context.Context) (all []endedCall, fault string) {
	ctx, cancel := context.WithTimeout(ctx, liveWithin)
	defer cancel()
	seen := map[string]bool{} // two keys of an organisation list the same calls
	for _, g := range i.Gates() {
		calls, err := g.LiveCalls(ctx)
		if err != nil {
			fault = "Live calls could not be listed: " + err.Message + "."
			continue
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
	i.command(w, r, i.Approvals.Stop(background(r), v.person, r.PostFormValue("note")))
}

func (i *Inbox) resume(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "command") {
		return
	}
	_, fault := i.Approvals.Resume(background(r), v.person)
	i.command(w, r, fault)
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

// hangUp starts an attempt to end all live outbound calls, unless one is running. It needs a stop
// first: otherwise programs could ring the same people again.
func (i *Inbox) hangUp(ctx context.Context, person approval.Person) *schemas.Error {
	fault := func(message, next string) *schemas.Error {
		return &schemas.Error{Outcome: schemas.Denied, Message: message, Next: next}
	}
	if !person.MayStop() {
		return fault("only somebody with the role admin may end all calls", "")
	}
	if i.Gates == nil || len(i.Gates()) == 0 {
		return fault("this program has no connection to Sippet", "use `sippet-mcp stop --end-calls`")
	}
	switch stop, err := i.Ledger.CurrentStop(ctx); {
	case err != nil:
		return fault("the ledger cannot be used now", "use `sippet-mcp stop --end-calls`")
	case stop == nil:
		return fault("calls can be ended only after an emergency stop, or programs may ring again", "stop everything first")
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
			if stop, err := i.Ledger.CurrentStop(ctx); err == nil && stop == nil {
				cancel()
			}
			select {
			case <-ctx.Done():
			case <-time.After(endPollEvery):
			}
		}
	}()
	var wg sync.WaitGroup
	for _, g := range i.Gates() {
		wg.Go(func() {
			err := g.EndCalls(ctx, person.Actor(), func(c policy.EndedCall) {
				one := endedCall{To: schemas.Escape(c.Number, 40)}
				if c.Err != nil {
					one.Error = c.Err.Message
				}
				i.ending.mu.Lock()
				i.ending.calls = append(i.ending.calls, one)
				i.ending.mu.Unlock()
			})
			if err != nil {
				i.ending.mu.Lock()
				i.ending.fault = "Calls may still be live: " + err.Error() + "."
				if errors.Is(err, context.Canceled) {
					i.ending.fault = "Ending calls was cancelled, because somebody resumed."
				}
				i.ending.mu.Unlock()
			}
		})
	}
	wg.Wait()
	i.ending.mu.Lock()
	i.ending.running = false
	i.ending.mu.Unlock()
}
