package sandbox

import "testing"

// TestComparingWithNull checks that a comparison with null is neither true nor
// false: neither it nor its negation lets a row through.
func TestComparingWithNull(t *testing.T) {
	o := open(t, Options{})
	for _, op := range []string{"eq", "notEq", "in", "greaterThan", "lessThanOrEqual", "isNil", "contains", "like", "ilike"} {
		filter := `{"email":{"` + op + `":null}}`
		for _, f := range []string{filter, `{"not":[` + filter + `]}`} {
			if rows := o.list(`{"action":"list_contacts","fields":["id"],"filter":` + f + `}`); len(rows) > 0 {
				t.Errorf("%s lets %d rows through", f, len(rows))
			}
		}
	}
}

// TestRulesOfTheRecordingsStayThere tries what the backend of the recordings
// refuses by rules that are not Sippet's.
func TestRulesOfTheRecordingsStayThere(t *testing.T) {
	o := open(t, Options{Scale: 10})
	o.run(`{"action":"create_email_template","input":{"model":"m","name":"x","subject":"lower case","body":"b"}}`)
	o.run(with(`{"action":"create_email_identity","input":{"ownerType":"user","ownerId":"<o>","organisationId":"<o>","localPart":"Upper","domain":"example.com"}}`, "o", newOrganisation(1).id))
	if rows := o.list(`{"action":"list_email_templates","fields":["id"],"page":{"limit":5}}`); len(rows) != 5 {
		t.Errorf("a page of 5 templates has %d", len(rows))
	}
	if _, plain := o.run(`{"action":"list_operator_statuses","fields":["id"]}`).([]any); !plain {
		t.Error("statuses come in pages without being asked for")
	}
	o.run(with(`{"action":"start_bulk_outbound_call","input":{"groupId":"<g>","concurrency":50}}`, "g", newOrganisation(1).idOf("group", "recall")))
}
