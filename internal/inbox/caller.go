package inbox

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// declineAllView is the page that asks whether to decline all requests of a caller.
type declineAllView struct {
	frame
	Requester string
	Kinds     []approval.Kind
	Count     int
	AllStamp  string
}

// declineAllPage says what declineAll would decline.
func (i *Inbox) declineAllPage(w http.ResponseWriter, r *http.Request, v *visit) {
	o, ok := i.find(w, r, v, r.PathValue("id"))
	if !ok {
		return
	}
	view := declineAllView{frame: i.frame(v, "Decline all"), Requester: o.Requester.String(), AllStamp: i.stamps.Make(v.secret, "all-"+o.ID, i.Now())}
	all, fault := i.Approvals.PendingOf(r.Context(), o.ID, v.person)
	if fault != nil {
		i.errorPage(w, r, http.StatusConflict, "That was not done", sentences(fault.Message, fault.Next))
		return
	}
	var err error
	if view.Stops, err = i.stops(r.Context(), v); err != nil {
		i.fail(w, r, err)
		return
	}
	view.Kinds, view.Count = approval.Kinds(all), len(all)
	i.render(w, r, http.StatusOK, "decline-all", view)
}

// declineAll declines the requests of a caller that were pending when the page was made.
func (i *Inbox) declineAll(w http.ResponseWriter, r *http.Request, v *visit) {
	id := r.PathValue("id")
	if !i.stamped(w, r, v, "all-"+id) {
		return
	}
	_, shown, _ := i.stamps.Read(v.secret, r.PostFormValue("stamp"), i.Now())
	all, fault := i.Approvals.DeclineAll(background(r), id, v.person, shown, approval.Reply{Note: r.PostFormValue("note"), Quick: i.Now().Sub(shown) < tooQuick})
	if fault != nil {
		i.errorPage(w, r, http.StatusConflict, "That was not done", sentences(fault.Message, fault.Next))
		return
	}
	declined, first := countDeclined(all)
	text := "Nothing of what was shown runs. A request that arrived since then still waits."
	if first != nil {
		text = fmt.Sprintf("%d others were not declined. The first one: %s", len(all)-declined, sentences(first.Message, first.Next))
	}
	i.render(w, r, http.StatusOK, "error", struct {
		frame
		Text string
	}{i.frame(v, fmt.Sprintf("Declined: %d", declined)), text})
}

// countDeclined returns how many requests were declined, and the first error.
func countDeclined(all []approval.AnswerResult) (declined int, first *schemas.Error) {
	for _, a := range all {
		if a.Err == nil {
			declined++
		} else if first == nil {
			first = a.Err
		}
	}
	return declined, first
}

func (i *Inbox) apiDeclineAll(w http.ResponseWriter, r *http.Request, v *visit) {
	var in struct {
		Note string `json:"note"`
	}
	if !i.read(w, r, &in) {
		return
	}
	all, fault := i.Approvals.DeclineAll(background(r), r.PathValue("id"), v.person, i.Now(), approval.Reply{Note: in.Note})
	if fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	out := struct {
		Declined int           `json:"declined"`
		Results  []answerState `json:"results"`
	}{Results: []answerState{}}
	out.Declined, _ = countDeclined(all)
	for _, a := range all {
		out.Results = append(out.Results, stateOf(a, ledger.Declined))
	}
	writeJSON(w, http.StatusOK, out)
}

// pauseView is a pause of new requests, on the page and in the API.
type pauseView struct {
	// ID is the last request that was declined.
	ID        string       `json:"id"`
	Requester ledger.Actor `json:"requester"`
	Action    string       `json:"action"`
	Title     string       `json:"-"`
	Until     time.Time    `json:"until"`
	// Barred is why this person cannot lift it; empty if they can.
	Barred string `json:"barred,omitempty"`
	Stamp  string `json:"-"`
}

// paused returns the pauses that the visitor may see.
func (i *Inbox) paused(s *snapshot, v *visit) (all []pauseView) {
	for k := range s.pauses {
		p := &s.pauses[k]
		if !v.person.MaySee(&p.Declined, i.Now()) {
			continue
		}
		view := pauseView{ID: p.Declined.ID, Requester: p.Declined.Requester, Action: p.Declined.Action, Title: p.Declined.Action, Until: p.Until,
			Stamp: i.stamps.Make(v.secret, "lift-"+p.Declined.ID, i.Now())}
		if a, err := schemas.Find(p.Declined.Action); err == nil {
			view.Title = a.Title
		}
		if why := v.person.CheckLift(p); why != nil {
			view.Barred = why.Message
		}
		all = append(all, view)
	}
	return all
}

// lift ends a pause.
func (i *Inbox) lift(w http.ResponseWriter, r *http.Request, v *visit) {
	id := r.PathValue("id")
	if !i.stamped(w, r, v, "lift-"+id) {
		return
	}
	if fault := i.Approvals.LiftPause(background(r), id, v.person); fault != nil {
		i.errorPage(w, r, http.StatusConflict, "That was not done", sentences(fault.Message, fault.Next))
		return
	}
	http.Redirect(w, r, i.path(""), http.StatusSeeOther)
}

func (i *Inbox) apiLift(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.read(w, r, &struct{}{}) {
		return
	}
	if fault := i.Approvals.LiftPause(background(r), r.PathValue("id"), v.person); fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}
