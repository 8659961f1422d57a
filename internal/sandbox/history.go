package sandbox

import (
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// callPlan describes a call to seed.
type callPlan struct {
	key     string
	contact ash.Record // nil for an anonymous caller
	script  *script
	agent   string
	at      time.Time
	status  string // completed, busy, no_answer, failed
	bulk    any    // the id of a bulk entry
	// lines replace those of the script; nil keeps them.
	lines []line
	// open leaves the call live, after said lines.
	open bool
	said int
}

// addCall adds a call with all its records, and returns the call.
func (s *seeder) addCall(c *callPlan) (ash.Record, error) {
	o, id := s.o, s.o.idOf("call", c.key)
	ai := s.agents[c.agent]
	call := ash.Record{"id": id, "direction": "inbound", "fromNumber": "anonymous", "toNumber": mainLine, "callUuid": o.idOf("callUuid", id),
		"callSource": "sip", "status": "initiated", "startedAt": c.at.Format(ash.TimeLayout), "conversationId": o.idOf("conversation", id),
		"currentHandlerType": "ai_agent", "currentHandlerId": ai["id"], "currentHandlerName": c.agent, "currentAiAgentId": ai["id"],
		"currentAiAgentName": c.agent, "billingCostCurrency": "GBP", "script": c.script.name, "bulkEntryId": c.bulk}
	other := "caller"
	if c.contact != nil {
		call["contactId"], call["contactFullName"], call["fromNumber"] = c.contact["id"], c.contact["fullName"], c.contact["phoneE164"]
	}
	if c.script.outbound {
		other = "callee"
		call["direction"], call["callSource"], call["outboundTrunkSource"] = "outbound", "api", "default_sippet_trunk"
		call["fromNumber"], call["toNumber"] = mainLine, call["fromNumber"]
		if c.bulk != nil {
			call["callSource"] = "bulk"
		}
	}
	at := c.at.Add(time.Duration(2+o.random("rings", id).IntN(9)) * time.Second)
	var rows []seedRow
	add := func(resource string, rec ash.Record) { rows = append(rows, seedRow{resource, rec}) }
	add("ConversationEvent", o.callEvent(call, "started", "call_started", "Call started", c.at, nil))
	var left any
	if c.status == "completed" || c.open {
		call["status"], call["answeredAt"], call["mediaQualifiedAt"] = "answered", at.Format(ash.TimeLayout), at.Format(ash.TimeLayout)
		add("ConversationEvent", o.callEvent(call, "answered", "call_answered", "Answered", at, nil))
		at = s.addLines(call, c, at, add)
	} else {
		at = at.Add(20 * time.Second)
	}
	conversation := o.callConversation(call, ai.Text("id"), c.at)
	conversation["lastActivityAt"] = at.Format(ash.TimeLayout)
	if !c.open {
		for k, v := range o.endedAttributes(call, c.status, at) {
			call[k] = v
		}
		left = at.Format(ash.TimeLayout)
		conversation["status"], conversation["endedAt"], conversation["outcome"] = "ended", left, c.status
		add("ConversationEvent", o.callEvent(call, "ended", "call_ended", "Call "+c.status, at, nil))
		if c.status == "completed" {
			first := firstName(call)
			conversation["outcome"], conversation["summary"] = c.script.outcome, fillNames(c.script.summary, first, c.agent)
			add("CallClassification", o.callClassification(call, c.script, first, c.agent, at.Add(6*time.Second)))
		}
	}
	add("CallParticipant", o.participant(call, "ai", ai.Text("id"), "ai_agent", c.at, left))
	if call["answeredAt"] != nil {
		add("CallParticipant", o.participant(call, other, o.idOf("member", id, other), other, c.at, left))
	}
	add("Conversation", conversation)
	delete(call, "contactFullName") // a calculation, which cannot be stored
	add("Call", call)
	for _, row := range rows {
		if err := s.insert(row.resource, row.rec); err != nil {
			return nil, err
		}
	}
	return call, nil
}

type seedRow struct {
	resource string
	rec      ash.Record
}

// addLines adds the records of what was said and done, and returns the time of the end.
func (s *seeder) addLines(call ash.Record, c *callPlan, at time.Time, add func(string, ash.Record)) time.Time {
	lines := c.lines
	if lines == nil {
		lines = c.script.lines
	}
	if c.open {
		lines = lines[:min(c.said, len(lines))]
	}
	first := firstName(call)
	for n, l := range lines {
		if l.tool != "" {
			event, audit := s.o.toolRecords(call, n, len(lines), l, at.Add(-500*time.Millisecond))
			add("ConversationEvent", event)
			add("CallAiAuditEvent", audit)
		}
		speaker := "caller"
		if l.agent {
			speaker = "agent"
		} else if call["callerSpokeAt"] == nil {
			call["callerSpokeAt"] = at.Format(ash.TimeLayout)
		}
		add("CallTranscript", s.o.transcript(call, n, speaker, fillNames(l.text, first, c.agent), at))
		at = at.Add(l.pace())
	}
	return at
}

// addHistory adds six calls on each of the last seven days, none of them in the last half hour.
func (s *seeder) addHistory() error {
	inbound := []string{"book", "move", "pain", "price", "complaint", "directions", "cancel", "repeat_prescription"}
	outbound := []string{"reminder", "recall", "not_interested", "voicemail"}
	n := 0
	for day := 6; day >= 0; day-- {
		date := s.now.AddDate(0, 0, -day).Truncate(24 * time.Hour)
		for slot := range 6 {
			r := s.o.random("slot", fmt.Sprint(day), fmt.Sprint(slot))
			at := date.Add(8*time.Hour + 40*time.Minute + time.Duration(slot*85+r.IntN(70))*time.Minute + time.Duration(r.IntN(60))*time.Second)
			if at.After(s.now.Add(-30 * time.Minute)) {
				at = s.now.Add(-time.Duration(35+slot*95) * time.Minute) // the time has not been reached today
			}
			c := &callPlan{key: fmt.Sprint("history ", n), contact: s.contacts[seedContacts[(n*7+3)%len(seedContacts)].key],
				script: scriptNamed(inbound[(n*3+day)%len(inbound)]), agent: "Molly", at: at, status: "completed"}
			if slot%3 == 2 {
				c.script, c.agent = scriptNamed(outbound[(n+day)%len(outbound)]), "Finn"
				c.status = []string{"completed", "completed", "no_answer", "completed", "busy", "completed", "failed"}[n%7]
			}
			if c.contact["phoneE164"] == nil || c.contact["deletedAt"] != nil {
				c.contact = s.contacts["eleanor"]
			}
			if _, err := s.addCall(c); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// addReviews changes four calls of the week: one is flagged for review, one has a corrected label,
// one a failed classification, and one a lost recording.
func (s *seeder) addReviews() error {
	calls, err := s.t.All(s.o.resources["Call"], `t."status" = 'completed' ORDER BY t."startedAt" DESC LIMIT 4`)
	if err != nil {
		return err
	}
	tom := s.o.idOf("user", "tom")
	flagged, corrected, failed, lost := calls[0].Text("id"), calls[1].Text("id"), calls[2].Text("id"), calls[3].Text("id")
	for _, u := range []struct {
		resource, id string
		changes      ash.Record
	}{
		{"Call", flagged, ash.Record{"flaggedAt": s.ago(10 * time.Minute), "flaggedByUserId": tom}},
		{"CallClassification", s.o.idOf("classification", corrected), ash.Record{"effectiveLabel": "complaint", "effectiveSource": "override",
			"overriddenAt": s.ago(5 * time.Minute), "overriddenByUserId": tom}},
		{"CallClassification", s.o.idOf("classification", failed), ash.Record{"status": "failed", "predictedLabel": nil, "effectiveLabel": nil,
			"effectiveSource": nil, "predictedConfidence": nil, "classificationSummary": nil, "lastError": "provider timed out"}},
		{"Call", lost, ash.Record{"recordingStatus": "failed", "recordingUri": nil, "recordingUploadedAt": nil, "recordingError": "upload timed out after 3 tries"}},
	} {
		if err := s.t.Update(s.o.resources[u.resource], u.id, u.changes); err != nil {
			return err
		}
	}
	return nil
}

// addLiveCalls adds live calls: one with an AI agent, one with an operator, and two in the queue.
func (s *seeder) addLiveCalls() error {
	talking, err := s.addCall(&callPlan{key: "live agent", contact: s.contacts["samir"], script: scriptNamed("book"), agent: "Molly", at: s.now.Add(-40 * time.Second), open: true, said: 2})
	if err != nil {
		return err
	}
	if err := s.o.schedule(s.t, "say", talking.Text("id"), 2, 20*time.Minute); err != nil {
		return err
	}
	withOperator, err := s.addCall(&callPlan{key: "live operator", contact: s.contacts["malcolm"], script: scriptNamed("complaint"), agent: "Molly", at: s.now.Add(-4 * time.Minute), open: true, said: 6})
	if err != nil {
		return err
	}
	member := s.o.idOf("member", withOperator.Text("id"), "tom")
	if err := s.t.Update(s.o.resources["Call"], withOperator.Text("id"), ash.Record{"currentHandlerType": "operator", "currentHandlerId": s.o.idOf("user", "tom"),
		"currentHandlerName": "Tom Whitlock", "currentOperatorMemberUuid": member, "currentOperatorName": "Tom Whitlock", "sipUsername": "hl-tom"}); err != nil {
		return err
	}
	if err := s.insert("CallParticipant", s.o.participant(withOperator, "tom", member, "operator", s.now.Add(-3*time.Minute), nil)); err != nil {
		return err
	}
	if err := s.o.schedule(s.t, "hang_up", withOperator.Text("id"), 0, 25*time.Minute); err != nil {
		return err
	}
	for i, key := range []string{"nora", "tariq"} {
		call, err := s.addCall(&callPlan{key: "waiting " + key, contact: s.contacts[key], script: scriptNamed([]string{"pain", "repeat_prescription"}[i]),
			agent: "Molly", at: s.now.Add(-time.Duration(4-i) * time.Minute), open: true, said: 9})
		if err != nil {
			return err
		}
		if err := s.o.removeHandlers(s.t, call); err != nil {
			return err
		}
		if err := s.t.Update(s.o.resources["Call"], call.Text("id"), ash.Record{"currentHandlerType": "queue", "currentHandlerId": nil, "currentHandlerName": "reception"}); err != nil {
			return err
		}
		entry := ash.Record{"id": s.o.idOf("queue entry", key), "callUuid": call["callUuid"], "queueName": "reception", "callerIdNumber": call["fromNumber"],
			"callerIdName": s.contacts[key]["fullName"], "state": "waiting", "waitStartedAt": s.now.Add(-time.Duration(2-i) * time.Minute).Format(ash.SecondLayout)}
		if err := s.insert("CallQueueEntry", entry); err != nil {
			return err
		}
		if err := s.o.schedule(s.t, abandonTask, entry.Text("id"), 0, queueWait); err != nil {
			return err
		}
	}
	return nil
}

// addQueueHistory adds the queue entries of the week's calls that were passed to a person.
func (s *seeder) addQueueHistory() error {
	calls, err := s.t.All(s.o.resources["Call"], `t."status" = 'completed' AND t."script" IN ('pain', 'repeat_prescription') ORDER BY t."startedAt"`)
	if err != nil {
		return err
	}
	for i, call := range calls {
		began, err := time.Parse(ash.TimeLayout, call.Text("startedAt"))
		if err != nil {
			return err
		}
		entry := ash.Record{"id": s.o.idOf("queue entry", call.Text("id")), "callUuid": call["callUuid"], "queueName": "reception",
			"callerIdNumber": call["fromNumber"], "callerIdName": call["contactFullName"], "waitStartedAt": began.Add(30 * time.Second).Format(ash.SecondLayout)}
		if i%4 == 3 {
			entry["state"], entry["abandonedAt"] = "abandoned", began.Add(4*time.Minute).Format(ash.SecondLayout)
		} else {
			entry["state"], entry["agentName"] = "completed", []string{"Nadia Rahman", "Tom Whitlock"}[i%2]
			entry["answeredAt"], entry["completedAt"] = began.Add(70*time.Second).Format(ash.SecondLayout), began.Add(5*time.Minute).Format(ash.SecondLayout)
		}
		if err := s.insert("CallQueueEntry", entry); err != nil {
			return err
		}
	}
	return nil
}

// addBulkCall adds a bulk call that was completed two days ago.
func (s *seeder) addBulkCall() error {
	id, at := s.o.idOf("bulk", "recall"), s.now.Add(-49*time.Hour)
	keys := []string{"eleanor", "grace", "hannah", "connor", "zoe", "beth"}
	done, failed := int64(0), int64(0)
	for i, key := range keys {
		status, entryID, start := []string{"completed", "completed", "no_answer", "completed", "busy", "completed"}[i], s.o.idOf("bulk entry", key), at.Add(time.Duration(i)*70*time.Second)
		call, err := s.addCall(&callPlan{key: "bulk " + key, contact: s.contacts[key], script: scriptNamed([]string{"recall", "not_interested"}[i%2]), agent: "Finn",
			at: start, status: status, bulk: entryID})
		if err != nil {
			return err
		}
		entry := ash.Record{"id": entryID, "position": int64(i + 1), "status": "completed", "callUuid": call["callUuid"], "startedAt": start.Format(ash.TimeLayout),
			"completedAt": call["endedAt"], "bulkOutboundCallId": id, "contactId": s.contacts[key]["id"], "callId": call["id"],
			"insertedAt": at.Format(ash.TimeLayout), "updatedAt": call["endedAt"]}
		if status == "completed" {
			done++
		} else {
			failed++
			entry["status"], entry["errorMessage"] = "failed", "Call ended as "+status
		}
		if err := s.insert("BulkOutboundCallEntry", entry); err != nil {
			return err
		}
	}
	end := at.Add(9 * time.Minute).Format(ash.TimeLayout)
	return s.insert("BulkOutboundCall", ash.Record{"id": id, "status": "completed", "targetType": "group", "concurrency": int64(2), "totalCount": int64(len(keys)),
		"contactGroupId": s.o.idOf("group", "recall"), "contactLimit": int64(6), "startedCount": int64(len(keys)), "completedCount": done, "failedCount": failed, "startedAt": at.Format(ash.TimeLayout), "completedAt": end,
		"aiAgentId": s.agents["Finn"]["id"], "initiatedByUserId": s.o.idOf("user", "nadia"), "insertedAt": at.Format(ash.TimeLayout), "updatedAt": end})
}
