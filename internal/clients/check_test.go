//go:build clients

package clients_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// answer is the part of a tool's result that the scenes are about.
type answer struct {
	Outcome  schemas.Outcome
	Approval struct{ ID, Link string }
	Result   struct{ ToNumber string }
}

// check compares what the model received and what the audit log says with the scene. It returns the
// id of the request, if that is pending.
func check(t *testing.T, c *client, s *scene, received any, records []record) string {
	t.Helper()
	var a answer
	if raw := find(received); raw == nil || json.Unmarshal(raw, &a) != nil || a.Outcome != s.outcome {
		t.Errorf("the outcome is %q, want %q", a.Outcome, s.outcome)
	}
	if text := encode(received); s.outcome != schemas.Declined && isError.MatchString(text) {
		t.Errorf("%s is marked as an error", s.outcome)
	}
	if id := a.Approval.ID; s.outcome == schemas.ApprovalPending &&
		(len(id) != 32 || !strings.HasPrefix(a.Approval.Link, "http://127.0.0.1:") || !strings.HasSuffix(a.Approval.Link, "/inbox/approvals/"+id)) {
		t.Errorf("no link to the request: %+v", a.Approval)
	}
	runs := 0
	if s.outcome == schemas.Done {
		runs = 1
		if !strings.Contains(a.Result.ToNumber, number) {
			t.Errorf("the call is to %q", a.Result.ToNumber)
		}
	}
	phases := map[string]int{}
	answers := 0
	for _, r := range records {
		phases[r.Phase]++
		if r.Phase == "requested" && r.Client != c.version {
			t.Errorf("the request is by %q, want %q", r.Client, c.version)
		}
		if r.State == "approved" || r.State == "declined" {
			answers++
			if r.By.Via != s.via || r.By.Name == "" {
				t.Errorf("%s by %+v, want via %q", r.State, r.By, s.via)
			}
		}
	}
	if phases["requested"] != 1 || phases["prepared"] != runs || phases["settled"] != runs {
		t.Errorf("the audit log has %v, want one request and %d runs", phases, runs)
	}
	if (answers == 1) != (s.via != "") || answers > 1 {
		t.Errorf("the audit log has %d answers", answers)
	}
	if t.Failed() {
		for _, r := range records {
			t.Logf("%+v", r)
		}
	}
	return a.Approval.ID
}

// isError finds the marks of an error in MCP, in Anthropic's messages, and in LangChain's.
var isError = regexp.MustCompile(`"is_?[eE]rror":true|"Error: `)

// find returns the first JSON object with an outcome in a value, where strings may hold JSON too.
func find(v any) json.RawMessage {
	switch v := v.(type) {
	case object:
		if _, ok := v["outcome"].(string); ok {
			return json.RawMessage(encode(v))
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if found := find(v[key]); found != nil {
				return found
			}
		}
	case []any:
		for _, e := range v {
			if found := find(e); found != nil {
				return found
			}
		}
	case string:
		for i, r := range v {
			var inner any
			if (r == '{' || r == '[') && json.NewDecoder(strings.NewReader(v[i:])).Decode(&inner) == nil {
				if found := find(inner); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
