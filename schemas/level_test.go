package schemas

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestWrongLevel: a right name at the wrong level is reported with the path that takes it.
func TestWrongLevel(t *testing.T) {
	for _, c := range []struct{ action, args, path, right, says string }{
		{"delete_contact", `{"identity":"` + someID + `"}`, "identity", "input.contactId", `unknown name "identity"; the id goes into input.contactId`},
		{"delete_contact", `{"id":"` + someID + `"}`, "id", "input.contactId", "the id goes into input.contactId"},
		{"delete_contact", `{"contactId":"` + someID + `"}`, "contactId", "input.contactId", `unknown name "contactId"; it goes into input.contactId`},
		{"delete_contact", `{"input":{"identity":"` + someID + `"}}`, "input.identity", "input.contactId", "the id goes into input.contactId"},
		{"archive_contact", `{"contactId":"` + someID + `"}`, "contactId", "identity", `unknown name "contactId"; the id goes into identity`},
		{"archive_contact", `{"input":{"contactId":"` + someID + `"}}`, "input.contactId", "identity", "the id goes into identity"},
		{"archive_contact", `{"input":{"identity":"` + someID + `"}}`, "input.identity", "identity", "give identity at the top level, not in input"},
		{"update_contact", `{"identity":"` + someID + `","fullName":"Ada"}`, "fullName", "input.fullName", "it goes into input.fullName"},
		{"update_contact", `{"identity":"` + someID + `","input":{"fullName":"Ada","fields":["id"]}}`, "input.fields", "fields", "give fields at the top level, not in input"},
		{"update_contact", `{"input":{"identity":"` + someID + `"}}`, "input.identity", "identity", "give identity at the top level, not in input"},
		{"create_contact", `{"full_name":"Ada"}`, "full_name", "input.fullName", "it goes into input.fullName"},
		{"get_campaign", `{"id":"` + someID + `"}`, "id", "input.id", "it goes into input.id"},
		{"get_campaign", `{"campaignId":"` + someID + `"}`, "campaignId", "input.id", "the id goes into input.id"},
		{"end_call", `{"identity":"` + someID + `"}`, "identity", "input.callUuid", "the record is named by its callUuid, which goes into input.callUuid"},
		{"set_operator_status", `{"identity":"` + someID + `"}`, "identity", "input.sipUserId", "named by its sipUserId"},
		{"start_outbound_call", `{"identity":"` + someID + `"}`, "identity", "input.contactId", "the id goes into input.contactId"},
		{"start_bulk_outbound_call", `{"identity":"` + someID + `"}`, "identity", "input.contactIds", "the contacts' ids go into input.contactIds"},
		{"flag_call_for_review", `{"callUuid":"c-1"}`, "callUuid", "identity", "identity takes the id of the record itself, from list_calls"},
		{"override_call_classification", `{"callId":"` + someID + `","input":{"label":"x"}}`, "callId", "identity", "identity takes the id of the record itself, from list_call_classifications"},
		{"list_contacts", `{"limit":5}`, "limit", "page.limit", "it goes into page.limit"},
		{"list_contacts", `{"page":{"limit":5,"sort":"fullName"}}`, "page.sort", "sort", "give sort at the top level, not in page"},
		{"list_contacts", `{"filter":{"limit":5}}`, "filter.limit", "page.limit", "it goes into page.limit"},
		{"list_call_transcripts", `{"callId":"` + someID + `"}`, "callId", "filter.callId", `to select by it, give filter, such as {"callId":{"eq":…}}`},
		{"list_contacts", `{"identity":"` + someID + `"}`, "identity", "filter.id", `such as {"id":{"eq":"<id>"}}`},
	} {
		_, e := check(t, c.action, c.args)
		d := detailAt(e, c.path)
		if d == nil || d.Nearest != c.right || !strings.Contains(d.Message, c.says) {
			t.Errorf("%s %s: %v, want %s: %s", c.action, c.args, e, c.path, c.says)
		}
	}
	// If no level takes the name, no path is reported.
	for _, c := range []struct{ action, args, path string }{
		{"create_contact", `{"identity":"` + someID + `","input":{"fullName":"Ada"}}`, "identity"},
		{"who_am_i", `{"identity":"` + someID + `"}`, "identity"},
		{"list_campaigns", `{"input":{"id":"` + someID + `"}}`, "input"},
		{"issue_operator_access_token", `{"identity":"` + someID + `"}`, "identity"},
	} {
		_, e := check(t, c.action, c.args)
		if d := detailAt(e, c.path); d == nil || d.Nearest != "" {
			t.Errorf("%s %s: %v", c.action, c.args, e)
		}
	}
}

// TestEveryNameAtTheWrongLevel moves each name of each action to each level that does not take it.
func TestEveryNameAtTheWrongLevel(t *testing.T) {
	moved := 0
	for _, a := range Actions() {
		top := map[string]bool{}
		for _, name := range a.check.names {
			top[name] = true
		}
		below := map[string]string{} // name → path; input before page, page before filter
		if a.List() {
			for _, f := range a.Resource.Names() {
				below[f] = "filter." + f
			}
		}
		if p := a.check.props["page"]; p != nil {
			for _, name := range p.names {
				below[name] = "page." + name
			}
		}
		for _, in := range a.Inputs() {
			below[in.Name] = "input." + in.Name
		}
		at := func(path, level, name string) {
			args := map[string]any{name: "x"}
			if level != "" {
				args = map[string]any{level: args}
			}
			raw, err := json.Marshal(args)
			if err != nil {
				t.Fatal(err)
			}
			_, e := check(t, a.Name, string(raw))
			d := detailAt(e, join(level, name))
			if d == nil || d.Nearest != path || !strings.Contains(d.Message, strings.TrimPrefix(path, "filter.")) {
				t.Errorf("%s %s: %v, want %s", a.Name, raw, e, path)
			}
			moved++
		}
		for name, path := range below {
			if !top[name] {
				at(path, "", name)
			}
		}
		for name := range top {
			if a.inputKey(name) == nil && name != "input" {
				at(name, "input", name)
			}
		}
		// An id is recognised by other names too.
		if a.hasKey("identity") {
			at("identity", "", "recordId")
			at("identity", "input", "recordId")
		} else if key := a.idInput(); key != nil {
			at("input."+key.Name, "", "identity")
			at("input."+key.Name, "input", "identity")
		}
	}
	if moved < 500 {
		t.Errorf("only %d names were moved", moved)
	}
}

func detailAt(e *Error, path string) *Detail {
	if e == nil {
		return nil
	}
	for i := range e.Details {
		if e.Details[i].Path == path {
			return &e.Details[i]
		}
	}
	return nil
}
