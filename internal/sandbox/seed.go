package sandbox

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// seeder seeds an organisation: Harbour Lane Dental, a small clinic in Brighton with a branch in
// Cork, after a week of work. Times are counted back from the time of seeding. Ids depend on names
// only.
type seeder struct {
	o   *organisation
	t   *ash.Tx
	now time.Time

	contacts map[string]ash.Record // by key
	agents   map[string]ash.Record // by name
}

func newSeeder(o *organisation, t *ash.Tx) *seeder {
	return &seeder{o: o, t: t, now: t.Now.Truncate(time.Second), contacts: map[string]ash.Record{}, agents: map[string]ash.Record{}}
}

func (s *seeder) insertAll() error {
	for _, step := range []func() error{s.addUsers, s.addAgents, s.addContacts, s.addGroup, s.addEmailSetup,
		s.addHistory, s.addReviews, s.addBulkCall, s.addLiveCalls, s.addQueueHistory, s.addEmails, s.addCampaigns, s.addHostile, s.addScale} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) insert(resource string, rec ash.Record) error {
	return s.t.Insert(s.o.resources[resource], rec)
}

// ago returns the time that was d before now, as it is stored.
func (s *seeder) ago(d time.Duration) string { return s.now.Add(-d).Format(ash.TimeLayout) }

var seedUsers = []struct{ key, name, status string }{
	{"nadia", "Nadia Rahman", "available"},
	{"tom", "Tom Whitlock", "available"},
	{"siobhan", "Siobhán Keane", "on_break"},
	{"george", "George Adeyemi", "logged_out"},
}

func (s *seeder) addUsers() error {
	for i, u := range seedUsers {
		id, sip := s.o.idOf("user", u.key), s.o.idOf("sip user", u.key)
		if err := s.insert("User", ash.Record{"id": id, "fullName": u.name, "email": u.key + "@harbourlane.example", "sipUserId": sip,
			"confirmedAt": s.ago(200 * 24 * time.Hour), "sipUsername": "hl-" + u.key}); err != nil {
			return err
		}
		if err := s.insert("OperatorStatus", ash.Record{"id": s.o.idOf("operator status", u.key), "sipUserId": sip, "agentName": u.name, "status": u.status,
			"source": []string{"widget", "api", "system"}[i%3], "changedByUserId": id}); err != nil {
			return err
		}
	}
	return nil
}

var seedAgents = []struct{ name, voice, tone, job string }{
	{"Molly", "marin", "warm and brief", "You answer the phone of a dental clinic: book, move and cancel appointments, and pass on what needs a person."},
	{"Iris", "sage", "friendly, formal", "You answer the clinic's email. Never give medical advice. Never promise a refund."},
	{"Finn", "cedar", "cheerful", "You ring patients to remind them of appointments and check-ups that are due. Stop when asked to."},
	{"Otto", "echo", "neutral", "Draft: you answer WhatsApp messages. Not in use yet."},
}

func (s *seeder) addAgents() error {
	for i, a := range seedAgents {
		rec := ash.Record{"id": s.o.idOf("agent", a.name), "name": a.name, "realtimeProvider": "openai", "realtimeModel": callModel,
			"callerNameVerificationMode": []string{"soft", "strict", "off"}[i%3], "identityVerificationFactors": ash.Document(`["date_of_birth","phone"]`),
			"inactivityEnabled": true, "inactivityFirstReminderMs": int64(8000), "inactivityFollowUpMs": int64(12000),
			"inactivityCallEnabled": true, "inactivityCallFirstReminderMs": int64(8000), "inactivityCallFollowUpMs": int64(12000),
			"inactivityEmailEnabled": false, "inactivityEmailFirstReminderMs": int64(86400000), "inactivityEmailFollowUpMs": int64(172800000),
			"inactivityWhatsappEnabled": false, "inactivityWhatsappFirstReminderMs": int64(3600000), "inactivityWhatsappFollowUpMs": int64(7200000),
			"inactivityDiscordEnabled": false, "inactivityDiscordFirstReminderMs": int64(3600000), "inactivityDiscordFollowUpMs": int64(7200000),
			"inactivityCallAutoEndEnabled": true, "inactivityCallAutoEndMessage": "I cannot hear you, so I will hang up now. Goodbye.",
			"inactivityWhatsappAutoEndEnabled": false, "inactivityWhatsappAutoEndMessage": "We close this chat for now.",
			"contactMemoryEnabled": i != 2, "contactMemoryWriteMode": "auto", "contactMemoryMaxResults": int64(5),
			"scriptOpeningMode": "fixed", "voice": a.voice, "tone": a.tone, "languages": ash.Document(`["en","ga"]`),
			"workflow":          ash.Document(`{"states":["greeting","conversation","closing"]}`),
			"scriptComposition": "Greet. Ask what it is about. Solve it or pass it on. Say goodbye.", "scriptExamples": "Caller: Do you do children? Agent: We do, from three.",
			"promptSecurityMiddlewareEnabled": true, "promptSecurityTimeoutMs": int64(1500), "systemPrompt": a.job,
			"safetyGuardrails": "Do not diagnose. In an emergency name 999 or 112.", "enabledToolIds": ash.Document(`["find_slots","book_slot","transfer_to_queue"]`),
			"toolSettings": ash.Document(`{"find_slots":{"max":3}}`), "published": a.name != "Otto"}
		s.agents[a.name] = rec
		if err := s.insert("AiAgent", rec); err != nil {
			return err
		}
	}
	return nil
}

// seedContacts have numbers and domains that are reserved for fiction.
var seedContacts = []struct{ key, name, email, phone, birth, lang string }{
	{"eleanor", "Eleanor Marsh", "eleanor.marsh@example.com", "+447700900101", "1979-04-12", "en"},
	{"dev", "Dev Patel-Shaw", "dev.ps@example.com", "+447700900102", "1988-11-03", "en"},
	{"aoife", "Aoife Ní Bhriain", "aoife@example.ie", "+353209100103", "1994-02-27", "ga"},
	{"malcolm", "Malcolm Ferris", "m.ferris@example.org", "+442079460104", "1951-09-30", "en"},
	{"grace", "Grace Oyelaran", "grace.oy@example.com", "+447700900105", "1990-06-18", "en"},
	{"jakub", "Jakub Wiśniewski", "jakub.w@example.com", "+447700900106", "1985-01-09", "pl"},
	{"hannah", "Hannah Blythe", "hblythe@example.com", "+447700900107", "2001-12-24", "en"},
	{"connor", "Connor Daly", "connor.daly@example.ie", "+353209100108", "1972-07-07", "en"},
	{"priya", "Priya Venkataraman", "priya.v@example.org", "+447700900109", "1996-03-15", "en"},
	{"walter", "Walter Pym", "", "+441632960110", "1938-05-21", "en"},
	{"zoe", "Zoë Lindqvist", "zoe.lindqvist@example.com", "+447700900111", "1983-10-02", "sv"},
	{"samir", "Samir Haddad", "samir.h@example.com", "+447700900112", "1991-08-29", "ar"},
	{"beth", "Beth Cartwright", "beth.c@example.com", "+447700900113", "1969-02-14", "en"},
	{"liam", "Liam O'Sullivan", "liam.os@example.ie", "+353209100114", "1999-04-01", "en"},
	{"mei", "Mei-Ling Chow", "meiling@example.org", "+447700900115", "1987-12-12", "zh"},
	{"robert", "Robert Quill", "rob.quill@example.com", "+442079460116", "1975-06-06", "en"},
	{"ivy", "Ivy Thornbury", "ivy.t@example.com", "+447700900117", "2004-09-19", "en"},
	{"tariq", "Tariq Mahmood", "tariq.m@example.com", "+447700900118", "1982-03-03", "ur"},
	{"nora", "Nora Kelleher", "nora.k@example.ie", "+353209100119", "1964-11-11", "en"},
	{"olu", "Olu Bamgbose", "olu.b@example.com", "", "1993-05-05", "en"},
	{"frances", "Frances Deakin", "fdeakin@example.org", "+447700900121", "1958-01-31", "en"},
	{"kit", "Kit Marlow", "kit.marlow@example.com", "+447700900122", "1997-07-22", "en"},
}

func (s *seeder) addContacts() error {
	for i, c := range seedContacts {
		added := s.ago(time.Duration(400-i*11) * 24 * time.Hour)
		rec := s.o.newContact(c.key, c.name, added)
		for name, v := range map[string]string{"email": c.email, "phoneE164": c.phone} {
			if v != "" {
				rec[name] = v
			}
		}
		rec["dateOfBirth"], rec["defaultLanguage"] = c.birth, c.lang
		rec["languages"] = ash.NewDocument([]any{c.lang})
		rec["metadata"] = ash.NewDocument(map[string]any{"patientNumber": 20400 + i*7, "recallMonths": 6 + 6*(i%2)})
		if i%3 == 0 && c.phone != "" {
			rec["phoneVerifiedAt"] = added
		}
		if i%4 == 0 && c.email != "" {
			rec["emailVerifiedAt"] = added
		}
		if i%5 == 1 && c.phone != "" {
			rec["whatsappReachabilityStatus"], rec["whatsappJid"], rec["whatsappReachabilityCheckedAt"] = "reachable", c.phone[1:]+"@s.whatsapp.net", s.ago(50*time.Hour)
		}
		if c.key == "walter" {
			rec["whatsappReachabilityStatus"], rec["whatsappReachabilityError"], rec["whatsappReachabilityCheckedAt"] = "unreachable", "no account", s.ago(50*time.Hour)
		}
		if c.key == "frances" {
			rec["deletedAt"] = s.ago(70 * time.Hour)
		}
		s.contacts[c.key] = rec
		if err := s.insert("Contact", rec); err != nil {
			return err
		}
	}
	erased := s.o.newContact("erased", "[erased]", s.ago(300*24*time.Hour))
	erased["deletedAt"], erased["erasedAt"] = s.ago(90*time.Hour), s.ago(90*time.Hour)
	return s.insert("Contact", erased)
}

// newContact returns a contact that has only a name.
func (o *organisation) newContact(key, name, added string) ash.Record {
	return ash.Record{"id": o.idOf("contact", key), "fullName": name, "whatsappReachabilityStatus": "unknown", "metadata": ash.Document("{}"),
		"privateMetadataKeys": ash.Document("[]"), "languages": ash.Document("[]"), "insertedAt": added, "updatedAt": added}
}

// addGroup adds the contact group for bulk calls: patients due for recall.
func (s *seeder) addGroup() error {
	for i, key := range []string{"eleanor", "grace", "hannah", "connor", "zoe", "beth", "mei", "ivy"} {
		if err := s.insert("ContactGroupMember", ash.Record{"id": s.o.idOf("member of recall", key), "groupId": s.o.idOf("group", "recall"),
			"contactId": s.contacts[key]["id"], "position": int64(i + 1)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) addCampaigns() error {
	for i, c := range []struct{ name, status string }{{"Spring recall", "active"}, {"Whitening offer", "draft"}, {"New patients, Cork", "completed"}} {
		id := s.o.idOf("campaign", c.name)
		details := map[string]any{"id": id, "displayName": c.name, "status": c.status, "aiAgentId": s.agents["Finn"]["id"],
			"contactGroupId": s.o.idOf("group", "recall"), "contactCount": 8, "callsPerDay": 20 + 10*i,
			"startsAt": s.ago(time.Duration(20-6*i) * 24 * time.Hour), "insertedAt": s.ago(time.Duration(30-6*i) * 24 * time.Hour)}
		if err := s.insert("Campaign", ash.Record{"id": id, "details": ash.NewDocument(details)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) addEmailSetup() error {
	for _, m := range []struct {
		domain, status, tls string
		on                  bool
	}{{"harbourlane.example", "running", "required", true}, {"cork.harbourlane.example", "failed", "optional", true}, {"old.harbourlane.example", "disabled", "disabled", false}} {
		rec := ash.Record{"id": s.o.idOf("mailbox", m.domain), "inboundDomain": m.domain, "mxTarget": "mx." + m.domain, "listenerEnabled": m.on,
			"listenerStatus": m.status, "listenerHost": "0.0.0.0", "listenerPort": int64(2525), "tlsMode": m.tls, "maxSessions": int64(20),
			"metadata": ash.Document("{}"), "organisationId": s.o.id}
		if m.status == "running" {
			rec["lastInboundAt"] = s.ago(3 * time.Hour)
		}
		if err := s.insert("EmailMailbox", rec); err != nil {
			return err
		}
	}
	for _, e := range []struct {
		local, owner, ownerID, name string
		standard                    bool
	}{{"hello", "organisation", s.o.id, "Harbour Lane Dental", true}, {"billing", "organisation", s.o.id, "Harbour Lane Billing", false},
		{"iris", "ai_agent", s.o.idOf("agent", "Iris"), "Iris at Harbour Lane", true}, {"nadia", "user", s.o.idOf("user", "nadia"), "Nadia Rahman", true}} {
		if err := s.insert("EmailIdentity", ash.Record{"id": s.o.idOf("identity", e.local), "ownerType": e.owner, "ownerId": e.ownerID, "localPart": e.local,
			"domain": "harbourlane.example", "displayName": e.name, "active": true, "defaultOutbound": e.standard, "metadata": ash.Document("{}"),
			"emailMailboxId": s.o.idOf("mailbox", "harbourlane.example"), "organisationId": s.o.id}); err != nil {
			return err
		}
	}
	for i, x := range []struct{ model, name, subject, body, variables string }{
		{"appointment", "Confirmation", "Your appointment at Harbour Lane Dental", "Dear {{name}},\n\nyou are booked for {{time}} with {{clinician}}.\n\nHarbour Lane Dental", `["name","time","clinician"]`},
		{"appointment", "Reminder", "See you tomorrow", "Dear {{name}},\n\nwe expect you tomorrow at {{time}}.\n", `["name","time"]`},
		{"contact", "Recall", "Time for a check-up", "Dear {{name}},\n\nit has been {{months}} months. Reply to this email or ring 020 7946 0018.\n", `["name","months"]`},
		{"invoice", "Invoice", "Your invoice {{number}}", "Dear {{name}},\n\nplease find invoice {{number}} over {{amount}} enclosed.\n", `["name","number","amount"]`},
		{"contact", "Christmas closing", "We are closed over Christmas", "Dear {{name}},\n\nwe are back on 2 January.\n", `["name"]`},
	} {
		if err := s.insert("EmailTemplate", ash.Record{"id": s.o.idOf("template", x.name), "model": x.model, "name": x.name, "subject": x.subject, "body": x.body,
			"variables": ash.Document(x.variables), "active": i != 4}); err != nil {
			return err
		}
	}
	return nil
}

var seedEmails = []struct {
	who, subject, body string
	hours              int
}{
	{"beth", "Overcharged again", "I was overcharged on Monday and nobody rings me back. Please refund the difference.", 70},
	{"dev", "Reschedule", "Could we reschedule my hygienist appointment to next week?", 52},
	{"aoife", "Parking", "A chairde, is there parking at the Cork practice?", 30},
	{"robert", "Invoice", "Please send me the invoice for the crown once more, my accountant lost it.", 26},
	{"priya", "Book a check-up", "I would like to book a check-up in the first week of the month.", 8},
	{"kit", "Cancel Friday", "Sorry, I have to cancel Friday.", 3},
}

func (s *seeder) addEmails() error {
	for i, m := range seedEmails {
		if err := s.addEmail(fmt.Sprint("mail", i), s.contacts[m.who], m.subject, m.body, s.now.Add(-time.Duration(m.hours)*time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

// addEmail adds an inbound email, with its conversation, answer and classification.
func (s *seeder) addEmail(key string, contact ash.Record, subject, body string, at time.Time) error {
	stamp, id := at.Format(ash.TimeLayout), s.o.idOf("message", key)
	thread, conversation, err := s.o.findThread(s.t, contact.Text("id"), stamp)
	if err != nil {
		return err
	}
	msg := ash.Record{"id": id, "channel": "email", "direction": "inbound", "status": "received", "body": body, "subject": subject,
		"fromAddress": contact["email"], "toAddress": "hello@harbourlane.example", "provider": "smtp", "providerMessageId": key + "@mail.example",
		"occurredAt": stamp, "metadata": ash.Document("{}"), "conversationId": conversation, "threadId": thread, "contactId": contact["id"]}
	if err := s.insert("CommunicationMessage", msg); err != nil {
		return err
	}
	if err := s.insert("ConversationEvent", s.o.receivedEvent(msg)); err != nil {
		return err
	}
	if key != "hostile" { // the only email without an answer
		today := s.t.Now
		s.t.Now = at.Add(answerAfter)
		err := s.o.sendAnswer(s.t, id)
		s.t.Now = today
		if err != nil {
			return err
		}
	}
	class := s.o.emailClassification(msg, stamp)
	done := at.Add(3 * time.Second).Format(ash.TimeLayout)
	switch key {
	case "mail2":
		class["status"], class["lastError"] = "failed", "provider timed out"
	case "mail3":
		maps.Copy(class, s.o.classifiedAttributes(msg, done))
		maps.Copy(class, ash.Record{"effectiveLabel": "billing", "effectiveSource": "override", "overriddenAt": s.ago(time.Hour), "overriddenByUserId": s.o.idOf("user", "tom")})
	default:
		maps.Copy(class, s.o.classifiedAttributes(msg, done))
	}
	return s.insert("EmailClassification", class)
}

var (
	firstNames = []string{"Amara", "Bruno", "Chiara", "Dilip", "Esme", "Femi", "Gwen", "Hugo", "Imogen", "Joao", "Kofi", "Lena", "Maeve", "Niall", "Orla", "Pedro"}
	lastNames  = []string{"Abbott", "Byrne", "Castell", "Dunne", "Ellery", "Farrow", "Gill", "Hosseini", "Iqbal", "Jessop", "Khan", "Lowry", "Moss", "Nolan", "Osei", "Price", "Reeve"}
)

// addScale adds contacts, and calls without transcripts, one every four minutes before the week of
// the other seeds.
func (s *seeder) addScale() error {
	added := s.ago(500 * 24 * time.Hour)
	statuses := []string{"completed", "completed", "completed", "no_answer", "completed", "busy", "failed"}
	for n := range s.o.scale {
		key := "scale " + strconv.Itoa(n)
		contact := s.o.newContact(key, firstNames[n*7%len(firstNames)]+" "+lastNames[n*5%len(lastNames)], added)
		contact["phoneE164"] = fmt.Sprintf("+447700900%03d", n%900)
		contact["email"] = fmt.Sprintf("patient%d@example.com", n)
		if err := s.insert("Contact", contact); err != nil {
			return err
		}
		at := s.now.Add(-8*24*time.Hour - time.Duration(n)*4*time.Minute)
		id := s.o.idOf("call", key)
		call := ash.Record{"id": id, "direction": "inbound", "fromNumber": contact["phoneE164"], "toNumber": mainLine, "callUuid": "scale-" + id,
			"callSource": "sip", "startedAt": at.Format(ash.TimeLayout), "answeredAt": at.Add(6 * time.Second).Format(ash.TimeLayout), "contactId": contact["id"],
			"currentAiAgentId": s.agents["Molly"]["id"], "currentAiAgentName": "Molly"}
		for k, v := range s.o.endedAttributes(call, statuses[n%len(statuses)], at.Add(time.Duration(30+n*37%400)*time.Second)) {
			call[k] = v
		}
		if err := s.insert("Call", call); err != nil {
			return err
		}
	}
	return nil
}
