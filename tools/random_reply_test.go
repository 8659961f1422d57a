package tools_test

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// answer sends a client's response with the very call of the request.
func (m *model) answer(rt *rapid.T) {
	q := m.asked(rt)
	m.reply(rt, q, q.world, q.caller, q.action, q.args, rapid.SampledFrom(propertyAnswers).Draw(rt, "answer"), rapid.SampledFrom(q.states).Draw(rt, "state"))
}

// replay sends a response with any part of the call changed.
func (m *model) replay(rt *rapid.T) {
	q := m.asked(rt)
	action := rapid.SampledFrom([]string{q.action, rapid.SampledFrom(propertyActions).Draw(rt, "other action")}).Draw(rt, "action")
	args := rapid.SampledFrom([]string{argsOf(action, false), argsOf(action, true)}).Draw(rt, "args")
	own := q.states[0]
	state := rapid.SampledFrom([]string{own, own, own, own + "0", q.id, "0123456789abcdef0123456789abcdef"}).Draw(rt, "state")
	w := rapid.IntRange(0, len(m.worlds)-1).Draw(rt, "policy")
	if approval.IsRead(q.action) {
		w = q.world // the call itself runs it, so its policy decides what is sent
	}
	m.reply(rt, q, w, rapid.SampledFrom(propertyCallers).Draw(rt, "caller"),
		action, args, rapid.SampledFrom(propertyAnswers).Draw(rt, "answer"), state)
}

// asked returns a request that a client was asked about.
func (m *model) asked(rt *rapid.T) *modelRequest {
	all := slices.DeleteFunc(slices.Clone(m.requests), func(q *modelRequest) bool { return len(q.states) == 0 })
	if len(all) == 0 {
		rt.Skip()
	}
	return rapid.SampledFrom(all).Draw(rt, "request")
}

func (m *model) reply(rt *rapid.T, q *modelRequest, w int, who, action, args, answer, state string) {
	m.clock.Add(policy.SoonestAnswer)
	r := m.send(rt, w, who, action, args, state, answer)
	fits := slices.Contains(q.states, state) && who == q.caller && action == q.action && args == q.args
	latest, before := m.previous(q.caller, q.action, q.args)
	reads := m.reads(q.world, q.action)
	switch {
	case !fits:
		m.expect(rt, r, "denied")
	case q.state != "", !m.open(q):
		// The reply comes after the end: it gets the outcome, changes nothing and reaches nobody.
		if got := r.outcome(m.t); r.Result.ResultType == "input_required" || !slices.Contains([]string{"done", "recorded", "declined", "denied", "validation_failed", "approval_pending"}, got) {
			rt.Fatalf("a reply after the end: %s", r.Frame)
		}
		if n := len(m.up.Requests()); n != m.checked {
			rt.Fatalf("a reply after the end reached Sippet: %v", m.up.Requests()[m.checked:])
		}
	case q.erased && strings.Contains(answer, `"accept"`):
		m.expect(rt, r, "denied") // its card cannot be read
	case answer == declines:
		q.state = "declined"
		m.declines[q.caller+q.action] = append(m.declines[q.caller+q.action], m.now())
		m.expect(rt, r, "declined")
	case answer != accepts:
		m.expect(rt, r, "approval_pending") // it is no answer
	case m.broken:
		q.state = "revoked" // an approval is for one attempt
		m.expect(rt, m.final(rt, r, q), "validation_failed", append(reads, "validate")...)
	case before && latest != q.repeats:
		// The same call ran after the card was shown, so the card did not mention it.
		q.state = "revoked"
		m.expect(rt, m.final(rt, r, q), "denied", append(reads, "validate")...)
	default:
		q.state = "used"
		m.used++
		delete(m.declines, q.caller+q.action)
		m.addRun(who, action, args, q.id)
		m.expect(rt, m.final(rt, r, q), "done", append(reads, m.approvedLifecycle(action, args)...)...)
	}
}

// final returns the outcome of an approved request, if the call did not wait long enough for it.
func (m *model) final(rt *rapid.T, r *reply, q *modelRequest) *reply {
	for n := 0; r.outcome(m.t) == "approval_pending"; n++ {
		if n == 500 {
			rt.Fatalf("an approved call has no outcome: %s", r.Frame)
		}
		if approval.IsRead(q.action) {
			return m.send(rt, q.world, q.caller, q.action, q.args, "", "") // its own call runs it
		}
		r = m.handle(rt, q.world, q.caller, `,"name":"approval_status","arguments":{"id":"`+q.id+`"}`)
	}
	return r
}
