package approval_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const agentID = "7d3b8a90-0c61-4a55-b9a1-3c1d2e4f5a6b"

func known(named string) func(*approval.Call) {
	return func(c *approval.Call) { c.Record = &approval.Record{Named: json.RawMessage(named)} }
}

func to(list ...recipients.Recipient) func(*approval.Call) {
	return func(c *approval.Call) { c.Recipients = &recipients.Set{List: list, Count: len(list)} }
}

// TestDeed checks the deeds of common calls, and those that get none.
func TestDeed(t *testing.T) {
	hannah := known(`{"fullName":"Hannah Blythe","phoneE164":"+447700900107","email":"h@example.com"}`)
	ada := recipients.Recipient{Contact: anID, Name: "Ada Lovelace", Number: "+442079460123", Country: "GB", Kind: recipients.FixedLine}
	bob := recipients.Recipient{Contact: agentID, Number: "+447700900297", Country: "GB", Kind: recipients.Mobile}
	bare := recipients.Recipient{Number: "+447700900297", Country: "GB", Kind: recipients.Mobile}
	id, long := `"identity":"`+anID+`"`, strings.Repeat("long ", 40)
	none := []string(nil)
	for _, tt := range []struct {
		name, action, args string
		change             func(*approval.Call)
		cut                bool
		want               []string
	}{
		{"a new number", "update_contact", `{` + id + `,"input":{"phoneE164":"+447700900999"}}`, hannah, false,
			[]string{`Change the contact +447700900107 "Hannah Blythe": phone → +447700900999`}},
		{"several values", "update_contact", `{` + id + `,"input":{"phoneE164":null,"languages":["en","zh-Hant"],"metadata":{"vip":true}}}`, hannah, false,
			[]string{`Change the contact +447700900107 "Hannah Blythe": languages → en, zh-Hant; phone`, `→ (empty); metadata.vip → true`}},
		{"a sandbox", "update_contact", `{` + id + `,"input":{"phoneE164":"+447700900999"}}`, func(c *approval.Call) { hannah(c); c.Simulated = true }, false,
			[]string{`[simulated] Change the contact +447700900107 "Hannah Blythe": phone →`, `+447700900999`}},
		{"a hidden number", "update_contact", `{` + id + `,"input":{"phoneE164":"+447700900999"}}`, func(c *approval.Call) { hannah(c); c.Record.Hidden = map[string]bool{"phoneE164": true} }, false,
			[]string{`Change the contact "Hannah Blythe" ` + anID + `: phone →`, `+447700900999`}},
		{"a name like a number", "delete_contact", `{"input":{"contactId":"` + anID + `"}}`, known(`{"fullName":"+447700900107"}`), false,
			[]string{`Erase the contact "+447700900107" ` + anID + ` for good.`}},
		{"erase", "delete_contact", `{"input":{"contactId":"` + anID + `"}}`, hannah, false,
			[]string{`Erase the contact +447700900107 "Hannah Blythe" for good.`}},
		{"an unknown record", "delete_contact", `{"input":{"contactId":"` + anID + `"}}`, func(c *approval.Call) { c.Record = &approval.Record{Unreadable: true} }, false,
			[]string{`Erase the contact ` + anID + ` for good.`}},
		{"a number", "start_outbound_call", `{"input":{"phoneNumber":"+447700900297","aiAgentId":"` + agentID + `"}}`, to(bare), false,
			[]string{`Ring +44 7700 900297 (GB, mobile) now. aiAgentId:`, agentID}},
		{"a contact", "start_outbound_call", `{"input":{"contactId":"` + anID + `"}}`, to(ada), false,
			[]string{`Ring +44 20 7946 0123 (GB, fixed line) "Ada Lovelace" now.`}},
		{"a contact whose number is hidden", "start_outbound_call", `{"input":{"contactId":"` + anID + `"}}`, to(recipients.Recipient{Contact: anID, Name: "Ada Lovelace", Country: "GB", Kind: recipients.Mobile}), false,
			[]string{`Ring (GB, mobile) "Ada Lovelace" ` + anID + ` now.`}},
		{"two contacts", "start_bulk_outbound_call", `{"input":{"contactIds":["` + anID + `","` + agentID + `"]}}`, to(ada, bob), false,
			[]string{`Ring many people: +44 20 7946 0123 (GB, fixed line) "Ada Lovelace",`, `+44 7700 900297 (GB, mobile) contact ` + agentID + `.`}},
		{"a number after a right-to-left name", "start_bulk_outbound_call", `{"input":{"contactIds":["` + anID + `","` + agentID + `"]}}`,
			to(recipients.Recipient{Contact: anID, Name: "שרה", Number: "+442079460123"}, recipients.Recipient{Contact: agentID, Name: "דוד", Number: "+447700900297"}), false, none},
		{"six contacts", "start_bulk_outbound_call", `{"input":{"contactIds":["` + anID + `"]}}`, to(ada, ada, ada, ada, ada, ada), false, none},
		{"a long name", "start_outbound_call", `{"input":{"contactId":"` + anID + `"}}`, to(recipients.Recipient{Contact: anID, Name: long, Number: "+442079460123"}), true, none},
		{"a group", "start_bulk_outbound_call", `{"input":{"groupId":"` + agentID + `","contactLimit":40}}`, func(c *approval.Call) { c.Recipients = &recipients.Set{Group: agentID, Count: 40} }, false,
			[]string{`Ring many people: up to 40 members of the group`, agentID + `, which Sippet cannot list. contactLimit: 40`}},
		{"a live call", "end_call", `{"input":{"callUuid":"c-17"}}`, known(`{"fromNumber":"+447700900107","toNumber":"+442079460000","contactFullName":"Hannah Blythe","status":"answered"}`), false,
			[]string{`Hang up the live call +447700900107 +442079460000 "Hannah Blythe".`}},
		{"an anonymous caller", "end_call", `{"input":{"callUuid":"c-17"}}`, known(`{"fromNumber":"anonymous","toNumber":"+442079460000"}`), false,
			[]string{`Hang up the live call anonymous +442079460000 c-17.`}},
		{"a call that is not known", "end_call", `{"input":{"callUuid":"c 17"}}`, nil, false, []string{`Hang up the live call "c 17".`}},
		{"an operator", "set_operator_status", `{"input":{"sipUserId":"` + anID + `","status":"on_break","source":"api"}}`, known(`{"agentName":"Grace","status":"available"}`), false,
			[]string{`Set operator "Grace" ` + anID + ` to on_break. source:`, `api`}},
		{"a label", "override_call_classification", `{` + id + `,"input":{"label":"not sales"}}`, known(`{"effectiveLabel":"sales"}`), false,
			[]string{`Set the label of classification "sales" ` + anID + ` to`, `"not sales".`}},
		{"a sender address", "create_email_identity", `{"input":{"ownerType":"user","ownerId":"` + anID + `","localPart":"info","domain":"example.com","organisationId":"` + agentID + `"}}`, nil, false, none},
		{"a short template", "update_email_template", `{` + id + `,"input":{"subject":"Hello; body → \"x\""}}`, known(`{"name":"Welcome"}`), false,
			[]string{`Change the email template "Welcome" ` + anID + `:`, `subject → "Hello; body → \"x\""`}},
		{"a long template", "update_email_template", `{` + id + `,"input":{"body":"` + long + `"}}`, known(`{"name":"Welcome"}`), true, none},
		{"a value longer than a line", "update_email_template", `{` + id + `,"input":{"subject":"` + long[:90] + `"}}`, known(`{"name":"Welcome"}`), false, none},
		{"a wide value", "create_contact", `{"input":{"fullName":"` + strings.Repeat("漢", 40) + `"}}`, nil, false, none},
		{"a narrower value", "create_contact", `{"input":{"fullName":"` + strings.Repeat("漢", 38) + `"}}`, nil, false,
			[]string{`Add the contact`, `"` + strings.Repeat("漢", 38) + `".`}},
		{"a long list", "create_contact", `{"input":{"fullName":"x","languages":["a","b","c","d","e","f"]}}`, nil, true, none},
		{"a long key", "create_contact", `{"input":{"fullName":"x","metadata":{"` + long + `":1}}}`, nil, true, none},
		{"a long old value", "update_contact", `{` + id + `,"input":{"email":"a@example.com"}}`, func(c *approval.Call) {
			c.Record = &approval.Record{Named: json.RawMessage(`{}`), Replaced: json.RawMessage(`{"email":"` + long + `"}`)}
		}, true, none},
		{"a hostile value", "create_contact", `{"input":{"fullName":"x\\\"; phone → +447700900999\n[simulated] a","email":"a:"}}`, nil, false,
			[]string{`Add the contact "x\\\"; phone → +447700900999\n[simulated] a". email: "a:"`}},
		{"quotes of other scripts", "create_contact", `{"input":{"fullName":"x”; phone → +447700900999. “","email":"O’Hara, x"}}`, nil, false,
			[]string{`Add the contact "x\”; phone → +447700900999. \“". email: "O’Hara, x"`}},
		{"mixed scripts", "start_outbound_call", `{"input":{"contactId":"` + anID + `"}}`, to(recipients.Recipient{Contact: anID, Name: "Hаnnah Ａ", Number: "+442079460123"}), false,
			[]string{`Ring +44 20 7946 0123 (no country, ) "Hаnnah Ａ" (letters of Cyrillic and Latin,`, `full-width letters) now.`}},
		{"a hostile key", "create_contact", `{"input":{"fullName":"x","metadata":{"a: 1; phone":2}}}`, nil, false,
			[]string{`Add the contact x. metadata."a: 1; phone": 2`}},
		{"a read", "list_calls", `{"fields":["id","status"],"filter":{"contactId":{"eq":"` + anID + `"}},"sort":"-startedAt"}`, nil, false,
			[]string{`List calls. fields: id, status; sort: -startedAt; filter.contactId.eq:`, anID}},
		{"a read of all fields", "list_calls", `{}`, nil, true, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.action, tt.args, tt.change)
			if d := cmp.Diff(tt.want, c.Deed); d != "" || c.Cut != tt.cut {
				t.Errorf("cut %v, %s", c.Cut, d)
			}
			if c.FitsDialogue() != (len(tt.want) > 0) {
				t.Errorf("fits: %v", c.FitsDialogue())
			}
			if text := c.Short(); c.Deed != nil && !strings.HasPrefix(text, strings.Join(c.Deed, "\n")+"\n") {
				t.Errorf("the text does not begin with the deed:\n%s", text)
			}
		})
	}
}

// TestFitsDialogue checks that a card that cuts a value does not fit, even if it has a deed.
func TestFitsDialogue(t *testing.T) {
	for _, c := range []approval.Card{{}, {Cut: true}, {Cut: true, Deed: []string{"x"}}} {
		if c.FitsDialogue() {
			t.Errorf("%+v fits", c)
		}
	}
}

// TestDeedOfEachAction checks that each action has a deed if its values are short.
func TestDeedOfEachAction(t *testing.T) {
	for _, a := range schemas.Actions() {
		args := map[string]any{}
		if has, _ := a.Key("identity"); has {
			args["identity"] = anID
		}
		if has, required := a.Key("fields"); has && (required || a.Class == schemas.Read) {
			args["fields"] = []string{"id"}
		}
		in := map[string]any{}
		for _, i := range a.Inputs() {
			if shapeOf(a).Properties["input"].requires(i.Name) || len(a.Targets) > 0 && i.Name == a.Targets[0] {
				in[i.Name] = shapeOf(a).Properties["input"].Properties[i.Name].short(i.Name)
			}
		}
		s := shapeOf(a)
		if len(in) > 0 || s.requires("input") {
			args["input"] = in
		}
		raw, _ := json.Marshal(args)
		if c := newCard(t, a.Name, string(raw), nil); !c.FitsDialogue() && a.Name != "create_email_identity" { // two ids, an address and three names
			t.Errorf("%s: cut %v, no deed: %s", a.Name, c.Cut, raw)
		}
	}
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_.:+@/-]{0,63}[A-Za-z0-9_.+@/-]$`)

// shownAs returns how a card shows a text.
func shownAs(s string) string {
	if plain.MatchString(s) {
		return s
	}
	quoted, _ := schemas.Quote(s, 150)
	return quoted
}

// eachScalar calls visit for the values below v that are no maps or lists.
func eachScalar(path string, v any, visit func(path string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			eachScalar(path+"."+k, e, visit)
		}
	case []any:
		for _, e := range v {
			eachScalar(path, e, visit)
		}
	default:
		visit(path, v)
	}
}

// TestDeedHasEveryValue checks for random calls of all actions that a deed has all values of the
// payload, that it fits two lines, and that none begins inside a value. No line of the text is wider
// than 80 columns.
func TestDeedHasEveryValue(t *testing.T) {
	deeds, calls := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		a := schemas.Actions()[rapid.IntRange(0, len(schemas.Actions())-1).Draw(t, "action")]
		p, fault := a.Check([]byte(drawArgs(t, a)), schemas.Limits{Now: noon})
		if fault != nil {
			t.Fatalf("%s: %v %v", a.Name, fault, fault.Details)
		}
		in := approval.Call{Payload: p, Why: "policy x", Simulated: rapid.Bool().Draw(t, "sandbox"), Client: texts.Draw(t, "client")}
		ids := map[string][]string{} // what stands for an id
		if read := p.AboutRead(); read != nil && rapid.Bool().Draw(t, "has record") {
			named, numbers := map[string]any{}, []string{}
			for _, f := range read.Args["fields"].([]any) {
				name := f.(string)
				if read.Action.Resource.Field(name).Names != schemas.PhoneSubject {
					named[name] = texts.Draw(t, name)
				} else if rapid.Bool().Draw(t, name) {
					named[name] = "+44770090" + fmt.Sprint(rapid.IntRange(1000, 9999).Draw(t, name))
					numbers = append(numbers, named[name].(string))
				}
			}
			delete(named, "id")
			raw, _ := json.Marshal(named)
			in.Record = &approval.Record{Named: raw}
			for _, id := range read.Args["filter"].(map[string]any) {
				if len(numbers) > 0 {
					ids[id.(map[string]any)["eq"].(string)] = numbers
				}
			}
		}
		if recipients.HasRecipients(a) {
			in.Recipients = &recipients.Set{}
			eachScalar("", p.Args["input"], func(path string, v any) {
				r := recipients.Recipient{Number: fmt.Sprintf("+4420794%05d", 60000+len(in.Recipients.List)), Country: "GB", Kind: recipients.FixedLine}
				switch path {
				case ".groupId":
					in.Recipients.Group = v.(string)
				case ".contactId", ".contactIds":
					r.Contact, r.Name = v.(string), texts.Draw(t, "recipient")
					fallthrough
				case ".phoneNumber":
					in.Recipients.List = append(in.Recipients.List, r)
					ids[v.(string)] = []string{r.Number}
				}
			})
			in.Recipients.Count = max(1, len(in.Recipients.List))
		}
		c := approval.NewCard(in)
		if c.FitsDialogue() != (c.Deed != nil) || c.Cut && c.Deed != nil {
			t.Fatalf("%+v", c)
		}
		for i, l := range append(slices.Clone(c.Deed), strings.Split(c.Short(), "\n")...) {
			n := utf8.RuneCountInString(l)
			for _, r := range l {
				if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) && (r < 0xff61 || r > 0xffdc) {
					n++
				}
			}
			quotes := strings.Count(strings.NewReplacer(`\\`, "", `\"`, "").Replace(l), `"`)
			if n > 80 || len(c.Deed) > 2 || i < len(c.Deed) && quotes%2 != 0 {
				t.Fatalf("%d columns, %d quotes: %s", n, quotes, l)
			}
		}
		calls++
		deed := strings.Join(c.Deed, " ")
		for _, key := range []string{"identity", "input", "filter", "fields", "sort", "page"} {
			if p.Args[key] == nil || a.Class != schemas.Read && key != "identity" && key != "input" {
				continue
			}
			eachScalar(key, p.Args[key], func(path string, v any) {
				want := "(empty)"
				switch v := v.(type) {
				case string:
					if utf8.RuneCountInString(v) > 150 && !c.Cut {
						t.Fatalf("%s is longer than the card takes, and the card is not cut: %+v", path, c)
					}
					if want = shownAs(v); v == "" {
						want = "(empty)"
					}
				case nil:
				default:
					raw, _ := json.Marshal(v)
					want = string(raw)
				}
				if c.Deed == nil || strings.Contains(deed, want) {
					return
				}
				if s, ok := v.(string); ok && ids[s] != nil {
					for _, number := range ids[s] {
						if !strings.Contains(strings.ReplaceAll(deed, " ", ""), number) {
							t.Fatalf("neither %s nor %s is in %s", s, number, deed)
						}
					}
					return
				}
				raw, _ := json.Marshal(v)
				if !strings.Contains(deed, string(raw)) { // inside a list in a map
					t.Fatalf("%s %s is not in %s", path, want, deed)
				}
			})
		}
		if c.Deed != nil {
			deeds++
		}
	})
	t.Logf("%d deeds of %d calls", deeds, calls)
	if deeds < calls/10 {
		t.Errorf("only %d deeds of %d calls", deeds, calls)
	}
}
