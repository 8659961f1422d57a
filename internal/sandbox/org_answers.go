package sandbox

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// What becomes of an email once it is in: the AI agent of its conversation
// answers, and the answer arrives or bounces.

const (
	answerEmail = "answer_email" // the happening of an answer
	bounceEmail = "bounce_email" // and of its coming back

	answerAfter = 20 * time.Second
	bounceAfter = 2 * time.Second

	emailModel = "gpt-4.1-mini"
)

// bounces are the local parts to which no answer can be delivered, whatever
// the domain, and the receiving server's words; docs/sandbox.md has the table.
var bounces = map[string]string{
	"bounce":       "550 5.1.1 <%s>: Recipient address rejected: User unknown",
	"mailbox-full": "552 5.2.2 <%s>: Mailbox full",
}

// bounce gives the words with which mail to an address comes back; "" is none.
// What follows a plus sign does not count.
func bounce(address string) string {
	local, _, _ := strings.Cut(address, "@")
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	if words := bounces[local]; words != "" {
		return fmt.Sprintf(words, address)
	}
	return ""
}

// answers are what the AI agent writes, by the label of what it answers.
var answers = map[string]string{
	"complaint":                "I am sorry about this. Our practice manager will ring you by the end of tomorrow.",
	"appointment_change":       "Of course. I have Tuesday at 09:40 or Thursday at 15:20; which suits you better?",
	"appointment_cancellation": "I have cancelled it. Write to us whenever you would like another time.",
	"appointment_booking":      "I have Wednesday at 11:00 or Friday at 08:40 for you; which may I book?",
	"invoice":                  "The invoice is on its way to you, in an email of its own.",
	"general_question":         "Thank you for asking. I have passed this on to reception, who will write to you today.",
}

// emailEvent is a line of an email conversation's log. The key is its name
// among those of the message that it is about.
func (o *organisation) emailEvent(msg record, key, kind, summary, at string, more record) record {
	e := record{"id": o.named("email event", msg.text("id"), key), "eventType": kind, "source": "email", "summary": summary,
		"metadata": document("{}"), "actorType": "system", "success": true, "occurredAt": at,
		"conversationId": msg["conversationId"], "agentId": o.named("agent", emailAgent),
		"payload": encodeDocument(map[string]any{"messageId": msg["id"], "from": msg["fromAddress"], "to": msg["toAddress"], "subject": msg["subject"]})}
	maps.Copy(e, more)
	return e
}

// receivedEvent is that of an email which came in.
func (o *organisation) receivedEvent(msg record) record {
	return o.emailEvent(msg, "received", "email_received", "Email: "+msg.text("subject"), msg.text("occurredAt"),
		record{"actorType": "contact", "actorId": msg["contactId"], "speaker": msg["fromAddress"]})
}

// answer gives the answer to an email, and its event.
func (o *organisation) answer(msg record, at string) (reply, event record) {
	body, known := answers[emailLabel(msg)]
	if !known {
		body = answers["general_question"]
	}
	subject := "Re: " + strings.TrimPrefix(msg.text("subject"), "Re: ")
	reply = record{"id": o.named("answer", msg.text("id")), "channel": "email", "direction": "outbound", "status": "sent", "body": body, "subject": subject,
		"fromAddress": msg["toAddress"], "toAddress": msg["fromAddress"], "provider": "smtp", "providerMessageId": msg.text("id")[:8] + ".answer@sandbox.invalid",
		"occurredAt": at, "metadata": document("{}"), "conversationId": msg["conversationId"], "threadId": msg["threadId"], "contactId": msg["contactId"]}
	r := o.random("answer", msg.text("id"))
	event = o.emailEvent(reply, "sent", "email_sent", body, at, record{"actorType": "ai_agent", "actorId": o.named("agent", emailAgent), "speaker": emailAgent,
		"model": emailModel, "tokenUsage": encodeDocument(map[string]any{"input": 500 + r.IntN(700), "output": 40 + r.IntN(60)})})
	return reply, event
}

// sendAnswer lets the agent answer an email, unless its sender was erased meanwhile.
func (o *organisation) sendAnswer(t *turn, messageID string) error {
	msg, err := t.get(o.r["CommunicationMessage"], messageID)
	if err != nil || msg == nil {
		return err
	}
	contact, err := t.get(o.r["Contact"], msg.text("contactId"))
	if err != nil || contact == nil || contact["erasedAt"] != nil {
		return err
	}
	reply, event := o.answer(msg, t.stamp())
	if err := t.insert(o.r["CommunicationMessage"], reply); err != nil {
		return err
	}
	if err := t.insert(o.r["ConversationEvent"], event); err != nil {
		return err
	}
	if bounce(reply.text("toAddress")) != "" {
		if err := o.schedule(t, bounceEmail, reply.text("id"), 0, bounceAfter); err != nil {
			return err
		}
	}
	return o.emailActivity(t, msg)
}

// bounceAnswer lets an answer bounce.
func (o *organisation) bounceAnswer(t *turn, replyID string) error {
	reply, err := t.get(o.r["CommunicationMessage"], replyID)
	if err != nil || reply == nil {
		return err
	}
	words := bounce(reply.text("toAddress"))
	if err := t.update(o.r["CommunicationMessage"], replyID, record{"status": "bounced", "error": words}); err != nil {
		return err
	}
	if err := t.insert(o.r["ConversationEvent"], o.emailEvent(reply, "bounced", "email_bounced",
		"The answer to "+reply.text("toAddress")+" came back", t.stamp(), record{"success": false, "error": words})); err != nil {
		return err
	}
	return o.emailActivity(t, reply)
}

func (o *organisation) emailActivity(t *turn, msg record) error {
	return t.update(o.r["Conversation"], msg.text("conversationId"), record{"lastActivityAt": t.stamp(), "updatedAt": t.stamp()})
}
