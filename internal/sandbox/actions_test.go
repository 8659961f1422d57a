package sandbox

import (
	"strings"
	"testing"
	"time"
)

func TestContacts(t *testing.T) {
	o := open(t, Options{})
	c := o.run(`{"action":"create_contact","input":{"fullName":" Ada Lovelace ","email":"","phoneE164":"+447700900777","metadata":{"a_b":1}},"fields":["id","fullName","email","languages","metadata"]}`).(map[string]any)
	if c["fullName"] != "Ada Lovelace" || c["email"] != nil {
		t.Errorf("created %v", c)
	}
	id := c["id"]
	o.run(with(`{"action":"update_contact","identity":"<id>","input":{"dateOfBirth":"1815-12-10"}}`, "id", id))
	if row := o.only(`{"action":"list_contacts","fields":["id","fullName"],"filter":{"dateOfBirth":{"eq":"1815-12-10"}}}`); row["id"] != id {
		t.Errorf("found %v", row)
	}
	o.run(with(`{"action":"archive_contact","identity":"<id>"}`, "id", id))
	if message := o.runErrors(with(`{"action":"start_outbound_call","input":{"contactId":"<id>"}}`, "id", id)); !strings.Contains(message, "archived") {
		t.Error(message)
	}
	erased := o.run(with(`{"action":"delete_contact","input":{"contactId":"<id>"},"fields":["fullName","phoneE164","dateOfBirth","metadata","deletedAt","erasedAt"]}`, "id", id)).(map[string]any)
	if erased["phoneE164"] != nil || erased["dateOfBirth"] != nil || erased["erasedAt"] == nil || erased["deletedAt"] == nil || erased["fullName"] == "Ada Lovelace" {
		t.Errorf("not erased: %v", erased)
	}
	if rows := o.list(`{"action":"list_contacts","fields":["id"],"filter":{"fullName":{"contains":"Lovelace"}}}`); len(rows) > 0 {
		t.Error("the erased name is still found")
	}
}

// startCall starts a call to a number and returns its callUuid.
func (o *testOrg) startCall(number string) string {
	o.t.Helper()
	return o.run(with(`{"action":"start_outbound_call","input":{"phoneNumber":"<n>"}}`, "n", number)).(map[string]any)["callUuid"].(string)
}

func (o *testOrg) call(uuid string) map[string]any {
	o.t.Helper()
	return o.only(with(`{"action":"list_calls","fields":["id","status","endedAt","durationSeconds","conversationId","currentHandlerType","currentHandlerName","currentHandler"],"filter":{"callUuid":{"eq":"<u>"}}}`, "u", uuid))
}

func TestOutboundCall(t *testing.T) {
	o := open(t, Options{})
	for number, want := range map[string]string{"+447700900900": "completed", "+447700900901": "busy", "+447700900902": "no_answer",
		"+447700900903": "completed", "+447700900904": "failed"} {
		uuid := o.startCall(number)
		seen := []string{}
		for range 90 {
			if s := o.call(uuid)["status"].(string); len(seen) == 0 || seen[len(seen)-1] != s {
				seen = append(seen, s)
			}
			o.advance(time.Second)
		}
		got := strings.Join(seen, " ")
		full := map[string]string{"completed": "initiated ringing answered completed", "failed": "initiated failed"}[want]
		if full == "" {
			full = "initiated ringing " + want
		}
		if got != full {
			t.Errorf("%s: the states were %s, want %s", number, got, full)
		}
		call := o.call(uuid)
		id := call["id"]
		said := o.list(with(`{"action":"list_call_transcripts","fields":["content","speaker"],"filter":{"callId":{"eq":"<id>"}},"sort":"occurredAt"}`, "id", id))
		classes := o.list(with(`{"action":"list_call_classifications","fields":["effectiveLabel"],"filter":{"callId":{"eq":"<id>"}}}`, "id", id))
		if spoke := want == "completed"; spoke != (len(said) > 0) || spoke != (len(classes) == 1) {
			t.Errorf("%s: %d lines and %d classifications", number, len(said), len(classes))
		}
		conversation := o.only(with(`{"action":"list_conversations","fields":["status","outcome"],"filter":{"id":{"eq":"<id>"}}}`, "id", call["conversationId"]))
		if conversation["status"] != "ended" || call["endedAt"] == nil || call["currentHandlerType"] != nil {
			t.Errorf("%s: not ended: %v %v", number, conversation, call)
		}
		if rows := o.list(with(`{"action":"list_call_participants","fields":["id"],"filter":{"callId":{"eq":"<id>"},"leftAt":{"isNil":true}}}`, "id", id)); len(rows) > 0 {
			t.Errorf("%s: %d participants have not left", number, len(rows))
		}
		if message := o.runErrors(with(`{"action":"end_call","input":{"callUuid":"<u>"}}`, "u", uuid)); !strings.Contains(message, "not live") {
			t.Error(message)
		}
	}
}

func TestHandlers(t *testing.T) {
	o := open(t, Options{})
	uuid := o.startCall("+447700900900")
	o.advance(20 * time.Second)
	steps := []struct{ action, handler string }{
		{"barge_call", "operator"}, {"barge_call", "operator"}, {"resume_ai_call", "ai_agent"}, {"transfer_call_to_queue", "queue"},
		{"barge_call", "operator"}, {"leave_call", ""}, {"resume_ai_call", "ai_agent"},
	}
	for _, s := range steps {
		o.run(with(`{"action":"<a>","input":{"callUuid":"<u>"}}`, "a", s.action, "u", uuid))
		if got, _ := o.call(uuid)["currentHandlerType"].(string); got != s.handler {
			t.Fatalf("after %s the handler is %q, want %q", s.action, got, s.handler)
		}
	}
	if codec := o.run(with(`{"action":"call_codec","input":{"callUuid":"<u>"}}`, "u", uuid)).(map[string]any); codec["codec"] != "OPUS" {
		t.Errorf("codec %v", codec)
	}
	o.run(with(`{"action":"end_call","input":{"callUuid":"<u>"}}`, "u", uuid))
	if call := o.call(uuid); call["status"] != "completed" {
		t.Errorf("ended call: %v", call)
	}
	if message := o.runErrors(`{"action":"barge_call","input":{"callUuid":"nowhere"}}`); !strings.Contains(message, `record with call_uuid: \"nowhere\" not found`) {
		t.Error(message)
	}
}

func TestQueue(t *testing.T) {
	o := open(t, Options{})
	waiting := o.list(`{"action":"list_call_queue_entries","fields":["id","callUuid"],"filter":{"state":{"eq":"waiting"}},"sort":"waitStartedAt"}`)
	if len(waiting) != 2 {
		t.Fatalf("%d callers wait, want 2", len(waiting))
	}
	accepted := o.run(with(`{"action":"accept_call_queue_entry","identity":"<id>","fields":["state","agentName","answeredAt"]}`, "id", waiting[0]["id"])).(map[string]any)
	if accepted["state"] != "answered" || accepted["agentName"] != "Nadia Rahman" {
		t.Errorf("accepted: %v", accepted)
	}
	if call := o.call(waiting[0]["callUuid"].(string)); call["currentHandlerType"] != "operator" {
		t.Errorf("call: %v", call)
	}
	o.runErrors(with(`{"action":"accept_call_queue_entry","identity":"<id>"}`, "id", waiting[0]["id"]))
	o.advance(queueWait)
	state := func(i int) any {
		return o.run(with(`{"action":"get_call_queue_entry","input":{"id":"<id>"},"fields":["state"]}`, "id", waiting[i]["id"])).(map[string]any)["state"]
	}
	if got := state(1); got != "abandoned" {
		t.Errorf("state after waiting too long: %v", got)
	}
	if got := state(0); got != "completed" {
		t.Errorf("state after the end of the call: %v", got)
	}
}

func TestBulkCall(t *testing.T) {
	o := open(t, Options{})
	bulk := o.run(with(`{"action":"start_bulk_outbound_call","input":{"groupId":"<g>","concurrency":3}}`, "g", newOrganisation(1).idOf("group", "recall"))).(map[string]any)
	most := 0
	for range 120 {
		calling := len(o.list(with(`{"action":"list_bulk_outbound_call_entries","fields":["id"],"filter":{"bulkOutboundCallId":{"eq":"<b>"},"status":{"eq":"calling"}}}`, "b", bulk["id"])))
		most = max(most, calling)
		o.advance(3 * time.Second)
	}
	if most != 3 {
		t.Errorf("%d calls at a time, want 3", most)
	}
	row := o.only(with(`{"action":"list_bulk_outbound_calls","fields":["status","totalCount","startedCount","completedCount","failedCount","completedAt"],"filter":{"id":{"eq":"<b>"}}}`, "b", bulk["id"]))
	if row["status"] != "completed" || row["totalCount"] != 8.0 || row["completedCount"].(float64)+row["failedCount"].(float64) != 8 || row["completedAt"] == nil {
		t.Errorf("bulk call: %v", row)
	}
	ranged := o.run(with(`{"action":"start_bulk_outbound_call","input":{"groupId":"<g>","contactRangeStart":2,"contactRangeEnd":6,"contactLimit":4}}`, "g", newOrganisation(1).idOf("group", "recall"))).(map[string]any)
	if ranged["totalCount"] != 4.0 {
		t.Errorf("with a range and a limit: %v", ranged)
	}
	for _, input := range []string{`{}`, `{"contactIds":[]}`, `{"contactIds":["00000000-0000-4000-8000-000000000000"]}`, `{"groupId":"00000000-0000-4000-8000-000000000000"}`} {
		o.runErrors(`{"action":"start_bulk_outbound_call","input":` + input + `}`)
	}
}

func TestReviews(t *testing.T) {
	o := open(t, Options{})
	call := o.list(`{"action":"list_calls","fields":["id"],"filter":{"status":{"eq":"completed"},"flaggedAt":{"isNil":true}}}`)[0]
	if got := o.run(with(`{"action":"flag_call_for_review","identity":"<id>","fields":["flaggedAt","flaggedByUserId"]}`, "id", call["id"])).(map[string]any); got["flaggedAt"] == nil || got["flaggedByUserId"] == nil {
		t.Errorf("flagged: %v", got)
	}
	if got := o.run(with(`{"action":"clear_call_review_flag","identity":"<id>","fields":["flaggedAt","flaggedByUserId"]}`, "id", call["id"])).(map[string]any); got["flaggedAt"] != nil || got["flaggedByUserId"] != nil {
		t.Errorf("cleared: %v", got)
	}
	class := o.list(`{"action":"list_call_classifications","fields":["id","predictedLabel"],"filter":{"effectiveSource":{"eq":"model"}}}`)[0]
	fields := `"fields":["effectiveLabel","effectiveSource","overriddenAt","predictedLabel"]`
	got := o.run(with(`{"action":"override_call_classification","identity":"<id>","input":{"label":"wrong_number"},`+fields+`}`, "id", class["id"])).(map[string]any)
	if got["effectiveLabel"] != "wrong_number" || got["effectiveSource"] != "override" || got["overriddenAt"] == nil || got["predictedLabel"] != class["predictedLabel"] {
		t.Errorf("overridden: %v", got)
	}
	got = o.run(with(`{"action":"clear_call_classification_override","identity":"<id>",`+fields+`}`, "id", class["id"])).(map[string]any)
	if got["effectiveLabel"] != class["predictedLabel"] || got["overriddenAt"] != nil {
		t.Errorf("cleared: %v", got)
	}
}

func TestEmail(t *testing.T) {
	o := open(t, Options{})
	org := newOrganisation(1)
	box := o.run(with(`{"action":"create_email_mailbox","input":{"inboundDomain":"new.example","listenerEnabled":true,"organisationId":"<o>"},"fields":["id","listenerStatus"]}`, "o", org.id)).(map[string]any)
	if box["listenerStatus"] != "starting" {
		t.Errorf("mailbox: %v", box)
	}
	o.advance(5 * time.Second)
	if row := o.only(`{"action":"list_email_mailboxes","fields":["listenerStatus"],"filter":{"inboundDomain":{"eq":"new.example"}}}`); row["listenerStatus"] != "running" {
		t.Errorf("mailbox: %v", row)
	}
	if message := o.runErrors(with(`{"action":"create_email_mailbox","input":{"inboundDomain":"new.example","organisationId":"<o>"}}`, "o", org.id)); !strings.Contains(message, "already been taken") {
		t.Error(message)
	}
	o.run(with(`{"action":"create_email_identity","input":{"ownerType":"organisation","ownerId":"<o>","organisationId":"<o>","localPart":"new","domain":"new.example","defaultOutbound":true,"emailMailboxId":"<m>"}}`, "o", org.id, "m", box["id"]))
	if row := o.only(with(`{"action":"list_email_identities","fields":["localPart"],"filter":{"ownerId":{"eq":"<o>"},"defaultOutbound":{"eq":true}}}`, "o", org.id)); row["localPart"] != "new" {
		t.Errorf("default sender: %v", row)
	}
	mime := "From: =?utf-8?q?Zo=C3=AB?= <zoe@outside.example>\r\nSubject: =?utf-8?q?Can=C3=A7el?=\r\nMessage-ID: <m1@x>\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nplease cancel=\r\n it\r\n--b--\r\n"
	payload := map[string]any{"action": "import_inbound_email", "input": map[string]any{"recipientAddress": "New@new.example", "rawMime": mime},
		"fields": []string{"id", "subject", "body", "fromAddress", "contactId", "threadId", "providerMessageId"}}
	_, out := o.post("run", payload)
	msg, _ := out["data"].(map[string]any)
	if msg["subject"] != "Cançel" || msg["fromAddress"] != "zoe@outside.example" || msg["providerMessageId"] != "m1@x" {
		t.Fatalf("message: %v", out)
	}
	if row := o.only(`{"action":"list_contacts","fields":["id","fullName"],"filter":{"email":{"eq":"zoe@outside.example"}}}`); row["fullName"] != "Zoë" || row["id"] != msg["contactId"] {
		t.Errorf("contact: %v", row)
	}
	class := with(`{"action":"list_email_classifications","fields":["status","effectiveLabel"],"filter":{"communicationMessageId":{"eq":"<m>"}}}`, "m", msg["id"])
	if row := o.only(class); row["status"] != "pending" {
		t.Errorf("classification: %v", row)
	}
	o.advance(5 * time.Second)
	if row := o.only(class); row["status"] != "classified" {
		t.Errorf("classification: %v", row)
	}
	again := o.run(`{"action":"import_inbound_email","input":{"recipientAddress":"new@new.example","structuredPayload":{"from":"Zoë <zoe@outside.example>","text":"hi"}},"fields":["threadId","contactId"]}`).(map[string]any)
	if again["threadId"] != msg["threadId"] || again["contactId"] != msg["contactId"] {
		t.Errorf("the second email is not in the thread: %v", again)
	}
	for _, input := range []string{`{"recipientAddress":"nobody@new.example","rawMime":"x"}`, `{"recipientAddress":"new@new.example"}`,
		`{"recipientAddress":"new@new.example","rawMime":"no headers"}`, `{"recipientAddress":"new@new.example","structuredPayload":{}}`} {
		o.runErrors(`{"action":"import_inbound_email","input":` + input + `,"fields":["id"]}`)
	}
	o.run(with(`{"action":"delete_email_mailbox","identity":"<id>"}`, "id", box["id"]))
	if row := o.only(`{"action":"list_email_identities","fields":["emailMailboxId"],"filter":{"localPart":{"eq":"new"}}}`); row["emailMailboxId"] != nil {
		t.Errorf("the identity still has the deleted mailbox: %v", row)
	}
}

func TestOperators(t *testing.T) {
	o := open(t, Options{})
	me := o.run(`{"action":"who_am_i","fields":["id","email"]}`).(map[string]any)
	before := o.list(`{"action":"list_operator_statuses","fields":["id","sipUserId","status"]}`)
	set := o.run(with(`{"action":"set_operator_status","input":{"sipUserId":"<s>","status":"logged_out"},"fields":["id","status","changedByUserId"]}`, "s", before[0]["sipUserId"])).(map[string]any)
	if set["id"] != before[0]["id"] || set["status"] != "logged_out" || set["changedByUserId"] != me["id"] {
		t.Errorf("set: %v", set)
	}
	o.run(`{"action":"set_operator_status","input":{"sipUserId":"12345678-1234-4123-8123-123456789abc"}}`)
	if after := o.list(`{"action":"list_operator_statuses","fields":["id"]}`); len(after) != len(before)+1 {
		t.Errorf("%d statuses, want %d", len(after), len(before)+1)
	}
	token := o.run(with(`{"action":"issue_operator_access_token","input":{"operatorEmail":"<e>"}}`, "e", me["email"])).(map[string]any)
	if s, _ := token["accessToken"].(string); !strings.HasPrefix(s, "sandbox-not-a-real-token-") {
		t.Errorf("token: %v", token)
	}
	o.runErrors(`{"action":"issue_operator_access_token","input":{"operatorEmail":"nobody@example.com"}}`)
	media := o.run(with(`{"action":"issue_operator_media_access","input":{"callUuid":"<u>"}}`, "u", o.startCall("+447700900900"))).(map[string]any)
	if s, _ := media["accessToken"].(string); !strings.HasPrefix(s, "sandbox-not-a-real-token-") {
		t.Errorf("media access: %v", media)
	}
}

func TestCampaignsAndCallRecords(t *testing.T) {
	o := open(t, Options{})
	all := o.run(`{"action":"list_campaigns"}`).(map[string]any)["campaigns"].([]any)
	first := all[0].(map[string]any)
	if got := o.run(with(`{"action":"get_campaign","input":{"id":"<id>"}}`, "id", first["id"])).(map[string]any); got["displayName"] != first["displayName"] {
		t.Errorf("campaign: %v", got)
	}
	o.runErrors(`{"action":"get_campaign","input":{"id":"12345678-1234-4123-8123-123456789abc"}}`)
	create := `{"action":"create_call","input":{"direction":"inbound","fromNumber":"+1","toNumber":"+2","callUuid":"mine","outboundTrunkSource":"custom_gateway"},"fields":["id","status"]}`
	if got := o.run(create).(map[string]any); got["status"] != "initiated" {
		t.Errorf("call: %v", got)
	}
	if message := o.runErrors(create); !strings.Contains(message, "already been taken") {
		t.Error(message)
	}
	o.run(`{"action":"end_call","input":{"callUuid":"mine"}}`)
	if got := o.call("mine")["status"]; got != "no_answer" {
		t.Errorf("state after ending an unanswered call: %v", got)
	}
}

// The backend of the recordings has constraints that Sippet does not have. The organisation must
// accept what they forbid.
func TestConstraintsOfRecordings(t *testing.T) {
	o := open(t, Options{Scale: 10})
	o.run(`{"action":"create_email_template","input":{"model":"m","name":"x","subject":"lower case","body":"b"}}`)
	o.run(with(`{"action":"create_email_identity","input":{"ownerType":"user","ownerId":"<o>","organisationId":"<o>","localPart":"Upper","domain":"example.com"}}`, "o", newOrganisation(1).id))
	if rows := o.list(`{"action":"list_email_templates","fields":["id"],"page":{"limit":5}}`); len(rows) != 5 {
		t.Errorf("a page of 5 templates has %d", len(rows))
	}
	if _, plain := o.run(`{"action":"list_operator_statuses","fields":["id"]}`).([]any); !plain {
		t.Error("statuses are paged although the request has no page")
	}
	o.run(with(`{"action":"start_bulk_outbound_call","input":{"groupId":"<g>","concurrency":50}}`, "g", newOrganisation(1).idOf("group", "recall")))
}
