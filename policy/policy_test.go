package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestProfiles states the four profiles: what each class needs, and the actions that differ from theirs.
func TestProfiles(t *testing.T) {
	type classes = map[schemas.Class]policy.Decision
	for name, want := range map[string]struct {
		class  classes
		action map[string]policy.Decision
	}{
		"desktop": {classes{schemas.Read: policy.Allow, schemas.Write: policy.Validate, schemas.Outbound: policy.Confirm, schemas.Destructive: policy.Confirm, schemas.Credential: policy.Deny}, nil},
		"team": {classes{schemas.Read: policy.Allow, schemas.Write: policy.Validate, schemas.Outbound: policy.Confirm, schemas.Destructive: policy.Approve, schemas.Credential: policy.Deny},
			map[string]policy.Decision{"start_bulk_outbound_call": policy.Approve, "end_call": policy.Confirm}},
		"unattended": {classes{schemas.Read: policy.Allow, schemas.Write: policy.Validate, schemas.Outbound: policy.Deny, schemas.Destructive: policy.Deny, schemas.Credential: policy.Deny}, nil},
		"read-only":  {classes{schemas.Read: policy.Allow, schemas.Write: policy.Deny, schemas.Outbound: policy.Deny, schemas.Destructive: policy.Deny, schemas.Credential: policy.Deny}, nil},
	} {
		p, err := policy.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range schemas.Actions() {
			d, ok := want.action[a.Name]
			if !ok {
				d = want.class[a.Class]
			}
			got := p.Decide(a)
			if got.Decision != d || !strings.Contains(got.Why, "policy "+name) {
				t.Errorf("%s: %s (%s) meets %s (%s), want %s", name, a.Name, a.Class, got.Decision, got.Why, d)
			}
		}
	}
	if got := []string{"desktop", "team", "unattended", "read-only"}; cmp.Diff(got, policy.Profiles) != "" {
		t.Error(policy.Profiles)
	}
}

// TestClasses states which actions reach people, cannot be undone or issue credentials, apart from the registry.
func TestClasses(t *testing.T) {
	want := map[schemas.Class][]string{
		schemas.Outbound: {"accept_call_queue_entry", "barge_call", "import_inbound_email", "leave_call", "resume_ai_call", "start_bulk_outbound_call",
			"start_outbound_call", "transfer_call_to_queue"},
		schemas.Destructive: {"archive_contact", "delete_contact", "delete_email_identity", "delete_email_mailbox", "delete_email_template", "end_call"},
		schemas.Credential:  {"issue_operator_access_token", "issue_operator_media_access"},
	}
	of := map[string]schemas.Class{}
	for c, names := range want {
		for _, n := range names {
			of[n] = c
		}
	}
	for _, a := range schemas.Actions() {
		c, ok := of[a.Name]
		switch {
		case ok && a.Class != c, !ok && a.Class != schemas.Read && a.Class != schemas.Write:
			t.Errorf("%s is %s", a.Name, a.Class)
		case !ok && (a.Class == schemas.Read) != (strings.HasPrefix(a.Name, "list_") || strings.HasPrefix(a.Name, "get_") || a.Name == "who_am_i" || a.Name == "call_codec"):
			t.Errorf("%s is %s", a.Name, a.Class)
		}
	}
}

// TestLadder: the decisions are ordered from the mildest to the strictest, each with a name that reads back.
func TestLadder(t *testing.T) {
	ladder := []policy.Decision{policy.Allow, policy.Validate, policy.Confirm, policy.Approve, policy.Deny}
	if !slices.IsSorted(ladder) {
		t.Errorf("out of order: %v", ladder)
	}
	for _, a := range ladder {
		var d policy.Decision
		if err := d.UnmarshalText([]byte(a.String())); err != nil || d != a {
			t.Errorf("%s: %v %v", a, d, err)
		}
	}
	for _, d := range []policy.Decision{0, -1, 6, 99} {
		if d.String() != "deny" {
			t.Errorf("decision %d is called %s", int(d), d)
		}
	}
	for _, s := range []string{"", "Allow", "allow ", "1", "none"} {
		if new(policy.Decision).UnmarshalText([]byte(s)) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

const head = "apiVersion: sippet.policy/v1\n"

// TestParseErrors: whatever is not understood is an error that names it.
func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"nothing":                 {"", "EOF"},
		"no version":              {"defaults: {class: {read: allow}}\n", "apiVersion must be sippet.policy/v1"},
		"another version":         {"apiVersion: sippet.policy/v2\n", `not "sippet.policy/v2"`},
		"a misspelt key":          {head + "default: {class: {read: allow}}\n", "default"},
		"a misspelt inner key":    {head + "defaults: {classes: {read: allow}}\n", "classes"},
		"a decision misspelt":     {head + "defaults: {class: {write: validated}}\n", `"validated"`},
		"a decision of the wrong": {head + "defaults: {class: {write: 2}}\n", `"2"`},
		"an unknown class":        {head + "defaults: {class: {writes: validate}}\n", `unknown class "writes"`},
		"an unknown action":       {head + "defaults: {action: {delete_contacts: deny}}\n", "did you mean delete_contact?"},
		"two documents":           {head + "---\n" + head, "one document"},
		"two documents, one bad":  {head + "---\n{", "one document"},
		"a key twice":             {head + "defaults: {class: {read: allow, read: deny}}\n", "read"},
		"rules":                   {head + "rules: [{match: {class: write}, decision: allow}]\n", "rules are not yet supported"},
		"lists":                   {head + "lists: {a: [b]}\n", "lists are not yet supported"},
		"budgets":                 {head + "budgets: [1]\n", "budgets are not yet supported"},
		"exemptions":              {head + "exempt: [1]\n", "exempt are not yet supported"},
		"tests":                   {head + "tests: [1]\n", "tests are not yet supported"},
		"credential by class":     {head + "defaults: {class: {credential: confirm}}\n", "must be denied"},
		"credential by action":    {head + "defaults: {action: {issue_operator_media_access: approve}}\n", "must be denied"},
		"write allowed":           {head + "defaults: {class: {write: allow}}\n", "cannot be allowed outright"},
		"outbound allowed":        {head + "defaults: {class: {outbound: allow}}\n", "cannot be allowed outright"},
		"destructive allowed":     {head + "defaults: {action: {end_call: allow}}\n", "end_call cannot be allowed outright"},
		"no YAML":                 {"\x00", "policy x"},
		"a list":                  {"[]", "policy x"},
	} {
		p, err := policy.Parse("x", []byte(c.text))
		if err == nil {
			t.Errorf("%s: taken: %+v", name, p)
		} else if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "policy x") {
			t.Errorf("%s: %q is not in: %v", name, c.says, err)
		}
	}
}

// TestSilenceDenies: a class that the file does not mention is denied; an action's own line comes before its class's.
func TestSilenceDenies(t *testing.T) {
	p, err := policy.Parse("x", []byte(head+"defaults: {class: {read: confirm}, action: {list_contacts: allow, end_call: approve, create_contact: deny}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range schemas.Actions() {
		want := policy.Deny
		switch {
		case a.Name == "list_contacts":
			want = policy.Allow
		case a.Name == "end_call":
			want = policy.Approve
		case a.Class == schemas.Read:
			want = policy.Confirm
		}
		if got := p.Decide(a); got.Decision != want {
			t.Errorf("%s: %s, want %s", a.Name, got.Decision, want)
		}
	}
	if got := p.Decide(&schemas.Action{Name: "new_action", Class: schemas.Read}); got.Decision != policy.Deny {
		t.Errorf("an action that the policy does not know meets %s", got.Decision)
	}
	empty, err := policy.Parse("x", []byte(head))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range schemas.Actions() {
		if got := empty.Decide(a); got.Decision != policy.Deny {
			t.Errorf("empty policy: %s meets %s", a.Name, got.Decision)
		}
	}
}

func TestLoad(t *testing.T) {
	if _, err := policy.Load("desktops"); err == nil || !strings.Contains(err.Error(), "desktop, team, unattended, read-only") {
		t.Errorf("%v", err)
	}
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if _, err := policy.Load(path); err == nil || !strings.Contains(err.Error(), "reading the policy") {
		t.Errorf("%v", err)
	}
	versions := map[string]string{}
	for i, text := range []string{head, head + "# a comment\n", head + "defaults: {class: {read: deny}}\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := policy.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := policy.Load(path)
		if p.Name != "mine.yaml" || p.Version != again.Version || versions[p.Version] != "" {
			t.Errorf("name %q, version %q twice %q, before for %q", p.Name, p.Version, again.Version, versions[p.Version])
		}
		versions[p.Version] = fmt.Sprint(i)
	}
}

// TestNoDecisionIsDenied: a class or an action whose line is empty runs nothing.
func TestNoDecisionIsDenied(t *testing.T) {
	p, err := policy.Parse("hollow", []byte("apiVersion: sippet.policy/v1\ndefaults:\n  class: {read: , write: validate, credential: deny}\n  action: {create_contact: }\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"list_contacts", "create_contact", "end_call"} {
		a, err := schemas.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := p.Decide(a).Decision; d == policy.Allow || d == policy.Validate || d == policy.Confirm || d.String() != "deny" {
			t.Errorf("%s: %v", name, d)
		}
	}
}
