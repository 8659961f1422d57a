package inbox

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

//go:embed templates/*.html
var templateFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock": func(t time.Time) string { return t.Local().Format("15:04") },
	"day":   func(t time.Time) string { return t.Local().Format("2 Jan 2006 15:04 MST") },
	"words": words,
}).ParseFS(templateFiles, "templates/*.html"))

// render writes a page, whole or not at all.
func (i *Inbox) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		i.Log.LogAttrs(r.Context(), slog.LevelError, "a page of the inbox could not be made", slog.String("page", name), slog.String("cause", err.Error()))
		http.Error(w, "this page could not be made; see the server's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// errorPage says in a few words what is not possible, as a page or, to the page's script, as JSON.
func (i *Inbox) errorPage(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	if wantsJSON(r) {
		writeJSON(w, status, problem{Error: text})
		return
	}
	i.render(w, r, status, "sorry", struct {
		frame
		Text string
	}{i.frame(nil, title), text})
}

func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, Path+"/api/") || strings.Contains(r.Header.Get("Accept"), "application/json")
}

// problem is an error as the API gives it.
type problem struct {
	Error string `json:"error,omitempty"`
	Next  string `json:"next,omitempty"`
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

type pendingView struct {
	frame
	Cards []cardView
	More  int
	// Ended are the last that were decided, Take what the visitor can take.
	Ended, Take []endedView
}

// maxRecent is how many decided questions stand below those that wait.
const maxRecent = 8

// pending is the page that stays open: what waits, and what was decided last. With ?part the script gets its inside alone.
func (i *Inbox) pending(w http.ResponseWriter, r *http.Request, v *visit) {
	s, err := i.snapshot(r.Context())
	if err != nil {
		i.fail(w, r, err)
		return
	}
	view := pendingView{frame: i.frame(v, "Inbox")}
	if view.Stop, err = i.Ledger.CurrentStop(r.Context()); err == nil {
		view.Cards, view.Pending, view.More, err = i.cards(r.Context(), s, v)
	}
	if err == nil {
		view.Ended, view.Take, err = i.decided(r, s, v, maxRecent)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	name := "waiting"
	if r.URL.Query().Has("part") {
		name = "live"
	}
	i.render(w, r, http.StatusOK, name, view)
}

// decided gives the last n decided questions that the visitor sees, and what they can take of all.
func (i *Inbox) decided(r *http.Request, s *snapshot, v *visit, n int) (ended, take []endedView, err error) {
	for k := range s.ended {
		q := &s.ended[k]
		takes := v.who.MayTakeHandover(q)
		if !v.who.MaySee(q) || len(ended) == n && !takes {
			continue
		}
		o, err := s.card(r.Context(), q.ID)
		if errors.Is(err, ledger.ErrNoApproval) {
			continue // forgotten since the snapshot
		}
		if err != nil {
			return nil, nil, err
		}
		e := i.endedOf(v, o)
		if e.Take {
			take = append(take, e)
		}
		if len(ended) < n {
			ended = append(ended, e)
		}
	}
	return ended, take, nil
}

func (i *Inbox) history(w http.ResponseWriter, r *http.Request, v *visit) {
	s, err := i.snapshot(r.Context())
	view := pendingView{frame: i.frame(v, "History")}
	if err == nil {
		view.Stop, err = i.Ledger.CurrentStop(r.Context())
	}
	if err == nil {
		view.Ended, _, err = i.decided(r, s, v, maxEnded)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.render(w, r, http.StatusOK, "history", view)
}

type requestView struct {
	frame
	Card  *cardView // while it waits
	Ended *endedView
	Lines []lineView // what it was about, once it is over
}

// request is the page of one question, which a link leads to: to be answered, or what came of it.
func (i *Inbox) request(w http.ResponseWriter, r *http.Request, v *visit) {
	o, ok := i.find(w, r, v, r.PathValue("id"))
	if !ok {
		return
	}
	s := &snapshot{ledger: i.Ledger, opened: map[string]*openedRequest{o.ID: o}}
	view := requestView{frame: i.frame(v, "A question")}
	var err error
	if view.Stop, err = i.Ledger.CurrentStop(r.Context()); err == nil && o.State == ledger.Pending && o.Open(i.Now()) {
		view.Card, err = i.card(r.Context(), s, v, []*ledger.ApprovalRequest{&o.ApprovalRequest})
	} else {
		e := i.endedOf(v, o)
		view.Ended, view.Lines = &e, []lineView{i.line(v, o)}
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	name := "question"
	if r.URL.Query().Has("part") {
		name = "questionlive"
	}
	i.render(w, r, http.StatusOK, name, view)
}

// find opens a question that the visitor may see; of others it says what it says of those that there are none of.
func (i *Inbox) find(w http.ResponseWriter, r *http.Request, v *visit, id string) (*openedRequest, bool) {
	o, err := openRequest(r.Context(), i.Ledger, id)
	switch {
	case err != nil && !errors.Is(err, ledger.ErrRejected):
		i.fail(w, r, err)
	case err != nil || !o.Inbox || !v.who.MaySee(&o.ApprovalRequest) && !v.who.MayTakeHandover(&o.ApprovalRequest):
		i.errorPage(w, r, http.StatusNotFound, "No such question", "There is no such question, or it is not yours to see.")
	default:
		return o, true
	}
	return nil, false
}

// answerState is what came of an answer, for the script.
type answerState struct {
	ID    string `json:"id"`
	State string `json:"state,omitempty"`
	problem
}

// answer takes the answer to the lines of a card that were ticked.
func (i *Inbox) answer(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := r.ParseForm(); err != nil {
		i.errorPage(w, r, http.StatusBadRequest, "That could not be read", "Nothing was changed.")
		return
	}
	ids, quick, ok := i.lines(v, r.PostForm["line"])
	if !ok {
		i.errorPage(w, r, http.StatusForbidden, "This page is too old", "Nothing was changed. Load it again, and answer then.")
		return
	}
	if len(ids) == 0 {
		i.errorPage(w, r, http.StatusBadRequest, "Nothing was ticked", "Tick what you answer. Nothing was changed.")
		return
	}
	people, _ := strconv.Atoi(strings.TrimSpace(r.PostFormValue("people")))
	all, ok := i.answerAll(r, ids, v, r.PostFormValue("answer"), approval.Reply{StatedNumber: people, Note: r.PostFormValue("note"), Quick: quick})
	if !ok {
		i.errorPage(w, r, http.StatusBadRequest, "That is no answer", "Say yes or no. Nothing was changed.")
		return
	}
	faults := slices.DeleteFunc(slices.Clone(all), func(s answerState) bool { return s.Error == "" })
	switch {
	case wantsJSON(r):
		writeJSON(w, http.StatusOK, all)
	case len(faults) > 0:
		text := faults[0].Error + "."
		if n := len(all) - len(faults); n > 0 {
			text += fmt.Sprintf(" Your answer to %d others was taken.", n)
		}
		i.errorPage(w, r, http.StatusConflict, "That was not taken", text)
	case len(all) == 1:
		http.Redirect(w, r, Path+"/q/"+all[0].ID, http.StatusSeeOther)
	default:
		http.Redirect(w, r, Path, http.StatusSeeOther)
	}
}

// answerAll answers the questions: yes, no, or revoke, which takes a yes back.
func (i *Inbox) answerAll(r *http.Request, ids []string, v *visit, answer string, reply approval.Reply) ([]answerState, bool) {
	out := make([]answerState, 0, len(ids))
	switch answer {
	case "yes", "no":
		reply.Approve = answer == "yes"
		for _, a := range i.Approvals.Answer(background(r), ids, v.who, reply) {
			s := answerState{ID: a.ApprovalID, State: map[bool]string{true: string(ledger.Approved), false: string(ledger.Declined)}[reply.Approve]}
			if a.Err != nil {
				s = answerState{ID: a.ApprovalID, problem: problem{a.Err.Message, a.Err.Next}}
			}
			out = append(out, s)
		}
	case "revoke":
		for _, id := range ids {
			s := answerState{ID: id, State: string(ledger.Revoked)}
			if err := i.Approvals.Revoke(background(r), id, v.who); err != nil {
				s = answerState{ID: id, problem: problem{err.Message, err.Next}}
			}
			out = append(out, s)
		}
	default:
		return nil, false
	}
	return out, true
}

// lines reads the stamps of what was ticked; quick says that one of them was shown a moment ago only.
func (i *Inbox) lines(v *visit, stamps []string) (ids []string, quick, ok bool) {
	for _, s := range stamps {
		id, at, good := i.stamps.read(v.secret, s, i.Now())
		if !good {
			return nil, false, false
		}
		if quick = quick || i.Now().Sub(at) < tooQuick; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, quick, len(ids) <= 2*ledger.MaxPending
}

// take shows what an action issued, once.
func (i *Inbox) take(w http.ResponseWriter, r *http.Request, v *visit) {
	id := r.PostFormValue("id")
	if !i.stamped(w, r, v, "take-"+id) {
		return
	}
	data, fault := i.Approvals.TakeHandover(background(r), id, v.who)
	if fault != nil {
		i.errorPage(w, r, http.StatusConflict, "That cannot be taken", fault.Message+". "+fault.Next)
		return
	}
	i.render(w, r, http.StatusOK, "taken", struct {
		frame
		ID     string
		Fields []field
	}{i.frame(v, "Yours, once"), id, fields(data)})
}

// field is one value of what was issued.
type field struct{ Name, Value string }

// fields takes apart what was issued; what is no object is one value.
func fields(data []byte) (out []field) {
	var m map[string]any
	if json.Unmarshal(data, &m) != nil || len(m) == 0 {
		return []field{{"issued", string(data)}}
	}
	for k, v := range m {
		s, ok := v.(string)
		if !ok {
			raw, _ := json.Marshal(v)
			s = string(raw)
		}
		out = append(out, field{k, s})
	}
	slices.SortFunc(out, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return out
}
