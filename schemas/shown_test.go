package schemas

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShown(t *testing.T) {
	const ada, bob = "0e6f1a52-4f0e-4a3b-9a87-000000000001", "0e6f1a52-4f0e-4a3b-9a87-000000000002"
	for name, c := range map[string]struct {
		action, data string
		rows         int
		hidden       []string
		want         []string
	}{
		"contacts by id":            {"list_contacts", `[{"id":"` + ada + `"},{"id":"` + bob + `"},{"id":"` + strings.ToUpper(ada) + `"}]`, -1, nil, []string{"contact:" + ada, "contact:" + bob}},
		"the first row of a page":   {"list_contacts", `{"results":[{"id":"` + ada + `"},{"id":"` + bob + `"}],"hasMore":true}`, 1, nil, []string{"contact:" + ada}},
		"no row":                    {"list_contacts", `{"results":[],"count":20026}`, -1, nil, nil},
		"a birthday without an id":  {"list_contacts", `[{"dateOfBirth":"1970-01-01"},{"dateOfBirth":"1970-01-02"},{"dateOfBirth":"1970-01-01"}]`, -1, nil, []string{`row:{"dateOfBirth":"1970-01-01"}`, `row:{"dateOfBirth":"1970-01-02"}`}},
		"a hidden birthday":         {"list_contacts", `[{"dateOfBirth":"1970-01-01"}]`, -1, []string{"dateOfBirth"}, nil},
		"contacts by number":        {"list_contacts", `[{"phoneE164":"+44 20 7946 0123","fullName":"Ada"},{"phoneE164":null,"email":null,"fullName":null}]`, -1, nil, []string{"phone:+442079460123"}},
		"calls of one contact":      {"list_calls", `[{"id":"` + bob + `","contactId":"` + ada + `"},{"id":"` + ada + `","contactId":"` + ada + `"}]`, -1, nil, []string{"contact:" + ada}},
		"a call of no contact":      {"list_calls", `[{"id":"` + bob + `","contactId":null,"fromNumber":"+442079460123","toNumber":"+442079460124"}]`, -1, nil, []string{"phone:+442079460123 phone:+442079460124"}},
		"states of calls":           {"list_calls", `[{"id":"` + bob + `","status":"completed"}]`, -1, nil, nil},
		"what two people said":      {"list_call_transcripts", `[{"callId":"` + ada + `","content":"Hello"},{"callId":"` + ada + `","content":"Bye"},{"callId":"` + bob + `","content":"Hello"}]`, -1, nil, []string{"callId:" + ada, "callId:" + bob}},
		"texts without their calls": {"list_call_transcripts", `[{"id":"` + ada + `","content":"Hello"},{"content":"Bye"}]`, -1, nil, []string{"id:" + ada, `row:{"content":"Bye"}`}},
		"one record":                {"get_call_queue_entry", `{"id":"` + ada + `","callerIdNumber":"+442079460123"}`, -1, nil, []string{"phone:+442079460123"}},
		"a map with a contact":      {"get_campaign", `{"name":"x","contactId":"` + ada + `"}`, -1, nil, []string{"contact:" + ada}},
		"what is no JSON":           {"list_contacts", `[{"id":"` + ada + `"`, -1, nil, nil},
		"null":                      {"list_contacts", `null`, -1, nil, nil},
	} {
		a, err := Find(c.action)
		if err != nil {
			t.Fatal(err)
		}
		hidden := map[string]bool{}
		for _, f := range c.hidden {
			hidden[f] = true
		}
		got := (&Payload{Action: a}).Shown([]byte(c.data), c.rows, hidden)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestShownByCursor checks that a cursor, which holds what a list is sorted by and the id of its last
// row, shows a person where the rows show nobody.
func TestShownByCursor(t *testing.T) {
	const id = "0e6f1a52-4f0e-4a3b-9a87-000000000001"
	for name, c := range map[string]struct {
		action, sort, row string
		want              []string
	}{
		"languages of contacts": {"list_contacts", "", `{"defaultLanguage":"en"}`, []string{`cursor:"x"`}},
		"contacts by id":        {"list_contacts", "phoneE164", `{"id":"` + id + `"}`, []string{"contact:" + id}},
		"states of events":      {"list_conversation_events", "", `{"id":"` + id + `","success":true}`, nil},
		"events by their text":  {"list_conversation_events", "-occurredAt,++summary", `{"id":"` + id + `","success":true}`, []string{`cursor:"x"`}},
	} {
		a, err := Find(c.action)
		if err != nil {
			t.Fatal(err)
		}
		p := &Payload{Action: a, Args: map[string]any{"sort": c.sort}}
		got := p.Shown([]byte(`{"results":[`+c.row+`],"hasMore":true,"nextPage":"x","previousPage":null}`), -1, nil)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestGuesses checks which filters may guess what is known about a person.
func TestGuesses(t *testing.T) {
	for filter, want := range map[string]bool{
		`{"phoneE164":{"eq":"+442079460123"}}`:                                                                  true,
		`{"or":[{"defaultLanguage":{"eq":"en"}},{"not":[{"dateOfBirth":{"lessThan":"1970-01-01"}}]}]}`:          true,
		`{"defaultLanguage":{"eq":"en"}}`:                                                                       false,
		`{"and":[{"id":{"eq":"0e6f1a52-4f0e-4a3b-9a87-000000000001"}},{"not":[{"deletedAt":{"isNil":true}}]}]}`: false,
	} {
		a, err := Find("list_contacts")
		if err != nil {
			t.Fatal(err)
		}
		p, err := a.Check([]byte(`{"filter":`+filter+`}`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Guesses(); got != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
}
