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
	by      string
	calls   []endedCall
	fault   string
}

// endedCall is a call that was ended, or could not be.
type endedCall struct {
	To    string `json:"to,omitempty"`
	Error string `json:"error,omitempty"`
}

// endingView is how far it has come.
type endingView struct {
	Running bool        `json:"running"`
	By      string      `json:"by,omitempty"`
	Calls   []endedCall `json:"calls,omitempty"`
	Fault   string      `json:"fault,omitempty"`
}

func (e *ending) view() endingView {
	e.mu.Lock()
	defer e.mu.Unlock()
	return endingView{Running: e.running, By: e.by, Calls: append([]endedCall(nil), e.calls...), Fault: e.fault}
}

type stopPageView struct {
	frame
	// Revoked is how many questions and unused yeses the stop took back.
	Revoked int64
	Live    []endedCall
	// LiveFault says why live calls are not known; CanEnd that they can be ended here.
	LiveFault string
	CanEnd    bool
	Ending    endingView
	Do        string // the stamp
}

// liveWithin is how long the page waits to hear which calls are live.
const liveWithin = 8 * time.Second

func (i *Inbox) stopPage(w http.ResponseWriter, r *http.Request, v *visit) {
	if !v.who.MayStop() {
		i.errorPage(w, r, http.StatusForbidden, "Not yours to stop", "Only somebody with the role admin stops everything. Tell one, or whoever runs the server.")
		return
	}
	view := stopPageView{frame: i.frame(v, "Stop everything"), Ending: i.ending.view(), Do: i.stamps.make(v.secret, "command", i.Now())}
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
		view.Live, view.LiveFault = i.live(r.Context())
	}
	i.render(w, r, http.StatusOK, "stop", view)
}

// revokedByStop is how many questions and yeses the stop that holds took back. Whoever stops once more takes back nothing.
func (i *Inbox) revokedByStop(ctx context.Context, f *ledger.EmergencyStop) (n int64, err error) {
	stops, err := i.Ledger.Records(ctx, ledger.Filter{Phase: ledger.PhaseStopped, Since: f.At})
	for _, s := range stops {
		n += s.Count
	}
	return n, err
}

// live lists the live outbound calls of all organisations.
func (i *Inbox) live(ctx context.Context) (all []endedCall, fault string) {
	ctx, cancel := context.WithTimeout(ctx, liveWithin)
	defer cancel()
	for _, g := range i.Gates() {
		calls, err := g.LiveCalls(ctx)
		if err != nil {
			fault = "Live calls could not be listed: " + err.Message + "."
			continue
		}
		for _, c := range calls {
			all = append(all, endedCall{To: schemas.Escape(c.Number, 40)})
		}
	}
	return all, fault
}

func (i *Inbox) stop(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "command") {
		return
	}
	i.command(w, r, i.Approvals.Stop(background(r), v.who, r.PostFormValue("note")))
}

func (i *Inbox) resume(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "command") {
		return
	}
	_, fault := i.Approvals.Resume(background(r), v.who)
	i.command(w, r, fault)
}

func (i *Inbox) endCalls(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "command") {
		return
	}
	i.command(w, r, i.hangUp(background(r), v.who))
}

func (i *Inbox) command(w http.ResponseWriter, r *http.Request, fault *schemas.Error) {
	if fault != nil {
		i.errorPage(w, r, http.StatusConflict, "That was not done", fault.Message+". "+fault.Next)
		return
	}
	http.Redirect(w, r, Path+"/stop", http.StatusSeeOther)
}

// hangUp begins to end all live outbound calls, unless that is going on. It is a step of its own, after a stop: else what
// is ended would ring again.
func (i *Inbox) hangUp(ctx context.Context, who approval.Person) *schemas.Error {
	refuse := func(why string) *schemas.Error { return &schemas.Error{Outcome: schemas.Denied, Message: why} }
	if !who.MayStop() {
		return refuse("only somebody with the role admin ends all calls")
	}
	if i.Gates == nil || len(i.Gates()) == 0 {
		return refuse("this program has no way to Sippet; use `sippet-mcp stop --end-calls`")
	}
	switch f, err := i.Ledger.CurrentStop(ctx); {
	case err != nil:
		return refuse("the ledger cannot be used; use `sippet-mcp stop --end-calls`")
	case f == nil:
		return refuse("stop everything first, or what is ended rings again")
	}
	e := &i.ending
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running {
		return nil
	}
	e.running, e.by, e.calls, e.fault = true, who.Name, nil, ""
	go i.hangUpAll(who)
	return nil
}

// endFor bounds an attempt: a bulk call rings its people one after the other.
const endFor = 30 * time.Minute

// endWatch is how often it is looked whether everything goes on again.
const endWatch = 250 * time.Millisecond

func (i *Inbox) hangUpAll(who approval.Person) {
	ctx, cancel := context.WithTimeout(context.Background(), endFor)
	defer cancel()
	// Whoever lets everything go on, here or elsewhere, wants what is rung from then on to ring.
	go func() {
		for ctx.Err() == nil {
			if f, err := i.Ledger.CurrentStop(ctx); err == nil && f == nil {
				cancel()
			}
			select {
			case <-ctx.Done():
			case <-time.After(endWatch):
			}
		}
	}()
	var wg sync.WaitGroup
	for _, g := range i.Gates() {
		wg.Go(func() {
			err := g.EndCalls(ctx, ledger.Actor{Name: who.Name, Via: who.Via}, func(c policy.EndedCall) {
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
				i.ending.fault = "Calls may still be live: " + err.Error()
				if errors.Is(err, context.Canceled) {
					i.ending.fault = "Ending calls was left off, because everything goes on again"
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
