package sandbox

import (
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// The functions in this file return the records of a call, for seeded calls and for new ones.

const (
	mainLine  = "+442079460018"
	callModel = "gpt-realtime"
)

// transcript returns the n-th utterance of a call.
func (o *organisation) transcript(call ash.Record, n int, speaker, text string, at time.Time) ash.Record {
	id := call.Text("id")
	return ash.Record{"id": o.idOf("transcript", id, fmt.Sprint(n)), "content": text, "speaker": speaker, "source": "realtime",
		"itemId": fmt.Sprintf("item_%s_%02d", id[:8], n), "contentIndex": int64(0), "occurredAt": at.Format(ash.TimeLayout), "callId": id}
}

// participant returns a participant of a call. Left is nil while they are on it.
func (o *organisation) participant(call ash.Record, key, member, role string, joined time.Time, left any) ash.Record {
	return ash.Record{"id": o.idOf("participant", call.Text("id"), key), "memberUuid": member, "role": role,
		"joinedAt": joined.Format(ash.TimeLayout), "leftAt": left, "callId": call["id"], "organisationId": o.id}
}

// callEvent returns an event of the call's conversation.
func (o *organisation) callEvent(call ash.Record, key, kind, summary string, at time.Time, more ash.Record) ash.Record {
	e := ash.Record{"id": o.idOf("event", call.Text("id"), key), "eventType": kind, "source": "call", "summary": summary,
		"metadata": ash.Document("{}"), "payload": ash.Document("{}"), "callUuid": call["callUuid"], "roomId": "room-" + call.Text("callUuid"),
		"actorType": "system", "occurredAt": at.Format(ash.TimeLayout), "callId": call["id"],
		"conversationId": call["conversationId"], "agentId": call["currentAiAgentId"]}
	for k, v := range more {
		e[k] = v
	}
	return e
}

// toolRecords returns the conversation event and the audit event of a tool call.
func (o *organisation) toolRecords(call ash.Record, n, total int, l line, at time.Time) (event, audit ash.Record) {
	var failure any
	if l.failed {
		failure = l.output
	}
	toolCall := fmt.Sprintf("call_%s_%02d", call.Text("id")[:8], n)
	args := ash.NewDocument(l.args)
	event = o.callEvent(call, fmt.Sprint("tool", n), "tool_call", "Used "+l.tool, at, ash.Record{"actorType": "ai_agent", "actorId": call["currentAiAgentId"],
		"stateId": "conversation", "stateLabel": "In conversation", "tokenUsage": ash.Document(`{"input":210,"output":34}`),
		"toolName": l.tool, "toolCallId": toolCall, "success": !l.failed, "error": failure, "model": callModel,
		"payload": ash.NewDocument(map[string]any{"arguments": l.args, "output": l.output})})
	audit = o.auditEvent(call, fmt.Sprint("tool", n), "tool_call", at, ash.Record{"toolName": l.tool, "toolCallId": toolCall, "toolArgumentsRaw": string(args),
		"toolArguments": args, "toolOutput": l.output, "error": failure, "success": !l.failed,
		"stepIndex": int64(n), "totalSteps": int64(total), "progressPercent": float64(100*n) / float64(max(total, 1))})
	return event, audit
}

// auditEvent returns an audit event of the call's AI agent.
func (o *organisation) auditEvent(call ash.Record, key, kind string, at time.Time, more ash.Record) ash.Record {
	r := o.random("tokens", call.Text("id"), key)
	in, out := int64(400+r.IntN(900)), int64(60+r.IntN(240))
	e := ash.Record{"id": o.idOf("audit", call.Text("id"), key), "eventType": kind, "success": true, "stateId": "conversation", "stateLabel": "In conversation",
		"tokenUsage":  ash.NewDocument(map[string]any{"input": in, "output": out, "total": in + out}),
		"inputTokens": in, "outputTokens": out, "totalTokens": in + out, "inputTextTokens": in / 4, "inputAudioTokens": in - in/4,
		"inputImageTokens": int64(0), "inputCachedTokens": in / 2, "inputCachedTextTokens": in / 8, "inputCachedAudioTokens": in/2 - in/8,
		"inputCachedImageTokens": int64(0), "outputTextTokens": out / 5, "outputAudioTokens": out - out/5, "outputImageTokens": int64(0),
		"model": callModel, "payload": ash.Document("{}"), "callUuid": call["callUuid"], "roomId": "room-" + call.Text("callUuid"),
		"agentId": call["currentAiAgentId"], "occurredAt": at.Format(ash.TimeLayout), "callId": call["id"], "organisationId": o.id}
	for k, v := range more {
		e[k] = v
	}
	return e
}

// callClassification returns the classification of a call with this script.
func (o *organisation) callClassification(call ash.Record, s *script, first, agentName string, at time.Time) ash.Record {
	r := o.random("classification", call.Text("id"))
	label := s.label
	return ash.Record{"id": o.idOf("classification", call.Text("id")), "callId": call["id"], "status": "classified", "predictedLabel": label,
		"predictedConfidence": float64(72+r.IntN(27)) / 100, "effectiveLabel": label, "effectiveSource": "model",
		"provider": "openai", "model": "gpt-4.1-mini", "taxonomyVersion": "dental-3", "promptVersion": "2026-01",
		"classificationSummary": fillNames(s.summary, first, agentName), "outcomeReason": s.reason, "nextAction": s.next,
		"tokenUsage":         ash.NewDocument(map[string]any{"input": 900 + r.IntN(400), "output": 80 + r.IntN(60)}),
		"providerResponseId": "resp_" + call.Text("id")[:8], "classifiedAt": at.Format(ash.TimeLayout),
		"insertedAt": at.Format(ash.TimeLayout), "updatedAt": at.Format(ash.TimeLayout)}
}

// callConversation returns the conversation of a call.
func (o *organisation) callConversation(call ash.Record, aiAgent string, at time.Time) ash.Record {
	id := call.Text("id")
	return ash.Record{"id": call["conversationId"], "status": "active", "sessionDate": at.Format(ash.DateLayout), "timezone": "Europe/London",
		"startedAt": at.Format(ash.TimeLayout), "lastActivityAt": at.Format(ash.TimeLayout), "channel": "call", "mode": "voice", "transport": "sip",
		"runtimeState": ash.Document(`{"state":"conversation"}`), "runtimeMemory": ash.Document("{}"), "sessionScopeKey": "call:" + call.Text("callUuid"),
		"publicId": "conv_" + id[:12], "workingSummary": "The call is in progress.", "metadata": ash.Document("{}"), "aiAgentId": aiAgent, "contactId": call["contactId"],
		"insertedAt": at.Format(ash.TimeLayout), "updatedAt": at.Format(ash.TimeLayout)}
}

// endedAttributes returns the attributes to set when a call ends.
func (o *organisation) endedAttributes(call ash.Record, status string, at time.Time) ash.Record {
	out := ash.Record{"status": status, "endedAt": at.Format(ash.TimeLayout), "durationSeconds": int64(0),
		"currentHandlerType": nil, "currentHandlerId": nil, "currentHandlerName": nil, "currentOperatorMemberUuid": nil, "currentOperatorName": nil,
		"recordingStatus": "none", "billingCostCents": "0", "billingCostCurrency": "GBP"}
	answered, err := time.Parse(ash.TimeLayout, call.Text("answeredAt"))
	if err != nil || status != "completed" {
		return out
	}
	seconds := int64(at.Sub(answered) / time.Second)
	in, gen := seconds*22, seconds*6
	out["durationSeconds"], out["billingCostCents"] = seconds, fmt.Sprintf("%d.%02d", seconds*3/100, seconds*3%100)
	out["recordingStatus"], out["recordingUri"] = "uploaded", "https://recordings.sandbox.invalid/"+call.Text("callUuid")+".wav"
	out["recordingUploadedAt"] = at.Add(4 * time.Second).Format(ash.TimeLayout)
	out["recordingMetadata"] = ash.NewDocument(map[string]any{"size_bytes": seconds * 16000, "format": "wav", "channels": 2})
	out["platformAiBillingCostCents"] = fmt.Sprintf("%d.%02d", seconds*5/100, seconds*5%100)
	out["platformAiInputTokens"], out["platformAiOutputTokens"], out["platformAiTotalTokens"] = in, gen, in+gen
	return out
}
