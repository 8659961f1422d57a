package approval

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Stamps prove that something was shown to the one who answers it, and when: a form of the inbox to
// a session, or a dialogue to a client. A stamp consists of its subject, the time in milliseconds
// since 1970, and a code of both and of the secret that only its owner has. Only processes of the
// ledger with the key can make one.
type Stamps struct {
	Key []byte
	// For is how long a stamp stays valid.
	For time.Duration
}

// Make returns a stamp. The subject has no full stop.
func (s *Stamps) Make(secret, subject string, now time.Time) string {
	at := strconv.FormatInt(now.UnixMilli(), 10)
	return subject + "." + at + "." + s.code(secret, subject, at)
}

func (s *Stamps) code(secret, subject, at string) string {
	m := hmac.New(sha256.New, s.Key)
	for _, part := range []string{secret, subject, at} {
		m.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:18])
}

// Read returns a stamp's subject and time; ok is false if it belongs to another owner or is too
// old.
func (s *Stamps) Read(secret, stamp string, now time.Time) (subject string, at time.Time, ok bool) {
	parts := strings.Split(stamp, ".")
	if len(parts) != 3 {
		return "", at, false
	}
	ms, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || !hmac.Equal([]byte(s.code(secret, parts[0], parts[1])), []byte(parts[2])) {
		return "", at, false
	}
	at = time.UnixMilli(ms)
	return parts[0], at, now.Sub(at) < s.For && !at.After(now.Add(time.Minute))
}
