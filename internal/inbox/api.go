package inbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// The API offers what the page offers, as JSON, with the same checks by the same code. A program
// sends the token of an approver or admin in Authorization: Bearer. The session cookie of the page
// works as well.

func (i *Inbox) api(mux *http.ServeMux) {
	mux.HandleFunc("GET "+Path+"/api/approvals", i.authenticated(i.apiList))
	mux.HandleFunc("GET "+Path+"/api/approvals/{id}", i.authenticated(i.apiOne))
	mux.HandleFunc("POST "+Path+"/api/approvals/{id}", i.authenticated(i.apiAnswer))
	mux.HandleFunc("POST "+Path+"/api/approvals/{id}/take", i.authenticated(i.apiTake))
	mux.HandleFunc("POST "+Path+"/api/approvals/{id}/decline-all", i.authenticated(i.apiDeclineAll))
	mux.HandleFunc("POST "+Path+"/api/approvals/{id}/lift", i.authenticated(i.apiLift))
	mux.HandleFunc("GET "+Path+"/api/stop", i.authenticated(i.apiState))
	mux.HandleFunc("POST "+Path+"/api/stop", i.authenticated(i.apiStop))
	mux.HandleFunc("POST "+Path+"/api/resume", i.authenticated(i.apiResume))
}

// authenticated returns a handler that calls f for a person with a token or a session.
func (i *Inbox) authenticated(f func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			i.page(f)(w, r)
			return
		}
		secret = strings.TrimSpace(secret)
		t, err := i.Ledger.Authenticate(r.Context(), secret)
		switch {
		case isTokenStoreError(err):
			i.fail(w, r, err)
		case err != nil:
			writeJSON(w, http.StatusUnauthorized, problem{Error: badToken})
		case !mayLogIn(&t):
			writeJSON(w, http.StatusForbidden, problem{Error: wrongRole, Next: askForToken})
		default:
			sum := sha256.Sum256([]byte(secret))
			person := approval.Person{Name: t.Person, Roles: t.Roles, Via: "api", Credential: t.ID, Fresh: true}
			f(w, r, &visit{person: person, secret: hex.EncodeToString(sum[:])})
		}
	}
}

// apiRequest is an approval request in the API.
type apiRequest struct {
	ID        string       `json:"id"`
	State     string       `json:"state"`
	Action    string       `json:"action"`
	Needs     string       `json:"needs"`
	Requester ledger.Actor `json:"requester"`
	Requested time.Time    `json:"requested"`
	Expires   time.Time    `json:"expires"`
	Answered  *time.Time   `json:"answered,omitempty"`
	By        ledger.Actor `json:"by,omitzero"`
	// Departed is since when the requester's program no longer waits for the answer.
	Departed *time.Time `json:"departed,omitempty"`
	// Status and Detail say in words what the state is, or how the call ended.
	Status string `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Quick is true if the answer was faster than anybody can read the card.
	Quick bool           `json:"quick,omitempty"`
	Card  *approval.Card `json:"card,omitempty"`
	// Erased is how many of the persons on the card were erased. Such a request can only be
	// declined.
	Erased int `json:"erased,omitempty"`
	// Barred is why the caller cannot answer; empty if they can. Stamp must be sent with the
	// answer.
	Barred string `json:"barred,omitempty"`
	Stamp  string `json:"stamp,omitempty"`
	// Take is until when the caller can take what was issued.
	Take *time.Time `json:"take,omitempty"`
}

func (i *Inbox) apiOf(v *visit, o *openedRequest) apiRequest {
	out := apiRequest{ID: o.ID, State: string(o.StateAt(i.Now())), Action: o.Action, Needs: o.Needs, Requester: o.Requester,
		Requested: o.Requested, Expires: o.Expires, By: o.By, Quick: o.Quick, Card: o.card, Erased: o.Erased}
	if !o.Answered.IsZero() {
		out.Answered = &o.Answered
	}
	if o.State == ledger.Pending && !o.Departed.IsZero() {
		out.Departed = &o.Departed
	}
	e := i.endedOf(v, o)
	out.Status, out.Detail = e.Status, e.Detail
	if o.Open(i.Now()) {
		out.Stamp = i.stamps.Make(v.secret, o.ID, i.Now())
		if why := v.person.CheckAnswer(&o.ApprovalRequest); why != nil {
			out.Barred = why.Message
		}
	}
	if e.Take {
		out.Take = &e.Until
	}
	return out
}

func (i *Inbox) apiList(w http.ResponseWriter, r *http.Request, v *visit) {
	s, err := i.snapshot(r.Context())
	if err != nil {
		i.fail(w, r, err)
		return
	}
	out := struct {
		Open  []apiRequest `json:"open"`
		Ended []apiRequest `json:"ended"`
		More  int          `json:"more,omitempty"`
		Stops []stopView   `json:"stops,omitempty"`
		// Paused are the pauses of new requests.
		Paused []pauseView `json:"paused,omitempty"`
	}{Open: []apiRequest{}, Ended: []apiRequest{}, Paused: i.paused(s, v)}
	if out.Stops, err = i.stopsRevoked(r.Context(), v); err != nil {
		i.fail(w, r, err)
		return
	}
	add := func(to *[]apiRequest, req *ledger.ApprovalRequest) bool {
		o, err := s.card(r.Context(), req.ID)
		if errors.Is(err, ledger.ErrNoApproval) {
			return true // pruned after the snapshot
		}
		if err != nil {
			i.fail(w, r, err)
			return false
		}
		*to = append(*to, i.apiOf(v, o))
		return true
	}
	for k := range s.open {
		switch req := &s.open[k]; {
		case !req.Open(i.Now()) || !v.person.MaySee(req, i.Now()):
		case len(out.Open) == maxAPI:
			out.More++
		case !add(&out.Open, req):
			return
		}
	}
	for k := range s.ended {
		if req := &s.ended[k]; v.person.MaySee(req, i.Now()) && !add(&out.Ended, req) {
			return
		}
	}
	writeJSON(w, http.StatusOK, out)
}

// maxAPI is how many open requests a list has. More are counted.
const maxAPI = 200

func (i *Inbox) apiOne(w http.ResponseWriter, r *http.Request, v *visit) {
	if o, ok := i.find(w, r, v, r.PathValue("id")); ok {
		writeJSON(w, http.StatusOK, i.apiOf(v, o))
	}
}

func (i *Inbox) apiAnswer(w http.ResponseWriter, r *http.Request, v *visit) {
	var in struct {
		Answer string `json:"answer"`
		People int    `json:"people"`
		Note   string `json:"note"`
		Stamp  string `json:"stamp"`
	}
	if !i.read(w, r, &in) {
		return
	}
	ids, quick, ok := i.lines(v, []string{in.Stamp})
	if !ok || ids[0] != r.PathValue("id") {
		writeJSON(w, http.StatusForbidden, problem{Error: "the stamp is missing, too old, or that of another request or token",
			Next: "get the request, read its card, and answer with its stamp"})
		return
	}
	all, ok := i.answerAll(r, ids, v, in.Answer, approval.Reply{StatedNumber: in.People, Note: in.Note, Quick: quick})
	switch {
	case !ok:
		writeJSON(w, http.StatusBadRequest, problem{Error: "answer must be approve, decline or revoke"})
	case all[0].Error != "":
		writeJSON(w, http.StatusConflict, all[0])
	default:
		writeJSON(w, http.StatusOK, all[0])
	}
}

// read decodes the body of a request. It accepts only JSON, which a form of another page cannot
// send.
func (i *Inbox) read(w http.ResponseWriter, r *http.Request, into any) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if strings.TrimSpace(kind) != "application/json" || d.Decode(into) != nil {
		writeJSON(w, http.StatusBadRequest, problem{Error: "the body is not the JSON of this request",
			Next: "send Content-Type: application/json and only the documented keys"})
		return false
	}
	return true
}

func (i *Inbox) apiTake(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.read(w, r, &struct{}{}) {
		return
	}
	data, fault := i.Approvals.TakeHandover(background(r), r.PathValue("id"), v.person)
	if fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	writeJSON(w, http.StatusOK, struct {
		ID     string          `json:"id"`
		Issued json.RawMessage `json:"issued"`
	}{r.PathValue("id"), data})
}

func (i *Inbox) apiState(w http.ResponseWriter, r *http.Request, v *visit) {
	out := struct {
		Stops  []stopView  `json:"stops"`
		Ending *endingView `json:"ending,omitempty"`
	}{Stops: []stopView{}}
	all, err := i.stopsRevoked(r.Context(), v)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	out.Stops = append(out.Stops, all...)
	if v.person.MayStopAll() { // it names the people who are rung
		ending := i.ending.view()
		out.Ending = &ending
	}
	writeJSON(w, http.StatusOK, out)
}

func (i *Inbox) apiStop(w http.ResponseWriter, r *http.Request, v *visit) {
	in := struct {
		Scope    string `json:"scope"`
		Person   string `json:"person"`
		Note     string `json:"note"`
		EndCalls bool   `json:"endCalls"`
	}{Scope: string(ledger.StopEverything)}
	if !i.read(w, r, &in) {
		return
	}
	fault := i.Approvals.Stop(background(r), v.person, scopeOf(v, in.Scope, in.Person), in.Note)
	if fault == nil && in.EndCalls {
		fault = i.hangUp(background(r), v.person)
	}
	if fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	i.apiState(w, r, v)
}

func (i *Inbox) apiResume(w http.ResponseWriter, r *http.Request, v *visit) {
	var in struct {
		Scope  string `json:"scope"`
		Person string `json:"person"`
	}
	if !i.read(w, r, &in) {
		return
	}
	if fault := i.Approvals.Resume(background(r), v.person, scopeOf(v, in.Scope, in.Person)); fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	i.apiState(w, r, v)
}
