package sandbox

import (
	"fmt"
	"strings"
	"time"
)

// The life of a call that a client starts, step by step, each put on the
// agenda by the one before.

// dial begins an outbound call to a number.
func (o *organisation) dial(t *turn, contact record, number string, aiAgent record, bulkEntry any) (record, error) {
	var id string
	var err error
	if entry, ok := bulkEntry.(string); ok {
		id = o.named("call of", entry) // whenever it comes to be rung
	} else if id, err = t.newID(); err != nil {
		return nil, err
	}
	call := record{"id": id, "direction": "outbound", "fromNumber": mainLine, "toNumber": number, "status": "initiated",
		"callUuid": o.named("callUuid", id), "callSource": "api", "outboundTrunkSource": "default_sippet_trunk", "startedAt": t.stamp(),
		"conversationId": o.named("conversation", id), "currentHandlerType": "ai_agent", "currentHandlerId": aiAgent["id"],
		"currentHandlerName": aiAgent["name"], "currentAiAgentId": aiAgent["id"], "currentAiAgentName": aiAgent["name"],
		"billingCostCurrency": "GBP", "bulkEntryId": bulkEntry}
	if bulkEntry != nil {
		call["callSource"] = "bulk"
	}
	if contact != nil {
		call["contactId"] = contact["id"]
	}
	outcome, s := o.course(number, id)
	call["script"] = s.name
	if err := t.insert(o.r["Call"], call); err != nil {
		return nil, err
	}
	if err := t.insert(o.r["Conversation"], o.conversation(call, aiAgent.text("id"), t.now)); err != nil {
		return nil, err
	}
	if err := o.join(t, call, aiAgent.text("id"), "ai_agent"); err != nil {
		return nil, err
	}
	if err := o.note(t, call, "call_started", "Outbound call to "+number); err != nil {
		return nil, err
	}
	if outcome == "failed" {
		return call, o.schedule(t, "failed", id, 0, 2*time.Second)
	}
	return call, o.schedule(t, "ring", id, 0, 2*time.Second)
}

// course decides how a call to a number will go: by the number where it is one
// of the magic ones, else by chance, which the call's id is the seed of.
func (o *organisation) course(number, callID string) (outcome string, s *script) {
	if outcome, ok := magicNumbers[number]; ok {
		switch outcome {
		case "voicemail":
			return "answer", scriptNamed("voicemail")
		case "answered":
			return "answer", scriptNamed("reminder")
		}
		return outcome, scripts[0]
	}
	r := o.random("course", callID)
	var talks []*script
	for _, s := range scripts {
		if s.outbound && !s.voicemail {
			talks = append(talks, s)
		}
	}
	s = talks[r.IntN(len(talks))]
	switch n := r.IntN(100); {
	case n < 8:
		return "busy", s
	case n < 20:
		return "no_answer", s
	case n < 28:
		return "answer", scriptNamed("voicemail")
	}
	return "answer", s
}

func (o *organisation) ring(t *turn, call record) error {
	if err := t.update(o.r["Call"], call.text("id"), record{"status": "ringing"}); err != nil {
		return err
	}
	if err := o.note(t, call, "call_ringing", "Ringing"); err != nil {
		return err
	}
	outcome, _ := o.course(call.text("toNumber"), call.text("id"))
	after := map[string]time.Duration{"busy": 2 * time.Second, "no_answer": 28 * time.Second}[outcome]
	if after == 0 {
		after = time.Duration(4+o.random("rings", call.text("id")).IntN(8)) * time.Second
	}
	return o.schedule(t, outcome, call.text("id"), 0, after)
}

func (o *organisation) pickUp(t *turn, call record) error {
	id := call.text("id")
	if err := t.update(o.r["Call"], id, record{"status": "answered", "answeredAt": t.stamp(), "mediaQualifiedAt": t.stamp()}); err != nil {
		return err
	}
	if err := o.join(t, call, o.named("member", id, "callee"), "callee"); err != nil {
		return err
	}
	if err := o.note(t, call, "call_answered", "Answered"); err != nil {
		return err
	}
	return o.schedule(t, "say", id, 0, time.Second)
}

// say speaks the n-th line of the call's script.
func (o *organisation) say(t *turn, call record, n int) error {
	s, id := scriptNamed(call.text("script")), call.text("id")
	if n >= len(s.lines) {
		return o.hangUp(t, call, "completed")
	}
	l := s.lines[n]
	first, agentName := firstName(call), call.text("currentAiAgentName")
	if l.tool != "" {
		event, audit := o.toolUse(call, n, len(s.lines), l, t.now.Add(-500*time.Millisecond))
		if err := t.insert(o.r["ConversationEvent"], event); err != nil {
			return err
		}
		if err := t.insert(o.r["CallAiAuditEvent"], audit); err != nil {
			return err
		}
	}
	speaker := "caller"
	if l.agent {
		speaker = "agent"
	} else if call["callerSpokeAt"] == nil {
		if err := t.update(o.r["Call"], id, record{"callerSpokeAt": t.stamp()}); err != nil {
			return err
		}
	}
	if err := t.insert(o.r["CallTranscript"], o.transcript(call, n, speaker, fill(l.text, first, agentName), t.now)); err != nil {
		return err
	}
	if c := call["conversationId"]; c != nil {
		if err := t.update(o.r["Conversation"], c.(string), record{"lastActivityAt": t.stamp(), "updatedAt": t.stamp()}); err != nil {
			return err
		}
	}
	return o.schedule(t, "say", id, n+1, l.pace())
}

func firstName(call record) string {
	first, _, _ := strings.Cut(call.text("contactFullName"), " ")
	return first
}

// hangUp ends a call and all that hangs on it.
func (o *organisation) hangUp(t *turn, call record, status string) error {
	id := call.text("id")
	if status == "completed" && call["answeredAt"] == nil {
		status = "no_answer" // ended before anybody picked up
	}
	if err := o.cancel(t, id); err != nil {
		return err
	}
	if err := t.update(o.r["Call"], id, o.ended(call, status, t.now)); err != nil {
		return err
	}
	if err := t.exec(`UPDATE "CallParticipant" SET "leftAt" = ? WHERE "callId" = ? AND "leftAt" IS NULL`, t.stamp(), id); err != nil {
		return err
	}
	if err := o.note(t, call, "call_ended", "Call "+strings.ReplaceAll(status, "_", " ")); err != nil {
		return err
	}
	if err := o.settleQueue(t, call); err != nil {
		return err
	}
	if err := o.conclude(t, call, status); err != nil {
		return err
	}
	return o.bulkCallEnded(t, call, status)
}

// conclude ends the conversation, and classifies a call on which was spoken.
func (o *organisation) conclude(t *turn, call record, status string) error {
	s, first, agentName := scriptNamed(call.text("script")), firstName(call), call.text("currentAiAgentName")
	changes := record{"status": "ended", "endedAt": t.stamp(), "lastActivityAt": t.stamp(), "updatedAt": t.stamp(), "outcome": status}
	said, err := t.count(o.r["CallTranscript"], `t."callId" = ?`, call.text("id"))
	if err != nil {
		return err
	}
	if said > 0 && call["script"] != nil {
		if int(said) < len(s.lines) {
			cut := *s
			cut.outcome, cut.reason, cut.next = "cut_short", "The call ended early", "Read the transcript."
			cut.summary = fmt.Sprintf("The call ended after %d of its lines.", said)
			s = &cut
		}
		changes["outcome"], changes["summary"] = s.outcome, fill(s.summary, first, agentName)
		if err := t.insert(o.r["CallClassification"], o.classification(call, s, first, agentName, t.now)); err != nil {
			return err
		}
	}
	if c := call["conversationId"]; c != nil {
		return t.update(o.r["Conversation"], c.(string), changes)
	}
	return nil
}
