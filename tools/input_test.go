package tools_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func deepFilter(n int) string {
	return `{"filter":` + strings.Repeat(`{"and":[`, n) + `{"id":{"eq":"` + anID + `"}}` + strings.Repeat(`]}`, n) + `}`
}

// badArguments are rejected by this program, each with an error that says why.
var badArguments = map[string]struct{ tool, args, says string }{
	"an unknown argument":          {"list_contacts", `{"filters":{}}`, `did you mean filter?`},
	"an argument of another tool":  {"list_calls", `{"page":{"limit":5}}`, `unknown name`},
	"a missing argument":           {"delete_contact", `{}`, `input`},
	"a missing inner argument":     {"delete_contact", `{"input":{}}`, `is required`},
	"no arguments where needed":    {"archive_contact", ``, `is required`},
	"a wrong type":                 {"update_contact", `{"identity":5,"input":{}}`, `must be a string, not an integer`},
	"a number for a text":          {"create_contact", `{"input":{"fullName":12}}`, `must be a string`},
	"JSON in a text":               {"list_contacts", `{"filter":"{}"}`, `give it as JSON, not as text`},
	"a wrong enum":                 {"set_operator_status", `{"input":{"sipUserId":"` + anID + `","status":"Available"}}`, `available`},
	"a bad uuid":                   {"delete_contact", `{"input":{"contactId":"42"}}`, `must be a uuid`},
	"a bad uuid in a filter":       {"list_contacts", `{"filter":{"id":{"eq":"42"}}}`, `must be a uuid`},
	"a bad date":                   {"update_contact", `{"identity":"` + anID + `","input":{"dateOfBirth":"2026-02-30"}}`, `must be a date`},
	"a bad time":                   {"list_calls", `{"filter":{"startedAt":{"greaterThan":"yesterday"}}}`, `must be a time`},
	"empty fields":                 {"list_contacts", `{"fields":[]}`, `must not be empty`},
	"duplicate fields":             {"list_contacts", `{"fields":["id","id"]}`, `named twice`},
	"an unknown field":             {"list_contacts", `{"fields":["fullname"]}`, `did you mean fullName?`},
	"an unknown filter field":      {"list_contacts", `{"filter":{"emial":{"eq":"x"}}}`, `did you mean email?`},
	"an unknown operator":          {"list_contacts", `{"filter":{"email":{"equals":"x"}}}`, `unknown operator`},
	"notIn":                        {"list_contacts", `{"filter":{"email":{"notIn":["x"]}}}`, `does not exist`},
	"a sort of spaces":             {"list_contacts", `{"sort":"fullName, id"}`, `without spaces`},
	"limit 0":                      {"list_contacts", `{"page":{"limit":0}}`, `at least 1`},
	"limit 251":                    {"list_contacts", `{"page":{"limit":251}}`, `at most 250`},
	"limit beyond 64 bits":         {"list_contacts", `{"page":{"limit":99999999999999999999}}`, `64 bits`},
	"offset and cursor":            {"list_contacts", `{"page":{"limit":5,"offset":5,"after":"x"}}`, `not several`},
	"both cursors":                 {"list_contacts", `{"page":{"limit":5,"before":"y","after":"x"}}`, `not several`},
	"count and cursor":             {"list_contacts", `{"page":{"limit":5,"count":true,"after":"x"}}`, `not several`},
	"a filter of 400 levels":       {"list_contacts", deepFilter(400), `deep`},
	"a filter of 13 levels":        {"list_contacts", deepFilter(13), `deep`},
	"400 levels of a free map":     {"create_contact", `{"input":{"fullName":"x","metadata":` + strings.Repeat(`{"a":`, 400) + `1` + strings.Repeat(`}`, 400) + `}}`, `deep`},
	"no target":                    {"start_outbound_call", `{}`, `exactly one of`},
	"an empty target":              {"start_outbound_call", `{"input":{}}`, `exactly one of`},
	"two targets":                  {"start_outbound_call", `{"input":{"contactId":"` + anID + `","phoneNumber":"+442079460123"}}`, `only one of`},
	"a number that is none":        {"start_outbound_call", `{"input":{"phoneNumber":"07946 0123"}}`, `E.164`},
	"the same contact twice":       {"start_bulk_outbound_call", `{"input":{"contactIds":["` + anID + `","` + anID + `"]}}`, `named twice`},
	"a NUL in a text":              {"create_contact", `{"input":{"fullName":"a\u0000b"}}`, `U+0000`},
	"a NUL in a name":              {"create_contact", `{"input":{"fullName":"a","metadata":{"a\u0000":1}}}`, `U+0000`},
	"an array":                     {"list_contacts", `[]`, `must be a JSON object, not an array`},
	"a text":                       {"list_contacts", `"fields"`, `must be a JSON object, not a string`},
	"a number":                     {"list_contacts", `5`, `must be a JSON object`},
	"the action in the payload":    {"update_contact", `{"identity":"` + anID + `","input":{},"action":"delete_contact"}`, `unknown name`},
	"a reason on a read":           {"list_contacts", `{"reason":"because"}`, `unknown name`},
	"a reason that is no text":     {"delete_contact", `{"input":{"contactId":"` + anID + `"},"reason":{}}`, `must be a string`},
	"null for an identity":         {"archive_contact", `{"identity":null}`, `leave it out instead`},
	"an invalid byte":              {"create_contact", "{\"input\":{\"fullName\":\"a\xffb\"}}", `not valid UTF-8`},
	"an overlong encoding":         {"create_contact", "{\"input\":{\"fullName\":\"a\xc0\xafb\"}}", `not valid UTF-8`},
	"a surrogate in UTF-8":         {"create_contact", "{\"input\":{\"fullName\":\"a\xed\xa0\x80b\"}}", `not valid UTF-8`},
	"validate_action: no action":   {"validate_action", `{"payload":{}}`, `do not fit validate_action`},
	"validate_action: other names": {"validate_action", `{"action":"end_call","args":{}}`, `do not fit validate_action`},
	"validate_action: unknown":     {"validate_action", `{"action":"end_cal"}`, `did you mean end_call?`},
}

func TestBadArguments(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		for name, c := range badArguments {
			r := p.call(c.tool, c.args)
			checkShape(t, r)
			if r.Result.Structured == nil {
				t.Errorf("%s: %s", name, r.Frame)
				continue
			}
			if r.outcome(t) != "invalid_arguments" || r.field(t, "ran") != false {
				t.Errorf("%s: %s", name, r.Frame)
			}
			if s := encodeJSON(object(t, r.Result.Structured)); !strings.Contains(s, c.says) {
				t.Errorf("%s: %q is not in %s", name, c.says, s)
			}
			if len(r.Frame) > 20_000 {
				t.Errorf("%s: the error has %d bytes", name, len(r.Frame))
			}
			if got := lifecycle(w.up.Requests()); len(got) != 0 {
				t.Fatalf("%s: reached upstream: %.300q", name, got)
			}
		}
		checkWorks(t, w, p)
		if n := len(p.elicitations()); n != 0 {
			t.Errorf("the client was asked %d times", n)
		}
	})
}

// checkWorks checks that a valid call still works.
func checkWorks(t *testing.T, w *world, p *peer) {
	t.Helper()
	w.up.Forget()
	if r := p.call("list_contacts", `{}`); r.outcome(t) != "done" || len(w.up.Requests()) != 1 {
		t.Errorf("the server does not work any more: %s", r.Frame)
	}
	w.up.Forget()
}

func TestUnknownTool(t *testing.T) {
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		for _, tool := range []string{"list_contact", "nothing", ""} {
			r := p.call(tool, `{}`)
			if r.Error == nil || r.Error.Code != -32602 && tool != "" || r.Error.Message == "" {
				t.Errorf("%q: %s", tool, r.Frame)
			}
		}
		if n := len(w.up.Requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
		checkWorks(t, w, p)
	})
}

// TestUnselectedTools checks that a tool outside of the selection can be neither called nor
// validated.
func TestUnselectedTools(t *testing.T) {
	w := newWorld(t, setup{})
	w2 := newWorld(t, setup{up: w.up, selection: selectReads})
	p := w2.httpPeer(t, true)
	if r := p.call("delete_contact", deleteArgs); r.Error == nil {
		t.Errorf("%s", r.Frame)
	}
	if r := p.call("validate_action", `{"action":"delete_contact","payload":`+deleteArgs+`}`); r.outcome(t) != "denied" {
		t.Errorf("%s", r.Frame)
	}
	if n := len(w.up.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestLongMessage checks that a message of 16 MiB is rejected before all of it is read, and that the
// server still works.
func TestLongMessage(t *testing.T) {
	long := `{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"create_contact","arguments":{"input":{"fullName":"` + strings.Repeat("x", 16<<20) + `"}}}}`
	t.Run("http", func(t *testing.T) {
		w := newWorld(t, setup{})
		p := w.httpPeer(t, false)
		p.begin()
		res := p.wire.(*httpWire).post(t, []byte(long), p.headers("tools/call", "create_contact"))
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge || !bytes.Contains(body, []byte("15 MiB")) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		checkNothingRan(t, w)
		checkWorks(t, w, p)
	})
	t.Run("stdio", func(t *testing.T) {
		w := newWorld(t, setup{})
		p := w.stdioPeer(t, false)
		p.begin()
		p.wire.notify(t, []byte(long), nil)
		if got := stray(t, p); !strings.Contains(got, "15 MiB") || !strings.Contains(got, `"id":null`) {
			t.Errorf("%s", got)
		}
		checkNothingRan(t, w)
		checkWorks(t, w, p)
	})
	t.Run("just below", func(t *testing.T) {
		// A little less is rejected by the checker, with an error for the
		// model.
		w := newWorld(t, setup{})
		p := w.httpPeer(t, true)
		r := p.call("create_contact", `{"input":{"fullName":"`+strings.Repeat("x", 15<<20)+`"}}`)
		if r.outcome(t) != "invalid_arguments" {
			t.Errorf("%.300s", r.Frame)
		}
		checkNothingRan(t, w)
		checkWorks(t, w, p)
	})
}

func stray(t *testing.T, p *peer) string {
	t.Helper()
	select {
	case b := <-p.wire.(*stdioWire).strays:
		return string(b)
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
		return ""
	}
}

// brokenFrames are no JSON-RPC requests.
var brokenFrames = map[string]string{
	"half":               `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":`,
	"words":              `list the contacts please`,
	"a text":             `"tools/call"`,
	"a number":           `5`,
	"null":               `null`,
	"an empty batch":     `[]`,
	"a batch":            `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"end_call","arguments":{"input":{"callUuid":"c"}}}}]`,
	"JSON-RPC 1.0":       `{"jsonrpc":"1.0","id":71,"method":"tools/call","params":{"name":"end_call","arguments":{}}}`,
	"no version":         `{"id":72,"method":"tools/call","params":{"name":"list_contacts","arguments":{}}}`,
	"no method":          `{"jsonrpc":"2.0","id":73}`,
	"an unknown method":  `{"jsonrpc":"2.0","id":74,"method":"tools/run","params":{}}`,
	"params of a list":   `{"jsonrpc":"2.0","id":75,"method":"tools/call","params":["list_contacts"]}`,
	"a name of a number": `{"jsonrpc":"2.0","id":76,"method":"tools/call","params":{"name":5}}`,
	"raw NUL":            "{\"jsonrpc\":\"2.0\",\"id\":1,\x00\"method\":\"tools/call\"}",
	"binary":             "\x00\x01\x02\xff\xfe",
	"two in one":         `{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}`,
	"nested 20000 deep":  strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
}

func TestBrokenFrames(t *testing.T) {
	t.Run("http", func(t *testing.T) {
		w := newWorld(t, setup{})
		p := w.httpPeer(t, false)
		p.begin()
		for name, frame := range brokenFrames {
			res := p.wire.(*httpWire).post(t, []byte(frame), p.headers("tools/call", ""))
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if name == "no method" && res.StatusCode == http.StatusAccepted {
				continue // a response to no request
			}
			if res.StatusCode < 400 && !bytes.Contains(body, []byte(`"error"`)) {
				t.Errorf("%s: HTTP %d %q", name, res.StatusCode, body)
			}
			if res.StatusCode >= 500 {
				t.Errorf("%s: HTTP %d %q", name, res.StatusCode, body)
			}
		}
		if n := len(w.up.Requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
		checkWorks(t, w, p)
	})
	t.Run("stdio", func(t *testing.T) {
		w := newWorld(t, setup{})
		p := w.stdioPeer(t, false)
		p.begin()
		for name, frame := range brokenFrames {
			id := idOf([]byte(frame))
			if strings.HasPrefix(id, "7") || strings.Contains(frame, `"id":7`) {
				id = frame[strings.Index(frame, `"id":7`)+5:][:2]
				if got := p.wire.exchange(t, []byte(frame), nil, id, p.elicited); !bytes.Contains(got, []byte(`"error"`)) {
					t.Errorf("%s: %s", name, got)
				}
				continue
			}
			p.wire.notify(t, []byte(frame), nil)
			if got := stray(t, p); !strings.Contains(got, `"error"`) {
				t.Errorf("%s: %s", name, got)
			}
		}
		if n := len(w.up.Requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
		checkWorks(t, w, p)
	})
}
