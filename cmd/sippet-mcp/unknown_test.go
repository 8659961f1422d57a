package main

import (
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// under starts a server on stdio with one policy, and returns a client that cannot ask its person.
func (w *world) under(t *testing.T, profile string, env ...string) (*process, *legacy) {
	t.Helper()
	p := w.start(t, env, "stdio", "--policy", profile, "--approval-wait", "0s")
	return p, mute(t, p)
}

// lose breaks the connection of the first run of an action.
func (w *world) lose(action string) {
	w.up.On(rpctest.Run, action, rpctest.InTurn(rpctest.Always(rpctest.Answer{Reset: true}), rpctest.Always(rpctest.Answer{Usual: true})))
}

// TestUnknownNotSentAgain drives the program from outside, under each profile: after a call
// with an unknown outcome, the same call in other words, or one that does the same to the same person,
// is not sent without a person, who is told.
func TestUnknownNotSentAgain(t *testing.T) {
	one, number := rpctest.ID(1), `"phoneE164":"+442079460123"`
	calls := map[string]struct {
		args    string
		again   []string // the same call in other words
		related [][2]string
	}{
		"create_contact": {`{"input":{"fullName":"Ada Lovelace",` + number + `}}`, []string{
			`{"input":{"fullName":"Ada Lovelace",` + number + `},"fields":["id"]}`,
			`{"input":{"fullName":" Ada Lovelace ",` + number + `,"metadata":null,"email":""},"reason":"once more"}`,
		}, [][2]string{{"create_contact", `{"input":{"fullName":"Ada L",` + number + `}}`}}},
		"update_contact": {`{"identity":"` + one + `","input":{"defaultLanguage":"cy"}}`, []string{
			`{"identity":"` + strings.ToUpper(one) + `","input":{"defaultLanguage":"cy"},"fields":["id"]}`,
		}, [][2]string{{"update_contact", `{"identity":"` + one + `","input":{"metadata":{"vip":true}}}`}, {"delete_contact", erase(1)}}},
		"start_outbound_call": {`{"input":{"phoneNumber":"+442079460123"}}`, []string{
			`{"input":{"phoneNumber":"+442079460123"},"reason":"again"}`,
		}, [][2]string{{"start_outbound_call", `{"input":{"phoneNumber":"+442079460123","aiAgentId":"` + rpctest.ID(7) + `"}}`}}},
		"delete_contact": {erase(1), []string{`{"input":{"contactId":"` + one + `"},"fields":["id"]}`},
			[][2]string{{"update_contact", `{"identity":"` + one + `","input":{"defaultLanguage":"cy"}}`}}},
	}
	for _, profile := range []string{"desktop", "team", "unattended"} {
		for action, c := range calls {
			t.Run(profile+", "+action, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.lose(action)
				_, client := w.under(t, profile)
				first := client.tool(t, action, c.args)
				if profile == "unattended" && (action == "start_outbound_call" || action == "delete_contact") {
					if first.outcome() != "denied" || ran(w.up, action) != 0 {
						t.Errorf("%+v", first.Result)
					}
					return
				}
				if first.outcome() == "approval_pending" {
					id, base := first.waits(t)
					ada := &answerer{base, w.ada}
					ada.approve(t, id)
					until(t, 10*time.Second, func() bool { q, _ := ada.look(id); return q.State == "used" && ran(w.up, action) == 1 }, func() string { return "it does not run" })
					until(t, 10*time.Second, func() bool {
						return client.tool(t, "approval_status", `{"id":"`+id+`"}`).outcome() == "outcome_unknown"
					}, func() string { return "its outcome is not unknown" })
				} else if first.outcome() != "outcome_unknown" {
					t.Fatalf("%+v", first.Result)
				}
				runs := map[string]int{}
				for name := range calls {
					runs[name] = ran(w.up, name)
				}
				for _, args := range c.again {
					r := client.tool(t, action, args)
					if o := r.outcome(); o != "approval_pending" && o != "outcome_unknown" && (profile != "unattended" || o != "denied") {
						t.Errorf("%s is answered %s: %+v", args, o, r.Result)
					}
				}
				for _, other := range c.related {
					r := client.tool(t, other[0], other[1])
					switch o := r.outcome(); {
					case o == "denied" && profile == "unattended":
					case o != "approval_pending":
						t.Errorf("%s %s is answered %s: %+v", other[0], other[1], o, r.Result)
					default:
						id, base := r.waits(t)
						if q, err := (&answerer{base, w.ada}).look(id); err != nil || !strings.Contains(q.Card.Earlier, action+" was sent") || !strings.Contains(q.Card.Earlier, "its outcome is unknown") {
							t.Errorf("%s: the card does not say so: %+v %v", other[0], q, err)
						}
					}
				}
				for name, n := range runs {
					if got := ran(w.up, name); got != n {
						t.Errorf("%s was sent %d times more", name, got-n)
					}
				}
			})
		}
	}
}
