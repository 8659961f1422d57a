package sandbox

import (
	"maps"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// An AI agent answers each email that was imported. The answer is delivered or bounces.

const (
	answerTask  = "answer_email"
	bounceTask  = "bounce_email"
	answerAfter = 20 * time.Second
	bounceAfter = 2 * time.Second

	emailModel = "gpt-4.1-mini"
)

// answerTexts are the agent's answers, by the label of the email.
var answerTexts = map[string]string{
	"complaint":                "I am sorry about this. Our practice manager will ring you by the end of tomorrow.",
	"appointment_change":       "Of course. I have Tuesday at 09:40 or Thursday at 15:20; which suits you better?",
	"appointment_cancellation": "I have cancelled it. Write to us whenever you would like another time.",
	"appointment_booking":      "I have Wednesday at 11:00 or Friday at 08:40 for you; which may I book?",
	"invoice":                  "The invoice is on its way to you, in an email of its own.",
	"general_question":         "Thank you for asking. I have passed this on to reception, who will write to you today.",
}

// emailEvent returns an event of an email conversation. The key distinguishes the events of a
// message.
func (o *organisation) emailEvent(msg ash.Record, key, kind, summary, at string, more ash.Record) ash.Record {
	e := ash.Record{"id": o.idOf("email event", msg.Text("id"), key), "eventType": kind, "source": "email", "summary": summary,
		"metadata": ash.Document("{}"), "actorType": "system", "success": true, "occurredAt": at,
		"conversationId": msg["conversationId"], "agentId": o.idOf("agent", emailAgent),
		"payload": ash.NewDocument(map[string]any{"messageId": msg["id"], "from": msg["fromAddress"], "to": msg["toAddress"], "subject": msg["subject"]})}
	maps.Copy(e, more)
	return e
}

// receivedEvent returns the event of an inbound email.
func (o *organisation) receivedEvent(msg ash.Record) ash.Record {
	return o.emailEvent(msg, "received", "email_received", "Email: "+msg.Text("subject"), msg.Text("occurredAt"),
		ash.Record{"actorType": "contact", "actorId": msg["contactId"], "speaker": msg["fromAddress"]})
}

// composeAnswer returns the answer to an email, and its event.
func (o *organisation) composeAnswer(msg ash.Record, at string) (reply, event ash.Record) {
	body, known := answerTexts[emailLabel(msg)]
	if !known {
		body = answerTexts["general_question"]
	}
	subject := "Re: " + strings.TrimPrefix(msg.Text("subject"), "Re: ")
	reply = ash.Record{"id": o.idOf("answer", msg.Text("id")), "channel": "email", "direction": "outbound", "status": "sent", "body": body, "subject": subject,
		"fromAddress": msg["toAddress"], "toAddress": msg["fromAddress"], "provider": "smtp", "providerMessageId": msg.Text("id")[:8] + ".answer@sandbox.invalid",
		"occurredAt": at, "metadata": ash.Document("{}"), "conversationId": msg["conversationId"], "threadId": msg["threadId"], "contactId": msg["contactId"]}
	r := o.random("answer", msg.Text("id"))
	event = o.emailEvent(reply, "sent", "email_sent", body, at, ash.Record{"actorType": "ai_agent", "actorId": o.idOf("agent", emailAgent), "speaker": emailAgent,
		"model": emailModel, "tokenUsage": ash.NewDocument(map[string]any{"input": 500 + r.IntN(700), "output": 40 + r.IntN(60)})})
	return reply, event
}

// sendAnswer stores the agent's answer to an email, unless the sender has been erased.
func (o *organisation) sendAnswer(t *ash.Tx, messageID string) error {
	msg, err := t.Get(o.resources["CommunicationMessage"], messageID)
	if err != nil || msg == nil {
		return err
	}
	contact, err := t.Get(o.resources["Contact"], msg.Text("contactId"))
	if err != nil || contact == nil || contact["erasedAt"] != nil {
		return err
	}
	reply, event := o.composeAnswer(msg, t.Timestamp())
	if err := t.Insert(o.resources["CommunicationMessage"], reply); err != nil {
		return err
	}
	if err := t.Insert(o.resources["ConversationEvent"], event); err != nil {
		return err
	}
	if bounceError(reply.Text("toAddress")) != "" {
		if err := o.schedule(t, bounceTask, reply.Text("id"), 0, bounceAfter); err != nil {
			return err
		}
	}
	return o.setLastActivity(t, msg)
}

// bounceAnswer marks an answer as bounced.
func (o *organisation) bounceAnswer(t *ash.Tx, replyID string) error {
	reply, err := t.Get(o.resources["CommunicationMessage"], replyID)
	if err != nil || reply == nil {
		return err
	}
	message := bounceError(reply.Text("toAddress"))
	if err := t.Update(o.resources["CommunicationMessage"], replyID, ash.Record{"status": "bounced", "error": message}); err != nil {
		return err
	}
	if err := t.Insert(o.resources["ConversationEvent"], o.emailEvent(reply, "bounced", "email_bounced",
		"The answer to "+reply.Text("toAddress")+" bounced", t.Timestamp(), ash.Record{"success": false, "error": message})); err != nil {
		return err
	}
	return o.setLastActivity(t, reply)
}

func (o *organisation) setLastActivity(t *ash.Tx, msg ash.Record) error {
	return t.Update(o.resources["Conversation"], msg.Text("conversationId"), ash.Record{"lastActivityAt": t.Timestamp(), "updatedAt": t.Timestamp()})
}
