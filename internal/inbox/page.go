package inbox

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

//go:embed templates/*.html
var templateFiles embed.FS

// fixed matches what is the same on every page: addresses below the inbox, and images.
var fixed = regexp.MustCompile(`\{\{(inbox|image) "([^"]*)"\}\}`)

// parseTemplates returns the templates of the pages. path is Inbox.path. What is the same on every
// page is filled in once.
func parseTemplates(path func(page string) string) *template.Template {
	all := template.New("").Funcs(template.FuncMap{
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock": func(t time.Time) string { return t.Local().Format("15:04") },
		"day":   func(t time.Time) string { return t.Local().Format("2 Jan 2006 15:04 MST") },
	})
	for _, name := range []string{"card", "frame", "pages"} {
		text, err := templateFiles.ReadFile("templates/" + name + ".html")
		if err != nil {
			panic("inbox: " + err.Error()) // they are embedded
		}
		template.Must(all.Parse(fixed.ReplaceAllStringFunc(string(text), func(found string) string {
			part := fixed.FindStringSubmatch(found)
			if part[1] == "image" {
				return images[part[2]]
			}
			page, query, _ := strings.Cut(part[2], "?")
			address := url.URL{Path: path(page), RawQuery: query}
			return template.HTMLEscapeString(address.String())
		})))
	}
	return all
}

// images are the images of the assets, each as a URL that holds it. A browser may load a page's icon
// long after the page, when another program has taken the port, and would send the cookie with it.
var images = func() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"icon.svg", "calm.svg"} {
		raw, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic("inbox: " + err.Error()) // they are embedded
		}
		all[name] = "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(raw)
	}
	return all
}()

// render writes a complete page, or an error if the template fails.
func (i *Inbox) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := i.templates.ExecuteTemplate(&b, name, data); err != nil {
		i.Log.LogAttrs(r.Context(), slog.LevelError, "rendering a page of the inbox failed",
			slog.String("page", name), slog.String("cause", err.Error()))
		http.Error(w, "this page could not be rendered; read the server's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// errorPage writes an error as a page, or as JSON for the API and the page's script.
func (i *Inbox) errorPage(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	if wantsJSON(r) {
		first, n := utf8.DecodeRuneInString(text)
		writeJSON(w, status, problem{Error: string(unicode.ToLower(first)) + strings.TrimSuffix(text[n:], ".")})
		return
	}
	i.render(w, r, status, "error", struct {
		frame
		Text string
	}{i.frame(nil, title), text})
}

func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, Path+"/api/") || strings.Contains(r.Header.Get("Accept"), "application/json")
}

// problem is an error in the API.
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
	// More is how many requests are pending beside those on the cards.
	More int
	// Ended are the last decided requests, Handovers those with something that the visitor can
	// take.
	Ended, Handovers []endedView
	Paused           []pauseView
}

// maxRecent is how many decided requests are below the pending ones.
const maxRecent = 8

// pending shows the pending requests and the last decided ones. With ?part it returns the live part
// only, for the script.
func (i *Inbox) pending(w http.ResponseWriter, r *http.Request, v *visit) {
	s, err := i.snapshot(r.Context())
	if err != nil {
		i.fail(w, r, err)
		return
	}
	view := pendingView{frame: i.frame(v, "Inbox")}
	if view.Stops, err = i.stops(r.Context(), v); err == nil {
		view.Cards, view.Pending, view.More, err = i.cards(r.Context(), s, v)
	}
	if err == nil {
		view.Ended, view.Handovers, err = i.decided(r, s, v, maxRecent)
		view.Paused = i.paused(s, v)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.render(w, r, http.StatusOK, livePart(r, "pending"), view)
}

// livePart returns the name of a page's template, or of its live part if the script asks for that.
func livePart(r *http.Request, name string) string {
	if r.URL.Query().Has("part") {
		return name + "-part"
	}
	return name
}

// decided returns the last n decided requests that the visitor may see, and of all those with
// something to take. Those that have a card beside them are not among the recent ones.
func (i *Inbox) decided(r *http.Request, s *snapshot, v *visit, n int) (ended, handovers []endedView, err error) {
	for k := range s.ended {
		req := &s.ended[k]
		takes := v.person.MayTakeHandover(req)
		if !v.person.MaySee(req, i.Now()) || len(ended) == n && !takes || n == maxRecent && isOver(req, i.Now()) {
			continue
		}
		o, err := s.card(r.Context(), req.ID)
		if errors.Is(err, ledger.ErrNoApproval) {
			continue // pruned after the snapshot
		}
		if err != nil {
			return nil, nil, err
		}
		e := i.endedOf(v, o)
		if e.Take {
			handovers = append(handovers, e)
		}
		if len(ended) < n {
			ended = append(ended, e)
		}
	}
	return ended, handovers, nil
}

func (i *Inbox) history(w http.ResponseWriter, r *http.Request, v *visit) {
	s, err := i.snapshot(r.Context())
	view := pendingView{frame: i.frame(v, "History")}
	if err == nil {
		view.Stops, err = i.stops(r.Context(), v)
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
	Card  *cardView // while it is pending
	Ended *endedView
	Lines []lineView // what it was about, after it ended
}

// request shows one request: its card while it is pending, then its outcome.
func (i *Inbox) request(w http.ResponseWriter, r *http.Request, v *visit) {
	o, ok := i.find(w, r, v, r.PathValue("id"))
	if !ok {
		return
	}
	s := &snapshot{ledger: i.Ledger, opened: map[string]*openedRequest{o.ID: o}}
	view := requestView{frame: i.frame(v, "Approval request")}
	var err error
	if view.Stops, err = i.stops(r.Context(), v); err == nil && o.State == ledger.Pending && o.Open(i.Now()) {
		view.Card, err = i.card(r.Context(), s, v, []*ledger.ApprovalRequest{&o.ApprovalRequest})
	} else {
		e := i.endedOf(v, o)
		view.Ended, view.Lines = &e, []lineView{i.line(v, o)}
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.render(w, r, http.StatusOK, livePart(r, "request"), view)
}

// find returns a request that the visitor may see. For one that they may not see it writes the
// error of one that does not exist.
func (i *Inbox) find(w http.ResponseWriter, r *http.Request, v *visit, id string) (*openedRequest, bool) {
	o, err := openRequest(r.Context(), i.Ledger, id)
	switch {
	case err != nil && !errors.Is(err, ledger.ErrRejected):
		i.fail(w, r, err)
	case err != nil || !v.person.MaySee(&o.ApprovalRequest, i.Now()) && !v.person.MayTakeHandover(&o.ApprovalRequest):
		i.errorPage(w, r, http.StatusNotFound, "No such request", "There is no such request, or you may not see it.")
	default:
		return o, true
	}
	return nil, false
}
