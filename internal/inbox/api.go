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

// The API is the page as JSON, with the same checks by the same code. A program shows an approver's or an admin's token in
// Authorization: Bearer; the page's cookie does as well.

func (i *Inbox) api(mux *http.ServeMux) {
	mux.HandleFunc("GET "+Path+"/api/questions", i.caller(i.apiList))
	mux.HandleFunc("GET "+Path+"/api/questions/{id}", i.caller(i.apiOne))
	mux.HandleFunc("POST "+Path+"/api/questions/{id}", i.caller(i.apiAnswer))
	mux.HandleFunc("POST "+Path+"/api/questions/{id}/take", i.caller(i.apiTake))
	mux.HandleFunc("GET "+Path+"/api/stop", i.caller(i.apiState))
	mux.HandleFunc("POST "+Path+"/api/stop", i.caller(i.apiStop))
	mux.HandleFunc("POST "+Path+"/api/resume", i.caller(i.apiResume))
}

// caller gives a handler of whoever shows a token or is logged in.
func (i *Inbox) caller(f func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			i.page(f)(w, r)
			return
		}
		secret = strings.TrimSpace(secret)
		t, err := i.Ledger.Authenticate(r.Context(), secret)
		switch {
		case err != nil && !errors.Is(err, ledger.ErrRejected) && !errors.Is(err, ledger.ErrTokenExpired) && !errors.Is(err, ledger.ErrNoTokens):
			i.fail(w, r, err)
		case err != nil:
			writeJSON(w, http.StatusUnauthorized, problem{Error: "this token lets nobody in"})
		case !answers(&t):
			writeJSON(w, http.StatusForbidden, problem{Error: notAPersons})
		default:
			sum := sha256.Sum256([]byte(secret))
			f(w, r, &visit{who: approval.Person{Name: t.Person, Roles: t.Roles, Via: "api", Credential: t.ID, Fresh: true}, secret: hex.EncodeToString(sum[:])})
		}
	}
}

// apiRequest is a question as the API gives it.
type apiRequest struct {
	ID        string       `json:"id"`
	State     string       `json:"state"`
	Action    string       `json:"action"`
	Needs     string       `json:"needs"`
	Requester ledger.Actor `json:"requester"`
	Asked     time.Time    `json:"requested"`
	Expires   time.Time    `json:"expires"`
	Answered  *time.Time   `json:"answered,omitempty"`
	By        ledger.Actor `json:"by,omitzero"`
	// Status says in words what came of it; Quick that it was answered sooner than the card can be read.
	Status string         `json:"status,omitempty"`
	Detail string         `json:"detail,omitempty"`
	Quick  bool           `json:"quick,omitempty"`
	Card   *approval.Card `json:"card,omitempty"`
	// Barred is why the caller cannot answer it. Stamp goes with the answer.
	Barred string `json:"barred,omitempty"`
	Stamp  string `json:"stamp,omitempty"`
	// Take is until when the caller can take what was issued.
	Take *time.Time `json:"take,omitempty"`
}

func (i *Inbox) apiOf(v *visit, o *openedRequest) apiRequest {
	q := apiRequest{ID: o.ID, State: string(o.State), Action: o.Action, Needs: o.Needs, Requester: o.Requester, Asked: o.Requested, Expires: o.Expires,
		By: o.By, Quick: o.Quick, Card: o.card}
	if !o.Answered.IsZero() {
		q.Answered = &o.Answered
	}
	e := i.endedOf(v, o)
	q.Status, q.Detail = e.Status, e.Detail
	switch {
	case !o.Open(i.Now()):
		if o.State == ledger.Pending || o.State == ledger.Approved {
			q.State = "expired"
		}
	default:
		q.Stamp = i.stamps.make(v.secret, o.ID, i.Now())
		if why := v.who.CheckAnswer(&o.ApprovalRequest); why != nil {
			q.Barred = why.Message
		}
	}
	if e.Take {
		q.Take = &e.Until
	}
	return q
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
		Stop  *stopView    `json:"stop,omitempty"`
	}{Open: []apiRequest{}, Ended: []apiRequest{}}
	if out.Stop, err = i.emergencyStop(r); err != nil {
		i.fail(w, r, err)
		return
	}
	add := func(to *[]apiRequest, q *ledger.ApprovalRequest) bool {
		o, err := s.card(r.Context(), q.ID)
		if errors.Is(err, ledger.ErrNoApproval) {
			return true // forgotten since the snapshot
		}
		if err != nil {
			i.fail(w, r, err)
			return false
		}
		*to = append(*to, i.apiOf(v, o))
		return true
	}
	for k := range s.open {
		switch q := &s.open[k]; {
		case !q.Open(i.Now()) || !v.who.MaySee(q):
		case len(out.Open) == maxAPI:
			out.More++
		case !add(&out.Open, q):
			return
		}
	}
	for k := range s.ended {
		if q := &s.ended[k]; v.who.MaySee(q) && !add(&out.Ended, q) {
			return
		}
	}
	writeJSON(w, http.StatusOK, out)
}

// maxAPI is how many open questions a list gives; those behind them are counted.
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
		writeJSON(w, http.StatusForbidden, problem{Error: "the stamp is not of this question, or too old", Next: "get the question, read its card, and answer with its stamp"})
		return
	}
	all, ok := i.answerAll(r, ids, v, in.Answer, approval.Reply{StatedNumber: in.People, Note: in.Note, Quick: quick})
	switch {
	case !ok:
		writeJSON(w, http.StatusBadRequest, problem{Error: "answer is none of yes, no and revoke"})
	case all[0].Error != "":
		writeJSON(w, http.StatusConflict, all[0])
	default:
		writeJSON(w, http.StatusOK, all[0])
	}
}

// read decodes a request's body, which must be JSON: no form of another page can send that.
func (i *Inbox) read(w http.ResponseWriter, r *http.Request, into any) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if strings.TrimSpace(kind) != "application/json" || d.Decode(into) != nil {
		writeJSON(w, http.StatusBadRequest, problem{Error: "the body is not the JSON that is taken here", Next: "send Content-Type: application/json and the documented names"})
		return false
	}
	return true
}

func (i *Inbox) apiTake(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.read(w, r, &struct{}{}) {
		return
	}
	data, fault := i.Approvals.TakeHandover(background(r), r.PathValue("id"), v.who)
	if fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	writeJSON(w, http.StatusOK, struct {
		ID     string          `json:"id"`
		Issued json.RawMessage `json:"issued"`
	}{r.PathValue("id"), data})
}

// stopView is a stop that holds.
type stopView struct {
	By      ledger.Actor `json:"by"`
	Since   time.Time    `json:"since"`
	Note    string       `json:"note,omitempty"`
	Revoked int64        `json:"revoked"`
}

func (i *Inbox) emergencyStop(r *http.Request) (*stopView, error) {
	f, err := i.Ledger.CurrentStop(r.Context())
	if err != nil || f == nil {
		return nil, err
	}
	n, err := i.revokedByStop(r.Context(), f)
	return &stopView{By: f.By, Since: f.At, Note: f.Note, Revoked: n}, err
}

func (i *Inbox) apiState(w http.ResponseWriter, r *http.Request, _ *visit) {
	f, err := i.emergencyStop(r)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Stop   *stopView  `json:"stop"`
		Ending endingView `json:"ending"`
	}{f, i.ending.view()})
}

func (i *Inbox) apiStop(w http.ResponseWriter, r *http.Request, v *visit) {
	var in struct {
		Note     string `json:"note"`
		EndCalls bool   `json:"endCalls"`
	}
	if !i.read(w, r, &in) {
		return
	}
	fault := i.Approvals.Stop(background(r), v.who, in.Note)
	if fault == nil && in.EndCalls {
		fault = i.hangUp(background(r), v.who)
	}
	if fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	i.apiState(w, r, v)
}

func (i *Inbox) apiResume(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.read(w, r, &struct{}{}) {
		return
	}
	if _, fault := i.Approvals.Resume(background(r), v.who); fault != nil {
		writeJSON(w, http.StatusConflict, problem{fault.Message, fault.Next})
		return
	}
	i.apiState(w, r, v)
}
