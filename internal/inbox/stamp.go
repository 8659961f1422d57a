package inbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// stamps prove that a form was shown to the session that sends it, and when. A stamp consists of
// its subject, the time in milliseconds since 1970, and a code of both and of the session's secret.
// Only processes of this ledger can make one.
type stamps struct{ key []byte }

// stampFor is how long the forms of an open page stay valid.
const stampFor = 24 * time.Hour

// tooQuick is less than the time it takes to read a card.
const tooQuick = 2 * time.Second

func (s *stamps) make(secret, subject string, now time.Time) string {
	at := strconv.FormatInt(now.UnixMilli(), 10)
	return subject + "." + at + "." + s.code(secret, subject, at)
}

func (s *stamps) code(secret, subject, at string) string {
	m := hmac.New(sha256.New, s.key)
	for _, part := range []string{secret, subject, at} {
		m.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:18])
}

// read returns a stamp's subject and time; ok is false if it belongs to another session or is too
// old.
func (s *stamps) read(secret, stamp string, now time.Time) (subject string, at time.Time, ok bool) {
	parts := strings.Split(stamp, ".")
	if len(parts) != 3 {
		return "", at, false
	}
	ms, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || !hmac.Equal([]byte(s.code(secret, parts[0], parts[1])), []byte(parts[2])) {
		return "", at, false
	}
	at = time.UnixMilli(ms)
	return parts[0], at, now.Sub(at) < stampFor && !at.After(now.Add(time.Minute))
}

const (
	pageTooOld  = "This page is too old"
	reloadFirst = "Nothing was changed. Reload the page, then try again."
)

// stamped reports whether the request has a stamp with the subject. If not, it writes the error.
func (i *Inbox) stamped(w http.ResponseWriter, r *http.Request, v *visit, subject string) bool {
	got, _, ok := i.stamps.read(v.secret, r.PostFormValue("stamp"), i.Now())
	if ok && got == subject {
		return true
	}
	i.errorPage(w, r, http.StatusForbidden, pageTooOld, reloadFirst)
	return false
}
