package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

const rotatedKey = "SIPPET_SECRET_KEY=sk_test_fedcba9876543210"

// organisations returns what `organisations list` lists.
func (w *world) organisations(t *testing.T) (all []listedOrganisation) {
	t.Helper()
	for line := range bytes.Lines(w.run(t, "organisations", "list")) {
		var one listedOrganisation
		must(t, json.Unmarshal(line, &one))
		all = append(all, one)
	}
	return all
}

// attach attaches the rotated key to an organisation.
func (w *world) attach(organisation string) (string, error) {
	c := command("organisations", "attach", organisation, "--state-dir", w.dir, "--base-url", w.up.URL)
	c.Env = append(c.Env, rotatedKey)
	out, err := c.CombinedOutput()
	return string(out), err
}

// TestRotatedKey: a key that replaces another knows what ran under it once a person has attached it,
// before or after its first use. Until then it stands alone, and it does not start while it may
// forget a call.
func TestRotatedKey(t *testing.T) {
	const args = `{"input":{"fullName":"Ada Lovelace"}}`
	for name, used := range map[string]bool{"attached before its first use": false, "attached after it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.lose("create_contact")
			p, client := w.under(t, "desktop")
			var stale *process
			var other *legacy
			if used {
				// It will log an error, so it is not started as the others are.
				var err error
				stale, err = spawn([]string{"stdio", "--policy", "desktop", "--approval-wait", "0s", "--base-url", w.up.URL, "--state-dir", w.dir}, rotatedKey)
				must(t, err)
				t.Cleanup(stale.kill)
				other = mute(t, stale)
			}
			if r := client.tool(t, "create_contact", args); r.outcome() != "outcome_unknown" {
				t.Fatalf("%+v", r.Result)
			}
			pending, _ := client.tool(t, "delete_contact", erase(2)).waits(t)
			p.kill()
			<-p.ended
			all := w.organisations(t)
			if len(all[0].Keys) != 1 || all[0].Unresolved != 1 {
				t.Fatalf("%+v", all)
			}
			sent := 1
			if used {
				if r := other.tool(t, "create_contact", args); r.outcome() != "done" {
					t.Errorf("a key that stands alone: %+v", r.Result)
				}
				sent++
				if len(all) != 2 || len(all[1].Keys) != 1 {
					t.Errorf("%+v", all)
				}
				if out, err := w.attach(all[0].ID); err != nil {
					t.Fatalf("%s: %v", out, err)
				}
				// The program that uses it knows the other organisation still.
				if r := other.tool(t, "create_contact", `{"input":{"fullName":"Bo"}}`); r.outcome() != "unavailable" ||
					!strings.Contains(r.Result.StructuredContent.Message, "attached to another organisation") {
					t.Errorf("%+v", r.Result)
				}
				stale.kill()
				<-stale.ended
				if log := stale.faults(); !strings.Contains(log, "the secret key is new to this state directory") || strings.Contains(log, "sk_test") {
					t.Errorf("its log: %s", log)
				}
			} else {
				c := command("call", "create_contact", args, "--state-dir", w.dir, "--base-url", w.up.URL)
				c.Env = append(c.Env, rotatedKey)
				out, err := c.CombinedOutput()
				if err == nil || !strings.Contains(string(out), "1 call under another key may have run or not") || !strings.Contains(string(out), "attach '"+all[0].ID+"'") || strings.Contains(string(out), "sk_test") {
					t.Errorf("a key that was not attached: %s: %v", out, err)
				}
				if out, err := w.attach(all[0].ID); err != nil {
					t.Fatalf("%s: %v", out, err)
				}
			}
			_, client = w.under(t, "desktop", rotatedKey)
			if r := client.tool(t, "create_contact", args); r.outcome() != "approval_pending" {
				t.Errorf("the rotated key forgets: %+v", r.Result)
			}
			if n := ran(w.up, "create_contact"); n != sent {
				t.Errorf("it was sent %d times", n)
			}
			if r := client.tool(t, "approval_status", `{"id":"`+pending+`"}`); r.outcome() != "approval_pending" {
				t.Errorf("the request of the old key: %+v", r.Result)
			}
			if all := w.organisations(t); len(all[0].Keys) != 2 || all[0].Keys[1].By.Name == "" {
				t.Errorf("%+v", all)
			}
			w.run(t, "audit", "verify")
		})
	}
}

// TestAttachOtherCompany: a key that sees none of the contacts that calls of an organisation were
// about is not attached to it. It would run what was approved for the other one.
func TestAttachOtherCompany(t *testing.T) {
	w := newWorld(t)
	p, client := w.under(t, "desktop")
	if r := client.tool(t, "list_contacts", `{"fields":["id"]}`); r.outcome() != "done" {
		t.Fatalf("%+v", r.Result)
	}
	must(t, p.in.Close()) // reads are recorded by then
	<-p.ended
	id := w.organisations(t)[0].ID
	for name, c := range map[string]struct {
		body, want string
	}{
		"no contact":         {`{"success":true,"data":{"results":[],"hasMore":false,"limit":2,"type":"keyset"}}`, "the key sees none (2 asked), so it belongs to another organisation"},
		"other contacts":     {`{"success":true,"data":{"results":[{"id":"` + rpctest.ID(77) + `"}],"hasMore":false,"limit":2,"type":"keyset"}}`, "the key sees none"},
		"an error of Sippet": {`{"success":false,"errors":[{"type":"forbidden","message":"forbidden"}]}`, "Sippet could not be asked"},
		"nonsense":           {`{"success":true,"data":{"rows":[]}}`, "Sippet could not be asked"},
	} {
		w.up.On(rpctest.Run, "list_contacts", rpctest.Always(rpctest.Answer{Body: c.body}))
		if out, err := w.attach(id); err == nil || !strings.Contains(out, "nothing was attached") || !strings.Contains(out, c.want) || strings.Contains(out, "sk_test") {
			t.Errorf("%s: %s: %v", name, out, err)
		}
	}
	if all := w.organisations(t); len(all) != 1 || len(all[0].Keys) != 1 {
		t.Errorf("%+v", all)
	}
	w.up.On(rpctest.Run, "list_contacts", rpctest.Usual)
	if out, err := w.attach(id); err != nil {
		t.Errorf("%s: %v", out, err)
	}
}
