package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Key is Sippet's secret key. It is printed, logged and marshalled as [secret]; string(key) returns
// the key itself. Do not keep it in an unexported field of a value that is printed: fmt cannot call
// methods there and prints the key.
type Key string

const masked = "[secret]"

// Format covers every verb of fmt. For a wrong verb, fmt would print the value of a Stringer
// itself.
func (Key) Format(f fmt.State, _ rune)   { io.WriteString(f, masked) }
func (Key) String() string               { return masked }
func (Key) GoString() string             { return masked }
func (Key) LogValue() slog.Value         { return slog.StringValue(masked) }
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }
func (Key) MarshalText() ([]byte, error) { return []byte(masked), nil }

// The limits of a key, in bytes. The upper one keeps the request's head within one buffer of
// net/http; trace.go relies on that. A key below the lower one is a placeholder and no secret, and
// replacing it would damage answers that contain the same word.
const (
	maxKey    = 1 << 10
	minSecret = 8
)

// check reports a key that cannot be sent in a header. Nearly always it has a pasted line break or
// quotes.
func (k Key) check() error {
	switch {
	case k == "":
		return errors.New("the secret key is empty: set SIPPET_SECRET_KEY or --key-file")
	case len(k) > maxKey:
		return fmt.Errorf("the secret key is longer than %d bytes: check SIPPET_SECRET_KEY or --key-file", maxKey)
	}
	for i := range len(k) {
		if k[i] <= ' ' || k[i] > '~' {
			return errors.New("the secret key has a space, a line break or a character outside ASCII: check SIPPET_SECRET_KEY or --key-file")
		}
	}
	return nil
}

// redactor removes the key from what Sippet or a proxy sent.
type redactor struct {
	forms [][]byte // the key in the spellings of a JSON string
	plain *strings.Replacer
}

func newRedactor(k Key) *redactor {
	r := &redactor{plain: strings.NewReplacer()}
	if len(k) < minSecret {
		return r
	}
	plain := string(k)
	html, _ := json.Marshal(plain) // a string always marshals
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(plain)
	spellings := []string{string(html[1 : len(html)-1]), escaped, strings.ReplaceAll(escaped, "/", `\/`)}
	var pairs []string
	for _, s := range slices.Compact(spellings) { // nearly always one
		r.forms = append(r.forms, []byte(s))
		pairs = append(pairs, s, masked)
	}
	r.plain = strings.NewReplacer(append(pairs, plain, masked)...)
	return r
}

// json removes the key from a valid JSON document, which stays valid. A document without the key is
// searched and not copied.
func (r *redactor) json(doc []byte) []byte {
	found := false
	for _, form := range r.forms {
		if bytes.Contains(doc, form) {
			found = true
			doc = bytes.ReplaceAll(doc, form, []byte(masked))
		}
	}
	if found && !json.Valid(doc) {
		// The key was not in a string. It may be a number.
		return []byte(`"` + masked + `"`)
	}
	return doc
}

func (r *redactor) text(s string) string { return r.plain.Replace(s) }

// cause returns an error that is safe to log. Some errors of net/http quote the other side, so the
// text is bounded and the key is removed. A changed error is not wrapped, because the chain would
// still hold the key.
func (r *redactor) cause(err error) error {
	if err == nil {
		return nil
	}
	was := err.Error()
	now := clip(r.text(was), maxMessage)
	if now == was {
		return err
	}
	return errors.New(now)
}

// clip cuts a text to max characters.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	n := 0
	for i := range s {
		if n == max-1 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
