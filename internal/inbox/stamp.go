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

// stamps prove that a form was shown to the session that sends it, and when. A stamp is the name of what is to be done,
// the time in milliseconds since 1970, and a code of both and of the session's secret that only this ledger's processes can make.
type stamps struct{ key []byte }

// stampFor is how long a page may lie open before its forms must be fetched anew.
const stampFor = 24 * time.Hour

// tooQuick is sooner than a card can be read.
const tooQuick = 2 * time.Second

func (s *stamps) make(secret, what string, now time.Time) string {
	at := strconv.FormatInt(now.UnixMilli(), 10)
	return what + "." + at + "." + s.code(secret, what, at)
}

func (s *stamps) code(secret, what, at string) string {
	m := hmac.New(sha256.New, s.key)
	for _, part := range []string{secret, what, at} {
		m.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:18])
}

// read gives what a stamp is for, and when it was made; ok is false where it is not this session's or too old.
func (s *stamps) read(secret, stamp string, now time.Time) (what string, at time.Time, ok bool) {
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

// stamped reports whether the request has the stamp of that name, and answers where it has not.
func (i *Inbox) stamped(w http.ResponseWriter, r *http.Request, v *visit, what string) bool {
	got, _, ok := i.stamps.read(v.secret, r.PostFormValue("stamp"), i.Now())
	if ok && got == what {
		return true
	}
	i.errorPage(w, r, http.StatusForbidden, "This page is too old", "Nothing was changed. Load it again, and do it then.")
	return false
}
