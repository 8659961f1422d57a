package rpc

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The scanner accepts what encoding/json accepts, and splits it alike.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"success":true,"data":null}`, `{"success":false,"errors":[{"type":"x","message":"%{a}","vars":{"a":1},"path":["a",0]}]}`,
		`{"errors":{"detail":"Bad Request"}}`, ` {"a" : [1,-0.5e+3,true,false,null,"\u00e9\n"] } `, `[{}]`, `{}`, `[]`, ``, ` `, `{`, `{"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`,
		`{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":-}`, `{"a":tru}`, `{"a":nul}`, `{"a":"\x"}`, `{"a":"\u12"}`, "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}",
		`{"a":1}}`, `{"a":1}x`, `{"a":1,}`, `{,}`, `{a:1}`, `{1:1}`, `[1,]`, `[1 2]`, `[1}`, `{"a":[}]`, `{"\u0064ata":1,"data":2}`, `"\`, `{"a":"\"}`, `{"a":1]`,
	} {
		f.Add([]byte(seed))
	}
	c := &Client{redact: newRedactor("secretsecret")}
	f.Fuzz(func(t *testing.T, doc []byte) {
		// A slice without spare capacity, so that reading past the end panics.
		doc = bytes.Clone(doc)[:len(doc):len(doc)]
		count := 0
		valid := schemas.EachJSON(doc, func(_, value []byte) { count++ })
		trimmed := bytes.Trim(doc, " \t\r\n")
		nested := len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[')
		if want := nested && json.Valid(doc); valid != want {
			t.Fatalf("valid %v, encoding/json says %v: %q", valid, want, doc)
		}
		if !valid {
			return
		}
		if trimmed[0] == '[' {
			var list []json.RawMessage
			if err := json.Unmarshal(doc, &list); err != nil || len(list) != count {
				t.Fatalf("%d elements, encoding/json finds %d (%v)", count, len(list), err)
			}
			c.details(trimmed)
			return
		}
		e, ok := parseEnvelope(doc)
		if !ok {
			t.Fatalf("no envelope: %q", doc)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Skip() // too deep for a map
		}
		for name, got := range map[string][]byte{"success": e.success, "data": e.data, "errors": e.errors} {
			if !bytes.Equal(got, want[name]) {
				t.Fatalf("%s: %q, encoding/json gives %q", name, got, want[name])
			}
		}
		classifyEnvelope(e)
		for _, d := range c.details(e.errors) {
			if d.Message == "" && d.Type == "" {
				t.Fatalf("an empty detail from %q", e.errors)
			}
		}
		c.details(trimmed)
	})
}

// TestScanDepth: the scanner accepts the same depth as encoding/json.
func TestScanDepth(t *testing.T) {
	for depth, want := range map[int]bool{10000: true, 10001: false, 10 << 20: false} {
		doc := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		if got := schemas.EachJSON(doc, func(_, _ []byte) {}); got != want || json.Valid(doc) != want {
			t.Errorf("depth %d: %v", depth, got)
		}
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	for text, want := range map[string]string{"": "0s", "0": "0s", "7": "7s", "-7": "0s", "7.5": "0s", "soon": "0s", "3600": "1h0m0s", "3601": "1h0m0s",
		"9223372036854775807": "1h0m0s", "99999999999999999999": "0s", "Mon, 02 Jan 2006 15:04:05 GMT": "0s", "Fri, 31 Dec 9999 23:59:59 GMT": "1h0m0s"} {
		if got := retryAfter(text); got.String() != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// BenchmarkScan compares the scanner with encoding/json, on an answer of 250 rows.
func BenchmarkScan(b *testing.B) {
	row := `{"id":"c0000000-0000-4000-8000-000000000001","fullName":"Ada Lovelace","insertedAt":"2026-01-15T12:00:00.000000Z","languages":["en","de"],"n":12},`
	doc := []byte(`{"success":true,"data":[` + strings.Repeat(row, 250) + `{}]}`)
	b.Run("scan", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			parseEnvelope(doc)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		var e struct {
			Success      bool
			Data, Errors json.RawMessage
		}
		for b.Loop() {
			if err := json.Unmarshal(doc, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
