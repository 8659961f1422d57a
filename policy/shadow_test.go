package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestShadow checks that a shadow policy changes nothing, and that its decision is recorded.
func TestShadow(t *testing.T) {
	dir := t.TempDir()
	shadow := filepath.Join(dir, "strict.yaml")
	if err := os.WriteFile(shadow, []byte(head+"defaults: {class: {read: allow, write: deny}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestGate(t, "desktop")
	var err error
	if s.Policy, err = policy.LoadPolicySet([]string{"desktop"}, nil, shadow); err != nil {
		t.Fatal(err)
	}
	s.Ledger = ledgertest.Open(t, ledger.Options{Dir: filepath.Join(dir, "ledger"), Now: s.Now})
	if a := s.Do(t.Context(), s.call(t, "create_contact", createArgs)); a.Outcome() != schemas.Done || a.Verdict.Decision != rules.Validate {
		t.Errorf("%+v", a)
	}
	records, err := s.Ledger.Records(t.Context(), ledger.Filter{Action: "create_contact", Phase: ledger.PhasePrepared})
	if err != nil || len(records) != 1 || !strings.HasPrefix(records[0].Shadow, "deny: policy strict.yaml") {
		t.Errorf("%+v, %v", records, err)
	}
}

// TestShadowWithoutDefaults checks that a shadow file without defaults is evaluated as an addition
// to the server's policies.
func TestShadowWithoutDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "more.yaml")
	if err := os.WriteFile(file, []byte(head+"rules: [{id: none, match: {actions: [create_contact]}, decision: deny, reason: Not today.}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestGate(t, "desktop")
	var err error
	if s.Policy, err = policy.LoadPolicySet([]string{"desktop"}, nil, file); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]string{"create_contact": "deny: policy more.yaml: rule none: Not today", "update_contact": ""} {
		args := map[string]string{"create_contact": createArgs, "update_contact": `{"identity":"` + anID + `","input":{"fullName":"Ada"}}`}[action]
		if a := s.Do(t.Context(), s.call(t, action, args)); a.Outcome() != schemas.Done {
			t.Errorf("%s: %+v", action, a.Err)
		}
		records, err := s.Ledger.Records(t.Context(), ledger.Filter{Action: action, Phase: ledger.PhasePrepared})
		if err != nil || len(records) != 1 || records[0].Shadow != want {
			t.Errorf("%s: %d records, %v", action, len(records), err)
		}
	}
}
