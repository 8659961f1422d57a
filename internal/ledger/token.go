package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The reasons why a token does not authenticate. The log may hold the reason, an answer to the
// caller may not.
var (
	ErrTokenUnknown = newRejection("no such token was issued")
	ErrTokenExpired = newRejection("the token has expired")
	ErrTokenRevoked = newRejection("the token was revoked")
	// ErrNoTokens is returned if no token was ever issued, so that none can be required.
	ErrNoTokens = newRejection("no token was ever issued")
	// ErrNoPerson is returned if nobody of that name ever had a token.
	ErrNoPerson = newRejection("nobody of that name ever had a token")
)

// The phases of tokens. Caller is the person, Credential the token's id, Roles its roles, and By
// who did it.
const (
	PhaseIssued  Phase = "issued"
	PhaseRevoked Phase = "revoked"
	PhaseRemoved Phase = "removed" // a person: Count tokens were revoked, and their requests and unused approvals
)

// Token authenticates a person's program. Its secret is shown once, when it is created; the ledger
// stores its SHA-256 only.
type Token struct {
	// ID is 12 hex digits. The secret contains it.
	ID string
	// Person is its owner. Tokens with the same name belong to the same person.
	Person string
	// Roles are the person's roles, sorted.
	Roles []string
	// Interactive is true if the person uses the program, so that an approval in its client counts.
	Interactive bool
	// Policy names an additional policy for its calls. KeyFile is the file with the key of its
	// organisation. Both are empty for the server's.
	Policy, KeyFile string
	Created         time.Time
	// Expires is zero if it never expires, Revoked if it was not revoked.
	Expires, Revoked time.Time
	// By is who created it.
	By Actor
}

// Live reports whether the token authenticates at that time.
func (t *Token) Live(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// rejectToken returns a rejection of a token that cannot be created. Its text is the reason alone.
func rejectToken(format string, args ...any) error {
	return rejectedToken(fmt.Sprintf(format, args...))
}

type rejectedToken string

func (e rejectedToken) Error() string { return string(e) }

func (rejectedToken) Unwrap() error { return errUsage }

var (
	personPattern = regexp.MustCompile(`^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N} ._@'+-]{0,62}[\p{L}\p{M}\p{N}.])?$`)
	rolePattern   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	secretPattern = regexp.MustCompile(`^smcp_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$`)
)

// TokenID returns the id in a secret, or the id itself; empty if s is neither. The token need not
// exist.
func TokenID(s string) string {
	if m := secretPattern.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	if len(s) == 12 && strings.Trim(s, "0123456789abcdef") == "" {
		return s
	}
	return ""
}

// tokenRow is a row of the table tokens.
type tokenRow struct {
	id, person, roles, policy, keyFile, createdBy string
	interactive                                   bool
	hash                                          []byte
	fingerprint                                   string
	created, expires, revoked                     int64
	seq, revokedSeq                               int64
}

const tokenColumns = "id, person, roles, interactive, policy, key_file, hash, fingerprint, created_by, created, expires, revoked, seq, revoked_seq"

func (r *tokenRow) fields() []any {
	return []any{&r.id, &r.person, &r.roles, &r.interactive, &r.policy, &r.keyFile, &r.hash, &r.fingerprint, &r.createdBy,
		&r.created, &r.expires, &r.revoked, &r.seq, &r.revokedSeq}
}

func (r *tokenRow) token() Token {
	return Token{ID: r.id, Person: r.person, Roles: strings.Fields(r.roles), Interactive: r.interactive, Policy: r.policy, KeyFile: r.keyFile,
		Created: fromMicros(r.created), Expires: fromMicros(r.expires), Revoked: fromMicros(r.revoked), By: parseActor(r.createdBy)}
}

// seal returns the fingerprint of a row: a code of all but the revocation that only the master key
// can make. A row that was written or changed by hand has a wrong one and authenticates nobody.
func (r *tokenRow) seal(s *sealer) string {
	return hex.EncodeToString(mac(derive(s.fingerprintKey, "token"), strings.Join([]string{r.id, hex.EncodeToString(r.hash), r.person, r.roles,
		fmt.Sprint(r.interactive), r.policy, r.keyFile, r.createdBy, fmt.Sprint(r.created), fmt.Sprint(r.expires), fmt.Sprint(r.seq)}, "\x00")))
}

// record returns a new record about the token. It holds neither the secret nor its hash.
func (r *tokenRow) record(phase Phase, by Actor) *Record {
	return &Record{Phase: phase, Caller: Actor{Name: r.person}, Credential: r.id, By: by}
}

// check rejects a token that cannot be created.
func (t *Token) check(now time.Time) error {
	switch {
	case !personPattern.MatchString(t.Person) || strings.Contains(t.Person, "  "):
		return rejectToken("%q is not a valid name: use up to 64 letters, digits, spaces and . _ @ ' + -, and begin with a letter or digit", clip(t.Person))
	case len(t.Roles) == 0:
		return rejectToken("a token needs at least one role")
	case !t.Expires.IsZero() && !t.Expires.After(now):
		return rejectToken("the token's expiry is in the past")
	}
	for _, text := range []string{t.Policy, t.KeyFile, t.By.Name, t.By.Via} {
		if clip(text) != text || strings.ContainsRune(text, 0) {
			return rejectToken("%q is too long or not valid text", clip(text))
		}
	}
	for _, role := range t.Roles {
		if !rolePattern.MatchString(role) {
			return rejectToken("%q is not a valid role: use up to 32 lower case letters, digits and hyphens", clip(role))
		}
	}
	return nil
}

// CreateToken implements Ledger.
func (s *SQLite) CreateToken(ctx context.Context, want Token, by Actor) (secret string, created Token, err error) {
	want.Roles, want.By = slices.Compact(slices.Sorted(slices.Values(want.Roles))), by
	if err := want.check(s.now()); err != nil {
		return "", Token{}, err
	}
	err = s.write(ctx, func(t *tx) error {
		if err := t.checkNameCase(want.Person); err != nil {
			return err
		}
		var id [6]byte
		var random [32]byte
		for exists := true; exists; {
			rand.Read(id[:])
			var found int
			var err error
			if exists, err = t.row("SELECT 1 FROM tokens WHERE id = ?", []any{hex.EncodeToString(id[:])}, &found); err != nil {
				return err
			}
		}
		rand.Read(random[:])
		secret = "smcp_" + hex.EncodeToString(id[:]) + "_" + base64.RawURLEncoding.EncodeToString(random[:])
		hash := sha256.Sum256([]byte(secret))
		r := &tokenRow{id: hex.EncodeToString(id[:]), person: want.Person, roles: strings.Join(want.Roles, " "),
			interactive: want.Interactive, policy: want.Policy, keyFile: want.KeyFile, hash: hash[:],
			createdBy: by.column(), created: micros(t.now), seq: t.head.seq + 1}
		if !want.Expires.IsZero() {
			r.expires = micros(want.Expires)
		}
		r.fingerprint = r.seal(t.s.seal)
		if _, err := t.exec("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0)", r.id, r.person, r.roles, r.interactive,
			r.policy, r.keyFile, r.hash, r.fingerprint, r.createdBy, r.created, r.expires, r.seq); err != nil {
			return err
		}
		rec := r.record(PhaseIssued, by)
		rec.Roles, rec.Policy, rec.Expires, rec.Fingerprint, rec.Note = want.Roles, r.policy, r.expires, r.fingerprint, r.note()
		created = r.token()
		return t.tokensChanged(rec)
	})
	if err != nil {
		return "", Token{}, err
	}
	return secret, created, nil
}

// note returns what a record of the token has no field for.
func (r *tokenRow) note() string {
	var parts []string
	if r.interactive {
		parts = append(parts, "interactive")
	}
	if r.keyFile != "" {
		parts = append(parts, "key file "+r.keyFile)
	}
	return strings.Join(parts, ", ")
}

// checkNameCase rejects a name that differs from another by case only: who may approve depends on
// whether two names are the same person.
func (t *tx) checkNameCase(person string) (err error) {
	e := t.rows("SELECT DISTINCT person FROM tokens", nil, func(scan func(...any) error) error {
		var existing string
		if err := scan(&existing); err != nil {
			return err
		}
		if existing != person && strings.EqualFold(existing, person) {
			err = rejectToken("%q already exists: use the same spelling, or another name", existing)
		}
		return nil
	})
	if e != nil {
		return e
	}
	return err
}

// tokensChanged appends the record of a change, and makes every process read the tokens again.
func (t *tx) tokensChanged(r *Record) error {
	if err := t.append(r); err != nil {
		return err
	}
	t.afterCommit = append(t.afterCommit, func() { t.s.tokens.Store(nil) })
	_, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('tokens', ?)", fmt.Sprint(r.Seq))
	return err
}

// Tokens implements Ledger.
func (s *SQLite) Tokens(ctx context.Context) ([]Token, error) {
	var all []Token
	err := s.rows(ctx, "SELECT "+tokenColumns+" FROM tokens ORDER BY seq", nil, func(scan func(...any) error) error {
		var r tokenRow
		err := scan(r.fields()...)
		all = append(all, r.token())
		return err
	})
	return all, err
}

// RevokeToken implements Ledger.
func (s *SQLite) RevokeToken(ctx context.Context, id string, by Actor) error {
	return s.writeWith(ctx, halfReserve, func(t *tx) error {
		var r tokenRow
		found, err := t.row("SELECT "+tokenColumns+" FROM tokens WHERE id = ?", []any{id}, r.fields()...)
		switch {
		case err != nil:
			return err
		case !found:
			return ErrTokenUnknown
		case r.revoked != 0:
			return ErrTokenRevoked
		}
		if err := t.revokeToken(&r, by); err != nil {
			return err
		}
		_, err = t.revokeApprovals("credential = ?", []any{id}, by)
		return err
	})
}

func (t *tx) revokeToken(r *tokenRow, by Actor) error {
	if _, err := t.exec("UPDATE tokens SET revoked = ?, revoked_seq = ? WHERE id = ?", micros(t.now), t.head.seq+1, r.id); err != nil {
		return err
	}
	return t.tokensChanged(r.record(PhaseRevoked, by))
}

// RemovePerson implements Ledger.
func (s *SQLite) RemovePerson(ctx context.Context, person string, by Actor) (tokens, approvals int, err error) {
	err = s.writeWith(ctx, halfReserve, func(t *tx) error {
		tokens = 0
		var rows []*tokenRow
		err := t.rows("SELECT "+tokenColumns+" FROM tokens WHERE person = ? ORDER BY seq", []any{person}, func(scan func(...any) error) error {
			r := new(tokenRow)
			rows = append(rows, r)
			return scan(r.fields()...)
		})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return ErrNoPerson
		}
		for _, r := range rows {
			if r.revoked != 0 {
				continue
			}
			if err := t.revokeToken(r, by); err != nil {
				return err
			}
			tokens++
		}
		// Their requests, and the approvals by them.
		if approvals, err = t.revokeApprovals("(requester->>'name' = ?1 OR answered_by->>'name' = ?1)", []any{person}, by); err != nil {
			return err
		}
		if _, err := t.exec("DELETE FROM logins WHERE person = ? AND local = 0", person); err != nil {
			return err
		}
		return t.append(&Record{Phase: PhaseRemoved, Caller: Actor{Name: person}, Count: int64(tokens), By: by})
	})
	if err != nil {
		return 0, 0, err
	}
	return tokens, approvals, nil
}
