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

// The ways in which a token does not authenticate. A caller from outside must not learn which it was; a log may.
var (
	ErrTokenUnknown = newRejection("no such token was issued")
	ErrTokenExpired = newRejection("the token has expired")
	ErrTokenRevoked = newRejection("the token was revoked")
	// ErrNoTokens says that no token was ever issued here, so that none can be asked for.
	ErrNoTokens = newRejection("no token was ever issued")
	// ErrNoPerson says that nobody of that name ever had a token.
	ErrNoPerson = newRejection("nobody of that name ever had a token")
)

// The phases of tokens. Principal is the person's name, Credential the token's id, Roles what it allows, By who did it.
const (
	PhaseIssued  Phase = "issued"
	PhaseRevoked Phase = "revoked"
	PhaseRemoved Phase = "removed" // a person: Count tokens were revoked, and their questions and unused yeses are void
)

// Token lets a person's program in. Its secret is shown once, when it is created; the ledger keeps only its SHA-256.
type Token struct {
	// ID is 12 hex digits, and in the secret too.
	ID string
	// Person is whose it is. Two tokens of the same name are the same person's.
	Person string
	// Roles are what the person may be, sorted.
	Roles []string
	// Interactive says that the person sits behind the program, so that a yes in its window counts.
	Interactive bool
	// Policy names a policy that decides on its calls beside the server's, KeyFile the file with the key of its organisation; empty: the server's.
	Policy, KeyFile string
	Created         time.Time
	// Expires is zero where it never does, Revoked where it was not.
	Expires, Revoked time.Time
	// By is who created it.
	By Actor
}

// Live reports whether the token authenticates at that time.
func (t *Token) Live(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// rejectToken says what is wrong with a token that is to be created, without more words.
func rejectToken(format string, args ...any) error {
	return rejectedToken(fmt.Sprintf(format, args...))
}

type rejectedToken string

func (e rejectedToken) Error() string { return string(e) }

func (rejectedToken) Unwrap() error { return errUsage }

var (
	personName = regexp.MustCompile(`^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N} ._@'+-]{0,62}[\p{L}\p{M}\p{N}.])?$`)
	roleName   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	secretForm = regexp.MustCompile(`^smcp_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$`)
)

// TokenID gives the id that a secret names, or that an id is; empty where it is neither. It says nothing of whether there is one.
func TokenID(s string) string {
	if m := secretForm.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	if len(s) == 12 && strings.Trim(s, "0123456789abcdef") == "" {
		return s
	}
	return ""
}

// tokenRow is a token as its table holds it.
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
	return []any{&r.id, &r.person, &r.roles, &r.interactive, &r.policy, &r.keyFile, &r.hash, &r.fingerprint, &r.createdBy, &r.created, &r.expires, &r.revoked, &r.seq, &r.revokedSeq}
}

func (r *tokenRow) token() Token {
	return Token{ID: r.id, Person: r.person, Roles: strings.Fields(r.roles), Interactive: r.interactive, Policy: r.policy, KeyFile: r.keyFile,
		Created: fromMicros(r.created), Expires: fromMicros(r.expires), Revoked: fromMicros(r.revoked), By: parseActor(r.createdBy)}
}

// seal gives the print of a row: a code that only the master key can make, of all but the revocation. A row that somebody
// wrote or changed by hand has another one, and authenticates nobody.
func (r *tokenRow) seal(s *sealer) string {
	return hex.EncodeToString(mac(derive(s.fingerprintKey, "token"), strings.Join([]string{r.id, hex.EncodeToString(r.hash), r.person, r.roles,
		fmt.Sprint(r.interactive), r.policy, r.keyFile, r.createdBy, fmt.Sprint(r.created), fmt.Sprint(r.expires), fmt.Sprint(r.seq)}, "\x00")))
}

// record begins a record about the token. It holds neither the secret nor its hash.
func (r *tokenRow) record(phase Phase, by Actor) *Record {
	return &Record{Phase: phase, Caller: Actor{Name: r.person}, Credential: r.id, By: by}
}

// CreateToken implements Ledger.
func (s *SQLite) CreateToken(ctx context.Context, want Token, by Actor) (secret string, t Token, err error) {
	roles := slices.Compact(slices.Sorted(slices.Values(want.Roles)))
	switch {
	case !personName.MatchString(want.Person) || strings.Contains(want.Person, "  "):
		return "", t, rejectToken("%q is no name: up to 64 letters, digits, spaces and . _ @ ' + -, beginning with a letter or digit", clip(want.Person))
	case len(roles) == 0:
		return "", t, rejectToken("a token without roles lets nobody do anything")
	case !want.Expires.IsZero() && !want.Expires.After(s.now()):
		return "", t, rejectToken("the token would have expired before it is created")
	}
	for _, text := range []string{want.Policy, want.KeyFile, by.Name, by.Via} {
		if clip(text) != text || strings.ContainsRune(text, 0) {
			return "", t, rejectToken("%q is too long or no text", clip(text))
		}
	}
	for _, role := range roles {
		if !roleName.MatchString(role) {
			return "", t, rejectToken("%q is no role: up to 32 lower case letters, digits and hyphens", clip(role))
		}
	}
	err = s.write(ctx, func(x *tx) error {
		if err := x.checkSpelling(want.Person); err != nil {
			return err
		}
		var id [6]byte
		var random [32]byte
		for taken := true; taken; {
			rand.Read(id[:])
			var one int
			var err error
			if taken, err = x.row("SELECT 1 FROM tokens WHERE id = ?", []any{hex.EncodeToString(id[:])}, &one); err != nil {
				return err
			}
		}
		rand.Read(random[:])
		secret = "smcp_" + hex.EncodeToString(id[:]) + "_" + base64.RawURLEncoding.EncodeToString(random[:])
		hash := sha256.Sum256([]byte(secret))
		r := &tokenRow{id: hex.EncodeToString(id[:]), person: want.Person, roles: strings.Join(roles, " "), interactive: want.Interactive, policy: want.Policy,
			keyFile: want.KeyFile, hash: hash[:], createdBy: by.column(), created: micros(x.now), seq: x.head.seq + 1}
		if !want.Expires.IsZero() {
			r.expires = micros(want.Expires)
		}
		r.fingerprint = r.seal(x.s.seal)
		if _, err := x.exec("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0)", r.id, r.person, r.roles, r.interactive,
			r.policy, r.keyFile, r.hash, r.fingerprint, r.createdBy, r.created, r.expires, r.seq); err != nil {
			return err
		}
		rec := r.record(PhaseIssued, by)
		rec.Roles, rec.Policy, rec.Expires, rec.Fingerprint, rec.Note = roles, r.policy, r.expires, r.fingerprint, r.note()
		t = r.token()
		return x.tokensChanged(rec)
	})
	if err != nil {
		return "", Token{}, err
	}
	return secret, t, nil
}

// note says in a record what has no field of its own.
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

// checkSpelling refuses a name that differs from a known one by its case: who may agree depends on whether two are the same person.
func (t *tx) checkSpelling(person string) (err error) {
	e := t.rows("SELECT DISTINCT person FROM tokens", nil, func(scan func(...any) error) error {
		var known string
		if err := scan(&known); err != nil {
			return err
		}
		if known != person && strings.EqualFold(known, person) {
			err = rejectToken("there is a %q already: write the name the same way, or another one", known)
		}
		return nil
	})
	if e != nil {
		return e
	}
	return err
}

// tokensChanged appends the record of a change, and makes every process look again.
func (t *tx) tokensChanged(r *Record) error {
	if err := t.append(r); err != nil {
		return err
	}
	t.after = append(t.after, func() { t.s.tokens.Store(nil) })
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
	return s.write(ctx, func(t *tx) error {
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

// checkToken refuses what comes under a token that was revoked meanwhile: it looks in the transaction, so a call that was
// let in a moment before, or waited long, is not run. Like a freeze it never keeps a call from being hung up.
func (t *tx) checkToken(credential, action string) error {
	if credential == "" || action == HangUp {
		return nil
	}
	var revoked int64
	if _, err := t.row("SELECT revoked FROM tokens WHERE id = ?", []any{credential}, &revoked); err != nil {
		return err
	}
	if revoked != 0 {
		return ErrTokenRevoked
	}
	return nil
}

func (t *tx) revokeToken(r *tokenRow, by Actor) error {
	if _, err := t.exec("UPDATE tokens SET revoked = ?, revoked_seq = ? WHERE id = ?", micros(t.now), t.head.seq+1, r.id); err != nil {
		return err
	}
	return t.tokensChanged(r.record(PhaseRevoked, by))
}

// RemovePerson implements Ledger.
func (s *SQLite) RemovePerson(ctx context.Context, person string, by Actor) (tokens, approvals int, err error) {
	err = s.write(ctx, func(t *tx) error {
		var theirs []*tokenRow
		err := t.rows("SELECT "+tokenColumns+" FROM tokens WHERE person = ? ORDER BY seq", []any{person}, func(scan func(...any) error) error {
			r := new(tokenRow)
			theirs = append(theirs, r)
			return scan(r.fields()...)
		})
		if err != nil {
			return err
		}
		if len(theirs) == 0 {
			return ErrNoPerson
		}
		for _, r := range theirs {
			if r.revoked != 0 {
				continue
			}
			if err := t.revokeToken(r, by); err != nil {
				return err
			}
			tokens++
		}
		// Their requests, and the approvals that they gave.
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

// revokeApprovals voids open questions and unused yeses, each with a record of its own, and gives their number.
func (t *tx) revokeApprovals(where string, args []any, by Actor) (int, error) {
	var open []*approvalRow
	err := t.rows("SELECT "+approvalColumns+" FROM approvals WHERE state IN ('pending', 'approved') AND "+where, args, func(scan func(...any) error) error {
		g := new(approvalRow)
		if err := scan(g.fields()...); err != nil {
			return err
		}
		if micros(t.now) < g.expires {
			open = append(open, g)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, g := range open {
		if _, err := t.exec("UPDATE approvals SET state = 'revoked', last_seq = ? WHERE id = ?", t.head.seq+1, g.id); err != nil {
			return 0, err
		}
		if err := t.append(&Record{Phase: PhaseAnswered, ApprovalID: g.id, Caller: parseActor(g.requester), Credential: g.credential, Organisation: g.organisation, Action: g.action,
			Fingerprint: g.fingerprint, Policy: g.policy, State: string(Revoked), By: by}); err != nil {
			return 0, err
		}
	}
	return len(open), nil
}
