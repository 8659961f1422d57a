package sandbox

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
)

func (o *organisation) emailActions() map[string]func(*action) {
	mailbox := func(a *action) {
		a.Atomic = false
		a.Change = setListener
		a.After = func(t *turn, _, next record) error {
			if err := o.cancel(t, next.text("id")); err != nil || next.text("listenerStatus") != "starting" {
				return err
			}
			return o.schedule(t, "listen", next.text("id"), 0, 3*time.Second)
		}
	}
	identity := func(a *action) { a.Atomic, a.Check, a.After = false, checkIdentity, o.onlyDefault }
	return map[string]func(*action){
		"create_email_mailbox":  mailbox,
		"update_email_mailbox":  mailbox,
		"create_email_identity": identity,
		"update_email_identity": identity,
		"delete_email_mailbox": func(a *action) {
			a.After = func(t *turn, old, _ record) error {
				return t.exec(`UPDATE "EmailIdentity" SET "emailMailboxId" = NULL WHERE "emailMailboxId" = ?`, old.text("id"))
			}
		},
		"import_inbound_email": func(a *action) {
			a.Run = func(t *turn, args record) (any, error) { return o.receive(t, a, args) }
		},
	}
}

// setListener lets the listener's status follow its switch, unless the client
// sets the status itself.
func setListener(_ *turn, old, next record) error {
	was, status := any(false), any("disabled")
	if old != nil {
		was, status = old["listenerEnabled"], old["listenerStatus"]
	}
	if next["listenerEnabled"] == was || next["listenerStatus"] != status {
		return nil
	}
	next["listenerStatus"] = "disabled"
	if next["listenerEnabled"] == true {
		next["listenerStatus"] = "starting"
	}
	return nil
}

// checkIdentity refuses what cannot be an address.
func checkIdentity(_, next record) []*fault {
	local, domain := next.text("localPart"), next.text("domain")
	if local == "" || domain == "" {
		return nil // that they are missing is said already
	}
	if _, err := mail.ParseAddress(local + "@" + domain); err != nil || strings.ContainsAny(local+domain, "<> ") {
		return []*fault{Invalid("localPart", "must make an email address with the domain", nil)}
	}
	return nil
}

// onlyDefault keeps one default sender for each owner.
func (o *organisation) onlyDefault(t *turn, _, next record) error {
	if next["defaultOutbound"] != true {
		return nil
	}
	return t.exec(`UPDATE "EmailIdentity" SET "defaultOutbound" = 0 WHERE "ownerType" = ? AND "ownerId" = ? AND "id" != ?`,
		next.text("ownerType"), next.text("ownerId"), next.text("id"))
}

// received is an email as far as the organisation reads it.
type received struct {
	fromName, from, subject, body, messageID string
}

// receive takes an email in: a message in its sender's thread, a contact where
// the sender is new, and a conversation; a classification and an answer come a
// little later.
func (o *organisation) receive(t *turn, a *action, args record) (any, error) {
	recipient := strings.ToLower(args.text("recipientAddress"))
	known, err := t.count(o.r["EmailIdentity"], `lower(t."localPart" || '@' || t."domain") = ? AND t."active" = 1`, recipient)
	if err != nil {
		return nil, err
	}
	if known == 0 {
		return nil, a.NotFound("address", recipient)
	}
	m, err := readEmail(args)
	if err != nil {
		return nil, err
	}
	at := t.stamp()
	if args["receivedAt"] != nil {
		at = args.text("receivedAt")
	}
	contact, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	thread, conversation, err := o.thread(t, contact.text("id"), at)
	if err != nil {
		return nil, err
	}
	msg := record{"channel": "email", "direction": "inbound", "status": "received", "body": m.body, "subject": m.subject,
		"fromAddress": m.from, "toAddress": recipient, "provider": "import", "providerMessageId": m.messageID, "occurredAt": at,
		"metadata": document("{}"), "conversationId": conversation, "threadId": thread, "contactId": contact["id"]}
	if m.body == "" {
		msg["error"] = "message has no text"
	}
	if err := t.insert(o.r["CommunicationMessage"], msg); err != nil {
		return nil, err
	}
	if err := t.exec(`UPDATE "EmailMailbox" SET "lastInboundAt" = ? WHERE "inboundDomain" = ?`, at, recipient[strings.LastIndex(recipient, "@")+1:]); err != nil {
		return nil, err
	}
	class := o.emailClassification(msg, t.stamp())
	if err := t.insert(o.r["EmailClassification"], class); err != nil {
		return nil, err
	}
	if err := t.insert(o.r["ConversationEvent"], o.receivedEvent(msg)); err != nil {
		return nil, err
	}
	if err := o.schedule(t, answerEmail, msg.text("id"), 0, answerAfter); err != nil {
		return nil, err
	}
	return msg, o.schedule(t, "classify_email", class.text("id"), 0, 3*time.Second)
}

// readEmail reads rawMime, else structuredPayload, of which the reference says
// nothing: from, fromName, subject, text or body, and messageId are looked for.
func readEmail(args record) (*received, error) {
	if raw := args.text("rawMime"); raw != "" {
		return parseMIME(raw)
	}
	d, ok := args["structuredPayload"].(document)
	if !ok {
		return nil, InvalidAttribute("rawMime", "rawMime or structuredPayload is needed")
	}
	v, err := decodeDocument(d)
	if err != nil {
		return nil, err
	}
	payload, _ := v.(map[string]any)
	pick := func(names ...string) string {
		for _, n := range names {
			if s, ok := payload[n].(string); ok && s != "" {
				return s
			}
		}
		return ""
	}
	m := &received{fromName: pick("fromName"), from: pick("from", "fromAddress", "sender"), subject: pick("subject"),
		body: pick("text", "body", "textBody", "html"), messageID: pick("messageId", "providerMessageId", "id")}
	if addr, err := mail.ParseAddress(m.from); err == nil {
		m.from = addr.Address
		if m.fromName == "" {
			m.fromName = addr.Name
		}
	} else {
		return nil, InvalidAttribute("structuredPayload", "has no sender in `from`")
	}
	return m, nil
}

// sender finds the contact who wrote, or makes one.
func (o *organisation) sender(t *turn, m *received) (record, error) {
	contact, err := t.first(o.r["Contact"], `lower(t."email") = ? AND t."erasedAt" IS NULL`, strings.ToLower(m.from))
	if err != nil || contact != nil {
		return contact, err
	}
	name := m.fromName
	if name == "" {
		name = m.from
	}
	contact = record{"fullName": name, "email": m.from, "whatsappReachabilityStatus": "unknown", "metadata": document(`{"source":"inbound_email"}`),
		"privateMetadataKeys": document("[]"), "languages": document("[]"), "insertedAt": t.stamp(), "updatedAt": t.stamp()}
	return contact, t.insert(o.r["Contact"], contact)
}

// thread gives the contact's email thread and conversation, new ones where
// they have none.
func (o *organisation) thread(t *turn, contact, at string) (thread, conversation any, err error) {
	c, err := t.first(o.r["Conversation"], `t."contactId" = ? AND t."channel" = 'email'`, contact)
	if err != nil {
		return nil, nil, err
	}
	if c != nil {
		return c["communicationThreadId"], c["id"], t.update(o.r["Conversation"], c.text("id"),
			record{"lastActivityAt": at, "status": "active", "endedAt": nil, "updatedAt": t.stamp()})
	}
	id := o.named("email conversation", contact)
	c = record{"id": id, "status": "active", "sessionDate": at[:10], "timezone": "Europe/London", "startedAt": at, "lastActivityAt": at,
		"channel": "email", "mode": "text", "transport": "smtp", "runtimeState": document("{}"), "runtimeMemory": document("{}"),
		"sessionScopeKey": "email:" + contact, "publicId": "conv_" + id[:12], "metadata": document("{}"),
		"aiAgentId": o.named("agent", emailAgent), "contactId": contact, "communicationThreadId": o.named("thread", contact),
		"insertedAt": t.stamp(), "updatedAt": t.stamp()}
	return c["communicationThreadId"], id, t.insert(o.r["Conversation"], c)
}

// emailClassification is a message's, still to be made.
func (o *organisation) emailClassification(msg record, at string) record {
	return record{"id": o.named("email classification", msg.text("id")), "communicationMessageId": msg["id"], "status": "pending", "provider": "openai",
		"model": emailModel, "taxonomyVersion": "dental-3", "promptVersion": "2026-01", "insertedAt": at, "updatedAt": at}
}

// emailLabels are looked for in subject and body, the first that is there counts.
var emailLabels = []struct{ label, words string }{
	{"complaint", "complain unacceptable refund overcharged"},
	{"appointment_change", "reschedule move postpone"},
	{"appointment_cancellation", "cancel"},
	{"appointment_booking", "appointment book check-up"},
	{"invoice", "invoice payment receipt"},
	{"spam", "winner casino crypto"},
}

// emailLabel labels an email by the words in it.
func emailLabel(msg record) string {
	text := strings.ToLower(msg.text("subject") + " " + msg.text("body"))
	for _, l := range emailLabels {
		for w := range strings.FieldsSeq(l.words) {
			if strings.Contains(text, w) {
				return l.label
			}
		}
	}
	return "general_question"
}

// classified are the attributes that a classification gets when it is made.
func (o *organisation) classified(msg record, at string) record {
	label, r := emailLabel(msg), o.random("email", msg.text("id"))
	in, out := 300+r.IntN(500), 20+r.IntN(40)
	return record{"status": "classified", "predictedLabel": label, "effectiveLabel": label, "effectiveSource": "model",
		"predictedConfidence": float64(70+r.IntN(29)) / 100, "tokenUsage": encodeDocument(map[string]any{"input": in, "output": out}),
		"estimatedCost": fmt.Sprintf("0.%05d", in/4+out), "providerResponseId": "resp_" + msg.text("id")[:8], "classifiedAt": at, "updatedAt": at}
}

func (o *organisation) classifyEmail(t *turn, id string) error {
	class, err := t.get(o.r["EmailClassification"], id)
	if err != nil || class == nil {
		return err
	}
	msg, err := t.get(o.r["CommunicationMessage"], class.text("communicationMessageId"))
	if err != nil || msg == nil {
		return err
	}
	return t.update(o.r["EmailClassification"], id, o.classified(msg, t.stamp()))
}
