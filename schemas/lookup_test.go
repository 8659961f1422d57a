package schemas

import (
	"strings"
	"testing"
)

// TestReferences checks that the ids of agents are looked up, and only those.
func TestReferences(t *testing.T) {
	const id, agent = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11", "7f9c2ba4-e88f-4bd5-8bd4-0c2c6c1d7b30"
	const read = `{"action":"list_ai_agents","fields":["id","name","published"],"filter":{"id":{"eq":"` + agent + `"}},"page":{"limit":1}}`
	for args, want := range map[string]string{
		`start_outbound_call {"input":{"phoneNumber":"+442079460123","aiAgentId":"` + agent + `"}}`:                      read,
		`start_bulk_outbound_call {"input":{"groupId":"` + id + `","contactLimit":3,"aiAgentId":"` + agent + `"}}`:       read,
		`start_outbound_call {"input":{"phoneNumber":"+442079460123"}}`:                                                  "",
		`update_email_identity {"identity":"` + id + `","input":{"ownerId":"` + agent + `"}}`:                            read,
		`update_email_identity {"identity":"` + id + `","input":{"ownerType":"ai_agent","ownerId":"` + agent + `"}}`:     read,
		`update_email_identity {"identity":"` + id + `","input":{"ownerType":"organisation","ownerId":"` + agent + `"}}`: "",
		`delete_contact {"input":{"contactId":"` + id + `"}}`:                                                            "",
	} {
		action, args, _ := strings.Cut(args, " ")
		p, fault := check(t, action, args)
		if fault != nil {
			t.Fatal(args, fault)
		}
		got := ""
		for _, l := range p.References() {
			got += string(l.Read.Body)
		}
		if got != want {
			t.Errorf("%s %s: got %s", action, args, got)
		}
	}
	for _, a := range Actions() {
		for _, k := range a.inputs {
			if list := byName[k.refers]; k.refers != "" && (list == nil || !list.List() || len(list.Resource.cardFields) == 0 || list.Resource.One == "") {
				t.Errorf("%s: %s refers to records that a card cannot describe", a.Name, k.Name)
			}
			if k.where != "" && (a.inputKey(k.where) == nil || !strings.Contains(strings.Join(a.inputKey(k.where).Values, " "), k.when)) {
				t.Errorf("%s: %s refers to %s=%s", a.Name, k.Name, k.where, k.when)
			}
		}
	}
}

// TestErasure checks that every field about a person that an erasure erases has a label, and which
// reads find what it leaves.
func TestErasure(t *testing.T) {
	const id = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	for _, a := range Actions() {
		for i := 0; a.erases && i < len(a.Resource.Fields); i++ {
			if f := a.Resource.Fields[i]; f.Personal && f.Label == "" {
				t.Errorf("%s erases %s, and the card cannot say so", a.Name, f.Name)
			}
		}
	}
	for _, r := range Resources() {
		if r.Keeps != "" && (r.One == "" || r.Many == "") {
			t.Errorf("%s cannot be counted", r.Name)
		}
	}
	p, _ := check(t, "delete_contact", `{"input":{"contactId":"`+id+`"}}`)
	for number, want := range map[string]string{
		`null`:             `"filter":{"or":[{"contactId":{"eq":"` + id + `"}}]}`,
		`"112"`:            `"filter":{"or":[{"contactId":{"eq":"` + id + `"}}]}`,
		`"+44\u0000"`:      `"filter":{"or":[{"contactId":{"eq":"` + id + `"}}]}`,
		`"+4477009001071"`: `"filter":{"or":[{"fromNumber":{"eq":"+4477009001071"}},{"toNumber":{"eq":"+4477009001071"}},{"contactId":{"eq":"` + id + `"}}]}`,
	} {
		reads := p.Kept(p.Erased([]byte(`[{"id":"` + id + `","phoneE164":` + number + `,"erasedAt":null}]`)))
		if len(reads) < 2 || !strings.Contains(string(reads[0].Body), want) {
			t.Errorf("%s: %s", number, reads[0].Body)
		}
	}
	if got := string(p.Erased([]byte(`[{"id":"` + id + `","phoneE164":null,"erasedAt":null,"fullName":"Ada"}]`))); got != `{"fullName":"Ada","phoneE164":null}` {
		t.Error(got)
	}
	archive, _ := check(t, "archive_contact", `{"identity":"`+id+`"}`)
	if archive.Kept(nil) != nil || archive.Erased([]byte(`[{"id":"`+id+`"}]`)) != nil {
		t.Error("archiving erases nothing")
	}
}

func TestCountRows(t *testing.T) {
	type count struct {
		n        int
		more, ok bool
	}
	for data, want := range map[string]count{
		`[]`: {ok: true}, `[{},{}]`: {n: 2, ok: true}, ` [{}]`: {n: 1, ok: true},
		`{"results":[{}],"hasMore":true}`: {n: 1, more: true, ok: true}, `{"hasMore":false,"results":[]}`: {ok: true},
		`{}`: {}, ` {}`: {}, `{"id":1}`: {}, `{"results":null}`: {}, `{"results":{}}`: {}, `null`: {}, ``: {}, `[{}`: {}, `{"results":[{}]`: {},
	} {
		if n, more, ok := CountRows([]byte(data)); (count{n, more, ok}) != want {
			t.Errorf("%s: %d %v %v", data, n, more, ok)
		}
	}
}
