package sandbox

import (
	"fmt"
	"time"
)

// The records that a call leaves behind are made here, for the calls of the
// seed as for those that a client starts.

const (
	mainLine  = "+442079460018"
	callModel = "gpt-realtime"
)

// transcript is one utterance: the n-th of the call.
func (o *organisation) transcript(call record, n int, speaker, text string, at time.Time) record {
	id := call.text("id")
	return record{"id": o.named("transcript", id, fmt.Sprint(n)), "content": text, "speaker": speaker, "source": "realtime",
		"itemId": fmt.Sprintf("item_%s_%02d", id[:8], n), "contentIndex": int64(0), "occurredAt": at.Format(timeLayout), "callId": id}
}

// participant is somebody on a call; left is nil while they are on it.
func (o *organisation) participant(call record, key, member, role string, joined time.Time, left any) record {
	return record{"id": o.named("participant", call.text("id"), key), "memberUuid": member, "role": role,
		"joinedAt": joined.Format(timeLayout), "leftAt": left, "callId": call["id"], "organisationId": o.id}
}

// event is a line of a conversation's log.
func (o *organisation) event(call record, key, kind, summary string, at time.Time, more record) record {
	e := record{"id": o.named("event", call.text("id"), key), "eventType": kind, "source": "call", "summary": summary,
		"metadata": document("{}"), "payload": document("{}"), "callUuid": call["callUuid"], "roomId": "room-" + call.text("callUuid"),
		"actorType": "system", "occurredAt": at.Format(timeLayout), "callId": call["id"],
		"conversationId": call["conversationId"], "agentId": call["currentAiAgentId"]}
	for k, v := range more {
		e[k] = v
	}
	return e
}

// toolUse gives the conversation event and the audit event of one use of a tool.
func (o *organisation) toolUse(call record, n, total int, l line, at time.Time) (event, audit record) {
	var failure any
	if l.fails {
		failure = l.out
	}
	toolCall := fmt.Sprintf("call_%s_%02d", call.text("id")[:8], n)
	args := encodeDocument(l.args)
	event = o.event(call, fmt.Sprint("tool", n), "tool_call", "Used "+l.tool, at, record{"actorType": "ai_agent", "actorId": call["currentAiAgentId"],
		"stateId": "conversation", "stateLabel": "In conversation", "tokenUsage": document(`{"input":210,"output":34}`),
		"toolName": l.tool, "toolCallId": toolCall, "success": !l.fails, "error": failure, "model": callModel,
		"payload": encodeDocument(map[string]any{"arguments": l.args, "output": l.out})})
	audit = o.audit(call, fmt.Sprint("tool", n), "tool_call", at, record{"toolName": l.tool, "toolCallId": toolCall, "toolArgumentsRaw": string(args),
		"toolArguments": args, "toolOutput": l.out, "error": failure, "success": !l.fails,
		"stepIndex": int64(n), "totalSteps": int64(total), "progressPercent": float64(100*n) / float64(max(total, 1))})
	return event, audit
}

// audit is a line of what the AI agent did on a call.
func (o *organisation) audit(call record, key, kind string, at time.Time, more record) record {
	r := o.random("tokens", call.text("id"), key)
	in, out := int64(400+r.IntN(900)), int64(60+r.IntN(240))
	e := record{"id": o.named("audit", call.text("id"), key), "eventType": kind, "success": true, "stateId": "conversation", "stateLabel": "In conversation",
		"tokenUsage":  encodeDocument(map[string]any{"input": in, "output": out, "total": in + out}),
		"inputTokens": in, "outputTokens": out, "totalTokens": in + out, "inputTextTokens": in / 4, "inputAudioTokens": in - in/4,
		"inputImageTokens": int64(0), "inputCachedTokens": in / 2, "inputCachedTextTokens": in / 8, "inputCachedAudioTokens": in/2 - in/8,
		"inputCachedImageTokens": int64(0), "outputTextTokens": out / 5, "outputAudioTokens": out - out/5, "outputImageTokens": int64(0),
		"model": callModel, "payload": document("{}"), "callUuid": call["callUuid"], "roomId": "room-" + call.text("callUuid"),
		"agentId": call["currentAiAgentId"], "occurredAt": at.Format(timeLayout), "callId": call["id"], "organisationId": o.id}
	for k, v := range more {
		e[k] = v
	}
	return e
}

// classification is what a call was about, as the classifier sees it.
func (o *organisation) classification(call record, s *script, first, agentName string, at time.Time) record {
	r := o.random("classification", call.text("id"))
	label := s.label
	return record{"id": o.named("classification", call.text("id")), "callId": call["id"], "status": "classified", "predictedLabel": label,
		"predictedConfidence": float64(72+r.IntN(27)) / 100, "effectiveLabel": label, "effectiveSource": "model",
		"provider": "openai", "model": "gpt-4.1-mini", "taxonomyVersion": "dental-3", "promptVersion": "2026-01",
		"classificationSummary": fill(s.summary, first, agentName), "outcomeReason": s.reason, "nextAction": s.next,
		"tokenUsage":         encodeDocument(map[string]any{"input": 900 + r.IntN(400), "output": 80 + r.IntN(60)}),
		"providerResponseId": "resp_" + call.text("id")[:8], "classifiedAt": at.Format(timeLayout),
		"insertedAt": at.Format(timeLayout), "updatedAt": at.Format(timeLayout)}
}

// conversation is the session around a call.
func (o *organisation) conversation(call record, aiAgent string, at time.Time) record {
	id := call.text("id")
	return record{"id": call["conversationId"], "status": "active", "sessionDate": at.Format(dateLayout), "timezone": "Europe/London",
		"startedAt": at.Format(timeLayout), "lastActivityAt": at.Format(timeLayout), "channel": "call", "mode": "voice", "transport": "sip",
		"runtimeState": document(`{"state":"conversation"}`), "runtimeMemory": document("{}"), "sessionScopeKey": "call:" + call.text("callUuid"),
		"publicId": "conv_" + id[:12], "workingSummary": "A call is going on.", "metadata": document("{}"), "aiAgentId": aiAgent, "contactId": call["contactId"],
		"insertedAt": at.Format(timeLayout), "updatedAt": at.Format(timeLayout)}
}

// ended are the attributes that a call gets when it ends.
func (o *organisation) ended(call record, status string, at time.Time) record {
	out := record{"status": status, "endedAt": at.Format(timeLayout), "durationSeconds": int64(0),
		"currentHandlerType": nil, "currentHandlerId": nil, "currentHandlerName": nil, "currentOperatorMemberUuid": nil, "currentOperatorName": nil,
		"recordingStatus": "none", "billingCostCents": "0", "billingCostCurrency": "GBP"}
	answered, err := time.Parse(timeLayout, call.text("answeredAt"))
	if err != nil || status != "completed" {
		return out
	}
	seconds := int64(at.Sub(answered) / time.Second)
	in, gen := seconds*22, seconds*6
	out["durationSeconds"], out["billingCostCents"] = seconds, fmt.Sprintf("%d.%02d", seconds*3/100, seconds*3%100)
	out["recordingStatus"], out["recordingUri"] = "uploaded", "https://recordings.sandbox.invalid/"+call.text("callUuid")+".wav"
	out["recordingUploadedAt"] = at.Add(4 * time.Second).Format(timeLayout)
	out["recordingMetadata"] = encodeDocument(map[string]any{"size_bytes": seconds * 16000, "format": "wav", "channels": 2})
	out["platformAiBillingCostCents"] = fmt.Sprintf("%d.%02d", seconds*5/100, seconds*5%100)
	out["platformAiInputTokens"], out["platformAiOutputTokens"], out["platformAiTotalTokens"] = in, gen, in+gen
	return out
}
