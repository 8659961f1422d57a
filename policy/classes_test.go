package policy_test

import (
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestClasses lists once more which actions reach people, cannot be undone or issue credentials: a
// person should review a change of the registry.
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
