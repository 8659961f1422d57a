package schemas_test

import (
	"slices"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

func effectOf(t *testing.T, action, args string) (effect, hash string) {
	t.Helper()
	a, e := schemas.Find(action)
	if e != nil {
		t.Fatal(e)
	}
	p, e := a.Check([]byte(args), schemas.Limits{})
	if e != nil {
		t.Fatalf("%s %s: %v", action, args, e)
	}
	return p.EffectKey(), p.Hash()
}

// TestEffectKey checks which calls are the same call.
func TestEffectKey(t *testing.T) {
	const id, other = "7f9c2ba4-e88f-4bd5-8bd4-0c2c6c1d7b30", "3b241101-e2bb-4255-8caf-4136c566a962"
	for name, c := range map[string]struct {
		action, a, b string
		same         bool
	}{
		"fields":                  {"create_contact", `{"input":{"fullName":"Ada"}}`, `{"input":{"fullName":"Ada"},"fields":["id"]}`, true},
		"reason":                  {"create_contact", `{"input":{"fullName":"Ada"}}`, `{"input":{"fullName":"Ada"},"reason":"x"}`, true},
		"a null in a create":      {"create_contact", `{"input":{"fullName":"Ada"}}`, `{"input":{"fullName":"Ada","metadata":null}}`, true},
		"an empty text":           {"create_contact", `{"input":{"fullName":"Ada"}}`, `{"input":{"fullName":"Ada","email":""}}`, true},
		"spaces":                  {"create_contact", `{"input":{"fullName":"Ada"}}`, `{"input":{"fullName":"\tAda\u00a0"}}`, true},
		"spaces in a list":        {"create_contact", `{"input":{"fullName":"Ada","languages":["en"]}}`, `{"input":{"fullName":"Ada","languages":[" en"]}}`, true},
		"a time in another zone":  {"create_contact", `{"input":{"fullName":"Ada","phoneVerifiedAt":"2026-01-31T09:00:00Z"}}`, `{"input":{"fullName":"Ada","phoneVerifiedAt":"2026-01-31T10:00:00.0+01:00"}}`, true},
		"another time":            {"create_contact", `{"input":{"fullName":"Ada","phoneVerifiedAt":"2026-01-31T09:00:00Z"}}`, `{"input":{"fullName":"Ada","phoneVerifiedAt":"2026-01-31T09:00:00.000001Z"}}`, false},
		"spaces within a map":     {"create_contact", `{"input":{"fullName":"Ada","metadata":{"a":"b"}}}`, `{"input":{"fullName":"Ada","metadata":{"a":" b"}}}`, false},
		"a null within a map":     {"create_contact", `{"input":{"fullName":"Ada","metadata":{"a":null}}}`, `{"input":{"fullName":"Ada","metadata":{}}}`, false},
		"a null in an update":     {"update_contact", `{"identity":"` + id + `","input":{"fullName":"Ada"}}`, `{"identity":"` + id + `","input":{"fullName":"Ada","email":null}}`, false},
		"cleared in two ways":     {"update_contact", `{"identity":"` + id + `","input":{"email":null}}`, `{"identity":"` + id + `","input":{"email":" "}}`, true},
		"another value":           {"update_contact", `{"identity":"` + id + `","input":{"fullName":"Ada"}}`, `{"identity":"` + id + `","input":{"fullName":"Bo"}}`, false},
		"another record":          {"archive_contact", `{"identity":"` + id + `"}`, `{"identity":"` + other + `"}`, false},
		"an agent":                {"start_outbound_call", `{"input":{"contactId":"` + id + `"}}`, `{"input":{"contactId":"` + id + `","aiAgentId":"` + other + `"}}`, false},
		"the status of an upsert": {"set_operator_status", `{"input":{"sipUserId":"` + id + `"}}`, `{"input":{"sipUserId":"` + id + `","source":null}}`, false},
		"fields of a read":        {"list_contacts", `{}`, `{"fields":["id"]}`, false},
	} {
		a, hashA := effectOf(t, c.action, c.a)
		b, hashB := effectOf(t, c.action, c.b)
		if (a == b) != c.same {
			t.Errorf("%s: same is %t", name, a == b)
		}
		if name != "reason" && hashA == hashB {
			t.Errorf("%s: the bytes have one hash", name)
		}
	}
	flag, _ := effectOf(t, "flag_call_for_review", `{"identity":"`+id+`"}`)
	if clear, _ := effectOf(t, "clear_call_review_flag", `{"identity":"`+id+`"}`); flag == clear {
		t.Error("two actions have one effect")
	}
}

// TestAffects checks whom a call affects by its arguments.
func TestAffects(t *testing.T) {
	const id = "7f9c2ba4-e88f-4bd5-8bd4-0c2c6c1d7b30"
	for _, c := range []struct {
		action, args string
		want         []string
	}{
		{"update_contact", `{"identity":"` + id + `","input":{"phoneE164":"+442079460123","email":"Ada@Example.com"}}`, []string{"contact:" + id, "email:ada@example.com", "phone:+442079460123"}},
		{"delete_contact", `{"input":{"contactId":"` + id + `"}}`, []string{"contact:" + id}},
		{"create_contact", `{"input":{"fullName":"Ada"}}`, nil},
		{"import_inbound_email", `{"input":{"recipientAddress":"us@example.com","rawMime":"From: ada@example.com\r\n\r\nhi"}}`, nil},
		{"flag_call_for_review", `{"identity":"` + id + `"}`, nil},
	} {
		a, e := schemas.Find(c.action)
		if e != nil {
			t.Fatal(e)
		}
		p, e := a.Check([]byte(c.args), schemas.Limits{})
		if e != nil {
			t.Fatal(e)
		}
		if got := p.Affects(); !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %q", c.action, c.args, got)
		}
	}
}

// TestEffectKinds checks that every change of a contact and everything that rings or writes has a
// kind.
func TestEffectKinds(t *testing.T) {
	for _, a := range schemas.Actions() {
		want := schemas.EffectKind("")
		switch {
		case a.Class == schemas.Read:
		case a.Resource != nil && a.Resource.Name == "Contact":
			want = schemas.ContactChange
		case a.Name == "import_inbound_email":
			want = schemas.Mail
		case a.Class == schemas.Outbound && !a.LiveCall:
			want = schemas.Ringing
		}
		if a.EffectKind != want {
			t.Errorf("%s has the kind %q, want %q", a.Name, a.EffectKind, want)
		}
	}
}
