package inbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

const (
	// sessionFor is how long a browser stays logged in, freshFor how long a login is good for what cannot be undone.
	sessionFor = 30 * 24 * time.Hour
	freshFor   = 15 * time.Minute
	// LinkFor is how long a code in a link is good, OpenFor one with which this machine's browser is opened.
	LinkFor = 10 * time.Minute
	OpenFor = time.Minute
)

// visit is somebody who is logged in, and how.
type visit struct {
	who approval.Person
	// secret is what they showed, for their stamps.
	secret string
}

// cookie is the name of the session's cookie. Cookies do not know ports, so it has the ledger's name in it; with TLS the
// browser itself sees to it that nobody else's page has set it.
func (i *Inbox) cookie() string {
	name := "sippet-inbox-" + i.Ledger.ID()[:8]
	if i.Secure {
		return "__Host-" + name
	}
	return name
}

func (i *Inbox) setCookie(w http.ResponseWriter, value string, age time.Duration) {
	c := &http.Cookie{Name: i.cookie(), Value: value, Path: Path, MaxAge: int(age / time.Second), HttpOnly: true, Secure: i.Secure, SameSite: http.SameSiteLaxMode}
	if i.Secure {
		c.Path = "/" // as the name demands
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// visit says who sends a request; its error is ledger.ErrNoLogin where nobody is logged in.
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
	if l.Credential == "" { // by a link it is the person who came, not one of their programs
		l.Roles = slices.DeleteFunc(l.Roles, func(r string) bool { return r == approval.RoleAgent })
	}
	return &visit{who: approval.Person{Name: l.Person, Roles: l.Roles, Local: l.Local, Via: "inbox", Credential: l.Credential, Fresh: i.Now().Sub(l.Created) < freshFor},
		secret: c.Value}, nil
}

// answers reports whether a token is a person's who answers: not one with which a program asks.
func answers(t *ledger.Token) bool {
	return !slices.Contains(t.Roles, approval.RoleAgent) && (slices.Contains(t.Roles, approval.RoleApprover) || slices.Contains(t.Roles, approval.RoleAdmin))
}

const notAPersons = "This token is none of an approver or an admin, or it is a program's (role agent). Ask whoever runs the server for one of your own."

type loginView struct {
	frame
	Error string
	// Again is true where somebody is logged in and must prove once more who they are.
	Again bool
	// Here is true where this machine's browser can be opened for that.
	Here  bool
	Stamp string
	// Login is the command that prints a link.
	Login string
}

func (i *Inbox) loginPage(w http.ResponseWriter, r *http.Request) {
	view := loginView{frame: i.frame(nil, "Log in"), Login: i.LoginCommand}
	if v, err := i.visit(r); err == nil {
		if !r.URL.Query().Has("again") {
			http.Redirect(w, r, Path, http.StatusSeeOther)
			return
		}
		view.frame = i.frame(v, "Log in again")
		view.Again, view.Here, view.Stamp = true, v.who.Local && i.Open != nil, i.stamps.make(v.secret, "again", i.Now())
	}
	i.render(w, r, http.StatusOK, "login", view)
}

func (i *Inbox) login(w http.ResponseWriter, r *http.Request) {
	secret := strings.TrimSpace(r.PostFormValue("token"))
	t, err := i.Ledger.Authenticate(r.Context(), secret)
	switch {
	case err != nil && !errors.Is(err, ledger.ErrRejected) && !errors.Is(err, ledger.ErrTokenExpired) && !errors.Is(err, ledger.ErrNoTokens):
		i.fail(w, r, err)
		return
	case err != nil:
		i.refuse(w, r, err, "This token lets nobody in.")
		return
	case !answers(&t):
		i.refuse(w, r, errors.New("the token of "+t.Person+" is none of an approver or admin, or a program's"), notAPersons)
		return
	}
	session, _, err := i.Ledger.CreateSession(r.Context(), t, sessionFor)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.setCookie(w, session, sessionFor)
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

func (i *Inbox) refuse(w http.ResponseWriter, r *http.Request, cause error, text string) {
	i.Log.LogAttrs(r.Context(), slog.LevelDebug, "a login to the inbox was refused", slog.String("cause", cause.Error()))
	i.render(w, r, http.StatusUnauthorized, "login", loginView{frame: i.frame(nil, "Log in"), Login: i.LoginCommand, Error: text})
}

const usedUp = "This link was used, or its time is over. If you did not use it yourself, tell whoever runs the server."

// enterPage takes a code with which this machine's browser was opened; one in a link waits for the button, because
// programs that look at links for people follow them too.
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
		}{i.frame(nil, "Log in"), l.Person})
	default:
		if _, known := i.visit(r); known == nil {
			http.Redirect(w, r, after(r), http.StatusSeeOther) // they are in already
			return
		}
		i.refuse(w, r, ledger.ErrNoLogin, usedUp)
	}
}

func (i *Inbox) enter(w http.ResponseWriter, r *http.Request) {
	session, _, err := i.Ledger.RedeemLogin(r.Context(), r.PathValue("code"), sessionFor)
	switch {
	case err != nil && !errors.Is(err, ledger.ErrRejected):
		i.fail(w, r, err)
	case err != nil:
		i.refuse(w, r, err, usedUp)
	default:
		i.setCookie(w, session, sessionFor)
		http.Redirect(w, r, after(r), http.StatusSeeOther)
	}
}

// after is where somebody goes once they are in: to the question that the address names, or to all.
func after(r *http.Request) string {
	if id := r.URL.Query().Get("q"); len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" {
		return Path + "#q-" + id // among all, where what comes next appears too
	}
	return Path
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
	http.Redirect(w, r, Path+"/login", http.StatusSeeOther)
}

// renewLogin opens this machine's browser with a new code: whoever sits there proves it by seeing it.
func (i *Inbox) renewLogin(w http.ResponseWriter, r *http.Request, v *visit) {
	if !i.stamped(w, r, v, "again") {
		return
	}
	if !v.who.Local || i.Open == nil {
		i.errorPage(w, r, http.StatusForbidden, "That is not possible here", "Log in with a token, or with a link of `"+i.LoginCommand+"`.")
		return
	}
	code, err := i.Ledger.CreateLogin(r.Context(), ledger.Login{Kind: ledger.OpenCode, Person: v.who.Name, Local: true, Expires: i.Now().Add(OpenFor)}, ledger.Actor{Name: v.who.Name, Via: v.who.Via})
	if err == nil {
		err = i.Open(Path + "/enter/" + code)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.errorPage(w, r, http.StatusOK, "Look at that machine", "Its browser was opened, and you are logged in there. Answer in that window.")
}

// proveOwner proves to another process of the same ledger that it is this ledger's inbox that listens here, so that nobody else
// who took the port is given a code.
func (i *Inbox) proveOwner(w http.ResponseWriter, r *http.Request) {
	nonce := r.URL.Query().Get("nonce")
	if i.Secure { // it is for processes of this machine
		http.NotFound(w, r)
		return
	}
	if len(nonce) < 16 || len(nonce) > 100 {
		http.Error(w, "nonce is missing", http.StatusBadRequest)
		return
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		http.Error(w, "no address", http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, Owner{Proof(i.Ledger, local.String(), nonce), i.Pages()})
}

// Owner is the answer at Path/whose.
type Owner struct {
	Proof string `json:"proof"`
	// Pages is as Inbox.Pages.
	Pages int `json:"pages"`
}

// Proof is what the inbox of that ledger that listens at an address answers to a nonce at Path/whose. The address is in it,
// so that whoever listens elsewhere cannot pass the question on.
func Proof(l ledger.Ledger, address, nonce string) string {
	m := hmac.New(sha256.New, l.SharedSecret("inbox proof"))
	m.Write([]byte(address + "\x00" + nonce))
	return hex.EncodeToString(m.Sum(nil))
}
