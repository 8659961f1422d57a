package ledger_test

import (
	"database/sql"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func createCode(t testing.TB, l ledger.Ledger, want ledger.Login) string {
	t.Helper()
	secret, err := l.CreateLogin(t.Context(), want, ledger.Actor{Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestLoginCodeUsedOnce(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	secret := createCode(t, l, ledger.Login{Kind: ledger.LinkCode, Person: "root", Local: true, Expires: c.now().Add(10 * time.Minute)})
	for range 2 {
		if got, err := l.FindLogin(t.Context(), secret); err != nil || got.Kind != ledger.LinkCode || got.Person != "root" || !got.Local {
			t.Errorf("%+v, %v", got, err) // FindLogin does not use the code
		}
	}
	session, got, err := l.RedeemLogin(t.Context(), secret, 30*24*time.Hour)
	if err != nil || got.Kind != ledger.Session || session == secret {
		t.Fatalf("%+v, %v", got, err)
	}
	_, _, err = l.RedeemLogin(t.Context(), secret, time.Hour)
	wantErr(t, "a code again", err, ledger.ErrNoLogin)
	_, _, err = l.RedeemLogin(t.Context(), session, time.Hour)
	wantErr(t, "a session as a code", err, ledger.ErrNoLogin)
	c.advance(29 * 24 * time.Hour)
	if got, err := l.FindLogin(t.Context(), session); err != nil || got.Created.Equal(c.now()) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := l.EndSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	_, err = l.FindLogin(t.Context(), session)
	wantErr(t, "after logging out", err, ledger.ErrNoLogin)

	late := createCode(t, l, ledger.Login{Kind: ledger.OpenCode, Person: "root", Local: true, Expires: c.now().Add(time.Minute)})
	c.advance(time.Minute)
	_, _, err = l.RedeemLogin(t.Context(), late, time.Hour)
	wantErr(t, "late", err, ledger.ErrNoLogin)
	for _, none := range []string{"", "x", session} {
		_, err := l.FindLogin(t.Context(), none)
		wantErr(t, "made up", err, ledger.ErrNoLogin)
	}
	if _, err := l.CreateLogin(t.Context(), ledger.Login{Kind: ledger.Session, Person: "eve", Expires: c.now().Add(time.Hour)}, ledger.Actor{Name: "eve"}); err == nil {
		t.Error("a session was created without a code")
	}
	verifyClean(t, l)
}

// TestSessionRoles: roles are read each time, and a session ends with its token.
func TestSessionRoles(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	_, approver := createToken(t, l, ledger.Token{Person: "bob", Roles: []string{"approver"}})
	_, agent := createToken(t, l, ledger.Token{Person: "bob", Roles: []string{"agent"}, Expires: c.now().Add(time.Hour)})
	byToken, _, err := l.CreateSession(t.Context(), approver, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	byLink, _, err := l.RedeemLogin(t.Context(), createCode(t, l, ledger.Login{Kind: ledger.LinkCode, Person: "bob", Expires: c.now().Add(time.Minute)}), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roles := func(secret string, want ...string) {
		t.Helper()
		waitForCaches()
		got, err := l.FindLogin(t.Context(), secret)
		if want == nil {
			wantErr(t, "without a token", err, ledger.ErrNoLogin)
		} else if err != nil || !slices.Equal(got.Roles, want) {
			t.Errorf("%v, %v, want %v", got.Roles, err, want)
		}
	}
	roles(byToken, "approver")
	roles(byLink, "agent", "approver")
	c.advance(time.Hour)
	roles(byLink, "approver")
	if err := l.RevokeToken(t.Context(), approver.ID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	roles(byToken)
	roles(byLink)
	_, _, err = l.CreateSession(t.Context(), approver, time.Hour)
	wantErr(t, "a revoked token", err, ledger.ErrTokenRevoked)
	createToken(t, l, ledger.Token{Person: "bob", Roles: []string{"admin"}})
	roles(byLink, "admin")
	if _, _, err := l.RemovePerson(t.Context(), "bob", ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	createToken(t, l, ledger.Token{Person: "bob", Roles: []string{"admin"}})
	roles(byLink) // a new token does not restore a removed session
	_ = agent
	verifyClean(t, l)
}

// TestLoginTampered: a row that was written by hand logs nobody in.
func TestLoginTampered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	secret := createCode(t, l, ledger.Login{Kind: ledger.LinkCode, Person: "root", Local: true, Expires: time.Now().Add(time.Hour)})
	l.Close()
	for name, change := range map[string]string{"another person": "UPDATE logins SET person = 'eve'", "for ever": "UPDATE logins SET expires = expires + 1",
		"a session": "UPDATE logins SET kind = 'session'"} {
		copied := copyDir(t, dir)
		tamper(t, copied, func(db *sql.DB) { run(t, db, change) })
		l := open(t, ledger.Options{Dir: copied})
		_, err := l.FindLogin(t.Context(), secret)
		wantErr(t, name, err, ledger.ErrNoLogin)
	}
}

func TestSharedSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, other := open(t, ledger.Options{Dir: dir}), open(t, ledger.Options{})
	a := l.SharedSecret("a")
	l.Close()
	l = open(t, ledger.Options{Dir: dir})
	if !slices.Equal(a, l.SharedSecret("a")) || slices.Equal(a, l.SharedSecret("b")) || slices.Equal(a, other.SharedSecret("a")) || len(a) != 32 || l.ID() == other.ID() {
		t.Error("a secret is not specific to its ledger and purpose")
	}
}
