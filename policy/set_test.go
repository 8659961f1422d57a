package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// decided is what the book's policy for the caller says to a call of an action.
func decided(t *testing.T, b *policy.PolicySet, c policy.Caller, action string) rules.Decision {
	t.Helper()
	args := map[string]string{"list_contacts": `{}`, "create_contact": creating, "archive_contact": `{"identity":"` + anID + `"}`,
		"delete_contact": `{"input":{"contactId":"` + anID + `"}}`, "update_contact": `{"identity":"` + anID + `","input":{"fullName":"Ada"}}`}[action]
	return b.For(c).Decide(rules.Facts{Payload: payload(t, action, args), Now: noon}).Decision
}

func policyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "house.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const noNewContacts = "rules: [{id: none, match: {actions: [create_contact]}, decision: deny, reason: Not today.}]\n"

// TestPolicyOfCaller: what a caller brings only makes stricter, and adds to the policy for callers with credentials.
func TestPolicyOfCaller(t *testing.T) {
	type want = map[string]rules.Decision
	desktop := want{"list_contacts": rules.Allow, "update_contact": rules.Validate, "create_contact": rules.Validate, "delete_contact": rules.Confirm}
	readOnly := want{"list_contacts": rules.Allow, "update_contact": rules.Deny, "create_contact": rules.Deny, "delete_contact": rules.Deny}
	rule := policyFile(t, head+noNewContacts)
	for name, c := range map[string]struct {
		names, named []string
		caller       policy.Caller
		want         want
	}{
		"nobody":                 {[]string{"desktop"}, []string{"team"}, policy.Caller{Actor: ledger.Actor{Name: "ada"}}, desktop},
		"named":                  {[]string{"desktop"}, []string{"team"}, policy.Caller{Credential: "x"}, want{"update_contact": rules.Validate, "delete_contact": rules.Approve}},
		"named, none for them":   {[]string{"desktop"}, nil, policy.Caller{Credential: "x"}, desktop},
		"stricter":               {[]string{"desktop"}, nil, policy.Caller{Credential: "x", Policy: "read-only"}, readOnly},
		"milder":                 {[]string{"read-only"}, nil, policy.Caller{Credential: "x", Policy: "desktop"}, readOnly},
		"the same":               {[]string{"desktop"}, nil, policy.Caller{Credential: "x", Policy: "desktop"}, desktop},
		"a rule":                 {[]string{"desktop"}, nil, policy.Caller{Credential: "x", Policy: rule}, want{"list_contacts": rules.Allow, "update_contact": rules.Validate, "create_contact": rules.Deny, "delete_contact": rules.Confirm}},
		"a rule, named":          {[]string{"desktop"}, []string{"team"}, policy.Caller{Credential: "x", Policy: rule}, want{"list_contacts": rules.Allow, "create_contact": rules.Deny, "delete_contact": rules.Approve}},
		"a rule and a profile":   {[]string{"desktop"}, nil, policy.Caller{Policy: rule + ", unattended"}, want{"create_contact": rules.Deny, "update_contact": rules.Validate, "delete_contact": rules.Deny}},
		"one that does not load": {[]string{"desktop"}, nil, policy.Caller{Policy: "desktop," + rule + ".bak"}, want{"list_contacts": rules.Deny}},
	} {
		b, err := policy.LoadPolicySet(c.names, c.named, "")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second from memory
			for action, want := range c.want {
				if got := decided(t, b, c.caller, action); got != want {
					t.Errorf("%s: %s: %s, want %s", name, action, got, want)
				}
			}
		}
	}
}

// TestPolicyOfCallerFails: a caller whose policy cannot be loaded is denied everything, until it can; others notice nothing.
func TestPolicyOfCallerFails(t *testing.T) {
	for name, text := range map[string]string{"missing": "", "no YAML": ":", "an unknown key": plain + "rulez: []\n", "empty": "# nothing\n"} {
		file := policyFile(t, text)
		if text == "" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		b, err := policy.LoadPolicySet([]string{"desktop"}, []string{"team"}, "")
		if err != nil {
			t.Fatal(err)
		}
		who := policy.Caller{Actor: ledger.Actor{Name: "ada"}, Credential: "x", Policy: file}
		for range 2 {
			for _, a := range schemas.Actions() {
				if v := b.For(who).Decide(rules.Facts{Payload: &schemas.Payload{Action: a, Body: []byte("{}")}, Now: noon}); v.Decision != rules.Deny {
					t.Errorf("%s: %s: %s", name, a.Name, v.Decision)
				}
			}
		}
		if b.Add(file) == nil {
			t.Errorf("%s: nobody says so", name)
		}
		if got := decided(t, b, policy.Caller{Credential: "y"}, "list_contacts"); got != rules.Allow {
			t.Errorf("%s: somebody else: %s", name, got)
		}
		if err := os.WriteFile(file, []byte(head+noNewContacts), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.Reload(); err != nil || b.Add(file) != nil {
			t.Errorf("%s: once it is right: %v, %v", name, err, b.Add(file))
		}
		for action, want := range map[string]rules.Decision{"list_contacts": rules.Allow, "create_contact": rules.Deny, "delete_contact": rules.Approve} {
			if got := decided(t, b, who, action); got != want {
				t.Errorf("%s, once it is right: %s: %s", name, action, got)
			}
		}
	}
	var none *policy.PolicySet
	if got := decided(t, none, policy.Caller{}, "list_contacts"); got != rules.Deny {
		t.Errorf("no book at all: %s", got)
	}
}
