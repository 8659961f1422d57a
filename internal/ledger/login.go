package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LoginKind says what the secret of a login is.
type LoginKind string

// The kinds, a closed set.
const (
	// LinkCode is a code in a link that a person receives; they press a button to use it.
	LinkCode LoginKind = "code"
	// OpenCode is a code in a link that opens this machine's browser; it is used at once.
	OpenCode LoginKind = "open"
	// Session is the cookie of a browser.
	Session LoginKind = "session"
)

// Login is a session of the inbox, or a code that creates one. Its secret is shown once; the ledger
// stores its SHA-256 only.
type Login struct {
	Kind   LoginKind
	Person string
	// Local is true for the person at this machine, who needs no token.
	Local bool
	// Credential is the id of the token that they showed; empty after a code.
	Credential string
	// Roles are those of the token, or of all tokens of the person; only reading sets them.
	Roles []string
	// Created is when they last authenticated.
	Created, Expires time.Time
}

// loginRow is a row of the table logins.
type loginRow struct {
	hash                     []byte
	kind, person, credential string
	local                    bool
	created, expires         int64
	fingerprint              string
}

const loginColumns = "hash, kind, person, credential, local, created, expires, fingerprint"

func (r *loginRow) fields() []any {
	return []any{&r.hash, &r.kind, &r.person, &r.credential, &r.local, &r.created, &r.expires, &r.fingerprint}
}

// seal returns the fingerprint of a row, as tokenRow.seal does.
func (r *loginRow) seal(s *sealer) string {
	return hex.EncodeToString(mac(derive(s.fingerprintKey, "login"), strings.Join([]string{hex.EncodeToString(r.hash), r.kind, r.person, r.credential,
		fmt.Sprint(r.local), fmt.Sprint(r.created), fmt.Sprint(r.expires)}, "\x00")))
}

func (r *loginRow) login() Login {
	return Login{Kind: LoginKind(r.kind), Person: r.person, Local: r.local, Credential: r.credential, Created: fromMicros(r.created), Expires: fromMicros(r.expires)}
}

// insertLogin stores a login and returns its new secret.
func (t *tx) insertLogin(l Login) (secret string, err error) {
	var random [32]byte
	rand.Read(random[:]) // never fails
	secret = base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(secret))
	r := &loginRow{hash: hash[:], kind: string(l.Kind), person: l.Person, credential: l.Credential, local: l.Local,
		created: micros(l.Created), expires: micros(l.Expires)}
	_, err = t.exec("INSERT INTO logins ("+loginColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)", r.hash, r.kind, r.person, r.credential, r.local,
		r.created, r.expires, r.seal(t.s.seal))
	return secret, err
}

// CreateLogin implements Ledger.
func (s *SQLite) CreateLogin(ctx context.Context, l Login, by Actor) (secret string, err error) {
	if l.Kind != LinkCode && l.Kind != OpenCode || l.Person == "" || l.Credential != "" {
		return "", fmt.Errorf("%w: a login code needs a person and no token", errUsage)
	}
	err = s.writeWith(ctx, halfReserve, func(t *tx) error {
		l.Created = t.now
		if secret, err = t.insertLogin(l); err != nil || l.Kind == OpenCode {
			return err
		}
		return t.append(&Record{Phase: PhaseLogin, Caller: Actor{Name: l.Person}, State: string(l.Kind), Expires: micros(l.Expires), By: by})
	})
	return secret, err
}

// FindLogin implements Ledger.
func (s *SQLite) FindLogin(ctx context.Context, secret string) (Login, error) {
	var r loginRow
	hash := sha256.Sum256([]byte(secret))
	found, err := s.row(ctx, "SELECT "+loginColumns+" FROM logins WHERE hash = ?", []any{hash[:]}, r.fields()...)
	switch {
	case err != nil:
		return Login{}, err
	case !found, micros(s.now()) >= r.expires, compareSecrets([]byte(r.seal(s.seal)), []byte(r.fingerprint)) != 1:
		return Login{}, ErrNoLogin
	}
	l := r.login()
	return l, s.roles(ctx, &l)
}

// roles sets the roles that the person has now. It returns ErrNoLogin if they have no valid token.
func (s *SQLite) roles(ctx context.Context, l *Login) error {
	cached, err := s.loadTokens(ctx)
	if err != nil {
		return err
	}
	hasToken := false
	for _, r := range cached.all {
		t := r.token()
		if r.person != l.Person || l.Credential != "" && r.id != l.Credential || !t.Live(s.now()) {
			continue
		}
		hasToken = true
		l.Roles = append(l.Roles, t.Roles...)
	}
	slices.Sort(l.Roles)
	l.Roles = slices.Compact(l.Roles)
	if !hasToken && !l.Local {
		return ErrNoLogin
	}
	return nil
}

// RedeemLogin implements Ledger.
func (s *SQLite) RedeemLogin(ctx context.Context, code string, lasts time.Duration) (secret string, l Login, err error) {
	if l, err = s.FindLogin(ctx, code); err != nil {
		return "", Login{}, err
	}
	if l.Kind == Session {
		return "", Login{}, ErrNoLogin
	}
	method, hash := string(l.Kind), sha256.Sum256([]byte(code))
	l.Kind = Session
	err = s.writeWith(ctx, halfReserve, func(t *tx) error {
		if n, err := t.exec("DELETE FROM logins WHERE hash = ?", hash[:]); err != nil || n == 0 {
			if err == nil {
				err = ErrNoLogin // somebody else used it meanwhile
			}
			return err
		}
		return t.createSession(&l, method, lasts, &secret)
	})
	return secret, l, err
}

// CreateSession implements Ledger.
func (s *SQLite) CreateSession(ctx context.Context, token Token, lasts time.Duration) (secret string, l Login, err error) {
	l = Login{Kind: Session, Person: token.Person, Credential: token.ID, Roles: token.Roles}
	err = s.writeWith(ctx, halfReserve, func(t *tx) error {
		if err := t.checkToken(token.ID, ""); err != nil {
			return err
		}
		return t.createSession(&l, "token", lasts, &secret)
	})
	return secret, l, err
}

func (t *tx) createSession(l *Login, method string, lasts time.Duration, secret *string) (err error) {
	l.Created, l.Expires = t.now, t.now.Add(lasts)
	if *secret, err = t.insertLogin(*l); err != nil {
		return err
	}
	return t.append(&Record{Phase: PhaseLogin, Caller: Actor{Name: l.Person}, Credential: l.Credential, State: string(Session),
		Expires: micros(l.Expires), Note: method})
}

// EndSession implements Ledger.
func (s *SQLite) EndSession(ctx context.Context, secret string) error {
	return s.writeWith(ctx, halfReserve, func(t *tx) error {
		var person string
		hash := sha256.Sum256([]byte(secret))
		found, err := t.row("SELECT person FROM logins WHERE hash = ? AND kind = 'session'", []any{hash[:]}, &person)
		if err != nil || !found {
			return err
		}
		if _, err := t.exec("DELETE FROM logins WHERE hash = ?", hash[:]); err != nil {
			return err
		}
		return t.append(&Record{Phase: PhaseLogout, Caller: Actor{Name: person}})
	})
}
