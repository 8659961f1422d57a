package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// cachedTokens is the last read of the tokens.
type cachedTokens struct {
	readAt time.Time // the machine's clock, not the ledger's: it measures age
	// version changes with every change of the table; empty if there never was one.
	version string
	all     map[string]*tokenRow
	callers int64 // people with a live token
}

// unknownToken is compared with the secret of an unknown id.
var unknownToken = func() *tokenRow {
	r := &tokenRow{hash: make([]byte, sha256.Size)}
	rand.Read(r.hash)
	return r
}()

// compareSecrets is a variable so that a test can count its calls.
var compareSecrets = subtle.ConstantTimeCompare

// Authenticate implements Ledger. It costs one hash and one comparison for any secret.
func (s *SQLite) Authenticate(ctx context.Context, secret string) (Token, error) {
	cached, err := s.loadTokens(ctx)
	if err != nil {
		return Token{}, err
	}
	r := unknownToken
	if found := cached.all[TokenID(secret)]; found != nil {
		r = found
	}
	hash := sha256.Sum256([]byte(secret))
	same := compareSecrets(hash[:], r.hash) == 1
	switch {
	case same && r.revoked != 0:
		return r.token(), ErrTokenRevoked
	case same && r.expires != 0 && micros(s.now()) >= r.expires:
		return r.token(), ErrTokenExpired
	case same:
		return r.token(), nil
	case cached.version == "" && len(cached.all) == 0:
		return Token{}, ErrNoTokens
	}
	return Token{}, ErrTokenUnknown
}

// loadTokens returns the tokens as they were at most FreshFor ago. It reads them again only if they
// changed.
func (s *SQLite) loadTokens(ctx context.Context) (*cachedTokens, error) {
	previous := s.tokens.Load()
	if previous != nil && time.Since(previous.readAt) < FreshFor {
		return previous, nil
	}
	// Take the time before the read: the result may be older than its end.
	cached := &cachedTokens{readAt: time.Now(), all: map[string]*tokenRow{}}
	// Read the version first: if the rows are newer, the next call reads them again.
	if _, err := s.row(ctx, "SELECT value FROM meta WHERE name = 'tokens'", nil, &cached.version); err != nil {
		return nil, err
	}
	if previous != nil && previous.version == cached.version {
		cached.all = previous.all
	} else {
		err := s.rows(ctx, "SELECT "+tokenColumns+" FROM tokens", nil, func(scan func(...any) error) error {
			r := new(tokenRow)
			if err := scan(r.fields()...); err != nil {
				return err
			}
			if len(r.hash) != sha256.Size || compareSecrets([]byte(r.seal(s.seal)), []byte(r.fingerprint)) != 1 {
				s.log.Error("a token was changed outside of the program and is not accepted; run `sippet-mcp audit verify`", "token", clip(r.id))
				return nil
			}
			cached.all[r.id] = r
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	people, now := map[string]bool{}, micros(s.now())
	for _, r := range cached.all {
		if r.revoked == 0 && (r.expires == 0 || now < r.expires) {
			people[r.person] = true
		}
	}
	cached.callers = int64(len(people))
	s.tokens.Store(cached)
	return cached, nil
}

// Callers implements Ledger.
func (s *SQLite) Callers(ctx context.Context) (int64, error) {
	cached, err := s.loadTokens(ctx)
	if err != nil {
		return 0, err
	}
	return cached.callers, nil
}

// checkToken rejects what a revoked token asks for. It reads in the transaction, so a call that was
// accepted before, or waited long, does not run. It never prevents hanging up.
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
