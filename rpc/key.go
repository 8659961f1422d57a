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

// Key is Sippet's secret key. Printed, logged or marshalled, it shows as
// [secret]; string(key) gives it away. Do not keep it in an unexported field of
// something that is printed: fmt cannot call methods there, and prints the value.
type Key string

const masked = "[secret]"

// Format covers every verb of fmt, also the wrong ones: fmt prints the bare
// value of a Stringer when it complains about a verb.
func (Key) Format(f fmt.State, _ rune)   { io.WriteString(f, masked) }
func (Key) String() string               { return masked }
func (Key) GoString() string             { return masked }
func (Key) LogValue() slog.Value         { return slog.StringValue(masked) }
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }
func (Key) MarshalText() ([]byte, error) { return []byte(masked), nil }

// Limits of a key. The upper one keeps the request's head within one buffer of
// net/http, on which the proof that nothing was sent relies. Below the lower one a key
// is no secret but a stand-in, and replacing it would damage answers that
// contain the same word.
const (
	maxKey    = 1 << 10
	minSecret = 8
)

// check refuses what cannot be sent in a header, which is nearly always a
// pasted line break or a quoted value.
func (k Key) check() error {
	switch {
	case k == "":
		return errors.New("the secret key is empty: set SIPPET_SECRET_KEY or --key-file")
	case len(k) > maxKey:
		return fmt.Errorf("the secret key is longer than %d bytes: check SIPPET_SECRET_KEY or --key-file", maxKey)
	}
	for i := range len(k) {
		if k[i] <= ' ' || k[i] > '~' {
			return errors.New("the secret key contains a space, a line break or a character outside ASCII: check SIPPET_SECRET_KEY or --key-file")
		}
	}
	return nil
}

// redactor takes the key out of whatever came from outside.
type redactor struct {
	forms [][]byte // the key as a JSON string may spell it
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

// json takes the key out of a valid JSON document and leaves it valid. The
// usual case costs a search and no copy.
func (r *redactor) json(doc []byte) []byte {
	found := false
	for _, form := range r.forms {
		if bytes.Contains(doc, form) {
			found = true
			doc = bytes.ReplaceAll(doc, form, []byte(masked))
		}
	}
	if found && !json.Valid(doc) {
		// The key was more than a part of a string: a key of digits, say.
		return []byte(`"` + masked + `"`)
	}
	return doc
}

func (r *redactor) text(s string) string { return r.plain.Replace(s) }

// cause makes an error fit for the log: net/http quotes what the other side
// said in some errors, so the text is bounded and searched for the key. An
// error that had to be changed loses its chain, which would still hold the key.
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
