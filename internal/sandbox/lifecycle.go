package sandbox

import (
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// dial starts an outbound call to a number. Each step of the call schedules the next one.
func (o *organisation) dial(t *ash.Tx, contact ash.Record, number string, aiAgent ash.Record, bulkEntry any) (ash.Record, error) {
	var id string
	var err error
	if entry, ok := bulkEntry.(string); ok {
		id = o.idOf("call of", entry) // an id that does not depend on when the entry is rung
	} else if id, err = t.NewID(); err != nil {
		return nil, err
	}
	call := ash.Record{"id": id, "direction": "outbound", "fromNumber": mainLine, "toNumber": number, "status": "initiated",
		"callUuid": o.idOf("callUuid", id), "callSource": "api", "outboundTrunkSource": "default_sippet_trunk", "startedAt": t.Timestamp(),
		"conversationId": o.idOf("conversation", id), "currentHandlerType": "ai_agent", "currentHandlerId": aiAgent["id"],
		"currentHandlerName": aiAgent["name"], "currentAiAgentId": aiAgent["id"], "currentAiAgentName": aiAgent["name"],
		"billingCostCurrency": "GBP", "bulkEntryId": bulkEntry}
	if bulkEntry != nil {
		call["callSource"] = "bulk"
	}
	if contact != nil {
		call["contactId"] = contact["id"]
	}
	outcome, s := o.chooseOutcome(number, id)
	call["script"] = s.name
	if err := t.Insert(o.resources["Call"], call); err != nil {
		return nil, err
	}
	if err := t.Insert(o.resources["Conversation"], o.callConversation(call, aiAgent.Text("id"), t.Now)); err != nil {
		return nil, err
	}
	if err := o.addParticipant(t, call, aiAgent.Text("id"), "ai_agent"); err != nil {
		return nil, err
	}
	if err := o.logEvent(t, call, "call_started", "Outbound call to "+number); err != nil {
		return nil, err
	}
	if outcome == "failed" {
		return call, o.schedule(t, "failed", id, 0, 2*time.Second)
	}
	return call, o.schedule(t, "ring", id, 0, 2*time.Second)
}

// chooseOutcome returns the next task of a call that rings, and the script of the call. A test
// number has its own, for other numbers they depend on the call's id.
func (o *organisation) chooseOutcome(number, callID string) (outcome string, s *script) {
	if outcome, ok := testNumbers[number]; ok {
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

func (o *organisation) markRinging(t *ash.Tx, call ash.Record) error {
	if err := t.Update(o.resources["Call"], call.Text("id"), ash.Record{"status": "ringing"}); err != nil {
		return err
	}
	if err := o.logEvent(t, call, "call_ringing", "Ringing"); err != nil {
		return err
	}
	outcome, _ := o.chooseOutcome(call.Text("toNumber"), call.Text("id"))
	after := map[string]time.Duration{"busy": 2 * time.Second, "no_answer": 28 * time.Second}[outcome]
	if after == 0 {
		after = time.Duration(4+o.random("rings", call.Text("id")).IntN(8)) * time.Second
	}
	return o.schedule(t, outcome, call.Text("id"), 0, after)
}

func (o *organisation) markAnswered(t *ash.Tx, call ash.Record) error {
	id := call.Text("id")
	if err := t.Update(o.resources["Call"], id, ash.Record{"status": "answered", "answeredAt": t.Timestamp(), "mediaQualifiedAt": t.Timestamp()}); err != nil {
		return err
	}
	if err := o.addParticipant(t, call, o.idOf("member", id, "callee"), "callee"); err != nil {
		return err
	}
	if err := o.logEvent(t, call, "call_answered", "Answered"); err != nil {
		return err
	}
	return o.schedule(t, "say", id, 0, time.Second)
}

// speakLine adds the n-th line of the call's script to the transcript, or ends the call after the
// last.
func (o *organisation) speakLine(t *ash.Tx, call ash.Record, n int) error {
	s, id := scriptNamed(call.Text("script")), call.Text("id")
	if n >= len(s.lines) {
		return o.endCall(t, call, "completed")
	}
	l := s.lines[n]
	first, agentName := firstName(call), call.Text("currentAiAgentName")
	if l.tool != "" {
		event, audit := o.toolRecords(call, n, len(s.lines), l, t.Now.Add(-500*time.Millisecond))
		if err := t.Insert(o.resources["ConversationEvent"], event); err != nil {
			return err
		}
		if err := t.Insert(o.resources["CallAiAuditEvent"], audit); err != nil {
			return err
		}
	}
	speaker := "caller"
	if l.agent {
		speaker = "agent"
	} else if call["callerSpokeAt"] == nil {
		if err := t.Update(o.resources["Call"], id, ash.Record{"callerSpokeAt": t.Timestamp()}); err != nil {
			return err
		}
	}
	if err := t.Insert(o.resources["CallTranscript"], o.transcript(call, n, speaker, fillNames(l.text, first, agentName), t.Now)); err != nil {
		return err
	}
	if c := call["conversationId"]; c != nil {
		if err := t.Update(o.resources["Conversation"], c.(string), ash.Record{"lastActivityAt": t.Timestamp(), "updatedAt": t.Timestamp()}); err != nil {
			return err
		}
	}
	return o.schedule(t, "say", id, n+1, l.pace())
}

func firstName(call ash.Record) string {
	first, _, _ := strings.Cut(call.Text("contactFullName"), " ")
	return first
}

// endCall ends a call, and closes its conversation, queue entries and bulk entry.
func (o *organisation) endCall(t *ash.Tx, call ash.Record, status string) error {
	id := call.Text("id")
	if status == "completed" && call["answeredAt"] == nil {
		status = "no_answer"
	}
	if err := o.cancel(t, id); err != nil {
		return err
	}
	if err := t.Update(o.resources["Call"], id, o.endedAttributes(call, status, t.Now)); err != nil {
		return err
	}
	if err := t.Exec(`UPDATE "CallParticipant" SET "leftAt" = ? WHERE "callId" = ? AND "leftAt" IS NULL`, t.Timestamp(), id); err != nil {
		return err
	}
	if err := o.logEvent(t, call, "call_ended", "Call "+strings.ReplaceAll(status, "_", " ")); err != nil {
		return err
	}
	if err := o.closeQueueEntries(t, call); err != nil {
		return err
	}
	if err := o.closeConversation(t, call, status); err != nil {
		return err
	}
	return o.settleEntry(t, call, status)
}

// closeConversation ends the conversation of a call. It classifies the call if anything was said.
func (o *organisation) closeConversation(t *ash.Tx, call ash.Record, status string) error {
	s, first, agentName := scriptNamed(call.Text("script")), firstName(call), call.Text("currentAiAgentName")
	changes := ash.Record{"status": "ended", "endedAt": t.Timestamp(), "lastActivityAt": t.Timestamp(), "updatedAt": t.Timestamp(), "outcome": status}
	said, err := t.Count(o.resources["CallTranscript"], `t."callId" = ?`, call.Text("id"))
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
		changes["outcome"], changes["summary"] = s.outcome, fillNames(s.summary, first, agentName)
		if err := t.Insert(o.resources["CallClassification"], o.callClassification(call, s, first, agentName, t.Now)); err != nil {
			return err
		}
	}
	if c := call["conversationId"]; c != nil {
		return t.Update(o.resources["Conversation"], c.(string), changes)
	}
	return nil
}
