package sandbox

import (
	"fmt"
	"time"
)

const (
	queueWait = 20 * time.Minute // then a caller in the queue gives up
	aloneWait = time.Minute      // then a caller whom nobody has hangs up
	talkTime  = 15 * time.Minute // then an operator's call comes to its end
)

func (o *organisation) callActions() map[string]func(*action) {
	onLive := func(run func(t *turn, call, args record) (map[string]any, error)) func(*action) {
		return func(a *action) {
			a.Resource = o.r["Call"]
			a.Run = func(t *turn, args record) (any, error) {
				call, err := o.liveCall(t, a, args)
				if err != nil {
					return nil, err
				}
				return run(t, call, args)
			}
		}
	}
	return map[string]func(*action){
		"create_call": func(a *action) {
			a.Change = func(t *turn, _, next record) error {
				if next["startedAt"] == nil && next["status"] != nil {
					next["startedAt"] = t.stamp()
				}
				return nil
			}
		},
		"flag_call_for_review": func(a *action) {
			a.Change = func(t *turn, _, next record) error {
				next["flaggedAt"], next["flaggedByUserId"] = t.stamp(), o.keyHolder()
				return nil
			}
		},
		"clear_call_review_flag": func(a *action) {
			a.Change = func(_ *turn, _, next record) error {
				next["flaggedAt"], next["flaggedByUserId"] = nil, nil
				return nil
			}
		},
		"override_call_classification": func(a *action) {
			a.Change = func(t *turn, _, next record) error {
				next["effectiveLabel"], next["effectiveSource"] = next["label"], "override"
				next["overriddenAt"], next["overriddenByUserId"], next["updatedAt"] = t.stamp(), o.keyHolder(), t.stamp()
				return nil
			}
		},
		"clear_call_classification_override": func(a *action) {
			a.Change = func(t *turn, _, next record) error {
				next["effectiveLabel"], next["effectiveSource"] = next["predictedLabel"], "model"
				next["overriddenAt"], next["overriddenByUserId"], next["updatedAt"] = nil, nil, t.stamp()
				return nil
			}
		},
		"call_codec": onLive(func(_ *turn, call, _ record) (map[string]any, error) {
			if call.text("direction") == "inbound" {
				return map[string]any{"callUuid": call["callUuid"], "codec": "PCMA", "sampleRate": 8000, "channels": 1}, nil
			}
			return map[string]any{"callUuid": call["callUuid"], "codec": "OPUS", "sampleRate": 48000, "channels": 1}, nil
		}),
		"barge_call": onLive(func(t *turn, call, _ record) (map[string]any, error) {
			return o.outcome(t, call, "barged", o.handToOperator(t, call))
		}),
		"resume_ai_call": onLive(func(t *turn, call, _ record) (map[string]any, error) {
			return o.outcome(t, call, "resumed", o.handToAgent(t, call))
		}),
		"leave_call": onLive(func(t *turn, call, args record) (map[string]any, error) {
			return o.outcome(t, call, "left", o.leave(t, call, args.text("reason")))
		}),
		"end_call": onLive(func(t *turn, call, _ record) (map[string]any, error) {
			return o.outcome(t, call, "ended", o.hangUp(t, call, "completed"))
		}),
	}
}

func (o *organisation) outcome(t *turn, call record, status string, err error) (map[string]any, error) {
	if err != nil {
		return nil, err
	}
	now, err := t.get(o.r["Call"], call.text("id"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"callUuid": call["callUuid"], "status": status, "callStatus": now["status"],
		"currentHandlerType": now["currentHandlerType"]}, nil
}

// liveCall finds the call that an action is about, which must be going on.
func (o *organisation) liveCall(t *turn, a *action, args record) (record, error) {
	uuid := args.text("callUuid")
	call, err := t.first(o.r["Call"], `t."callUuid" = ?`, uuid)
	if err != nil {
		return nil, err
	}
	if call == nil {
		return nil, a.NotFound("call_uuid", uuid)
	}
	if !live(call) {
		return nil, InvalidAttribute("status", "call is not live")
	}
	return call, nil
}

func live(call record) bool {
	switch call.text("status") {
	case "initiated", "ringing", "answered":
		return true
	}
	return false
}

// note logs something that happened on a call.
func (o *organisation) note(t *turn, call record, kind, summary string) error {
	if call["conversationId"] == nil {
		return nil
	}
	key, err := o.nth(t, "ConversationEvent", call)
	if err != nil {
		return err
	}
	return t.insert(o.r["ConversationEvent"], o.event(call, kind+key, kind, summary, t.now, nil))
}

// nth counts what a call has of a resource: a name for the next one that does
// not depend on what else happens in the organisation.
func (o *organisation) nth(t *turn, resource string, call record) (string, error) {
	n, err := t.count(o.r[resource], `t."callId" = ?`, call.text("id"))
	return "#" + fmt.Sprint(n), err
}

// join puts somebody on the call.
func (o *organisation) join(t *turn, call record, member, role string) error {
	key, err := o.nth(t, "CallParticipant", call)
	if err != nil {
		return err
	}
	return t.insert(o.r["CallParticipant"], o.participant(call, role+key, member, role, t.now, nil))
}

// handlersLeave takes whoever handles the call off it.
func (o *organisation) handlersLeave(t *turn, call record) error {
	return t.exec(`UPDATE "CallParticipant" SET "leftAt" = ? WHERE "callId" = ? AND "leftAt" IS NULL AND "role" != 'caller' AND "role" != 'callee'`,
		t.stamp(), call.text("id"))
}

// quiet gives the call to a handler who is no AI agent, which says nothing more.
func (o *organisation) quiet(t *turn, call record, handler any, name any) error {
	if err := o.cancel(t, call.text("id")); err != nil {
		return err
	}
	return t.update(o.r["Call"], call.text("id"), record{"currentHandlerType": handler, "currentHandlerId": nil,
		"currentHandlerName": name, "currentOperatorMemberUuid": nil, "currentOperatorName": nil})
}

// handToOperator puts the key's holder on the call.
func (o *organisation) handToOperator(t *turn, call record) error {
	user, err := t.get(o.r["User"], o.keyHolder())
	if err != nil {
		return err
	}
	if call.text("currentHandlerType") == "operator" && call.text("currentHandlerId") == user.text("id") {
		return nil // is there already
	}
	id, member := call.text("id"), o.named("member", call.text("id"), user.text("id"))
	if err := o.handlersLeave(t, call); err != nil {
		return err
	}
	if err := o.quiet(t, call, "operator", user["fullName"]); err != nil {
		return err
	}
	changes := record{"currentHandlerId": user["id"], "currentOperatorMemberUuid": member, "currentOperatorName": user["fullName"], "sipUsername": user["sipUsername"]}
	if call.text("status") != "answered" {
		changes["status"], changes["answeredAt"] = "answered", t.stamp()
	}
	if err := t.update(o.r["Call"], id, changes); err != nil {
		return err
	}
	if err := o.join(t, call, member, "operator"); err != nil {
		return err
	}
	if err := o.note(t, call, "operator_joined", fmt.Sprint(user["fullName"], " joined the call")); err != nil {
		return err
	}
	return o.schedule(t, "hang_up", id, 0, talkTime)
}

// handToAgent gives the call back to its AI agent, which goes on where it was.
func (o *organisation) handToAgent(t *turn, call record) error {
	if call.text("currentHandlerType") == "ai_agent" {
		return nil
	}
	if err := o.handlersLeave(t, call); err != nil {
		return err
	}
	id := call.text("id")
	agentID, name := call["currentAiAgentId"], call["currentAiAgentName"]
	if agentID == nil {
		agentID, name = o.named("agent", defaultAgent), defaultAgent
	}
	if err := o.quiet(t, call, "ai_agent", name); err != nil {
		return err
	}
	if err := t.update(o.r["Call"], id, record{"currentHandlerId": agentID, "currentAiAgentId": agentID, "currentAiAgentName": name}); err != nil {
		return err
	}
	if err := o.join(t, call, fmt.Sprint(agentID), "ai_agent"); err != nil {
		return err
	}
	if err := o.note(t, call, "ai_resumed", fmt.Sprint(name, " has the call again")); err != nil {
		return err
	}
	said, err := t.count(o.r["CallTranscript"], `t."callId" = ?`, id)
	if err != nil {
		return err
	}
	return o.schedule(t, "say", id, int(said), 2*time.Second)
}

// leave takes the operator off the call, which goes on: the caller waits a
// while for somebody.
func (o *organisation) leave(t *turn, call record, reason string) error {
	if call.text("currentHandlerType") != "operator" {
		return InvalidAttribute("currentHandlerType", "no operator is on the call")
	}
	if err := o.handlersLeave(t, call); err != nil {
		return err
	}
	if err := o.quiet(t, call, nil, nil); err != nil {
		return err
	}
	summary := "Operator left the call"
	if reason != "" {
		summary += ": " + reason
	}
	if err := o.note(t, call, "operator_left", summary); err != nil {
		return err
	}
	return o.schedule(t, "hang_up", call.text("id"), 0, aloneWait)
}
