package schemas

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const otherID = "d0000000-0000-4000-8000-00000000000f"

func TestSubjects(t *testing.T) {
	some, other := "contact:"+someID, "contact:"+otherID
	for _, c := range []struct {
		name, action, args string
		want               []string
	}{
		{"a contact's identity", "update_contact", `{"identity":"` + strings.ToUpper(someID) + `","input":{"phoneE164":"+442079460123","email":"a@b.example"}}`, []string{some}},
		{"archived", "archive_contact", `{"identity":"` + someID + `"}`, []string{some}},
		{"erased", "delete_contact", `{"input":{"contactId":"` + someID + `"}}`, []string{some}},
		{"created", "create_contact", `{"input":{"fullName":"Ada","phoneE164":"+442079460123","email":"a@b.example"}}`, nil},
		{"rung by id", "start_outbound_call", `{"input":{"contactId":"` + someID + `","aiAgentId":"` + otherID + `"}}`, []string{some}},
		{"rung by number", "start_outbound_call", `{"input":{"phoneNumber":"+442079460123"}}`, []string{"phone:+442079460123"}},
		{"many rung", "start_bulk_outbound_call", `{"input":{"contactIds":["` + otherID + `","` + someID + `"]}}`, []string{some, other}},
		{"a group", "start_bulk_outbound_call", `{"input":{"groupId":"` + someID + `"}}`, nil},
		{"another resource's identity", "flag_call_for_review", `{"identity":"` + someID + `"}`, nil},
		{"a call's ends", "create_call", `{"input":{"direction":"inbound","fromNumber":"0044 (20) 7946-0123","toNumber":"1001","callUuid":"x"}}`, []string{"phone:+442079460123"}},
		{"a token's owner", "issue_operator_access_token", `{"input":{"operatorEmail":" Ada@Example.COM "}}`, []string{"email:ada@example.com"}},
		{"a sender", "import_inbound_email", `{"input":{"recipientAddress":"us@example.com","rawMime":"From: Ada <Ada@Example.com>\r\nSubject: x\r\n\r\nhello"}}`, []string{"email:ada@example.com"}},
		{"no sender", "import_inbound_email", `{"input":{"recipientAddress":"us@example.com","rawMime":"x"}}`, nil},
		{"no filter", "list_contacts", ``, nil},
		{"a contact by id", "list_contacts", `{"filter":{"id":{"eq":"` + someID + `"}}}`, []string{some}},
		{"contacts by id", "list_contacts", `{"filter":{"id":{"in":["` + someID + `","` + otherID + `","` + someID + `"]}}}`, []string{some, other}},
		{"calls of a contact", "list_calls", `{"filter":{"contactId":{"eq":"` + someID + `"},"id":{"eq":"` + otherID + `"}}}`, []string{some}},
		{"everywhere in a filter", "list_contacts", `{"filter":{"or":[{"email":{"eq":"Ada@example.com"}},{"not":[{"phoneE164":{"notEq":"+442079460123"}}]},{"and":[{"id":{"eq":"` + someID + `"}}]}]}}`,
			[]string{some, "email:ada@example.com", "phone:+442079460123"}},
		{"a part names nobody", "list_contacts", `{"filter":{"email":{"contains":"ada@example.com"},"phoneE164":{"like":"+44%"},"fullName":{"eq":"Ada"}}}`, nil},
		{"a waiting number", "list_call_queue_entries", `{"filter":{"callerIdNumber":{"eq":"+442079460123"}}}`, []string{"phone:+442079460123"}},
		{"no arguments", "list_campaigns", ``, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := check(t, c.action, c.args)
			if e != nil {
				t.Fatal(e)
			}
			if diff := cmp.Diff(c.want, p.Subjects()); diff != "" {
				t.Error(diff)
			}
			erases := c.want
			if c.action != "delete_contact" {
				erases = nil
			}
			if diff := cmp.Diff(erases, p.Erases()); diff != "" {
				t.Error("erased:", diff)
			}
		})
	}
}

// TestCreatedSubject: the answer to a creation names its subject, with any fields.
func TestCreatedSubject(t *testing.T) {
	for _, a := range Actions() {
		if got := a.CreatesSubject(); got != (a.Name == "create_contact") {
			t.Errorf("%s: creates a subject: %t", a.Name, got)
		}
		if a.CreatesSubject() && a.updatesRecord() {
			t.Errorf("%s both creates and replaces", a.Name)
		}
	}
	p, _ := check(t, "create_contact", `{"input":{"fullName":"Ada"},"fields":["fullName"]}`)
	if want := `{"action":"create_contact","fields":["fullName","id"],"input":{"fullName":"Ada"}}`; string(p.Body) != want || len(p.Notes) != 1 {
		t.Errorf("body %s, notes %q", p.Body, p.Notes)
	}
	for data, want := range map[string]string{
		`{"fullName":"Ada","id":"` + strings.ToUpper(someID) + `"}`: "contact:" + someID,
		`{}`: "", `null`: "", ``: "", `{"id":7}`: "", `{"id":"x"}`: "",
	} {
		if got := p.Created([]byte(data)); got != want {
			t.Errorf("%s: %q, want %q", data, got, want)
		}
	}
	q, _ := check(t, "update_contact", `{"identity":"`+someID+`","input":{}}`)
	if got := q.Created([]byte(`{"id":"` + someID + `"}`)); got != "" {
		t.Errorf("an update created %s", got)
	}
}

func TestReturned(t *testing.T) {
	some, other := "contact:"+someID, "contact:"+otherID
	one := `{"id":"` + someID + `","fullName":"Ada","erasedAt":null}`
	two := `{"erasedAt":"2026-01-01T00:00:00.000000Z","id":"` + strings.ToUpper(otherID) + `"}`
	for _, c := range []struct {
		name, action, data string
		subjects, erased   []string
	}{
		{"an array", "list_contacts", `[` + two + `,` + one + `]`, []string{some, other}, []string{other}},
		{"a keyset page", "list_contacts", ` {"results" : [` + one + `, ` + two + ` ] ,"hasMore":false,"after":null} `, []string{some, other}, []string{other}},
		{"twice, once erased", "list_contacts", `[{"id":"` + otherID + `"},` + two + `,` + two + `]`, []string{other}, []string{other}},
		{"a record", "update_contact", ` ` + one, []string{some}, nil},
		{"an erased record", "delete_contact", two, []string{other}, []string{other}},
		{"no erasing but a time", "list_contacts", `[{"id":"` + someID + `","erasedAt":false},{"id":"` + otherID + `","erasedAt":""}]`, []string{some, other}, nil},
		{"the last of two keys", "list_contacts", `[{"id":"` + someID + `","id":"` + otherID + `","erasedAt":"2026","erasedAt":null}]`, []string{other}, nil},
		{"an escaped key", "list_contacts", `[{"\u0069d":"` + someID + `"}]`, []string{some}, nil},
		{"a call's contact", "list_calls", `[{"id":"` + someID + `","contactId":"` + otherID + `"},{"id":"` + otherID + `","contactId":null}]`, []string{other}, nil},
		{"another's erasedAt", "list_calls", `[{"contactId":"` + otherID + `","erasedAt":"2026"}]`, []string{other}, nil},
		{"a message", "import_inbound_email", `{"id":"` + someID + `","contactId":"` + otherID + `"}`, []string{other}, nil},
		{"a map", "start_outbound_call", `{"callId":"` + someID + `","contactId":"` + otherID + `"}`, []string{other}, nil},
		{"nobody", "list_ai_agents", `{"results":[{"id":"` + someID + `","contactId":"` + otherID + `"}]}`, nil, nil},
		{"nested deeper", "list_contacts", `[{"metadata":{"id":"` + someID + `"}},[` + one + `]]`, nil, nil},
		{"null", "list_contacts", `null`, nil, nil},
		{"nothing", "list_contacts", ``, nil, nil},
		{"an empty record", "update_contact", `{}`, nil, nil},
		{"results of another kind", "list_contacts", `{"results":` + one + `}`, nil, nil},
		{"cut off", "list_contacts", `[` + one + `,{"id":`, nil, nil},
		{"ids of another kind", "list_contacts", `[{"id":7},{"id":null},{"id":"x"},{"id":{}},{"id":["` + someID + `"]}]`, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := check(t, c.action, sample(byName[c.action]))
			if e != nil {
				t.Fatal(e)
			}
			subjects, erased := p.Returned([]byte(c.data))
			if diff := cmp.Diff(c.subjects, subjects); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.erased, erased); diff != "" {
				t.Error("erased:", diff)
			}
		})
	}
}

func TestReturnedIsBounded(t *testing.T) {
	p, _ := check(t, "list_contacts", ``)
	var rows []string
	for i := range 2 * maxSubjects {
		row := fmt.Sprintf(`{"id":"c0000000-0000-4000-8000-%012d","erasedAt":"2026"}`, i)
		rows = append(rows, row, row)
	}
	subjects, erased := p.Returned([]byte("[" + strings.Join(rows, ",") + "]"))
	if len(subjects) != maxSubjects || len(erased) != maxSubjects || !slices.IsSorted(subjects) {
		t.Errorf("%d subjects, %d erased", len(subjects), len(erased))
	}
}

// TestReturnedMatchesDecoder: Returned finds what a plain decoder finds.
func TestReturnedMatchesDecoder(t *testing.T) {
	p, _ := check(t, "list_contacts", ``)
	rapid.Check(t, func(t *rapid.T) {
		ids := []any{someID, strings.ToUpper(someID), otherID, nil, 7, "x", someID[1:]}
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) map[string]any {
			row := map[string]any{"fullName": rapid.String().Draw(t, "name")}
			if rapid.Bool().Draw(t, "has id") {
				row["id"] = rapid.SampledFrom(ids).Draw(t, "id")
			}
			if rapid.Bool().Draw(t, "has erasedAt") {
				row["erasedAt"] = rapid.SampledFrom([]any{nil, "2026-01-01T00:00:00Z"}).Draw(t, "erasedAt")
			}
			return row
		}), 0, 6).Draw(t, "rows")
		var data []byte
		if rapid.Bool().Draw(t, "page") {
			data, _ = json.Marshal(map[string]any{"results": rows, "hasMore": true, "type": "keyset"})
		} else {
			data, _ = json.Marshal(rows)
		}
		var subjects, erased []string
		for _, row := range rows {
			if id, _ := row["id"].(string); isUUID(id) {
				subjects = append(subjects, "contact:"+strings.ToLower(id))
				if row["erasedAt"] != nil {
					erased = append(erased, "contact:"+strings.ToLower(id))
				}
			}
		}
		slices.Sort(subjects)
		slices.Sort(erased)
		gotSubjects, gotErased := p.Returned(data)
		if diff := cmp.Diff([][]string{slices.Compact(subjects), slices.Compact(erased)}, [][]string{gotSubjects, gotErased}); diff != "" {
			t.Fatalf("%s: %s", data, diff)
		}
	})
}

// TestSubjectLabels: a field with a label for a kind of person can hold such a value.
func TestSubjectLabels(t *testing.T) {
	kinds := map[SubjectKind][]Kind{ContactSubject: {UUID}, PhoneSubject: {Text}, EmailSubject: {Text}, "": nil}
	for name, r := range Resources() {
		for _, f := range r.Fields {
			if want, ok := kinds[f.Names]; !ok || want != nil && !slices.Contains(want, f.Kind) {
				t.Errorf("%s.%s is a %s and names a %q", name, f.Name, f.Kind, f.Names)
			}
			// A field of such a name needs the label.
			if strings.HasSuffix(strings.ToLower(f.Name), "contactid") && f.Names != ContactSubject {
				t.Errorf("%s.%s names a contact and does not say so", name, f.Name)
			}
		}
		if r.erasedField != "" && (r.Field(r.erasedField) == nil || r.Field("id").Names == "") {
			t.Errorf("%s: erasing shows in %s", name, r.erasedField)
		}
	}
	for _, a := range Actions() {
		for _, k := range a.Inputs() {
			if strings.HasPrefix(k.Name, "contactId") && k.Names != ContactSubject {
				t.Errorf("%s: input.%s names a contact and does not say so", a.Name, k.Name)
			}
		}
	}
	if !contactKeys["contactId"] || len(contactKeys) != 1 {
		t.Errorf("names for a contact: %v", contactKeys)
	}
}

func FuzzReturned(f *testing.F) {
	f.Add("list_contacts", []byte(`{"results":[{"id":"`+someID+`","erasedAt":"2026"}],"hasMore":false}`))
	f.Add("list_calls", []byte(`[{"contactId":"`+someID+`"},{"\u0063ontactId":null},7]`))
	f.Add("update_contact", []byte(`{"id":"`+otherID+`","id":{}}`))
	f.Add("start_outbound_call", []byte(`{"contactId":"`+otherID+`"`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		a, err := Find(name)
		if err != nil {
			return
		}
		p, err := a.Check([]byte(sample(a)), Limits{Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		subjects, erased := p.Returned(data)
		if len(subjects) > maxSubjects || !slices.IsSorted(subjects) || (subjects != nil || erased != nil) && !json.Valid(data) {
			t.Fatalf("%q: %q, erased %q", data, subjects, erased)
		}
		for _, s := range erased {
			if !slices.Contains(subjects, s) {
				t.Fatalf("%q: %s is erased and was not returned", data, s)
			}
		}
		if old := p.Replaced(data); old != nil {
			if !json.Valid(old) || !json.Valid(data) {
				t.Fatalf("%q: replaced %q", data, old)
			}
			if _, args, err := Reverse(a.Name, p.Body, old); err == nil && !json.Valid(args) {
				t.Fatalf("%q: reversed by %q", data, args)
			}
		}
		_, _, _ = Reverse(a.Name, p.Body, data)
		_, _, _ = Reverse(a.Name, data, data)
	})
}

func BenchmarkReturned(b *testing.B) {
	for _, n := range []int{25, 100} {
		var rows []string
		for i := range n {
			rows = append(rows, fmt.Sprintf(`{"id":"c0000000-0000-4000-8000-%012d","fullName":"Ada Lovelace %d","email":"ada.%d@example.com","phoneE164":"+44207946%04d","defaultLanguage":"en","deletedAt":null,"erasedAt":null}`, i, i, i, i))
		}
		data := []byte(`{"results":[` + strings.Join(rows, ",") + `],"hasMore":false,"limit":100,"after":null,"before":null,"previousPage":"x","nextPage":"y","count":null,"type":"keyset"}`)
		p, err := byName["list_contacts"].Check(nil, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if s, _ := p.Returned(data); len(s) != n {
					b.Fatal(len(s))
				}
			}
		})
	}
}
