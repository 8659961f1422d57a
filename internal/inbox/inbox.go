package inbox

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// Path is the path of the inbox. All its pages are below it.
const Path = "/inbox"

// Inbox serves the page and the API.
type Inbox struct {
	Approvals *approval.Approvals
	Ledger    ledger.Ledger
	Watch     *approval.Watcher
	// Gates returns the gates of the organisations with calls that can be listed and ended here;
	// nil if there are none.
	Gates func() []*policy.Gate
	// Open opens the browser of this machine at a path of the inbox; nil if nobody sits there.
	Open func(path string) error
	// LoginCommand is the command that prints a login link. It is shown to everybody.
	LoginCommand string
	// Simulated is true in the sandbox. Every page then says that nothing real happens.
	Simulated bool
	// Public is the URL under which people reach the server, such as https://ops.example.com/sippet;
	// nil for the address of the connection. Pages link to paths below its path.
	Public *url.URL
	// Secure is true if browsers connect by TLS. Their cookies then need it.
	Secure bool
	Now    func() time.Time
	Log    *slog.Logger

	templates *template.Template
	stamps    approval.Stamps
	snapshots snapshots
	ending    ending
	pages     atomic.Int64
}

//go:embed assets
var assets embed.FS

// Handler returns the handler of Path and of everything below it.
func (i *Inbox) Handler() http.Handler {
	i.stamps = approval.Stamps{Key: i.Ledger.SharedSecret("inbox stamps"), For: stampFor}
	i.templates = parseTemplates(i.path)
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic("inbox: " + err.Error()) // they are embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+Path+"/assets/", http.StripPrefix(Path+"/assets/", http.FileServerFS(files)))
	mux.HandleFunc("GET "+ownerPath, i.proveOwner)
	mux.HandleFunc("GET "+Path+"/login", i.loginPage)
	mux.HandleFunc("POST "+Path+"/login", i.login)
	mux.HandleFunc("GET "+enterPath+"{code}", i.enterPage)
	mux.HandleFunc("POST "+enterPath+"{code}", i.enter)

	mux.Handle("GET "+Path+"/{$}", http.RedirectHandler(i.path(""), http.StatusMovedPermanently))
	mux.HandleFunc("GET "+Path, i.page(i.pending))
	mux.HandleFunc("GET "+Path+"/history", i.page(i.history))
	mux.HandleFunc("GET "+requestPath+"{id}", i.page(i.request))
	mux.HandleFunc("GET "+requestPath+"{id}/decline-all", i.page(i.declineAllPage))
	mux.HandleFunc("POST "+requestPath+"{id}/decline-all", i.page(i.declineAll))
	mux.HandleFunc("POST "+requestPath+"{id}/lift", i.page(i.lift))
	mux.HandleFunc("GET "+Path+"/stop", i.page(i.stopPage))
	mux.HandleFunc("GET "+Path+"/events", i.page(i.events))
	mux.HandleFunc("POST "+Path+"/answer", i.page(i.answer))
	mux.HandleFunc("POST "+Path+"/take", i.page(i.take))
	mux.HandleFunc("POST "+Path+"/stop", i.page(i.stop))
	mux.HandleFunc("POST "+Path+"/resume", i.page(i.resume))
	mux.HandleFunc("POST "+Path+"/end-calls", i.page(i.endCalls))
	mux.HandleFunc("POST "+Path+"/again", i.page(i.renewLogin))
	mux.HandleFunc("POST "+Path+"/logout", i.page(i.logout))
	i.api(mux)
	origins := http.NewCrossOriginProtection()
	if origin := i.publicOrigin(); origin != "" { // a proxy may have changed the Host header
		if err := origins.AddTrustedOrigin(origin); err != nil {
			panic("inbox: " + err.Error()) // Public is a valid URL
		}
	}
	return i.headers(origins.Handler(mux))
}

// path returns the path of a page for browsers, below the path of Public. page is empty or begins
// with a slash.
func (i *Inbox) path(page string) string {
	if i.Public != nil {
		return i.Public.Path + Path + page
	}
	return Path + page
}

// publicOrigin returns the origin of Public as browsers write it; empty without one.
func (i *Inbox) publicOrigin() string {
	if i.Public == nil {
		return ""
	}
	return i.Public.Scheme + "://" + i.Public.Host
}

const (
	enterPath   = Path + "/enter/"     // with a login code
	requestPath = Path + "/approvals/" // with the id of a request
)

const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers isolates the pages: they load nothing from other sites, cannot be framed, and are not
// cached.
func (i *Inbox) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer, forms would have the origin null
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if strings.HasPrefix(r.URL.Path, Path+"/assets/") {
			h.Set("Cache-Control", "no-cache")
		}
		if i.byName(r) {
			to := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, localOrigin(r)+to.String(), http.StatusTemporaryRedirect)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}

// byName reports whether a page is asked for at the name localhost. It has several addresses, so
// that another program may listen at one of them: the page must be at the address that it proves.
func (i *Inbox) byName(r *http.Request) bool {
	host, port, err := net.SplitHostPort(r.Host)
	return err == nil && r.Method == http.MethodGet && i.Public == nil && !wantsJSON(r) && strings.EqualFold(host, "localhost") &&
		strings.HasSuffix(localOrigin(r), ":"+port)
}

// maxBody is larger than any form or API request.
const maxBody = 256 << 10

// page returns a handler that calls f for a visitor with a login, and sends everybody else to the
// login page.
func (i *Inbox) page(f func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := i.visit(r)
		switch {
		case err == nil:
			f(w, r, v)
		case !errors.Is(err, ledger.ErrRejected):
			i.fail(w, r, err)
		case r.Method == http.MethodGet && r.URL.Path != Path+"/events" && !wantsJSON(r):
			http.Redirect(w, r, i.path("/login"), http.StatusSeeOther)
		default:
			i.errorPage(w, r, http.StatusUnauthorized, "Log in first",
				"You are not logged in, or your login has expired. Nothing was changed.")
		}
	}
}

// fail reports that the ledger cannot be read. It shows nothing that may be out of date.
func (i *Inbox) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the client has disconnected, or the server is about to stop
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	i.Log.LogAttrs(r.Context(), slog.LevelError, "the inbox cannot be shown", slog.String("cause", err.Error()))
	w.Header().Set("Retry-After", "5")
	i.errorPage(w, r, http.StatusServiceUnavailable, "The inbox cannot be shown",
		"The ledger cannot be used now, so nothing can be approved and nothing runs. Read the server's log, which says what to do.")
}

// background returns a context for what must be completed even if the client disconnects.
func background(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
