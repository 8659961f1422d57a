package tools_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestValidateAction checks the decision for every action and profile. It sends at most a validate
// and reads of recipients, and asks nobody.
func TestValidateAction(t *testing.T) {
	for _, profile := range rules.Profiles {
		w := newWorld(t, setup{policy: profile})
		p := w.httpPeer(t, true)
		for _, a := range schemas.Actions() {
			w.up.Forget()
			args := sample(a)
			r := p.call("validate_action", `{"action":"`+a.Name+`","payload":`+args+`}`)
			checkShape(t, r)
			var got struct {
				Outcome, Action, Decision, Why, Meaning string
				Valid, Ran                              bool
			}
			if err := json.Unmarshal(r.Result.Structured, &got); err != nil {
				t.Fatal(err)
			}
			v, reads := w.decide(t, ada.Caller, a.Name, args)
			if got.Outcome != "done" || got.Action != a.Name || !got.Valid || got.Ran || got.Decision != v.Decision.String() || got.Why != v.Why || got.Meaning == "" {
				t.Errorf("%s %s: %s", profile, a.Name, r.Frame)
			}
			for _, q := range w.up.Requests() {
				if q.Endpoint != rpctest.Validate && !slices.Contains(reads, "run "+string(q.Body)) {
					t.Errorf("%s %s: reached %s", profile, a.Name, q.Endpoint)
				}
				if q.Endpoint == rpctest.Validate && (a.Resource == nil || !a.List()) {
					if d := cmp.Diff(w.canonical(t, a.Name, args), string(q.Body)); d != "" {
						t.Errorf("%s: %s", a.Name, d)
					}
				}
			}
		}
		if n := len(p.elicitations()); n != 0 {
			t.Errorf("asked %d times", n)
		}
	}
}

func TestValidateActionFindsFaults(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	r := p.call("validate_action", `{"action":"delete_contact","payload":{"input":{"contactId":"42"}}}`)
	if r.Result.IsError || r.field(t, "valid") != false || r.field(t, "wouldBe") != "invalid_arguments" || len(w.up.Requests()) != 0 {
		t.Errorf("%s", r.Frame)
	}
	w.up.On("validate", "", rpctest.Refuse("not_found", "record not found"))
	r = p.call("validate_action", `{"action":"delete_contact","payload":`+deleteArgs+`}`)
	if r.Result.IsError || r.field(t, "valid") != false || r.field(t, "wouldBe") != "validation_failed" || r.field(t, "decision") != "confirm" {
		t.Errorf("%s", r.Frame)
	}
	w.up.On("validate", "", rpctest.Status(503, ""))
	if r := p.call("validate_action", `{"action":"delete_contact","payload":`+deleteArgs+`}`); !r.Result.IsError || r.outcome(t) != "upstream_unavailable" {
		t.Errorf("%s", r.Frame)
	}
	checkNothingRan(t, w)
}
