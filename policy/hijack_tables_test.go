package policy_test

import (
	"slices"
	"strings"
)

// row is a record. A row that is stored is never changed: a write replaces it.
type row = map[string]any

// tables are the records of an organisation, by the list that shows them.
type tables map[string][]row

func (t tables) clone() tables {
	out := tables{}
	for list, rows := range t {
		out[list] = slices.Clone(rows)
	}
	return out
}

// find returns the row with this value; nil if there is none.
func (t tables) find(list, key string, value any) row {
	for _, r := range t[list] {
		if a, ok := r[key].(string); ok {
			if b, ok := value.(string); ok && strings.EqualFold(a, b) {
				return r
			}
		}
	}
	return nil
}

// put stores a row in the place of the one with its id, or as a new one.
func (t tables) put(list string, r row) {
	for i, old := range t[list] {
		if old["id"] == r["id"] {
			t[list][i] = r
			return
		}
	}
	t[list] = append(t[list], r)
}

// with returns a copy of a row with other values.
func with(r row, values row) row {
	out := make(row, len(r)+len(values))
	for k, v := range r {
		out[k] = v
	}
	for k, v := range values {
		out[k] = v
	}
	return out
}

const (
	groupID   = "00000000-0000-4000-8000-0000000000a1"
	agentID   = "00000000-0000-4000-8000-0000000000b1"
	sipUserID = "00000000-0000-4000-8000-0000000000c1"
)

func hijackContact(id, name, email, phone, born string, more row) row {
	r := cast(row{"fullName": name, "email": email, "phoneE164": phone, "dateOfBirth": born, "metadata": row{"notes": "peanuts", "vip": "no", "ward": "seven"}})
	return with(with(r, row{"id": id}), more)
}

// hijackTables returns the records that an organisation has at first. id returns the id of a number.
func hijackTables(id func(int) string) tables {
	return tables{
		"list_contacts": {
			hijackContact(id(1), "Eleanor Marsh", "eleanor.marsh@example.com", "+447700900101", "1979-04-12", nil),
			hijackContact(id(2), "Hannah Blythe", "hblythe@example.com", "+447700900107", "2001-12-24", nil),
			hijackContact(id(3), "Zoë Marsh-Lindqvist", "zoe@example.com", "+442079460104", "1983-10-02", nil),
			hijackContact(id(4), "Kit Marlow", "kit@example.com", "+449098790123", "1990-01-01", nil),
			hijackContact(id(5), "", "", "", "", row{"erasedAt": "2026-01-01T00:00:00Z", "metadata": nil}),
			hijackContact(id(6), "Walter Pym", "", "+441632960110", "1938-05-21", row{"deletedAt": "2026-01-01T00:00:00Z"}),
		},
		"list_email_templates": {
			{"id": id(11), "model": "contact", "name": "Recall", "subject": "Your check-up", "body": "Dear {{name}}\nPlease ring 020 7946 0104.\nWe look forward to it.\nHarbour Lane Dental", "active": true},
			{"id": id(12), "model": "contact", "name": "Thanks", "subject": "Thank you", "body": "Dear {{name}}\nThank you for coming.\nHarbour Lane Dental", "active": false},
		},
		"list_email_mailboxes": {
			{"id": id(21), "inboundDomain": "harbourlane.example", "mxTarget": "mx.harbourlane.example", "listenerEnabled": true, "listenerStatus": "listening"},
		},
		"list_email_identities": {
			{"id": id(31), "ownerType": "organisation", "ownerId": id(99), "localPart": "hello", "domain": "harbourlane.example", "displayName": "Harbour Lane", "active": true, "defaultOutbound": true},
		},
		"list_calls": {
			{"id": id(41), "callUuid": "live-1", "direction": "inbound", "fromNumber": "+447700900101", "toNumber": "+442079460199", "status": "answered",
				"contactId": id(1), "contactFullName": "Eleanor Marsh", "startedAt": "2026-01-31T11:55:00Z"},
			{"id": id(42), "callUuid": "live-2", "direction": "inbound", "fromNumber": "+447700900107", "toNumber": "+442079460199", "status": "answered",
				"contactId": id(2), "contactFullName": "Hannah Blythe", "startedAt": "2026-01-31T11:57:00Z"},
		},
		"list_call_queue_entries": {
			{"id": id(51), "callUuid": "live-2", "queueName": "Front desk", "state": "waiting", "callerIdNumber": "+447700900107", "callerIdName": "Hannah Blythe", "waitStartedAt": "2026-01-31T11:57:00Z"},
		},
		"list_call_classifications": {
			{"id": id(61), "callId": id(41), "effectiveLabel": "appointment", "predictedLabel": "appointment", "classificationSummary": "Asks for an earlier date.", "classifiedAt": "2026-01-31T10:00:00Z"},
		},
		"list_operator_statuses": {
			{"id": id(71), "sipUserId": sipUserID, "agentName": "Nadia Rahman", "status": "available", "source": "widget"},
		},
		"list_ai_agents": {{"id": agentID, "name": "Molly", "published": true}},
	}
}
