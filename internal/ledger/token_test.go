package ledger_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func createToken(t testing.TB, l ledger.Ledger, want ledger.Token) (string, ledger.Token) {
	t.Helper()
	if want.Roles == nil {
		want.Roles = []string{"agent"}
	}
	secret, made, err := l.CreateToken(t.Context(), want, ledger.Actor{Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	return secret, made
}

func wantAuthenticated(t testing.TB, l ledger.Ledger, secret string, want error) ledger.Token {
	t.Helper()
	got, err := l.Authenticate(t.Context(), secret)
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	return got
}

// waitForCaches waits until what another process has read is too old to be used.
func waitForCaches() { time.Sleep(ledger.FreshFor + 50*time.Millisecond) }

func TestToken(t *testing.T) {
	c := newClock()
	o := ledger.Options{Dir: t.TempDir(), Now: c.now}
	l, other := open(t, o), open(t, o)
	wantAuthenticated(t, l, "", ledger.ErrNoTokens)
	wantAuthenticated(t, other, "smcp_000000000000_"+strings.Repeat("A", 43), ledger.ErrNoTokens)
	secret, made := createToken(t, l, ledger.Token{Person: "Ada Lovelace", Roles: []string{"operator", "agent", "agent"}, Interactive: true, Policy: "team",
		KeyFile: "/etc/key", Expires: c.now().Add(time.Hour)})
	if !strings.HasPrefix(secret, "smcp_"+made.ID+"_") || len(secret) != 5+12+1+43 || ledger.TokenID(secret) != made.ID {
		t.Errorf("%s", secret)
	}
	got := wantAuthenticated(t, l, secret, nil)
	if got.Person != "Ada Lovelace" || !slices.Equal(got.Roles, []string{"agent", "operator"}) || !got.Interactive || got.Policy != "team" || got.KeyFile != "/etc/key" ||
		got.By.String() != "root" || !got.Created.Equal(c.now()) || !got.Expires.Equal(c.now().Add(time.Hour)) || !got.Live(c.now()) {
		t.Errorf("%+v", got)
	}
	waitForCaches()
	wantAuthenticated(t, other, secret, nil)
	swap := func(i int) string { b := []byte(secret); b[i] ^= 1; return string(b) }
	for _, wrong := range []string{"", "smcp_", swap(len(secret) - 1), swap(20), swap(6), strings.ToUpper(secret), secret + "\n", " " + secret, secret[:len(secret)-1],
		made.ID, "smcp_" + made.ID + "_", strings.Repeat("x", 100_000)} {
		wantAuthenticated(t, l, wrong, ledger.ErrTokenUnknown)
	}

	c.advance(time.Hour)
	if got := wantAuthenticated(t, l, secret, ledger.ErrTokenExpired); got.Person != "Ada Lovelace" {
		t.Errorf("%+v", got)
	}
	second, two := createToken(t, l, ledger.Token{Person: "Ada Lovelace"})
	wantAuthenticated(t, l, second, nil)
	waitForCaches()
	wantAuthenticated(t, other, second, nil)
	if err := other.RevokeToken(t.Context(), two.ID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	wantAuthenticated(t, other, second, ledger.ErrTokenRevoked)
	waitForCaches()
	wantAuthenticated(t, l, second, ledger.ErrTokenRevoked)
	wantErr(t, "again", l.RevokeToken(t.Context(), two.ID, ledger.Actor{Name: "root"}), ledger.ErrTokenRevoked)
	wantErr(t, "unknown", l.RevokeToken(t.Context(), "000000000000", ledger.Actor{Name: "root"}), ledger.ErrTokenUnknown)

	all, err := l.Tokens(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != made.ID || !all[0].Revoked.IsZero() || all[1].Revoked.IsZero() {
		t.Errorf("%v %+v", err, all)
	}
	verifyClean(t, l)
}

func TestCreateTokenRejects(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	createToken(t, l, ledger.Token{Person: "ada"})
	for name, want := range map[string]ledger.Token{
		"no name":            {Roles: []string{"agent"}},
		"a bracket":          {Person: "ada (root)", Roles: []string{"agent"}},
		"a control":          {Person: "ada\x1b[2J", Roles: []string{"agent"}},
		"a bidi control":     {Person: "ada\u202e", Roles: []string{"agent"}},
		"a space at end":     {Person: "bob ", Roles: []string{"agent"}},
		"two spaces":         {Person: "bob  b", Roles: []string{"agent"}},
		"a long name":        {Person: strings.Repeat("a", 65), Roles: []string{"agent"}},
		"no role":            {Person: "bob"},
		"a role in capitals": {Person: "bob", Roles: []string{"Admin"}},
		"two roles in one":   {Person: "bob", Roles: []string{"agent admin"}},
		"an empty role":      {Person: "bob", Roles: []string{""}},
		"already expired":    {Person: "bob", Roles: []string{"agent"}, Expires: c.now()},
		"another spelling":   {Person: "Ada", Roles: []string{"agent"}},
		"a long policy":      {Person: "bob", Roles: []string{"agent"}, Policy: strings.Repeat("p", 1000)},
	} {
		if secret, _, err := l.CreateToken(t.Context(), want, ledger.Actor{Name: "root"}); err == nil || secret != "" {
			t.Errorf("%s was accepted", name)
		}
	}
	createToken(t, l, ledger.Token{Person: "Zoë O'Hara-Núñez"})
	createToken(t, l, ledger.Token{Person: "n"})
	if all, _ := l.Tokens(t.Context()); len(all) != 3 {
		t.Errorf("%+v", all)
	}
	verifyClean(t, l)
}

// TestAuthenticateCost: any secret costs one comparison.
func TestAuthenticateCost(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	live, _ := createToken(t, l, ledger.Token{Person: "ada"})
	old, _ := createToken(t, l, ledger.Token{Person: "ada", Expires: c.now().Add(time.Second)})
	revoked, made := createToken(t, l, ledger.Token{Person: "ada"})
	if err := l.RevokeToken(t.Context(), made.ID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	for _, secret := range []string{live, old, revoked, live[:len(live)-1] + "!", "smcp_000000000000_" + strings.Repeat("A", 43), "smcp_" + made.ID + "_" + strings.Repeat("A", 43), "x", ""} {
		_, _ = l.Authenticate(t.Context(), secret) // fills the cache
		n := ledger.CountCompares(func() { _, _ = l.Authenticate(t.Context(), secret) })
		if n != 1 {
			t.Errorf("%d comparisons", n)
		}
	}
}

func TestRemovePerson(t *testing.T) {
	l := open(t, ledger.Options{})
	one, _ := createToken(t, l, ledger.Token{Person: "ada"})
	two, adas := createToken(t, l, ledger.Token{Person: "ada"})
	bobSecret, bobs := createToken(t, l, ledger.Token{Person: "bob"})
	soon := time.Now().Add(time.Hour)
	request := func(n string, caller ledger.Actor, credential string) ledger.ApprovalRequest {
		x := call(n)
		x.Caller, x.Credential = caller, credential
		return createApproval(t, l, x, soon)
	}
	pending := request("1", ledger.Actor{Name: "ada", Via: "token " + adas.ID}, adas.ID)
	approved := request("2", ledger.Actor{Name: "ada", Via: "token " + adas.ID}, adas.ID)
	answer(t, l, approved, ledger.Approved)
	declined := request("3", ledger.Actor{Name: "ada", Via: "token " + adas.ID}, adas.ID)
	answer(t, l, declined, ledger.Declined)
	bobPending := request("4", ledger.Actor{Name: "bob", Via: "token " + bobs.ID}, bobs.ID)
	adaApproved := request("5", ledger.Actor{Name: "bob", Via: "token " + bobs.ID}, bobs.ID)
	if err := l.AnswerApproval(t.Context(), adaApproved, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada", Via: "inbox"}}); err != nil {
		t.Fatal(err)
	}
	adamApproved := request("6", ledger.Actor{Name: "adam", Via: "token x"}, "x")
	if err := l.AnswerApproval(t.Context(), adamApproved, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "adam", Via: "inbox"}}); err != nil {
		t.Fatal(err)
	}
	tokens, approvals, err := l.RemovePerson(t.Context(), "ada", ledger.Actor{Name: "root"})
	if err != nil || tokens != 2 || approvals != 3 {
		t.Errorf("%d tokens, %d approvals, %v", tokens, approvals, err)
	}
	wantAuthenticated(t, l, one, ledger.ErrTokenRevoked)
	wantAuthenticated(t, l, two, ledger.ErrTokenRevoked)
	wantAuthenticated(t, l, bobSecret, nil)
	for request, want := range map[*ledger.ApprovalRequest]error{&pending: ledger.ErrApprovalRevoked, &approved: ledger.ErrApprovalRevoked, &declined: ledger.ErrApprovalDeclined,
		&bobPending: ledger.ErrApprovalPending, &adaApproved: ledger.ErrApprovalRevoked, &adamApproved: nil} {
		wantErr(t, request.Action+" "+request.Requester.String(), l.CheckApproval(t.Context(), *request), want)
	}
	if tokens, approvals, err = l.RemovePerson(t.Context(), "ada", ledger.Actor{Name: "root"}); tokens+approvals != 0 || err != nil {
		t.Errorf("%d tokens, %d approvals, %v", tokens, approvals, err)
	}
	_, _, err = l.RemovePerson(t.Context(), "nobody", ledger.Actor{Name: "root"})
	wantErr(t, "nobody", err, ledger.ErrNoPerson)

	// Revoking a token revokes the requests of its program.
	if err := l.RevokeToken(t.Context(), bobs.ID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "bob's request", l.CheckApproval(t.Context(), bobPending), ledger.ErrApprovalRevoked)
	verifyClean(t, l)
}

// TestTokenRevokedMeanwhile: a call that was accepted before the revocation does not run, except
// hanging up.
func TestTokenRevokedMeanwhile(t *testing.T) {
	l := open(t, ledger.Options{})
	_, made := createToken(t, l, ledger.Token{Person: "ada"})
	x := call("1")
	x.Credential = made.ID
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	if err := l.RevokeToken(t.Context(), made.ID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	x.Hash = "another"
	_, err := l.Commit(t.Context(), x)
	wantErr(t, "a call", err, ledger.ErrTokenRevoked)
	wantErr(t, "a request", l.CreateApproval(t.Context(), approvalFor(x, time.Now().Add(time.Hour))), ledger.ErrTokenRevoked)
	verifyClean(t, l)
	x.Action = ledger.HangUp
	commit(t, l, x)
	verifyClean(t, l)
}

// TestTokenRecords: the log records every change and who made it, and no file holds the secret.
func TestTokenRecords(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	secret, made := createToken(t, l, ledger.Token{Person: "ada", Roles: []string{"agent", "admin"}, Interactive: true, KeyFile: "/k"})
	wantAuthenticated(t, l, secret, nil)
	if _, _, err := l.RemovePerson(t.Context(), "ada", ledger.Actor{Name: "eve"}); err != nil {
		t.Fatal(err)
	}
	all, err := l.Records(t.Context(), ledger.Filter{Caller: "ada"})
	if err != nil || len(all) != 3 {
		t.Fatalf("%v %+v", err, all)
	}
	if r := all[0]; r.Phase != ledger.PhaseIssued || r.Credential != made.ID || !slices.Equal(r.Roles, []string{"admin", "agent"}) || r.By.String() != "root" || r.Note != "interactive, key file /k" {
		t.Errorf("%s", r.Line)
	}
	if r := all[1]; r.Phase != ledger.PhaseRevoked || r.Credential != made.ID || r.By.String() != "eve" {
		t.Errorf("%s", r.Line)
	}
	if r := all[2]; r.Phase != ledger.PhaseRemoved || r.Count != 1 || r.By.String() != "eve" {
		t.Errorf("%s", r.Line)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil || bytes.Contains(raw, []byte(secret[18:])) {
			t.Errorf("%s holds the secret, or %v", f, err)
		}
	}
	if len(files) < 4 {
		t.Errorf("%v", files)
	}
}

// TestTokenTampered: a row that was written by hand authenticates nobody, and Verify finds it.
func TestTokenTampered(t *testing.T) {
	for name, c := range map[string]struct {
		edit string
		in   bool // whether the token is still accepted
		text string
	}{
		"more roles":                 {"UPDATE tokens SET roles = 'admin' WHERE person = 'ada'", false, "differs from the issued one"},
		"another person":             {"UPDATE tokens SET person = 'root' WHERE person = 'ada'", false, "differs from the issued one"},
		"for ever":                   {"UPDATE tokens SET expires = 0 WHERE person = 'ada'", false, "differs from the issued one"},
		"another's secret":           {"UPDATE tokens SET hash = (SELECT hash FROM tokens WHERE person = 'bob') WHERE person = 'ada'", false, "differs from the issued one"},
		"no policy":                  {"UPDATE tokens SET policy = '' WHERE person = 'ada'", false, "differs from the issued one"},
		"a copy":                     {"INSERT INTO tokens SELECT 'aaaaaaaaaaaa', person, roles, interactive, policy, key_file, hash, fingerprint, created_by, created, expires, revoked, seq, revoked_seq FROM tokens WHERE person = 'ada'", true, "has no record"},
		"deleted":                    {"DELETE FROM tokens WHERE person = 'ada'", false, "is missing from its table"},
		"revocation removed":         {"UPDATE tokens SET revoked = 0, revoked_seq = 0", true, "differs from the log"},
		"revocation removed by half": {"UPDATE tokens SET revoked = 0", true, "differs from the log"},
		"revoked without a record":   {"UPDATE tokens SET revoked = 1 WHERE person = 'ada'", false, "differs from the log"},
	} {
		t.Run(name, func(t *testing.T) {
			o := ledger.Options{Dir: t.TempDir()}
			l := open(t, o)
			ada, _ := createToken(t, l, ledger.Token{Person: "ada", Policy: "team", Expires: time.Now().Add(time.Hour)})
			_, bob := createToken(t, l, ledger.Token{Person: "bob"})
			if err := l.RevokeToken(t.Context(), bob.ID, ledger.Actor{Name: "root"}); err != nil {
				t.Fatal(err)
			}
			verifyClean(t, l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", filepath.Join(o.Dir, ledger.File))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(c.edit); err != nil {
				t.Fatal(err)
			}
			db.Close()
			l = open(t, o)
			if _, err := l.Authenticate(t.Context(), ada); (err == nil) != c.in {
				t.Errorf("%v", err)
			}
			r, err := l.Verify(t.Context(), ledger.VerifyOptions{})
			if err != nil || len(r.Findings) == 0 || r.Findings[0].Kind != ledger.WrongToken || !strings.Contains(r.Findings[0].Text, c.text) {
				t.Errorf("%v %+v", err, r.Findings)
			}
		})
	}
}

// TestTokenPruned: a token is kept when its record is pruned, and deleted with the record of its
// revocation.
func TestTokenPruned(t *testing.T) {
	c := newClock()
	o := ledger.Options{Dir: t.TempDir(), Now: c.now}
	l := open(t, o)
	kept, _ := createToken(t, l, ledger.Token{Person: "ada"})
	_, early := createToken(t, l, ledger.Token{Person: "bob"})
	_, late := createToken(t, l, ledger.Token{Person: "bob"})
	if err := l.RevokeToken(t.Context(), early.ID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	c.advance(48 * time.Hour)
	if err := l.RevokeToken(t.Context(), late.ID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	o.Retention = 24 * time.Hour
	l = open(t, o)
	ledger.Prune(t, l)
	if r := verifyClean(t, l); r.Pruned != 4 {
		t.Errorf("%+v", r)
	}
	wantAuthenticated(t, l, kept, nil)
	all, err := l.Tokens(t.Context())
	if err != nil || len(all) != 2 || all[1].ID != late.ID {
		t.Errorf("%v %+v", err, all)
	}
	c.advance(48 * time.Hour)
	commit(t, l, call("1"))
	ledger.Prune(t, l)
	verifyClean(t, l)
	if all, err := l.Tokens(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v %+v", err, all)
	}
}
