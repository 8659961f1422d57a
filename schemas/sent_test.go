package schemas

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSentTexts checks which texts are sent in the organisation's name, and which read finds others
// like them.
func TestSentTexts(t *testing.T) {
	const id = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	const read = `{"action":"list_email_templates","fields":["id","name","subject","body"],"page":{"limit":250}}`
	for _, test := range []struct {
		action, args string
		want         map[string]string
		read         string
	}{
		{"update_email_template", `{"identity":"` + id + `","input":{"body":"b","name":"n","active":true}}`, map[string]string{"body": "b"}, read},
		{"create_email_template", `{"input":{"model":"m","name":"n","subject":"s","body":"b"}}`, map[string]string{"body": "b", "subject": "s"}, ""},
		{"update_email_template", `{"identity":"` + id + `","input":{"active":true}}`, map[string]string{}, ""},
		{"delete_email_template", `{"identity":"` + id + `"}`, nil, ""},
		{"list_email_templates", `{}`, nil, ""},
		{"update_contact", `{"identity":"` + id + `","input":{"fullName":"n"}}`, map[string]string{}, ""},
	} {
		p, fault := check(t, test.action, test.args)
		if fault != nil {
			t.Fatal(fault)
		}
		if d := cmp.Diff(test.want, p.SentTexts()); d != "" {
			t.Errorf("%s: %s", test.action, d)
		}
		got := ""
		if similar := p.SimilarRead(); similar != nil {
			got = string(similar.Body)
		}
		if got != test.read {
			t.Errorf("%s: read %s, want %s", test.action, got, test.read)
		}
	}
	p, _ := check(t, "update_email_template", `{"identity":"`+id+`","input":{"body":"b"}}`)
	rows := `[{"id":"` + id + `","name":"own","body":"b"},{"id":"other","name":"n","body":"b","subject":null,"new":1}]`
	want := []SentRecord{{Name: "n", Texts: []string{"b", ""}}}
	for data, ok := range map[string]bool{rows: true, `{"results":` + rows + `,"hasMore":false}`: true, `{`: false, `"x"`: false} {
		got, whole, read := p.Similar([]byte(data))
		if !whole || read != ok || ok && cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v, whole %v, read %v", data, got, whole, read)
		}
	}
}
