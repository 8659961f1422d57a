package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// decide returns what the set decides for a caller's call of an action.
func decide(t *testing.T, s *policy.PolicySet, c policy.Caller, action string) rules.Decision {
	t.Helper()
	args := map[string]string{"list_contacts": `{}`, "create_contact": createArgs, "archive_contact": `{"identity":"` + anID + `"}`,
		"delete_contact": `{"input":{"contactId":"` + anID + `"}}`, "update_contact": `{"identity":"` + anID + `","input":{"fullName":"Ada"}}`}[action]
	p := payload(t, action, args)
	related, _ := recipients.RelatedFromArguments(p)
	return s.For(c).Decide(rules.Facts{Payload: p, Related: related, Now: noon}).Decision
}

func policyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "house.yaml")
	writeFile(t, file, text)
	return file
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func loadSet(t *testing.T, names, forNamed []string) *policy.PolicySet {
	t.Helper()
	s, err := policy.LoadPolicySet(names, forNamed, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const noNewContacts = "rules: [{id: none, match: {actions: [create_contact]}, decision: deny, reason: Not today.}]\n"

// TestPolicyOfCaller checks that a caller's additional policy only makes decisions stricter, and is
// added to the policy for callers with credentials.
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
		"no credential":          {[]string{"desktop"}, []string{"team"}, policy.Caller{Actor: ledger.Actor{Name: "ada"}}, desktop},
		"credential":             {[]string{"desktop"}, []string{"team"}, policy.Caller{Credential: "x"}, want{"update_contact": rules.Validate, "delete_contact": rules.Approve}},
		"credential, no policy":  {[]string{"desktop"}, nil, policy.Caller{Credential: "x"}, desktop},
		"stricter":               {[]string{"desktop"}, nil, policy.Caller{Credential: "x", Policy: "read-only"}, readOnly},
		"milder":                 {[]string{"read-only"}, nil, policy.Caller{Credential: "x", Policy: "desktop"}, readOnly},
		"same":                   {[]string{"desktop"}, nil, policy.Caller{Credential: "x", Policy: "desktop"}, desktop},
		"rule":                   {[]string{"desktop"}, nil, policy.Caller{Credential: "x", Policy: rule}, want{"list_contacts": rules.Allow, "update_contact": rules.Validate, "create_contact": rules.Deny, "delete_contact": rules.Confirm}},
		"rule, credential":       {[]string{"desktop"}, []string{"team"}, policy.Caller{Credential: "x", Policy: rule}, want{"list_contacts": rules.Allow, "create_contact": rules.Deny, "delete_contact": rules.Approve}},
		"rule and profile":       {[]string{"desktop"}, nil, policy.Caller{Policy: rule + ", unattended"}, want{"create_contact": rules.Deny, "update_contact": rules.Validate, "delete_contact": rules.Deny}},
		"one that does not load": {[]string{"desktop"}, nil, policy.Caller{Policy: "desktop," + rule + ".bak"}, want{"list_contacts": rules.Deny}},
	} {
		t.Run(name, func(t *testing.T) {
			s := loadSet(t, c.names, c.named)
			for range 2 { // the second Add does nothing
				if c.caller.Policy != "" {
					if err := s.Add(c.caller.Policy); (err != nil) != (name == "one that does not load") {
						t.Errorf("Add: %v", err)
					}
				}
				for action, want := range c.want {
					if got := decide(t, s, c.caller, action); got != want {
						t.Errorf("%s: %s, want %s", action, got, want)
					}
				}
			}
		})
	}
}

// TestPolicyNotAdded checks that For loads nothing: a caller with a policy that was not added is
// denied everything.
func TestPolicyNotAdded(t *testing.T) {
	s := loadSet(t, []string{"desktop"}, nil)
	ada := policy.Caller{Credential: "x", Policy: "desktop"}
	for range 2 {
		if got := decide(t, s, ada, "list_contacts"); got != rules.Deny {
			t.Errorf("before Add: %s", got)
		}
	}
	if err := s.Add("desktop"); err != nil {
		t.Fatal(err)
	}
	if got := decide(t, s, ada, "list_contacts"); got != rules.Allow {
		t.Errorf("after Add: %s", got)
	}
	var none *policy.PolicySet
	if got := decide(t, none, policy.Caller{}, "list_contacts"); got != rules.Deny {
		t.Errorf("without a set: %s", got)
	}
}

// TestPolicyOfCallerFails checks that a caller with a policy that cannot be loaded is denied
// everything until it can be, and that no other caller is affected.
func TestPolicyOfCallerFails(t *testing.T) {
	for name, text := range map[string]string{"missing": "", "no YAML": ":", "an unknown key": plain + "rulez: []\n", "empty": "# nothing\n"} {
		t.Run(name, func(t *testing.T) {
			file := policyFile(t, text)
			if text == "" {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			s := loadSet(t, []string{"desktop"}, []string{"team"})
			ada := policy.Caller{Actor: ledger.Actor{Name: "ada"}, Credential: "x", Policy: file}
			for range 2 {
				if s.Add(file) == nil {
					t.Error("Add returned no error")
				}
				for _, a := range schemas.Actions() {
					if v := s.For(ada).Decide(rules.Facts{Payload: &schemas.Payload{Action: a, Body: []byte("{}")}, Now: noon}); v.Decision != rules.Deny {
						t.Errorf("%s: %s", a.Name, v.Decision)
					}
				}
			}
			if got := decide(t, s, policy.Caller{Credential: "y"}, "list_contacts"); got != rules.Allow {
				t.Errorf("another caller: %s", got)
			}
			writeFile(t, file, head+noNewContacts)
			if err := s.Reload(); err != nil || s.Add(file) != nil {
				t.Errorf("corrected: %v, %v", err, s.Add(file))
			}
			for action, want := range map[string]rules.Decision{"list_contacts": rules.Allow, "create_contact": rules.Deny, "delete_contact": rules.Approve} {
				if got := decide(t, s, ada, action); got != want {
					t.Errorf("corrected: %s: %s", action, got)
				}
			}
		})
	}
}

// TestExtraPolicyError checks a fault in an additional policy that was loaded before: Poll reports
// an ExtraPolicyError, its callers are denied until the file is corrected, and all other policies
// are in force, also one that changed at the same moment.
func TestExtraPolicyError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		house, ofAda, ofBo := filepath.Join(dir, "house.yaml"), filepath.Join(dir, "ada.yaml"), filepath.Join(dir, "bo.yaml")
		writeFile(t, house, plain)
		writeFile(t, ofAda, head+noNewContacts)
		writeFile(t, ofBo, head+noNewContacts)
		s := loadSet(t, []string{house}, nil)
		ada, bo := policy.Caller{Credential: "x", Policy: ofAda}, policy.Caller{Credential: "y", Policy: ofBo}
		for _, c := range []policy.Caller{ada, bo} {
			if err := s.Add(c.Policy); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when string, c policy.Caller, want map[string]rules.Decision) {
			t.Helper()
			for action, want := range want {
				if got := decide(t, s, c, action); got != want {
					t.Errorf("%s, %q: %s is %s, want %s", when, c.Credential, action, got, want)
				}
			}
		}
		reports, done := make(chan error, 1), make(chan struct{})
		defer close(done)
		go s.Poll(done, nil, func(err error) { reports <- err })
		// polled returns the one report of the files' last change.
		polled := func() error {
			t.Helper()
			time.Sleep(3 * policy.PollInterval)
			select {
			case err := <-reports:
				return err
			default:
				t.Fatal("the change was not reported")
				return nil
			}
		}
		if err := polled(); err != nil { // the files that Add loaded
			t.Fatal(err)
		}
		loaded := map[string]rules.Decision{"list_contacts": rules.Allow, "create_contact": rules.Deny}
		denied := map[string]rules.Decision{"list_contacts": rules.Deny, "create_contact": rules.Deny, "delete_contact": rules.Deny}
		check("at first", ada, loaded)

		writeFile(t, ofAda, head+"rulez: []\n")
		writeFile(t, house, plain+"rules: [{id: keep, match: {actions: [update_contact]}, decision: deny, reason: Not now.}]\n")
		err := polled()
		var extra *policy.ExtraPolicyError
		if !errors.As(err, &extra) || extra.Policy != ofAda || !strings.Contains(err.Error(), "rulez") || strings.Contains(err.Error(), ofBo) {
			t.Errorf("the report of a faulty additional policy is %v", err)
		}
		check("faulty", ada, denied)
		check("faulty", bo, map[string]rules.Decision{"list_contacts": rules.Allow, "create_contact": rules.Deny, "update_contact": rules.Deny})
		check("faulty", policy.Caller{}, map[string]rules.Decision{"create_contact": rules.Validate, "update_contact": rules.Deny})
		if err := s.Add(ofAda); err == nil {
			t.Error("Add loaded the faulty policy")
		}

		// A fault in the server's own policy keeps everything as it is: ada remains denied.
		writeFile(t, house, plain+"rulez: []\n")
		if err := polled(); err == nil || errors.As(err, &extra) {
			t.Errorf("the report of a faulty policy of the server is %v", err)
		}
		check("both faulty", ada, denied)
		check("both faulty", bo, loaded)

		writeFile(t, house, plain)
		writeFile(t, ofAda, head+noNewContacts)
		if err := polled(); err != nil {
			t.Errorf("the report of the corrected policies is %v", err)
		}
		check("corrected", ada, loaded)
	})
}

// TestReload checks that a changed file applies from then on, that a faulty one does not, and that
// approvals from before do not count.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "house.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(plain)
	s := newTestGate(t, "desktop")
	set, err := policy.LoadPolicySet([]string{file}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	s.Policy = set
	reports, done := make(chan error), make(chan struct{})
	defer close(done)
	hup := make(chan os.Signal)
	go set.Poll(done, hup, func(err error) { reports <- err })
	ring := s.call(t, "start_outbound_call", ringNumber)
	a := s.Do(t.Context(), ring)
	ring.ApprovalID = a.Pending.ApprovalID
	if event, err := s.RecordReply(t.Context(), ring, clientApproves); event != "" || err != nil {
		t.Fatal(err)
	}
	write(plain + "rulez: []\n")
	if err := <-reports; err == nil || !strings.Contains(err.Error(), "rulez") {
		t.Errorf("a faulty file: %v", err)
	}
	if a := s.Do(t.Context(), s.call(t, "create_contact", createArgs)); a.Outcome() != schemas.Done {
		t.Errorf("the previous policy does not apply: %+v", a)
	}
	write(plain + "rules: [{id: none, match: {actions: [create_contact]}, decision: deny, reason: Not today.}]\n")
	hup <- os.Interrupt
	if err := <-reports; err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t.Context(), s.call(t, "create_contact", `{"input":{"fullName":"Bo"}}`)); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "rule none: Not today") {
		t.Errorf("the new policy does not apply: %+v", a)
	}
	if a := s.Do(t.Context(), ring); a.Outcome() != schemas.Done {
		t.Errorf("an approval from before a change that does not concern the call: %+v", a.Err)
	}
}
