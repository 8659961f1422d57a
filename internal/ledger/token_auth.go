package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// cachedTokens is the last look at the tokens.
type cachedTokens struct {
	readAt time.Time // the machine's clock, not the ledger's: it measures age
	// version changes with every change of the table; empty where there never was one.
	version string
	all     map[string]*tokenRow
}

// unknownToken is what the secret of an unknown id is compared with: nobody's.
var unknownToken = func() *tokenRow {
	r := &tokenRow{hash: make([]byte, sha256.Size)}
	rand.Read(r.hash)
	return r
}()

// compare is a variable so that a test can count.
var compare = subtle.ConstantTimeCompare

// Authenticate implements Ledger. Whatever is shown costs one hash and one comparison.
func (s *SQLite) Authenticate(ctx context.Context, secret string) (Token, error) {
	seen, err := s.lookTokens(ctx)
	if err != nil {
		return Token{}, err
	}
	r := unknownToken
	if known := seen.all[TokenID(secret)]; known != nil {
		r = known
	}
	hash := sha256.Sum256([]byte(secret))
	same := compare(hash[:], r.hash) == 1
	switch {
	case same && r.revoked != 0:
		return r.token(), ErrTokenRevoked
	case same && r.expires != 0 && micros(s.now()) >= r.expires:
		return r.token(), ErrTokenExpired
	case same:
		return r.token(), nil
	case seen.version == "" && len(seen.all) == 0:
		return Token{}, ErrNoTokens
	}
	return Token{}, ErrTokenUnknown
}

// lookTokens gives the tokens as they were at most FreshFor ago. It reads them anew only where they changed.
func (s *SQLite) lookTokens(ctx context.Context) (*cachedTokens, error) {
	old := s.tokens.Load()
	if old != nil && time.Since(old.readAt) < FreshFor {
		return old, nil
	}
	// The time before the look: what happens while it lasts is not in it.
	seen := &cachedTokens{readAt: time.Now(), all: map[string]*tokenRow{}}
	// The version first: where the rows are newer than it, the next look reads them again.
	if _, err := s.row(ctx, "SELECT value FROM meta WHERE name = 'tokens'", nil, &seen.version); err != nil {
		return nil, err
	}
	if old != nil && old.version == seen.version {
		seen.all = old.all
	} else {
		err := s.rows(ctx, "SELECT "+tokenColumns+" FROM tokens", nil, func(scan func(...any) error) error {
			r := new(tokenRow)
			if err := scan(r.fields()...); err != nil {
				return err
			}
			if len(r.hash) != sha256.Size || compare([]byte(r.seal(s.seal)), []byte(r.fingerprint)) != 1 {
				s.log.Error("a token is not as the ledger wrote it, so it lets nobody in; `sippet-mcp audit verify` finds all that is wrong", "token", clip(r.id))
				return nil
			}
			seen.all[r.id] = r
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	s.tokens.Store(seen)
	return seen, nil
}
