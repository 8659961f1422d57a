package policy_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// shelf is an upstream with three email templates. It keeps the reads that it answers.
type shelf struct {
	upstream
	fault *schemas.Error // of the read of all templates
	reads []string
}

func (s *shelf) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	if r.Action != "list_email_templates" {
		return s.upstream.Run(ctx, r)
	}
	s.reads = append(s.reads, string(r.Body))
	own := `{"id":"` + anID + `","name":"Recall","subject":"Check-up","body":"Ring 020 7946 0018\nor write."}`
	if strings.Contains(string(r.Body), `"filter"`) {
		return rpc.Result{Sent: true, Data: json.RawMessage(`{"results":[` + own + `],"hasMore":false}`)}, nil
	}
	return rpc.Result{Sent: true, Data: json.RawMessage(`{"results":[` + own + `,{"id":"a","name":"Re\"call","subject":"020 7946 0018","body":null},` +
		`{"id":"b","name":"Third","subject":"Ring us","body":"020 7946 0018, as always"},{"id":"c","name":"Fourth","subject":"s","body":"b"}],"hasMore":false}`)}, s.fault
}

// TestAlsoIn checks that the card of a change names the other templates with what is replaced, by one
// read, which no call needs that has no card or replaces nothing.
func TestAlsoIn(t *testing.T) {
	const (
		change = `{"identity":"` + anID + `","input":{"body":"Ring 020 7946 0019\nor write."}}`
		all    = `{"action":"list_email_templates","fields":["id","name","subject","body"],"page":{"limit":250}}`
	)
	confirm := head + "defaults: {class: {write: confirm}}\n"
	for name, test := range map[string]struct {
		policy, args string
		fault        *schemas.Error
		want         string // empty if all templates are not read
		none         bool   // they are read, and the card has no line
	}{
		"a number":      {policy: confirm, args: change, want: `"Re\"call", "Third"`},
		"a failed read": {policy: confirm, args: change, fault: &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "x"}, want: "other email templates could not be read"},
		"in no other":   {policy: confirm, args: `{"identity":"` + anID + `","input":{"body":"Ring 020 7946 0018\nplease."}}`, none: true},
		"nothing more":  {policy: confirm, args: `{"identity":"` + anID + `","input":{"body":"Ring 020 7946 0018\nor write.\nBye"}}`},
		"another field": {policy: confirm, args: `{"identity":"` + anID + `","input":{"active":false}}`},
		"no card":       {policy: head + "defaults: {class: {write: validate}}\n", args: change},
		"hidden names":  {policy: confirm + "rules: [{id: hide, match: {roles: [\"!admin\"]}, redact: [EmailTemplate.name], reason: Private.}]\n", args: change},
	} {
		s, _, _ := newPhonebookGate(t, test.policy, 0)
		up := &shelf{fault: test.fault}
		s.Upstream = up
		a := s.Do(t.Context(), s.call(t, "update_email_template", test.args))
		var got []approval.Line
		if a.Pending != nil {
			got = slices.DeleteFunc(a.Pending.Card.Facts, func(l approval.Line) bool { return l.Name != "also in" })
		}
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || got[0].Value != test.want) {
			t.Errorf("%s: %s: %v, want %s", name, brief(a), got, test.want)
		}
		if reads := len(up.reads) > 1 && up.reads[1] == all; reads != (test.want != "" || test.none) || len(up.reads) > 2 {
			t.Errorf("%s: %q were read", name, up.reads)
		}
	}
}
