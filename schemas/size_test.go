package schemas_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestSizes checks the bounds of arguments: the largest that is taken, and one more.
func TestSizes(t *testing.T) {
	const id = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	text := func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) } // of n bytes
	for _, c := range []struct {
		action, args string // %s is the text
		most         int    // bytes of the text
		want         string
	}{
		{"create_contact", `{"input":{"fullName":"%s"}}`, 1000, "must have at most 500 characters, has 501"},
		{"end_call", `{"input":{"callUuid":"%s"}}`, 400, "must have at most 200 characters"},
		{"update_email_template", `{"identity":"` + id + `","input":{"body":"%s"}}`, 64<<10 - 2, "input.body: has 65537 bytes, at most 65536 are taken"},
		{"create_contact", `{"input":{"fullName":"x","metadata":{"a":"%s","b":1}}}`, 64<<10 - 14, "input.metadata: has 65537 bytes"},
		{"create_contact", `{"input":{"fullName":"x"},"reason":"%s"}`, 64<<10 - 2, "reason: has 65537 bytes"},
		{"list_contacts", `{"filter":{"fullName":{"eq":"%s"}}}`, 64<<10 - 22, "filter: has 65537 bytes"},
		{"import_inbound_email", `{"input":{"recipientAddress":"a@example.com","rawMime":"From: a@example.com\r\n\r\n%s"}}`, 10<<20 - 23, "input.rawMime: has 10485767 bytes, at most 10485760 are taken"},
		{"import_inbound_email", `{"input":{"recipientAddress":"a@example.com","structuredPayload":{"from":"a@example.com","text":"%s"}}}`, 10<<20 - 34, "input.structuredPayload: has 10485761 bytes"},
	} {
		a, fault := schemas.Find(c.action)
		if fault != nil {
			t.Fatal(fault)
		}
		if _, fault := a.Check([]byte(strings.Replace(c.args, "%s", text(c.most), 1)), schemas.Limits{}); fault != nil {
			t.Errorf("%s with %d bytes: %.300v", c.args, c.most, fault)
		}
		_, fault = a.Check([]byte(strings.Replace(c.args, "%s", text(c.most)+"x", 1)), schemas.Limits{})
		if fault == nil || fault.Outcome != schemas.InvalidArguments || !strings.Contains(fmt.Sprint(fault.Details), c.want[strings.LastIndex(c.want, ": ")+1:]) {
			t.Errorf("%s with %d bytes: %.300v, want %s", c.args, c.most+1, fault, c.want)
		}
	}
}
