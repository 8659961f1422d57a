//go:build clients

package clients_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// answer is the part of a tool's result that the scenes are about.
type answer struct {
	Outcome  schemas.Outcome
	Approval struct{ ID, Link string }
	Result   struct{ ToNumber string }
}

// slow reports whether the client replied to a dialogue as late as a person does.
func (r *played) slow() bool {
	var requested time.Time
	for _, rec := range r.records {
		switch {
		case rec.Phase == "requested":
			requested = rec.Time
		case strings.HasPrefix(rec.By.Via, "client ") && rec.Note != "departed" && rec.Time.Sub(requested) >= time.Second:
			return true
		}
	}
	return false
}

// check compares what happened with the scene.
func (r *played) check(t *testing.T, c *client, s *scene) {
	t.Helper()
	if r.failure != nil {
		t.Fatalf("the client failed: %v", r.failure)
	}
	t.Logf("the model received %s", encode(r.received))
	if r.absent != nil {
		t.Error(r.absent)
	}
	var a answer
	if raw := find(r.received); raw == nil || json.Unmarshal(raw, &a) != nil || a.Outcome != s.outcome {
		t.Errorf("the outcome is %q, want %q", a.Outcome, s.outcome)
	}
	if s.outcome != schemas.Declined && isError.MatchString(encode(r.received)) {
		t.Errorf("%s is marked as an error", s.outcome)
	}
	if s.outcome == schemas.ApprovalPending {
		r.checkPending(t, &a)
	}
	if canAsk := slices.Contains(c.dialogues, s.connection); r.asked > 0 != canAsk {
		t.Errorf("the client asked its person %d times", r.asked)
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
	for _, rec := range r.records {
		phases[rec.Phase]++
		if rec.Phase == "requested" && rec.Client != c.version {
			t.Errorf("the request is by %q, want %q", rec.Client, c.version)
		}
		if rec.State == "approved" || rec.State == "declined" {
			answers++
			if rec.By.Via != s.via || rec.By.Name == "" {
				t.Errorf("%s by %+v, want via %q", rec.State, rec.By, s.via)
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
		for _, rec := range r.records {
			t.Logf("%+v", rec)
		}
	}
}

// checkPending checks that the model received a link to the request, and that the inbox has it.
func (r *played) checkPending(t *testing.T, a *answer) {
	t.Helper()
	id, link := a.Approval.ID, a.Approval.Link
	if len(id) != 32 || !strings.HasPrefix(link, "http://127.0.0.1:") || !strings.HasSuffix(link, "/inbox/approvals/"+id) {
		t.Errorf("no link to the request: %+v", a.Approval)
	}
	if r.program.url == "" {
		return // the program has ended with the client
	}
	var all []request
	b, err := r.program.login(t.Context())
	if err == nil {
		all, err = b.pending()
	}
	if err != nil || len(all) != 1 || all[0].ID != id {
		t.Errorf("the inbox has %+v, want %s (%v)", all, id, err)
	}
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
