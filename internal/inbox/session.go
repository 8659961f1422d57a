package inbox

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

const (
	// freshFor is how long a login is recent enough for what cannot be undone.
	freshFor = 15 * time.Minute
	// LinkFor is how long the code in a link is valid, OpenFor one with which this machine's
	// browser is opened.
	LinkFor = 10 * time.Minute
	OpenFor = time.Minute
)

// sessionFor returns how long a browser stays logged in. Without TLS it is a working day: cookies do
// not distinguish ports, so another program that takes the port gets them.
func (i *Inbox) sessionFor() time.Duration {
	if i.Secure {
		return 30 * 24 * time.Hour
	}
	return 12 * time.Hour
}

// visit is a person with a login.
type visit struct {
	person approval.Person
	// secret is what they authenticated with. It is part of their stamps.
	secret string
}

// sharesHost reports whether other servers may be at other paths of the host.
func (i *Inbox) sharesHost() bool { return i.Public != nil && i.Public.Path != "" }

// cookie returns the name of the session cookie. Cookies do not distinguish ports, so it contains
// the ledger's id. With TLS the prefix makes the browser check that no other page set it. __Host-
// requires the path /, which would send the cookie to every server that shares the host.
func (i *Inbox) cookie() string {
	name := "sippet-inbox-" + i.Ledger.ID()[:8]
	switch {
	case !i.Secure:
		return name
	case i.sharesHost():
		return "__Secure-" + name
	}
	return "__Host-" + name
}

func (i *Inbox) setCookie(w http.ResponseWriter, value string, age time.Duration) {
	c := &http.Cookie{Name: i.cookie(), Value: value, Path: i.path(""), MaxAge: int(age / time.Second),
		HttpOnly: true, Secure: i.Secure, SameSite: http.SameSiteLaxMode}
	if i.Secure && !i.sharesHost() {
		c.Path = "/" // the prefix __Host- requires it
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// visit returns the person who sends a request. Its error is ledger.ErrNoLogin if nobody is logged
// in.
func (i *Inbox) visit(r *http.Request) (*visit, error) {
	c, err := r.Cookie(i.cookie())
	if err != nil || c.Value == "" {
		return nil, ledger.ErrNoLogin
	}
	l, err := i.Ledger.FindLogin(r.Context(), c.Value)
	if err != nil {
		return nil, err
	}
	if l.Kind != ledger.Session {
		return nil, ledger.ErrNoLogin
	}
	if l.Credential == "" { // a link was opened by the person, not by one of their programs
		l.Roles = slices.DeleteFunc(l.Roles, func(r string) bool { return r == approval.RoleAgent })
	}
	person := approval.Person{Name: l.Person, Roles: l.Roles, Local: l.Local, Via: "inbox", Credential: l.Credential,
		Fresh: i.Now().Sub(l.Created) < freshFor}
	return &visit{person: person, secret: c.Value}, nil
}

// mayLogIn reports whether a token may log in: one of an approver or admin that no program uses.
func mayLogIn(t *ledger.Token) bool {
	return !slices.Contains(t.Roles, approval.RoleAgent) &&
		(slices.Contains(t.Roles, approval.RoleApprover) || slices.Contains(t.Roles, approval.RoleAdmin))
}

// isTokenStoreError reports whether a token could not be checked. Other errors say that it is not
// valid.
func isTokenStoreError(err error) bool {
	return err != nil &&
		!errors.Is(err, ledger.ErrRejected) && !errors.Is(err, ledger.ErrTokenExpired) && !errors.Is(err, ledger.ErrNoTokens)
}

const (
	badToken    = "this token is invalid, expired or revoked"
	wrongRole   = "this token does not have the approver or admin role, or it has the role agent, which is for programs"
	askForToken = "ask the person who runs the server for a token of your own"
	badCode     = "this link was used already, or it has expired"
	reportCode  = "if you did not use it yourself, tell the person who runs the server"
)

// sentences returns errors as sentences for a page.
func sentences(all ...string) string {
	var b strings.Builder
	for _, s := range all {
		if s == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		first, n := utf8.DecodeRuneInString(s)
		b.WriteString(string(unicode.ToUpper(first)) + s[n:] + ".")
	}
	return b.String()
}

type loginView struct {
	frame
	Error string
	// Again is true if the person is logged in and must prove again who they are.
	Again bool
	// Here is true if this machine's browser can be opened for that.
	Here  bool
	Stamp string
	// Login is the command that prints a link.
	Login string
}

func (i *Inbox) loginPage(w http.ResponseWriter, r *http.Request) {
	view := loginView{frame: i.frame(nil, "Log in"), Login: i.LoginCommand}
	if v, err := i.visit(r); err == nil {
		if !r.URL.Query().Has("again") {
			http.Redirect(w, r, i.path(""), http.StatusSeeOther)
			return
		}
		view.frame = i.frame(v, "Log in again")
		view.Again, view.Here, view.Stamp = true, v.person.Local && i.Open != nil, i.stamps.Make(v.secret, "again", i.Now())
	}
	i.render(w, r, http.StatusOK, "login", view)
}

func (i *Inbox) login(w http.ResponseWriter, r *http.Request) {
	secret := strings.TrimSpace(r.PostFormValue("token"))
	t, err := i.Ledger.Authenticate(r.Context(), secret)
	switch {
	case isTokenStoreError(err):
		i.fail(w, r, err)
		return
	case err != nil:
		i.reject(w, r, err, badToken)
		return
	case !mayLogIn(&t):
		i.reject(w, r, errors.New("the token of "+t.Person+" does not have the roles to log in"), wrongRole, askForToken)
		return
	}
	session, _, err := i.Ledger.CreateSession(r.Context(), t, i.sessionFor())
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.setCookie(w, session, i.sessionFor())
	http.Redirect(w, r, i.path(""), http.StatusSeeOther)
}

// reject shows the login page with an error. The log gets the cause.
func (i *Inbox) reject(w http.ResponseWriter, r *http.Request, cause error, why ...string) {
	i.Log.LogAttrs(r.Context(), slog.LevelDebug, "a login to the inbox was rejected", slog.String("cause", cause.Error()))
	view := loginView{frame: i.frame(nil, "Log in"), Login: i.LoginCommand, Error: sentences(why...)}
	i.render(w, r, http.StatusUnauthorized, "login", view)
}

// enterPage logs in at once with a code with which this machine's browser was opened. The code of a
// link needs the button: programs that preview links follow them too.
func (i *Inbox) enterPage(w http.ResponseWriter, r *http.Request) {
	l, err := i.Ledger.FindLogin(r.Context(), r.PathValue("code"))
	switch {
	case err != nil && !errors.Is(err, ledger.ErrRejected):
		i.fail(w, r, err)
	case err == nil && l.Kind == ledger.OpenCode:
		i.enter(w, r)
	case err == nil && l.Kind == ledger.LinkCode:
		i.render(w, r, http.StatusOK, "enter", struct {
			frame
			Person string
			Secure bool
		}{i.frame(nil, "Log in"), l.Person, i.Secure})
	default:
		if _, known := i.visit(r); known == nil {
			http.Redirect(w, r, i.afterLogin(r), http.StatusSeeOther) // they are logged in already
			return
		}
		i.reject(w, r, ledger.ErrNoLogin, badCode, reportCode)
	}
}

func (i *Inbox) enter(w http.ResponseWriter, r *http.Request) {
	session, _, err := i.Ledger.RedeemLogin(r.Context(), r.PathValue("code"), i.sessionFor())
	switch {
	case err != nil && !errors.Is(err, ledger.ErrRejected):
		i.fail(w, r, err)
	case err != nil:
		i.reject(w, r, err, badCode, reportCode)
	default:
		i.setCookie(w, session, i.sessionFor())
		http.Redirect(w, r, i.afterLogin(r), http.StatusSeeOther)
	}
}

// afterLogin returns the path to show after a login: the request that the URL names, among all
// others, because later ones appear there too.
func (i *Inbox) afterLogin(r *http.Request) string {
	if id := r.URL.Query().Get("approval"); isHex32(id) {
		return i.path("#approval-" + id)
	}
	return i.path("")
}

func (i *Inbox) logout(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "logout") {
		return
	}
	if err := i.Ledger.EndSession(background(r), v.secret); err != nil {
		i.fail(w, r, err)
		return
	}
	i.setCookie(w, "", 0)
	http.Redirect(w, r, i.path("/login"), http.StatusSeeOther)
}

// renewLogin opens this machine's browser with a new code. The person proves by it that they sit
// there.
func (i *Inbox) renewLogin(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "again") {
		return
	}
	if !v.person.Local || i.Open == nil {
		i.errorPage(w, r, http.StatusForbidden, "Not possible here",
			"Log in with a token, or with a link of `"+i.LoginCommand+"`.")
		return
	}
	login := ledger.Login{Kind: ledger.OpenCode, Person: v.person.Name, Local: true, Expires: i.Now().Add(OpenFor)}
	code, err := i.Ledger.CreateLogin(r.Context(), login, v.person.Actor())
	if err == nil {
		err = i.Open(enterPath + code)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.errorPage(w, r, http.StatusOK, "Continue in the new window",
		"The browser of that machine was opened, and you are logged in there. Answer in that window.")
}
