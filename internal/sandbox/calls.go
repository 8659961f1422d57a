package sandbox

import (
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

const (
	queueWait = 20 * time.Minute // how long a caller waits in the queue
	aloneWait = time.Minute      // how long a caller without a handler waits
	talkTime  = 15 * time.Minute // how long an operator's call lasts
)

func (o *organisation) callActions() map[string]func(*ash.Action) {
	onLive := func(run func(t *ash.Tx, call, args ash.Record) (map[string]any, error)) func(*ash.Action) {
		return func(a *ash.Action) {
			a.Resource = o.resources["Call"]
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) {
				call, err := o.findLiveCall(t, a, args)
				if err != nil {
					return nil, err
				}
				return run(t, call, args)
			}
		}
	}
	return map[string]func(*ash.Action){
		"create_call": func(a *ash.Action) {
			a.Change = func(t *ash.Tx, _, next ash.Record) error {
				if next["startedAt"] == nil && next["status"] != nil {
					next["startedAt"] = t.Timestamp()
				}
				return nil
			}
		},
		"flag_call_for_review": func(a *ash.Action) {
			a.Change = func(t *ash.Tx, _, next ash.Record) error {
				next["flaggedAt"], next["flaggedByUserId"] = t.Timestamp(), o.keyHolder()
				return nil
			}
		},
		"clear_call_review_flag": func(a *ash.Action) {
			a.Change = func(_ *ash.Tx, _, next ash.Record) error {
				next["flaggedAt"], next["flaggedByUserId"] = nil, nil
				return nil
			}
		},
		"override_call_classification": func(a *ash.Action) {
			a.Change = func(t *ash.Tx, _, next ash.Record) error {
				next["effectiveLabel"], next["effectiveSource"] = next["label"], "override"
				next["overriddenAt"], next["overriddenByUserId"], next["updatedAt"] = t.Timestamp(), o.keyHolder(), t.Timestamp()
				return nil
			}
		},
		"clear_call_classification_override": func(a *ash.Action) {
			a.Change = func(t *ash.Tx, _, next ash.Record) error {
				next["effectiveLabel"], next["effectiveSource"] = next["predictedLabel"], "model"
				next["overriddenAt"], next["overriddenByUserId"], next["updatedAt"] = nil, nil, t.Timestamp()
				return nil
			}
		},
		"call_codec": onLive(func(_ *ash.Tx, call, _ ash.Record) (map[string]any, error) {
			if call.Text("direction") == "inbound" {
				return map[string]any{"callUuid": call["callUuid"], "codec": "PCMA", "sampleRate": 8000, "channels": 1}, nil
			}
			return map[string]any{"callUuid": call["callUuid"], "codec": "OPUS", "sampleRate": 48000, "channels": 1}, nil
		}),
		"barge_call": onLive(func(t *ash.Tx, call, _ ash.Record) (map[string]any, error) {
			return o.callResult(t, call, "barged", o.assignToOperator(t, call))
		}),
		"resume_ai_call": onLive(func(t *ash.Tx, call, _ ash.Record) (map[string]any, error) {
			return o.callResult(t, call, "resumed", o.assignToAgent(t, call))
		}),
		"leave_call": onLive(func(t *ash.Tx, call, args ash.Record) (map[string]any, error) {
			return o.callResult(t, call, "left", o.removeOperator(t, call, args.Text("reason")))
		}),
		"end_call": onLive(func(t *ash.Tx, call, _ ash.Record) (map[string]any, error) {
			return o.callResult(t, call, "ended", o.endCall(t, call, "completed"))
		}),
	}
}

func (o *organisation) callResult(t *ash.Tx, call ash.Record, status string, err error) (map[string]any, error) {
	if err != nil {
		return nil, err
	}
	now, err := t.Get(o.resources["Call"], call.Text("id"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"callUuid": call["callUuid"], "status": status, "callStatus": now["status"],
		"currentHandlerType": now["currentHandlerType"]}, nil
}

// findLiveCall returns the call that the callUuid of an action names, which must be live.
func (o *organisation) findLiveCall(t *ash.Tx, a *ash.Action, args ash.Record) (ash.Record, error) {
	uuid := args.Text("callUuid")
	call, err := t.First(o.resources["Call"], `t."callUuid" = ?`, uuid)
	if err != nil {
		return nil, err
	}
	if call == nil {
		return nil, a.NotFound("call_uuid", uuid)
	}
	if !isLive(call) {
		return nil, ash.InvalidAttribute("status", "call is not live")
	}
	return call, nil
}

func isLive(call ash.Record) bool {
	switch call.Text("status") {
	case "initiated", "ringing", "answered":
		return true
	}
	return false
}

// logEvent adds an event to the log of the call's conversation.
func (o *organisation) logEvent(t *ash.Tx, call ash.Record, kind, summary string) error {
	if call["conversationId"] == nil {
		return nil
	}
	key, err := o.nextKey(t, "ConversationEvent", call)
	if err != nil {
		return err
	}
	return t.Insert(o.resources["ConversationEvent"], o.callEvent(call, kind+key, kind, summary, t.Now, nil))
}

// nextKey returns a key for the call's next record of a resource: their number so far. Ids made
// from it do not depend on other calls.
func (o *organisation) nextKey(t *ash.Tx, resource string, call ash.Record) (string, error) {
	n, err := t.Count(o.resources[resource], `t."callId" = ?`, call.Text("id"))
	return "#" + fmt.Sprint(n), err
}

// addParticipant adds a participant to the call.
func (o *organisation) addParticipant(t *ash.Tx, call ash.Record, member, role string) error {
	key, err := o.nextKey(t, "CallParticipant", call)
	if err != nil {
		return err
	}
	return t.Insert(o.resources["CallParticipant"], o.participant(call, role+key, member, role, t.Now, nil))
}

// removeHandlers ends the participation of everybody but the caller and the callee.
func (o *organisation) removeHandlers(t *ash.Tx, call ash.Record) error {
	return t.Exec(`UPDATE "CallParticipant" SET "leftAt" = ? WHERE "callId" = ? AND "leftAt" IS NULL AND "role" != 'caller' AND "role" != 'callee'`,
		t.Timestamp(), call.Text("id"))
}

// setHandler sets the handler of the call, and stops the script of its AI agent.
func (o *organisation) setHandler(t *ash.Tx, call ash.Record, handler any, name any) error {
	if err := o.cancel(t, call.Text("id")); err != nil {
		return err
	}
	return t.Update(o.resources["Call"], call.Text("id"), ash.Record{"currentHandlerType": handler, "currentHandlerId": nil,
		"currentHandlerName": name, "currentOperatorMemberUuid": nil, "currentOperatorName": nil})
}

// assignToOperator makes the key's holder the handler of the call.
func (o *organisation) assignToOperator(t *ash.Tx, call ash.Record) error {
	user, err := t.Get(o.resources["User"], o.keyHolder())
	if err != nil {
		return err
	}
	if call.Text("currentHandlerType") == "operator" && call.Text("currentHandlerId") == user.Text("id") {
		return nil
	}
	id, member := call.Text("id"), o.idOf("member", call.Text("id"), user.Text("id"))
	if err := o.removeHandlers(t, call); err != nil {
		return err
	}
	if err := o.setHandler(t, call, "operator", user["fullName"]); err != nil {
		return err
	}
	changes := ash.Record{"currentHandlerId": user["id"], "currentOperatorMemberUuid": member, "currentOperatorName": user["fullName"], "sipUsername": user["sipUsername"]}
	if call.Text("status") != "answered" {
		changes["status"], changes["answeredAt"] = "answered", t.Timestamp()
	}
	if err := t.Update(o.resources["Call"], id, changes); err != nil {
		return err
	}
	if err := o.addParticipant(t, call, member, "operator"); err != nil {
		return err
	}
	if err := o.logEvent(t, call, "operator_joined", fmt.Sprint(user["fullName"], " joined the call")); err != nil {
		return err
	}
	return o.schedule(t, "hang_up", id, 0, talkTime)
}

// assignToAgent makes the call's AI agent its handler again. The agent continues its script.
func (o *organisation) assignToAgent(t *ash.Tx, call ash.Record) error {
	if call.Text("currentHandlerType") == "ai_agent" {
		return nil
	}
	if err := o.removeHandlers(t, call); err != nil {
		return err
	}
	id := call.Text("id")
	agentID, name := call["currentAiAgentId"], call["currentAiAgentName"]
	if agentID == nil {
		agentID, name = o.idOf("agent", defaultAgent), defaultAgent
	}
	if err := o.setHandler(t, call, "ai_agent", name); err != nil {
		return err
	}
	if err := t.Update(o.resources["Call"], id, ash.Record{"currentHandlerId": agentID, "currentAiAgentId": agentID, "currentAiAgentName": name}); err != nil {
		return err
	}
	if err := o.addParticipant(t, call, fmt.Sprint(agentID), "ai_agent"); err != nil {
		return err
	}
	if err := o.logEvent(t, call, "ai_resumed", fmt.Sprint(name, " resumed the call")); err != nil {
		return err
	}
	said, err := t.Count(o.resources["CallTranscript"], `t."callId" = ?`, id)
	if err != nil {
		return err
	}
	return o.schedule(t, "say", id, int(said), 2*time.Second)
}

// removeOperator removes the operator from the call. The caller waits for another handler for a
// while.
func (o *organisation) removeOperator(t *ash.Tx, call ash.Record, reason string) error {
	if call.Text("currentHandlerType") != "operator" {
		return ash.InvalidAttribute("currentHandlerType", "no operator is on the call")
	}
	if err := o.removeHandlers(t, call); err != nil {
		return err
	}
	if err := o.setHandler(t, call, nil, nil); err != nil {
		return err
	}
	summary := "Operator left the call"
	if reason != "" {
		summary += ": " + reason
	}
	if err := o.logEvent(t, call, "operator_left", summary); err != nil {
		return err
	}
	return o.schedule(t, "hang_up", call.Text("id"), 0, aloneWait)
}
