package main

import (
	"fmt"
	"time"
)

// job is an ordinary job of a support team, as the calls of its assistant.
type job struct {
	name string
	do   func(as *assistant)
}

// jobs are done in this order, in the sandbox's clinic.
var jobs = []job{
	{"read yesterday's calls", func(as *assistant) {
		now := time.Now().UTC()
		calls := as.list("list_calls", fmt.Sprintf(`{"fields":["id","status","fromNumber"],"filter":{"startedAt":{"greaterThan":%q,"lessThan":%q}}}`,
			now.AddDate(0, 0, -1).Format(time.DateOnly)+"T00:00:00Z", now.Format(time.DateOnly)+"T00:00:00Z"))
		if len(calls) == 0 {
			as.t.Fatal("there were no calls yesterday")
		}
		for _, c := range calls {
			as.list("list_call_transcripts", fmt.Sprintf(`{"fields":["speaker","content"],"filter":{"callId":{"eq":%q}}}`, c.text("id")))
		}
	}},
	{"ring one customer", func(as *assistant) {
		as.do("start_outbound_call", fmt.Sprintf(`{"input":{"contactId":%q}}`, as.contact("Hannah Blythe")))
	}},
	{"ring back a number of no contact", func(as *assistant) {
		as.do("start_outbound_call", `{"input":{"phoneNumber":"+447700900555"}}`)
	}},
	{"ring nine customers", func(as *assistant) {
		var who []string
		for _, name := range []string{"Eleanor Marsh", "Dev Patel-Shaw", "Grace Oyelaran", "Connor Daly", "Priya Venkataraman",
			"Walter Pym", "Beth Cartwright", "Robert Quill", "Ivy Thornbury"} {
			who = append(who, as.contact(name))
		}
		as.do("start_bulk_outbound_call", `{"input":{"contactIds":`+ids(who)+`}}`)
	}},
	{"correct a customer's email address", func(as *assistant) {
		as.do("update_contact", on(as.contact("Jakub Wiśniewski"), `{"email":"jakub.wisniewski@example.com"}`))
	}},
	{"correct a typo in a name", func(as *assistant) {
		as.do("update_contact", on(as.contact("Mei-Ling Chow"), `{"fullName":"Mei-Ling Chou"}`))
	}},
	{"note something about a customer", func(as *assistant) {
		c := as.first("list_contacts", `{"fields":["id","metadata"],"filter":{"fullName":{"eq":"Aoife Ní Bhriain"}}}`)
		metadata, _ := c["metadata"].(map[string]any)
		as.do("update_contact", on(c.text("id"), fmt.Sprintf(`{"metadata":{"patientNumber":%v,"recallMonths":%v,"prefers":"mornings"}}`,
			metadata["patientNumber"], metadata["recallMonths"])))
	}},
	{"add a customer", func(as *assistant) {
		as.do("create_contact", `{"input":{"fullName":"Marta Nowak","phoneE164":"+447700900560","email":"marta.n@example.com","defaultLanguage":"pl"}}`)
	}},
	{"mark a number as verified", func(as *assistant) {
		as.do("update_contact", on(as.contact("Dev Patel-Shaw"), fmt.Sprintf(`{"phoneVerifiedAt":%q}`, time.Now().UTC().Format(time.RFC3339))))
	}},
	{"merge two records of one customer", func(as *assistant) {
		double := as.do("create_contact", `{"input":{"fullName":"Liam O Sullivan","email":"liam@example.ie"}}`)
		as.do("update_contact", on(as.contact("Liam O'Sullivan"), `{"email":"liam@example.ie"}`))
		as.do("archive_contact", fmt.Sprintf(`{"identity":%q}`, double.text("id")))
	}},
	{"erase a customer who asks for it", func(as *assistant) {
		as.do("delete_contact", fmt.Sprintf(`{"input":{"contactId":%q}}`, as.contact("Kit Marlow")))
	}},
	{"add an email template", func(as *assistant) {
		as.do("create_email_template", `{"input":{"model":"contact","name":"Summer closing","subject":"We are closed in August","body":"Dear {{name}},\n\nwe are back on 1 September.\n","variables":["name"]}}`)
	}},
	{"correct a number in a template", func(as *assistant) {
		x := as.first("list_email_templates", `{"fields":["id"],"filter":{"name":{"eq":"Recall"}}}`)
		as.do("update_email_template", on(x.text("id"), `{"body":"Dear {{name}},\n\nit has been {{months}} months. Reply to this email or ring 020 7946 0019.\n"}`))
	}},
	{"hand in an email of a customer", func(as *assistant) {
		as.do("import_inbound_email", `{"input":{"recipientAddress":"hello@harbourlane.example","structuredPayload":{"from":"nora.k@example.ie","subject":"Invoice","text":"Please send it again."}}}`)
	}},
	{"tidy the labels of 15 calls", func(as *assistant) {
		all := as.list("list_call_classifications", `{"fields":["id"],"filter":{"effectiveLabel":{"isNil":false}}}`)
		if len(all) < 15 {
			as.t.Fatalf("%d labels", len(all))
		}
		for _, c := range all[:15] {
			as.do("override_call_classification", on(c.text("id"), `{"label":"general_question"}`))
		}
	}},
	{"change the shift", func(as *assistant) {
		var all []string
		for who, status := range map[string]string{"Nadia Rahman": "logged_out", "Tom Whitlock": "on_break", "George Adeyemi": "available"} {
			s := as.first("list_operator_statuses", fmt.Sprintf(`{"fields":["sipUserId"],"filter":{"agentName":{"eq":%q}}}`, who))
			all = append(all, fmt.Sprintf(`{"input":{"sipUserId":%q,"status":%q}}`, s.text("sipUserId"), status))
		}
		as.together("set_operator_status", all...)
	}},
	{"accept a caller of the queue", func(as *assistant) {
		q := as.first("list_call_queue_entries", `{"fields":["id"],"filter":{"state":{"eq":"waiting"}}}`)
		as.do("accept_call_queue_entry", fmt.Sprintf(`{"identity":%q}`, q.text("id")))
	}},
	{"move a live call to the queue", func(as *assistant) {
		as.do("transfer_call_to_queue", onCall(as.live("+447700900112")))
	}},
	{"take over a live call, then give it back to the AI", func(as *assistant) {
		call := onCall(as.live("+442079460104"))
		as.do("barge_call", call)
		as.do("resume_ai_call", call)
	}},
	{"hang up an abusive call, and flag it", func(as *assistant) {
		c := as.first("list_calls", `{"fields":["id","callUuid"],"filter":{"fromNumber":{"eq":"+442079460104"},"status":{"eq":"answered"}}}`)
		as.do("end_call", onCall(c.text("callUuid")))
		as.do("flag_call_for_review", fmt.Sprintf(`{"identity":%q}`, c.text("id")))
	}},
}

// on returns the arguments that change a record.
func on(id, input string) string { return fmt.Sprintf(`{"identity":%q,"input":%s}`, id, input) }

// onCall returns the arguments of an action on a live call.
func onCall(callUUID string) string { return fmt.Sprintf(`{"input":{"callUuid":%q}}`, callUUID) }
