package schemas

import (
	"slices"
	"strings"
	"testing"
)

// TestAbout: every action that changes an existing record shows on its card which one.
func TestAbout(t *testing.T) {
	const id = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	for action, want := range map[string]string{
		"delete_contact":          `{"action":"list_contacts","fields":["id","erasedAt","fullName","phoneE164","email","dateOfBirth","whatsappJid","metadata","defaultLanguage","languages"],"filter":{"id":{"eq":"` + id + `"}},"page":{"limit":1}}`,
		"archive_contact":         `{"action":"list_contacts","fields":["id","erasedAt","fullName","phoneE164","email"],"filter":{"id":{"eq":"` + id + `"}},"page":{"limit":1}}`,
		"update_contact":          `{"action":"list_contacts","fields":["id","erasedAt","fullName","phoneE164","email","dateOfBirth"],"filter":{"id":{"eq":"` + id + `"}},"page":{"limit":1}}`,
		"end_call":                `{"action":"list_calls","fields":["id","callUuid","fromNumber","toNumber","contactFullName","status","startedAt"],"filter":{"callUuid":{"eq":"c-1"}}}`,
		"accept_call_queue_entry": `{"action":"list_call_queue_entries","fields":["id","callerIdName","callerIdNumber","queueName","waitStartedAt"],"filter":{"id":{"eq":"` + id + `"}},"page":{"limit":1}}`,
		"set_operator_status":     `{"action":"list_operator_statuses","fields":["id","sipUserId","agentName","status","source"],"filter":{"sipUserId":{"eq":"` + id + `"}},"page":{"limit":1}}`,
		"delete_email_template":   `{"action":"list_email_templates","fields":["id","name","subject"],"filter":{"id":{"eq":"` + id + `"}},"page":{"limit":1}}`,
		"create_contact":          "", "start_outbound_call": "", "list_contacts": "", "issue_operator_access_token": "",
	} {
		args := map[string]string{"delete_contact": `{"input":{"contactId":"` + id + `"}}`, "update_contact": `{"identity":"` + id + `","input":{"dateOfBirth":null}}`,
			"end_call": `{"input":{"callUuid":"c-1"}}`, "set_operator_status": `{"input":{"sipUserId":"` + id + `","status":"available"}}`, "create_contact": `{"input":{"fullName":"A"}}`,
			"start_outbound_call": `{"input":{"contactId":"` + id + `"}}`, "list_contacts": `{}`, "issue_operator_access_token": `{"input":{"operatorEmail":"a@example.org"}}`}[action]
		if args == "" {
			args = `{"identity":"` + id + `"}`
		}
		p, fault := check(t, action, args)
		if fault != nil {
			t.Fatalf("%s: %v", action, fault)
		}
		got := ""
		if about := p.AboutRead(); about != nil {
			got = string(about.Body)
		}
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", action, got, want)
		}
	}
	// Every action that names a record by its id has card fields for it.
	for _, a := range Actions() {
		if list := byName[a.ShownBy()]; a.Class != Read && a.hasKey("identity") && (list == nil || !list.List() || len(list.Resource.cardFields) == 0) {
			t.Errorf("%s: a person cannot know its record again", a.Name)
		}
	}
	for _, r := range Resources() {
		for _, f := range r.cardFields {
			if r.Field(f) == nil {
				t.Errorf("%s has no field %s", r.Name, f)
			}
		}
	}
}

func TestNamed(t *testing.T) {
	const id = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	p, _ := check(t, "delete_contact", `{"input":{"contactId":"`+id+`"}}`)
	for data, want := range map[string]string{
		`[{"id":"` + id + `","fullName":"Ada","phoneE164":null,"other":1}]`: `{"fullName":"Ada","phoneE164":null}`,
		`{"results":[{"id":"` + id + `","fullName":"Ada"}]}`:                `{"fullName":"Ada"}`,
		`[{"id":"1e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11","fullName":"Eve"}]`:  "", // another record
		`[]`: "", `null`: "", `{`: "",
	} {
		if got := string(p.Named([]byte(data))); got != want {
			t.Errorf("%s: got %s, want %s", data, got, want)
		}
	}
}

// TestIsAbout checks which earlier calls created or changed the record that a call is about.
func TestIsAbout(t *testing.T) {
	const id, other = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11", "1e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	erase, template, end := `{"input":{"contactId":"`+id+`"}}`, `{"identity":"`+id+`"}`, `{"input":{"callUuid":"c-1"}}`
	for name, c := range map[string]struct{ action, args, earlier, earlierArgs, result string }{
		"updated":                     {"delete_contact", erase, "update_contact", `{"identity":"` + strings.ToUpper(id) + `","input":{"fullName":"A"}}`, ""},
		"updated another":             {"delete_contact", erase, "!update_contact", `{"identity":"` + other + `","input":{"fullName":"A"}}`, ""},
		"created":                     {"delete_contact", erase, "create_contact", `{"input":{"fullName":"A"}}`, `{"id":"` + id + `"}`},
		"created another":             {"delete_contact", erase, "!create_contact", `{"input":{"fullName":"A"}}`, `{"id":"` + other + `"}`},
		"created, not known":          {"delete_contact", erase, "!create_contact", `{"input":{"fullName":"A"}}`, ""},
		"template":                    {"delete_email_template", template, "update_email_template", `{"identity":"` + id + `","input":{"name":"A"}}`, ""},
		"of another kind":             {"delete_email_template", template, "!archive_contact", template, ""},
		"its text names a field":      {"end_call", end, "!flag_call_for_review", template, ""},
		"created, named by its input": {"end_call", end, "create_call", `{"input":{"direction":"inbound","fromNumber":"+1","toNumber":"+2","callUuid":" c-1"}}`, `{"status":"answered"}`},
		"another of its input":        {"end_call", end, "!create_call", `{"input":{"direction":"inbound","fromNumber":"+1","toNumber":"+2","callUuid":"c-2"}}`, `{"status":"answered"}`},
		"about none":                  {"create_contact", `{"input":{"fullName":"A"}}`, "!update_contact", `{"identity":"` + id + `","input":{"fullName":"A"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			action, no := strings.CutPrefix(c.earlier, "!")
			p, fault := check(t, c.action, c.args)
			earlier, fault2 := check(t, action, c.earlierArgs)
			if fault != nil || fault2 != nil {
				t.Fatal(fault, fault2)
			}
			if recorded, fault := ParsePayload(action, earlier.Body); fault != nil || p.IsAbout(recorded, []byte(c.result)) == no {
				t.Errorf("%v, %v", !no, fault)
			}
			if !no && !slices.Contains(p.Changers(), action) {
				t.Errorf("%q", p.Changers())
			}
		})
	}
}

func TestAboutPerson(t *testing.T) {
	const id = "0E6F1A52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	for action, c := range map[string][2]string{
		"delete_contact":        {`{"input":{"contactId":"` + id + `"}}`, "contact:" + strings.ToLower(id)},
		"update_contact":        {`{"identity":"` + id + `","input":{"fullName":"A"}}`, "contact:" + strings.ToLower(id)},
		"update_email_template": {`{"identity":"` + id + `","input":{"name":"A"}}`, ""},
		"end_call":              {`{"input":{"callUuid":"c-1"}}`, ""},
		"create_contact":        {`{"input":{"fullName":"A"}}`, ""},
	} {
		if p, fault := check(t, action, c[0]); fault != nil || p.AboutPerson() != c[1] {
			t.Errorf("%s: %q, %v", action, p.AboutPerson(), fault)
		}
	}
}
