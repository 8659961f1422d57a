package tools_test

import (
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	anID      = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	anotherID = "7a1c2d3e-0000-4b5c-8d9e-2f3a4b5c6d7e"
)

// samples are arguments for every action that has required ones.
var samples = map[string]string{
	"get_campaign":                       `{"input":{"id":"` + anID + `"}}`,
	"get_call_queue_entry":               `{"input":{"id":"` + anID + `"}}`,
	"call_codec":                         `{"input":{"callUuid":"c-1"}}`,
	"create_call":                        `{"input":{"direction":"inbound","fromNumber":"+442079460123","toNumber":"+442079460124","callUuid":"c-1"},"reason":"from the other phone system"}`,
	"flag_call_for_review":               `{"identity":"` + anID + `"}`,
	"clear_call_review_flag":             `{"identity":"` + anID + `"}`,
	"override_call_classification":       `{"identity":"` + anID + `","input":{"label":"complaint"}}`,
	"clear_call_classification_override": `{"identity":"` + anID + `"}`,
	"barge_call":                         `{"input":{"callUuid":"c-1"}}`,
	"resume_ai_call":                     `{"input":{"callUuid":"c-1"}}`,
	"leave_call":                         `{"input":{"callUuid":"c-1","reason":"done"},"reason":"the caller is helped"}`,
	"end_call":                           `{"input":{"callUuid":"c-1"},"reason":"abuse"}`,
	"accept_call_queue_entry":            `{"identity":"` + anID + `"}`,
	"transfer_call_to_queue":             `{"input":{"callUuid":"c-1"}}`,
	"start_outbound_call":                `{"input":{"phoneNumber":"+442079460123"}}`,
	"start_bulk_outbound_call":           `{"input":{"contactIds":["` + anID + `","` + anotherID + `"],"concurrency":2}}`,
	"create_contact":                     `{"input":{"fullName":"Zoë <b>Ω</b> & sons","metadata":{"n":9007199254740993}}}`,
	"update_contact":                     `{"identity":"` + anID + `","input":{"phoneE164":"+442079460123"}}`,
	"delete_contact":                     `{"input":{"contactId":"` + anID + `"},"reason":"asked to be forgotten"}`,
	"archive_contact":                    `{"identity":"` + anID + `"}`,
	"create_email_mailbox":               `{"input":{"inboundDomain":"example.org","organisationId":"` + anID + `"}}`,
	"update_email_mailbox":               `{"identity":"` + anID + `","input":{"listenerEnabled":false}}`,
	"delete_email_mailbox":               `{"identity":"` + anID + `"}`,
	"import_inbound_email":               `{"input":{"recipientAddress":"a@example.org","rawMime":"From: e@example.org\r\nSubject: x\r\n\r\ny"}}`,
	"create_email_template":              `{"input":{"model":"contact","name":"n","subject":"s","body":"b"}}`,
	"update_email_template":              `{"identity":"` + anID + `","input":{"body":"b"}}`,
	"delete_email_template":              `{"identity":"` + anID + `"}`,
	"create_email_identity":              `{"input":{"ownerType":"organisation","ownerId":"` + anID + `","localPart":"a","domain":"example.org","organisationId":"` + anID + `"}}`,
	"update_email_identity":              `{"identity":"` + anID + `","input":{"active":true}}`,
	"delete_email_identity":              `{"identity":"` + anID + `"}`,
	"set_operator_status":                `{"input":{"sipUserId":"` + anID + `","status":"available"}}`,
	"issue_operator_access_token":        `{"input":{"operatorEmail":"a@example.org"}}`,
	"issue_operator_media_access":        `{"input":{"callUuid":"c-1"}}`,
}

func sample(a *schemas.Action) string {
	if s, ok := samples[a.Name]; ok {
		return s
	}
	return "{}"
}

func TestSamplesFitTheirActions(t *testing.T) {
	if n := len(schemas.Actions()); n != 52 {
		t.Errorf("%d actions, not 52", n)
	}
	for _, a := range schemas.Actions() {
		p, err := a.Check([]byte(sample(a)), schemas.Limits{Now: noon, Rows: 10})
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
			continue
		}
		// A sealed payload is restored to the very same bytes.
		if back, err := schemas.Restore(p.Body); err != nil || string(back.Body) != string(p.Body) || back.Hash() != p.Hash() {
			t.Errorf("%s is not restored: %v", p.Body, err)
		}
	}
}
