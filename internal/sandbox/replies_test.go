package sandbox

import (
	"strings"
	"testing"
	"time"
)

// events returns the log of a conversation, oldest first.
func (o *testOrg) events(conversation any) []map[string]any {
	o.t.Helper()
	return o.list(with(`{"action":"list_conversation_events","fields":["eventType","success","error","summary","actorType","agentId","occurredAt","payload","callId"],"filter":{"conversationId":{"eq":"<c>"}},"sort":"occurredAt"}`, "c", conversation))
}

func (o *testOrg) importEmail(from, text string) map[string]any {
	o.t.Helper()
	return o.run(with(`{"action":"import_inbound_email","input":{"recipientAddress":"hello@harbourlane.example","structuredPayload":{"from":"<f>","subject":"Hello","text":"<t>"}},"fields":["id","conversationId","contactId"]}`,
		"f", from, "t", text)).(map[string]any)
}

func eventTypes(events []map[string]any) string {
	var out []string
	for _, e := range events {
		out = append(out, e["eventType"].(string))
	}
	return strings.Join(out, " ")
}

func TestReply(t *testing.T) {
	o := open(t, Options{})
	for from, message := range map[string]string{
		"ada@outside.example":             "",
		"bouncer@outside.example":         "",
		"bounce@outside.example":          "550 5.1.1 <bounce@outside.example>: Recipient address rejected: User unknown",
		"Bounce+two@other.example":        "550 5.1.1 <Bounce+two@other.example>: Recipient address rejected: User unknown",
		"mailbox-full@outside.example":    "552 5.2.2 <mailbox-full@outside.example>: Mailbox full",
		"not.mailbox-full@other.example":  "",
		"\\\"bounce bounce\\\"@x.example": "",
	} {
		msg := o.importEmail(from, "Where can I park?")
		o.advance(answerAfter - time.Second)
		if got := eventTypes(o.events(msg["conversationId"])); got != "email_received" {
			t.Errorf("%s: before the answer: %s", from, got)
		}
		o.advance(time.Second)
		sent := o.events(msg["conversationId"])
		if eventTypes(sent) != "email_received email_sent" || sent[1]["success"] != true || sent[1]["actorType"] != "ai_agent" || sent[1]["summary"] == "" {
			t.Fatalf("%s: no answer: %v", from, sent)
		}
		o.advance(time.Hour)
		all := o.events(msg["conversationId"])
		want := "email_received email_sent"
		if message != "" {
			want += " email_bounced"
		}
		if got := eventTypes(all); got != want {
			t.Fatalf("%s: %s, want %s", from, got, want)
		}
		last := all[len(all)-1]
		if text, _ := last["error"].(string); text != message || last["success"] != (message == "") {
			t.Errorf("%s: success %v, error %q, want %q", from, last["success"], text, message)
		}
		conversation := o.only(with(`{"action":"list_conversations","fields":["lastActivityAt","aiAgentId","contactId"],"filter":{"id":{"eq":"<c>"}}}`, "c", msg["conversationId"]))
		if conversation["lastActivityAt"] != last["occurredAt"] || conversation["aiAgentId"] != last["agentId"] || conversation["contactId"] != msg["contactId"] {
			t.Errorf("%s: conversation %v, last event %v", from, conversation, last)
		}
	}
}

func TestRepliesToOneContact(t *testing.T) {
	o := open(t, Options{})
	first := o.importEmail("ada@outside.example", "I want a refund")
	o.advance(time.Minute)
	second := o.importEmail("ada@outside.example", "Where is the invoice?")
	o.advance(time.Minute)
	all := o.events(first["conversationId"])
	if got := eventTypes(all); second["conversationId"] != first["conversationId"] || got != "email_received email_sent email_received email_sent" {
		t.Fatalf("two emails from the same contact: %s", got)
	}
	if all[1]["summary"] == all[3]["summary"] {
		t.Errorf("a complaint and a question about an invoice have the same answer: %v", all[1]["summary"])
	}
	o.importEmail("ada@outside.example", "One more thing")
	o.run(with(`{"action":"delete_contact","input":{"contactId":"<c>"},"fields":["id"]}`, "c", first["contactId"]))
	o.advance(time.Hour)
	if got := eventTypes(o.events(first["conversationId"])); strings.Count(got, "email_sent") != 2 {
		t.Errorf("an erased contact got an answer: %s", got)
	}
}
