package sandbox

import (
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

func (o *organisation) emailActions() map[string]func(*ash.Action) {
	mailbox := func(a *ash.Action) {
		a.Atomic = false
		a.Change = setListener
		a.After = func(t *ash.Tx, _, next ash.Record) error {
			if err := o.cancel(t, next.Text("id")); err != nil || next.Text("listenerStatus") != "starting" {
				return err
			}
			return o.schedule(t, "listen", next.Text("id"), 0, 3*time.Second)
		}
	}
	identity := func(a *ash.Action) { a.Atomic, a.Check, a.After = false, checkIdentity, o.clearOtherDefaults }
	return map[string]func(*ash.Action){
		"create_email_mailbox":  mailbox,
		"update_email_mailbox":  mailbox,
		"create_email_identity": identity,
		"update_email_identity": identity,
		"delete_email_mailbox": func(a *ash.Action) {
			a.After = func(t *ash.Tx, old, _ ash.Record) error {
				return t.Exec(`UPDATE "EmailIdentity" SET "emailMailboxId" = NULL WHERE "emailMailboxId" = ?`, old.Text("id"))
			}
		},
		"import_inbound_email": func(a *ash.Action) {
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) { return o.importEmail(t, a, args) }
		},
	}
}

// setListener sets listenerStatus when listenerEnabled changes, unless the client sets the status
// too.
func setListener(_ *ash.Tx, old, next ash.Record) error {
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

// checkIdentity returns a violation if local part and domain do not make an address.
func checkIdentity(_, next ash.Record) []*ash.Violation {
	local, domain := next.Text("localPart"), next.Text("domain")
	if local == "" || domain == "" {
		return nil // reported as missing
	}
	if _, err := mail.ParseAddress(local + "@" + domain); err != nil || strings.ContainsAny(local+domain, "<> ") {
		return []*ash.Violation{ash.NewViolation("localPart", "must make an email address with the domain", nil)}
	}
	return nil
}

// clearOtherDefaults makes a new default sender the only one of its owner.
func (o *organisation) clearOtherDefaults(t *ash.Tx, _, next ash.Record) error {
	if next["defaultOutbound"] != true {
		return nil
	}
	return t.Exec(`UPDATE "EmailIdentity" SET "defaultOutbound" = 0 WHERE "ownerType" = ? AND "ownerId" = ? AND "id" != ?`,
		next.Text("ownerType"), next.Text("ownerId"), next.Text("id"))
}

// inboundEmail is the part of an email that is stored.
type inboundEmail struct {
	fromName, from, subject, body, messageID string
}

// importEmail stores an inbound email as a message in its sender's thread. A sender who is not a
// contact becomes one. Classification and answer are scheduled.
func (o *organisation) importEmail(t *ash.Tx, a *ash.Action, args ash.Record) (any, error) {
	recipient := strings.ToLower(args.Text("recipientAddress"))
	known, err := t.Count(o.resources["EmailIdentity"], `lower(t."localPart" || '@' || t."domain") = ? AND t."active" = 1`, recipient)
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
	at := t.Timestamp()
	if args["receivedAt"] != nil {
		at = args.Text("receivedAt")
	}
	contact, err := o.findSender(t, m)
	if err != nil {
		return nil, err
	}
	thread, conversation, err := o.findThread(t, contact.Text("id"), at)
	if err != nil {
		return nil, err
	}
	msg := ash.Record{"channel": "email", "direction": "inbound", "status": "received", "body": m.body, "subject": m.subject,
		"fromAddress": m.from, "toAddress": recipient, "provider": "import", "providerMessageId": m.messageID, "occurredAt": at,
		"metadata": ash.Document("{}"), "conversationId": conversation, "threadId": thread, "contactId": contact["id"]}
	if m.body == "" {
		msg["error"] = "message has no text"
	}
	if err := t.Insert(o.resources["CommunicationMessage"], msg); err != nil {
		return nil, err
	}
	if err := t.Exec(`UPDATE "EmailMailbox" SET "lastInboundAt" = ? WHERE "inboundDomain" = ?`, at, recipient[strings.LastIndex(recipient, "@")+1:]); err != nil {
		return nil, err
	}
	class := o.emailClassification(msg, t.Timestamp())
	if err := t.Insert(o.resources["EmailClassification"], class); err != nil {
		return nil, err
	}
	if err := t.Insert(o.resources["ConversationEvent"], o.receivedEvent(msg)); err != nil {
		return nil, err
	}
	if err := o.schedule(t, answerTask, msg.Text("id"), 0, answerAfter); err != nil {
		return nil, err
	}
	return msg, o.schedule(t, "classify_email", class.Text("id"), 0, 3*time.Second)
}

// readEmail parses rawMime, or else structuredPayload. The reference does not define the keys of
// the latter: from, fromName, subject, text or body, and messageId are used.
func readEmail(args ash.Record) (*inboundEmail, error) {
	if raw := args.Text("rawMime"); raw != "" {
		return parseMIME(raw)
	}
	d, ok := args["structuredPayload"].(ash.Document)
	if !ok {
		return nil, ash.InvalidAttribute("rawMime", "rawMime or structuredPayload is required")
	}
	v, err := d.Decode()
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
	m := &inboundEmail{fromName: pick("fromName"), from: pick("from", "fromAddress", "sender"), subject: pick("subject"),
		body: pick("text", "body", "textBody", "html"), messageID: pick("messageId", "providerMessageId", "id")}
	if addr, err := mail.ParseAddress(m.from); err == nil {
		m.from = addr.Address
		if m.fromName == "" {
			m.fromName = addr.Name
		}
	} else {
		return nil, ash.InvalidAttribute("structuredPayload", "has no valid sender in `from`")
	}
	return m, nil
}

// findSender returns the contact with the sender's address, or creates one.
func (o *organisation) findSender(t *ash.Tx, m *inboundEmail) (ash.Record, error) {
	contact, err := t.First(o.resources["Contact"], `lower(t."email") = ? AND t."erasedAt" IS NULL`, strings.ToLower(m.from))
	if err != nil || contact != nil {
		return contact, err
	}
	name := m.fromName
	if name == "" {
		name = m.from
	}
	contact = ash.Record{"fullName": name, "email": m.from, "whatsappReachabilityStatus": "unknown", "metadata": ash.Document(`{"source":"inbound_email"}`),
		"privateMetadataKeys": ash.Document("[]"), "languages": ash.Document("[]"), "insertedAt": t.Timestamp(), "updatedAt": t.Timestamp()}
	return contact, t.Insert(o.resources["Contact"], contact)
}

// findThread returns the ids of the contact's email thread and conversation, or creates them.
func (o *organisation) findThread(t *ash.Tx, contact, at string) (thread, conversation any, err error) {
	c, err := t.First(o.resources["Conversation"], `t."contactId" = ? AND t."channel" = 'email'`, contact)
	if err != nil {
		return nil, nil, err
	}
	if c != nil {
		return c["communicationThreadId"], c["id"], t.Update(o.resources["Conversation"], c.Text("id"),
			ash.Record{"lastActivityAt": at, "status": "active", "endedAt": nil, "updatedAt": t.Timestamp()})
	}
	id := o.idOf("email conversation", contact)
	c = ash.Record{"id": id, "status": "active", "sessionDate": at[:10], "timezone": "Europe/London", "startedAt": at, "lastActivityAt": at,
		"channel": "email", "mode": "text", "transport": "smtp", "runtimeState": ash.Document("{}"), "runtimeMemory": ash.Document("{}"),
		"sessionScopeKey": "email:" + contact, "publicId": "conv_" + id[:12], "metadata": ash.Document("{}"),
		"aiAgentId": o.idOf("agent", emailAgent), "contactId": contact, "communicationThreadId": o.idOf("thread", contact),
		"insertedAt": t.Timestamp(), "updatedAt": t.Timestamp()}
	return c["communicationThreadId"], id, t.Insert(o.resources["Conversation"], c)
}

// emailClassification returns the pending classification of a message.
func (o *organisation) emailClassification(msg ash.Record, at string) ash.Record {
	return ash.Record{"id": o.idOf("email classification", msg.Text("id")), "communicationMessageId": msg["id"], "status": "pending", "provider": "openai",
		"model": emailModel, "taxonomyVersion": "dental-3", "promptVersion": "2026-01", "insertedAt": at, "updatedAt": at}
}

// emailLabels are the labels of emails, each with words. The first one with a word in the email is
// used.
var emailLabels = []struct{ label, words string }{
	{"complaint", "complain unacceptable refund overcharged"},
	{"appointment_change", "reschedule move postpone"},
	{"appointment_cancellation", "cancel"},
	{"appointment_booking", "appointment book check-up"},
	{"invoice", "invoice payment receipt"},
	{"spam", "winner casino crypto"},
}

func emailLabel(msg ash.Record) string {
	text := strings.ToLower(msg.Text("subject") + " " + msg.Text("body"))
	for _, l := range emailLabels {
		for w := range strings.FieldsSeq(l.words) {
			if strings.Contains(text, w) {
				return l.label
			}
		}
	}
	return "general_question"
}

// classifiedAttributes returns the attributes to set when an email is classified.
func (o *organisation) classifiedAttributes(msg ash.Record, at string) ash.Record {
	label, r := emailLabel(msg), o.random("email", msg.Text("id"))
	in, out := 300+r.IntN(500), 20+r.IntN(40)
	return ash.Record{"status": "classified", "predictedLabel": label, "effectiveLabel": label, "effectiveSource": "model",
		"predictedConfidence": float64(70+r.IntN(29)) / 100, "tokenUsage": ash.NewDocument(map[string]any{"input": in, "output": out}),
		"estimatedCost": fmt.Sprintf("0.%05d", in/4+out), "providerResponseId": "resp_" + msg.Text("id")[:8], "classifiedAt": at, "updatedAt": at}
}

func (o *organisation) classifyEmail(t *ash.Tx, id string) error {
	class, err := t.Get(o.resources["EmailClassification"], id)
	if err != nil || class == nil {
		return err
	}
	msg, err := t.Get(o.resources["CommunicationMessage"], class.Text("communicationMessageId"))
	if err != nil || msg == nil {
		return err
	}
	return t.Update(o.resources["EmailClassification"], id, o.classifiedAttributes(msg, t.Timestamp()))
}

// maxParts is the number of parts of a message that are read.
const maxParts = 50

// parseMIME parses an RFC 5322 message.
func parseMIME(raw string) (*inboundEmail, error) {
	msg, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return nil, ash.InvalidAttribute("rawMime", "is not an email message: "+err.Error())
	}
	from, err := mail.ParseAddress(msg.Header.Get("From"))
	if err != nil {
		return nil, ash.InvalidAttribute("rawMime", "has no valid sender in From")
	}
	subject := msg.Header.Get("Subject")
	if s, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = s
	}
	parts := maxParts
	body := plainText(msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body, &parts)
	return &inboundEmail{fromName: from.Name, from: from.Address, subject: subject, body: body,
		messageID: strings.Trim(msg.Header.Get("Message-Id"), "<> ")}, nil
}

// plainText returns the first text part of a message as UTF-8, whatever its charset.
func plainText(contentType, encoding string, body io.Reader, parts *int) string {
	if *parts--; *parts < 0 {
		return ""
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err == nil && strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err != nil {
				return ""
			}
			if text := plainText(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, parts); text != "" {
				return text
			}
		}
	}
	if err == nil && !strings.HasPrefix(kind, "text/") {
		return ""
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, _ := io.ReadAll(body) // if it fails, use what was decoded
	s := strings.TrimSpace(string(b))
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}
