package schemas

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBefore(t *testing.T) {
	id := `"identity":"` + someID + `"`
	for _, c := range []struct{ name, action, args, want string }{
		{"an update", "update_contact", `{` + id + `,"input":{"phoneE164":null,"fullName":"Ada"},"fields":["id","email"]}`,
			`{"action":"list_contacts","fields":["id","fullName","phoneE164"],"filter":{"id":{"eq":"` + someID + `"}},"page":{"limit":1}}`},
		{"of nothing", "update_contact", `{` + id + `,"input":{}}`, ""},
		{"a flag", "flag_call_for_review", `{` + id + `}`,
			`{"action":"list_calls","fields":["id","flaggedAt","flaggedByUserId"],"filter":{"id":{"eq":"` + someID + `"}}}`},
		{"no flag", "clear_call_review_flag", `{` + id + `}`,
			`{"action":"list_calls","fields":["id","flaggedAt","flaggedByUserId"],"filter":{"id":{"eq":"` + someID + `"}}}`},
		{"a label", "override_call_classification", `{` + id + `,"input":{"label":"sales"}}`,
			`{"action":"list_call_classifications","fields":["id","effectiveLabel","effectiveSource","overriddenAt","overriddenByUserId"],"filter":{"id":{"eq":"` + someID + `"}}}`},
		{"a status, that is set even when it is not given", "set_operator_status", `{"input":{"sipUserId":"` + someID + `"}}`,
			`{"action":"list_operator_statuses","fields":["id","sipUserId","status","source"],"filter":{"sipUserId":{"eq":"` + someID + `"}},"page":{"limit":1}}`},
		{"a template", "update_email_template", `{` + id + `,"input":{"body":"x"}}`,
			`{"action":"list_email_templates","fields":["id","body"],"filter":{"id":{"eq":"` + someID + `"}},"page":{"limit":1}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := check(t, c.action, c.args)
			if e != nil {
				t.Fatal(e)
			}
			got := ""
			if b := p.BeforeRead(); b != nil {
				got = string(b.Body)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBeforeReadOfUpdatesOnly: only a call that updates a record has a read before it.
func TestBeforeReadOfUpdatesOnly(t *testing.T) {
	for _, a := range Actions() {
		p, e := check(t, a.Name, sample(a))
		if e != nil {
			t.Fatal(e)
		}
		if b := p.BeforeRead(); b != nil && (a.Class != Write || a.creates || b.Action.Class != Read || b.Action.Resource != a.Resource) {
			t.Errorf("%s: %s", a.Name, b.Body)
		}
		if !a.updatesRecord() && p.Replaced([]byte(`[{"id":"`+someID+`"}]`)) != nil {
			t.Errorf("%s replaced something", a.Name)
		}
	}
}

func TestReplaced(t *testing.T) {
	const contact = `{"identity":"` + someID + `","input":{"fullName":"Ada","metadata":{}}}`
	row := `{"id":"` + strings.ToUpper(someID) + `", "metadata": {"n": 9007199254740993, "d":1.10, "x":"a\u0062 <c>"}, "fullName":"Bob","email":"b@example.com"}`
	want := `{"fullName":"Bob","metadata":{"n":9007199254740993,"d":1.10,"x":"a\u0062 <c>"}}`
	for _, c := range []struct{ name, action, args, data, want string }{
		{"an array", "update_contact", contact, `[` + row + `]`, want},
		{"a page", "update_contact", contact, ` {"hasMore":false, "results":[` + row + `]}`, want},
		{"among others", "update_contact", contact, `[{"id":"` + otherID + `","fullName":"Eve"},` + row + `]`, want},
		{"only others", "update_contact", contact, `[{"id":"` + otherID + `","fullName":"Eve"}]`, ""},
		{"not found", "update_contact", contact, `{"results":[]}`, ""},
		{"no id", "update_contact", contact, `[{"fullName":"Eve"}]`, ""},
		{"a field is missing", "update_contact", contact, `[{"id":"` + someID + `","metadata":null}]`, `{"metadata":null}`},
		{"all are missing", "update_contact", contact, `[{"id":"` + someID + `"}]`, `{}`},
		{"the last of two keys", "update_contact", contact, `[{"id":"` + someID + `","fullName":"Eve","full\u004eame":"Bob","metadata":{}}]`, `{"fullName":"Bob","metadata":{}}`},
		{"cut off", "update_contact", contact, `[` + row, ""},
		{"null", "update_contact", contact, `null`, ""},
		{"nothing", "update_contact", contact, ``, ""},
		{"rows that are none", "update_contact", contact, `[null,7,"x",[` + row + `],{"results":[` + row + `]}]`, ""},
		{"by another key", "set_operator_status", `{"input":{"sipUserId":"` + someID + `","status":"on_break"}}`,
			`{"results":[{"id":"` + otherID + `","sipUserId":"` + someID + `","status":"available","source":null}]}`, `{"status":"available","source":null}`},
		{"by another key, not found", "set_operator_status", `{"input":{"sipUserId":"` + someID + `","status":"on_break"}}`,
			`{"results":[{"id":"` + someID + `","sipUserId":"` + otherID + `","status":"available","source":null}]}`, ""},
		{"a creation", "create_contact", `{"input":{"fullName":"Ada"}}`, `[` + row + `]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := check(t, c.action, c.args)
			if e != nil {
				t.Fatal(e)
			}
			if diff := cmp.Diff(c.want, string(p.Replaced([]byte(c.data)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
