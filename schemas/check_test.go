package schemas

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

const someID = "c0000000-0000-4000-8000-000000000001"

func check(t *testing.T, action, args string) (*Payload, *Error) {
	t.Helper()
	a, err := Find(action)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Check([]byte(args), Limits{Now: noon, Rows: 100})
	if err == nil {
		return p, nil
	}
	if err.Outcome != InvalidArguments {
		t.Fatalf("not an invalid_arguments error: %v", err)
	}
	if err.Next == "" || err.Message == "" {
		t.Errorf("an error without message or next step: %+v", err)
	}
	return nil, err
}

func TestCanonicalBody(t *testing.T) {
	for _, c := range []struct{ name, action, args, body string }{
		{"keys are sorted", "list_contacts", `{"page":{"limit":5},"fields":["id","fullName"]}`,
			`{"action":"list_contacts","fields":["id","fullName"],"page":{"limit":5}}`},
		{"a list gets a page and fields", "list_operator_statuses", ``,
			`{"action":"list_operator_statuses","fields":["id","agentName","sipUserId","status","source"],"page":{"limit":25}}`},
		{"a limit is filled in beside a cursor", "list_contacts", `{"fields":["id"],"page":{"after":"x"}}`,
			`{"action":"list_contacts","fields":["id"],"page":{"after":"x","limit":25}}`},
		{"empty filter, sort and page are none", "list_contacts", `{"fields":["id"],"filter":{},"sort":"","page":{}}`,
			`{"action":"list_contacts","fields":["id"],"page":{"limit":25}}`},
		{"a list without pages gets a day", "list_calls", `{"fields":["id"]}`,
			`{"action":"list_calls","fields":["id"],"filter":{"startedAt":{"greaterThanOrEqual":"2026-01-14T12:00:00.000000Z"}},"sort":"-startedAt"}`},
		{"and keeps the caller's order", "list_calls", `{"fields":["id"],"sort":"callUuid"}`,
			`{"action":"list_calls","fields":["id"],"filter":{"startedAt":{"greaterThanOrEqual":"2026-01-14T12:00:00.000000Z"}},"sort":"callUuid"}`},
		{"a filter of its own is left alone", "list_calls", `{"fields":["id"],"filter":{"status":{"eq":"busy"}}}`,
			`{"action":"list_calls","fields":["id"],"filter":{"status":{"eq":"busy"}}}`},
		{"numbers stay as they came", "update_contact", `{"identity":"` + someID + `","input":{"metadata":{"n":9007199254740993,"d":1.10,"e":1E400}},"fields":["id"]}`,
			`{"action":"update_contact","fields":["id"],"identity":"` + someID + `","input":{"metadata":{"d":1.10,"e":1E400,"n":9007199254740993}}}`},
		{"no HTML escapes, no reason", "create_contact", `{"input":{"fullName":"<Ada> & Söhne\u2028"},"fields":["id"],"reason":"because"}`,
			`{"action":"create_contact","fields":["id"],"input":{"fullName":"<Ada> & Söhne\u2028"}}`},
		{"null empties", "update_contact", `{"identity":"` + someID + `","input":{"email":null},"fields":["id"]}`,
			`{"action":"update_contact","fields":["id"],"identity":"` + someID + `","input":{"email":null}}`},
		{"no arguments at all", "list_campaigns", `null`, `{"action":"list_campaigns"}`},
		{"a deletion takes its identity", "delete_email_template", `{"identity":"` + someID + `"}`,
			`{"action":"delete_email_template","identity":"` + someID + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := check(t, c.action, c.args)
			if e != nil {
				t.Fatal(e)
			}
			if diff := cmp.Diff(c.body, string(p.Body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReasonIsNotHashed(t *testing.T) {
	a, _ := check(t, "end_call", `{"input":{"callUuid":"x"},"reason":"one"}`)
	b, _ := check(t, "end_call", `{"reason":"two","input":{"callUuid":"x"}}`)
	c, _ := check(t, "end_call", `{"input":{"callUuid":"y"},"reason":"one"}`)
	if a.Hash() != b.Hash() || a.Hash() == c.Hash() || a.Reason != "one" {
		t.Errorf("hashes %s %s %s, reason %q", a.Hash(), b.Hash(), c.Hash(), a.Reason)
	}
}

func TestLimitIsLowered(t *testing.T) {
	p, _ := check(t, "list_contacts", `{"fields":["id"],"page":{"limit":250}}`)
	if !strings.Contains(string(p.Body), `"limit":100`) || len(p.Notes) != 1 {
		t.Errorf("body %s, notes %q", p.Body, p.Notes)
	}
}

// TestFaults: every fault has its path and, where there is one, the nearest valid name.
func TestFaults(t *testing.T) {
	id := `"identity":"` + someID + `"`
	for _, c := range []struct{ name, action, args, want string }{
		{"not JSON", "list_contacts", `{"fields":`, "the arguments are not JSON"},
		{"two values", "list_contacts", `{} {}`, "more than one JSON value"},
		{"an array", "list_contacts", `[]`, "must be a JSON object, not an array"},
		{"a string", "list_contacts", `"x"`, "must be a JSON object, not a string"},
		{"invalid UTF-8", "list_contacts", "{\"sort\":\"\xff\"}", "not valid UTF-8"},
		{"nul", "create_contact", `{"input":{"fullName":"a\u0000b"}}`, "U+0000 at input.fullName"},
		{"nul in a name", "create_contact", `{"input":{"fullName":"a","metadata":{"x\u0000":1}}}`, "U+0000 at input.metadata.a name"},
		{"too deep", "list_contacts", `{"filter":` + strings.Repeat(`{"not":[`, 400) + `{"id":{"isNil":true}}` + strings.Repeat(`]}`, 400) + `}`, "more than 32 levels"},
		{"a filter too deep", "list_contacts", `{"filter":` + strings.Repeat(`{"not":[`, 12) + `{"id":{"isNil":true}}` + strings.Repeat(`]}`, 12) + `}`, "nests more than 12"},
		{"too long", "create_contact", `{"input":{"fullName":"` + strings.Repeat("x", 9<<20) + `"}}`, "at most 65536"},
		{"unknown argument", "list_contacts", `{"filters":{}}`, "filters: unknown name \"filters\", did you mean filter?"},
		{"page where there is none", "list_calls", `{"page":{"limit":5}}`, "page: unknown name \"page\", valid: fields, filter, sort"},
		{"no arguments taken", "list_campaigns", `{"page":{}}`, "none is taken here"},
		{"missing", "update_contact", `{` + id + `}`, "input: is required"},
		{"null for nothing", "update_contact", `{"identity":null,"input":{}}`, "identity: must be a string, not null: leave it out instead"},
		{"identity as object", "archive_contact", `{"identity":{"id":"x"}}`, "identity: must be a string, not an object"},
		{"bad uuid", "archive_contact", `{"identity":"42"}`, `identity: must be a uuid, not "42"`},
		{"snake case", "create_contact", `{"input":{"full_name":"Ada"}}`, `input.full_name: unknown name "full_name", did you mean fullName?`},
		{"wrong type", "create_contact", `{"input":{"fullName":7}}`, "input.fullName: must be a string, not an integer"},
		{"blank", "create_contact", `{"input":{"fullName":"  "}}`, "input.fullName: must not be empty"},
		{"bad date", "create_contact", `{"input":{"fullName":"A","dateOfBirth":"31.1.1990"}}`, "input.dateOfBirth: must be a date"},
		{"no such day", "create_contact", `{"input":{"fullName":"A","dateOfBirth":"1990-02-30"}}`, "input.dateOfBirth: must be a date"},
		{"time without zone", "create_contact", `{"input":{"fullName":"A","phoneVerifiedAt":"2026-01-01T00:00:00"}}`, "input.phoneVerifiedAt: must be a time with a zone"},
		{"not E.164", "create_contact", `{"input":{"fullName":"A","phoneE164":"020 7946 0123"}}`, "input.phoneE164: must be a number in E.164"},
		{"wrong enum", "set_operator_status", `{"input":{"sipUserId":"` + someID + `","status":"onbreak"}}`, `input.status: unknown value "onbreak", did you mean on_break?`},
		{"object as text", "create_contact", `{"input":"{\"fullName\":\"A\"}"}`, "input: must be an object, not a string: give it as JSON"},
		{"empty fields", "list_contacts", `{"fields":[]}`, "fields: must not be empty"},
		{"a field twice", "list_contacts", `{"fields":["id","id"]}`, `fields[1]: "id" is named twice`},
		{"unknown field", "list_contacts", `{"fields":["id","fullname"]}`, `fields[1]: unknown value "fullname", did you mean fullName?`},
		{"fields as text", "list_contacts", `{"fields":"id"}`, `fields: must be an array, not a string, such as ["a","b"]`},
		{"limit 0", "list_contacts", `{"page":{"limit":0}}`, "page.limit: must be at least 1"},
		{"limit 251", "list_contacts", `{"page":{"limit":251}}`, "page.limit: must be at most 250"},
		{"half a limit", "list_contacts", `{"page":{"limit":2.5}}`, "page.limit: must be an integer, not a number"},
		{"huge limit", "list_contacts", `{"page":{"limit":99999999999999999999}}`, "page.limit: must be an integer of 64 bits"},
		{"both kinds of page", "list_contacts", `{"page":{"offset":1,"after":"x"}}`, "page: takes offset and count, or after, or before"},
		{"both cursors", "list_contacts", `{"page":{"before":"y","after":"x"}}`, "page: takes offset and count, or after, or before"},
		{"no target", "start_outbound_call", `{"input":{}}`, "input: needs exactly one of contactId and phoneNumber"},
		{"no input", "start_bulk_outbound_call", ``, "input: needs exactly one of contactIds and groupId"},
		{"two targets", "start_outbound_call", `{"input":{"contactId":"` + someID + `","phoneNumber":"+442079460123"}}`, "takes only one of"},
		{"nobody to ring", "start_bulk_outbound_call", `{"input":{"contactIds":[]}}`, "input.contactIds: must not be empty"},
		{"somebody twice", "start_bulk_outbound_call", `{"input":{"contactIds":["` + someID + `","` + someID + `"]}}`, "named twice"},
		{"backward range", "start_bulk_outbound_call", `{"input":{"groupId":"` + someID + `","contactRangeStart":9,"contactRangeEnd":3}}`, "must not be less than"},
		{"no email", "import_inbound_email", `{"input":{"recipientAddress":"a@b.example"}}`, "needs exactly one of rawMime and structuredPayload"},
		{"unknown filter field", "list_contacts", `{"filter":{"fulName":{"eq":"x"}}}`, `filter.fulName: unknown field "fulName", did you mean fullName?`},
		{"no operator", "list_contacts", `{"filter":{"id":"x"}}`, `filter.id: must be an object of operators`},
		{"unknown operator", "list_contacts", `{"filter":{"fullName":{"equals":"x"}}}`, "filter.fullName.equals: unknown operator"},
		{"notIn", "list_contacts", `{"filter":{"fullName":{"notIn":["x"]}}}`, `write {"not":[{"fullName":{"in":[…]}}]}`},
		{"order of texts", "list_contacts", `{"filter":{"fullName":{"greaterThan":"x"}}}`, `filter.fullName.greaterThan: unknown operator "greaterThan", valid: eq, notEq, in, contains, like, ilike, isNil`},
		{"in without list", "list_contacts", `{"filter":{"fullName":{"in":"x"}}}`, "filter.fullName.in: must be a list"},
		{"null never matches", "list_contacts", `{"filter":{"email":{"eq":null}}}`, `write {"email":{"isNil":true}}`},
		{"isNil of a word", "list_contacts", `{"filter":{"email":{"isNil":"yes"}}}`, "filter.email.isNil: must be true or false"},
		{"bad uuid in a list", "list_contacts", `{"filter":{"id":{"in":["x"]}}}`, "filter.id.in[0]: must be a uuid"},
		{"bad time", "list_calls", `{"filter":{"startedAt":{"greaterThan":"yesterday"}}}`, "filter.startedAt.greaterThan: must be a time"},
		{"unknown status", "list_calls", `{"filter":{"status":{"eq":"ended"}}}`, `filter.status.eq: unknown value "ended", valid: initiated`},
		{"and of an object", "list_contacts", `{"filter":{"and":{"id":{"isNil":true}}}}`, "filter.and: must be a list of at least one filter"},
		{"empty or", "list_contacts", `{"filter":{"or":[]}}`, "filter.or: must be a list of at least one filter"},
		{"empty member", "list_contacts", `{"filter":{"or":[{}]}}`, "filter.or[0]: must be a filter that is not empty"},
		{"sort as list", "list_contacts", `{"sort":["id"]}`, "sort: must be a string, not an array"},
		{"sort with spaces", "list_contacts", `{"sort":"id, email"}`, "names separated by commas without spaces"},
		{"sort in words", "list_contacts", `{"sort":"fullName desc"}`, "names separated by commas without spaces"},
		{"unknown sort field", "list_contacts", `{"sort":"-insertedAt"}`, `sort: unknown field "insertedAt", valid: id, fullName`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, e := check(t, c.action, c.args)
			if e == nil {
				t.Fatal("it was taken")
			}
			if text := e.Error(); !strings.Contains(text, c.want) {
				t.Errorf("got  %s\nwant %s", clip(text, 600), c.want)
			}
			if len(e.Error()) > 4000 {
				t.Errorf("the error has %d bytes", len(e.Error()))
			}
		})
	}
}

func TestValidFilters(t *testing.T) {
	for _, f := range []string{
		`{"fullName":{"eq":"Ada"},"email":{"isNil":false}}`,
		`{"and":[{"or":[{"fullName":{"ilike":"%a%"}},{"email":{"contains":"@"}}]},{"not":[{"deletedAt":{"isNil":true}}]}]}`,
		`{"phoneVerifiedAt":{"greaterThan":"2026-01-01T00:00:00Z","lessThanOrEqual":"2026-01-02T00:00:00.123456+02:00"}}`,
		`{"dateOfBirth":{"lessThan":"1990-01-31"}}`,
		`{"metadata":{"eq":{"a":1}}}`, `{"languages":{"eq":["en"]}}`, `{"id":{"in":[]}}`,
	} {
		if _, e := check(t, "list_contacts", `{"filter":`+f+`}`); e != nil {
			t.Errorf("%s: %v", f, e)
		}
	}
	for _, s := range []string{"id", "-fullName", "++email,--id", "+email"} {
		if _, e := check(t, "list_contacts", `{"sort":"`+s+`"}`); e != nil {
			t.Errorf("%s: %v", s, e)
		}
	}
}

func TestUnknownAction(t *testing.T) {
	_, err := Find("listContacts")
	if err == nil || !strings.Contains(err.Error(), "did you mean list_contacts?") {
		t.Error(err)
	}
	if _, err = Find(strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 300 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// TestValidCalls: the reference's own examples pass, as far as they are complete.
func TestValidCalls(t *testing.T) {
	for _, a := range Actions() {
		p, e := check(t, a.Name, sample(a))
		if e != nil {
			t.Errorf("%s: %v", a.Name, e)
			continue
		}
		var decoded map[string]any
		if err := json.Unmarshal(p.Body, &decoded); err != nil || decoded["action"] != a.Name {
			t.Errorf("%s: body %s: %v", a.Name, p.Body, err)
		}
		if fields, ok := decoded["fields"].([]any); a.Resource != nil && (!ok || len(fields) == 0) {
			t.Errorf("%s: no fields", a.Name)
		}
	}
}
