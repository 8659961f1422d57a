package recipients

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// addressBook answers a search by address with Kate, whatever was searched, as a server would that
// ignores the filter.
func addressBook(t *testing.T) Read {
	return func(_ context.Context, p *schemas.Payload) (json.RawMessage, *schemas.Error) {
		if !strings.Contains(string(p.Body), `"ilike"`) {
			t.Errorf("read %s", p.Body)
		}
		return json.RawMessage(`{"results":[
			{"id":"c0000000-0000-4000-8000-000000000002","fullName":"Kate Marsh","email":"Kate@Example.com","phoneE164":null,"erasedAt":null,"deletedAt":null},
			{"id":"c0000000-0000-4000-8000-000000000001","fullName":"Old","email":"old@example.com","phoneE164":null,"erasedAt":null,"deletedAt":"2026-01-01T00:00:00Z"},
			{"id":"c0000000-0000-4000-8000-000000000003","fullName":"Kelvin","email":"\u212aate@example.com","phoneE164":null,"erasedAt":null,"deletedAt":null}
		],"hasMore":false}`), nil
	}
}

func handIn(t *testing.T, mail any) *schemas.Payload {
	key := "structuredPayload"
	if _, ok := mail.(string); ok {
		key = "rawMime"
	}
	return check(t, "import_inbound_email", map[string]any{"recipientAddress": "us@example.org", key: mail})
}

func TestResolveMail(t *testing.T) {
	const kate = `kate@example.com (contact "Kate Marsh")`
	type object = map[string]any
	filler := object{}
	for i := range 45 {
		filler["a"+strings.Repeat("a", i)] = "x"
	}
	filler["from"] = "eve@example.net"
	for name, c := range map[string]struct {
		mail any
		want []string
	}{
		"a contact":          {"From: Kate <KATE@example.com>\r\nSubject: x\r\n\r\nhello", []string{kate}},
		"an archived one":    {"From: old@example.com\n\nhello", []string{"old@example.com (no contact)"}},
		"an answer to":       {"From: kate@example.com\nReply-To: eve@example.net\n\n", []string{kate, "eve@example.net (no contact)"}},
		"several":            {"From: kate@example.com, Eve <eve@example.net>\n\n", []string{kate, "eve@example.net (no contact)"}},
		"behind Received":    {"Received: " + strings.Repeat("x", 180) + "\nFrom: eve@example.net\n\n", []string{"eve@example.net (no contact)"}},
		"folded":             {"From: Kate\r\n <eve@example.net>\r\n\r\n", []string{"eve@example.net (no contact)"}},
		"an encoded name":    {"From: =?windows-1252?q?kate=40example.com?= <eve@example.net>\n\n", []string{"eve@example.net (no contact)"}},
		"a quoted name":      {"From: \"kate@example.com\" <eve@example.net>\n\n", []string{"eve@example.net (no contact)"}},
		"headers in body":    {"From: kate@example.com\n\nFrom: eve@example.net\n\n", []string{kate}},
		"structured":         {object{"from": "Kate <kate@example.com>", "to": "us@example.org", "subject": "eve@example.net"}, []string{kate}},
		"45 filler keys":     {filler, []string{"eve@example.net (no contact)"}},
		"parts":              {object{"From": object{"name": "Kate", "address": "eve@example.net"}}, []string{"eve@example.net (no contact)"}},
		"headers as a list":  {object{"from": "kate@example.com", "headers": []any{object{"name": "Reply-To", "value": "eve@example.net"}}}, []string{kate, "eve@example.net (no contact)"}},
		"headers as a map":   {object{"from": "kate@example.com", "headers": object{"reply-to": []any{"eve@example.net"}}}, []string{kate, "eve@example.net (no contact)"}},
		"headers as a text":  {object{"from": "kate@example.com", "headers": "Received: by a@b.example\r\nReply-To: eve@example.net\r\nTo: us@example.org\r\n"}, []string{kate, "eve@example.net (no contact)"}},
		"JSON as a text":     {object{"from": "kate@example.com", "zzz": `{"from":"eve@example.net"}`}, []string{kate, "eve@example.net (no contact)"}},
		"an envelope":        {object{"from": "kate@example.com", "envelope": `{"to":["us@example.org"],"from":"eve@example.net"}`, "dkim": "{@example.com : pass}"}, []string{"eve@example.net (no contact)", kate}},
		"in a sentence":      {object{"from": "kate@example.com", "zzz": "answer Eve <Eve@example.net> only"}, []string{kate, "eve@example.net (no contact)"}},
		"under any key":      {object{"from": "kate@example.com", "zzz": "eve@example.net"}, []string{kate, "eve@example.net (no contact)"}},
		"two spellings":      {object{"from": "kate@example.com", "reply_to": "eve@example.net", "replyTo": "KATE@example.com"}, []string{kate, "eve@example.net (no contact)"}},
		"an empty answer to": {object{"from": "kate@example.com", "replyTo": ""}, []string{kate}},
	} {
		t.Run(name, func(t *testing.T) {
			s, fault := Resolve(t.Context(), handIn(t, c.mail), addressBook(t))
			if fault != nil {
				t.Fatal(fault)
			}
			if d := cmp.Diff(c.want, s.Lines(20)); d != "" || s.Count != len(c.want) || len(s.Digest) != 64 {
				t.Error(d, s.Count)
			}
		})
	}
}

// TestFaultyMail checks that an email which another reader could read differently is not handed in.
func TestFaultyMail(t *testing.T) {
	type object = map[string]any
	for name, mail := range map[string]any{
		"no sender":               "Subject: x\n\nhello",
		"an empty sender":         "From:\n\n",
		"no headers":              "hello",
		"From twice":              "From: kate@example.com\nfrom: eve@example.net\n\n",
		"Reply-To twice":          "From: kate@example.com\nReply-To: kate@example.com\nREPLY-TO: eve@example.net\n\n",
		"a space before a colon":  "From: kate@example.com\nFrom : eve@example.net\n\n",
		"a group":                 "From: Friends: kate@example.com, eve@example.net;\n\n",
		"an empty group":          "From: kate@example.com\nReply-To: nobody:;\n\n",
		"a comment":               "From: kate@example.com (eve@example.net)\n\n",
		"two addresses in one":    "From: kate@example.com <eve@example.net>\n\n",
		"CR only":                 "From: kate@example.com\rReply-To: eve@example.net\r\r",
		"a CR among LF":           "From: kate@example.com\nSubject: x\rReply-To: eve@example.net\n\n",
		"LF among CRLF":           "From: kate@example.com\r\nSubject: x\nReply-To: eve@example.net\r\n\r\n",
		"CRLF among LF":           "Subject: x\n\r\nFrom: kate@example.com\n\n",
		"NEL":                     "From: kate@example.com\nSubject: x\u0085Reply-To: eve@example.net\n\n",
		"a blank folded line":     "From: kate@example.com\n \nReply-To: eve@example.net\n\n",
		"a quoted local part":     "From: \"kate@example.com \"@example.net\n\n",
		"an encoded address":      "From: =?utf-8?q?kate?=@example.com\n\n",
		"a literal domain":        "From: kate@[192.0.2.1]\n\n",
		"letters that look alike": "From: \u212aate@example.com\n\n",
		"no address":              "From: Kate\n\n",
		"too many":                "From: a@x.com, b@x.com, c@x.com, d@x.com, e@x.com, f@x.com, g@x.com, h@x.com, i@x.com, j@x.com, k@x.com\n\n",
		"structured, no sender":   object{"text": "hello"},
		"structured, bad sender":  object{"from": "Kate"},
		"structured, only reply":  object{"replyTo": "kate@example.com"},
		"structured, a number":    object{"from": 7},
		"structured, odd headers": object{"from": "kate@example.com", "raw_headers": "Reply-To: eve@example.net\rX: y\n"},
		"structured, a group":     object{"from": "kate@example.com", "replyTo": "a: eve@example.net;"},
		"structured, raw":         object{"from": "kate@example.com", "raw": "From: eve@example.net\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s, fault := Resolve(t.Context(), handIn(t, mail), failingRead(t))
			if s != nil || fault == nil || fault.Outcome != schemas.InvalidArguments || len(fault.Details) != 1 {
				t.Errorf("%+v %v", s, fault)
			}
		})
	}
}

// TestMailDigest checks that an approval of one sender is none of another, or of one who is a
// contact by then.
func TestMailDigest(t *testing.T) {
	digests := map[string]string{}
	for _, s := range []*Set{
		{List: []Recipient{{Address: "kate@example.com", Kind: Email}}, Count: 1},
		{List: []Recipient{{Address: "eve@example.net", Kind: Email}}, Count: 1},
		{List: []Recipient{{Contact: "c", Address: "kate@example.com", Kind: Email}}, Count: 1},
		{List: []Recipient{{Contact: "c", Kind: Email}}, Count: 1},
	} {
		if other := digests[s.computeDigest().Digest]; other != "" {
			t.Errorf("%+v and %s have one digest", s, other)
		}
		digests[s.Digest] = strings.Join(s.Lines(1), "")
	}
}
