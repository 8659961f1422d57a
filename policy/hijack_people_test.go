package policy_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// answer lets somebody answer a request, most often the latest, and maybe runs what they approve at
// once.
func (h *hijack) answer(rt *rapid.T) {
	if len(h.requests) == 0 {
		return
	}
	id := h.requests[max(0, len(h.requests)-1-rapid.IntRange(0, 3).Draw(rt, "request"))]
	if h.answerRequest(rt, id, often(rt, "approve", 8)) && often(rt, "at once", 4) {
		h.run(id)
	}
}

// answerRequest lets somebody answer a request, and reports whether it is approved.
func (h *hijack) answerRequest(rt *rapid.T, id string, approve bool) bool {
	q, err := h.world.ledger.Approval(context.Background(), id)
	if err != nil || q.State != ledger.Pending {
		return false
	}
	who := rapid.IntRange(0, 3).Draw(rt, "who")
	v, err := newView(q.Card, who == 0)
	if err != nil {
		rt.Fatal(err)
	}
	v.at, v.caller, v.body, v.by = h.clock.Now(), q.Requester.Name, string(q.Payload), anybody
	ok := false
	switch who {
	case 0:
		ok = h.replyInClient(&q, approve)
	default:
		person := approval.Person{Name: q.Person, Via: "inbox", Fresh: true}
		if who > 1 {
			person.Name, person.Roles, v.by = "bob", []string{approval.RoleApprover}, another
		}
		number, _ := v.card["stateNumber"].(float64)
		ok = h.world.people.Answer(context.Background(), []string{id}, person, approval.Reply{Approve: approve, StatedNumber: int(number)})[0].Err == nil
	}
	rt.Logf("%d answers %s: %t, which counts: %t", who, q.Action, approve, ok)
	if !ok || !approve {
		return false
	}
	h.world.seen["approved"]++
	h.views[id] = v
	return true
}

// replyInClient answers a request through the client of its caller. It reports whether that counts.
func (h *hijack) replyInClient(q *ledger.ApprovalRequest, approve bool) bool {
	payload, fault := schemas.Restore(q.Payload)
	if fault != nil { // it was erased
		return false
	}
	reply := policy.ClientReply{Action: policy.ClientDeclines, After: 5 * time.Second}
	if approve {
		reply.Action, reply.Ticked = policy.ClientAccepts, true
	}
	c := policy.Call{Caller: h.callerOf(q), Payload: payload, ApprovalID: q.ID, CanAsk: true}
	event, fault := h.gate.RecordReply(context.Background(), c, reply)
	return event == "" && fault == nil
}

func (h *hijack) callerOf(q *ledger.ApprovalRequest) policy.Caller {
	for _, c := range h.callers {
		if c.Actor == q.Requester {
			return c
		}
	}
	panic("a request of nobody")
}

// execute runs all that is approved.
func (h *hijack) execute(rt *rapid.T) {
	for _, id := range slices.Clone(h.requests) {
		if h.views[id] != nil {
			h.run(id)
		}
	}
}

// run does what the executor does with an approved request.
func (h *hijack) run(id string) {
	q, err := h.world.ledger.Approval(context.Background(), id)
	if err != nil || q.State != ledger.Approved {
		return
	}
	payload, fault := schemas.Restore(q.Payload)
	if fault != nil { // it was erased
		return
	}
	h.rt.Logf("the executor runs %s", q.Action)
	c := policy.Call{Caller: h.callerOf(&q), Request: q.Request, Payload: payload, ApprovalID: id}
	res := h.do(c)
	if res.Err != nil {
		if strings.Contains(res.Err.Message, "needs") {
			h.world.seen["stricter now"]++
		}
		h.gate.Withdraw(context.Background(), c, res.Err)
	}
	if res.Err == nil {
		return
	}
	if now, err := h.world.ledger.Approval(context.Background(), id); err == nil && now.State == ledger.Revoked {
		reason := string(now.Fault)
		for what, words := range map[string]string{"the record changed": "the record, or another", "the recipients changed": "recipients have changed", "a name changed": "a name on the card"} {
			if strings.Contains(reason, words) {
				h.world.seen[what]++
			}
		}
	}
}

// colleague lets somebody else change a record in Sippet.
func (h *hijack) colleague(rt *rapid.T) {
	id := h.contactOf(rt)
	switch rapid.IntRange(0, 4).Draw(rt, "change") {
	case 0:
		h.change(id, row{"phoneE164": one(rt, "number", hijackNumbers...)})
	case 1:
		h.change(id, row{"email": strings.TrimSpace(one(rt, "email", hijackEmails...))})
	case 2:
		h.change(id, row{"fullName": strings.TrimSpace(one(rt, "name", hijackNames...))})
	case 3:
		h.change(id, row{"metadata": row{"notes": "walnuts"}})
	default:
		if t := h.up.find("list_email_templates", "id", h.up.id(11)); t != nil {
			h.up.put("list_email_templates", with(t, row{"body": one(rt, "body", hijackBodies...), "name": one(rt, "title", "Recall", "Refund")}))
		}
	}
}

// change changes a contact in Sippet, by somebody else.
func (h *hijack) change(id string, values row) {
	r := h.up.find("list_contacts", "id", id)
	if r == nil || r["erasedAt"] != nil {
		return
	}
	h.rt.Logf("somebody else changes %s: %v", id, values)
	h.up.put("list_contacts", with(r, values))
	if values["email"] != nil {
		clear(h.freshAddress)
	}
	for field := range values {
		h.forget(id, field)
	}
}
