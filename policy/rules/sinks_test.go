package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// sink is an example of a call that does something.
type sink struct {
	does, action, args string
	to                 *recipients.Set
	// name and metadata are the contact's before an update. Without a name it is the one that the
	// update gives it. earlier is the name before the caller's own renames; empty without any.
	name     string
	earlier  string
	metadata map[string]any
	matches  []recipients.Match
	own      bool // the caller's work started the live call
}

// facts returns what a policy decides on: the call at noon, by a caller without roles.
func (s sink) facts(t *testing.T) rules.Facts {
	t.Helper()
	p := payload(t, s.action, s.args)
	if recipients.HasRecipients(p.Action) == (s.to == nil) {
		t.Fatalf("%s: the row and the registry disagree on whether there are recipients", s.does)
	}
	f := rules.Facts{Payload: p, Recipients: s.to, Now: noon, Caller: rules.Caller{ID: "ada", Person: "ada"}, OwnCall: s.own}
	f.Related, _ = recipients.RelatedFromArguments(p)
	if f.Related == nil && (s.name != "" || s.metadata != nil || s.matches != nil) {
		t.Fatalf("%s: %s writes no contact", s.does, s.action)
	}
	if f.Related != nil {
		f.Related.Matches = s.matches
		if c := f.Related.Current; c != nil {
			if s.name == "" {
				s.name = c.Name
			}
			f.Related.Current = recipients.NewCurrent(p, s.name, s.metadata, false)
			if s.earlier != "" {
				f.Related.Current.EarlierNames = []string{s.earlier}
			}
		}
	}
	return f
}

var (
	known   = recipients.Recipient{Contact: anID, Name: "Hannah Blythe", Number: "+447700900107", Country: "GB", Kind: recipients.Mobile}
	unknown = recipients.Recipient{Number: "+447700900555", Country: "GB", Kind: recipients.Mobile}
	premium = recipients.Recipient{Contact: anID, Name: "Kit Marlow", Number: "+449098790123", Country: "GB", Kind: recipients.PremiumRate}
	police  = recipients.Recipient{Number: "112", Kind: recipients.Emergency}
	client  = recipients.Recipient{Contact: anID, Name: "Hannah Blythe", Address: "hblythe@example.com", Kind: recipients.Email}
	other   = recipients.Recipient{Address: "eve@example.net", Kind: recipients.Email}
)

func to(list ...recipients.Recipient) *recipients.Set {
	return &recipients.Set{List: list, Count: len(list)}
}

// another is another contact that shares something with the one that is written.
func another(by recipients.Shared) []recipients.Match {
	return []recipients.Match{{Contact: "1e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11", Name: "Eleanor Marsh", By: by}}
}

// contacts returns the arguments of a bulk call to n contacts, and its recipients.
func contacts(n int) (string, *recipients.Set) {
	var ids []string
	s := &recipients.Set{Count: n}
	for i := range n {
		id := fmt.Sprintf("%08x-4f0e-4a3b-9a87-1b6f0a0c9d11", i)
		ids = append(ids, `"`+id+`"`)
		s.List = append(s.List, recipients.Recipient{Contact: id, Number: fmt.Sprintf("+4477009001%02d", i), Country: "GB", Kind: recipients.Mobile})
	}
	return `{"input":{"contactIds":[` + strings.Join(ids, ",") + `]}}`, s
}

// bulk is a bulk call to n contacts.
func bulk(n int) sink {
	args, s := contacts(n)
	return sink{does: fmt.Sprintf("ring %d contacts", n), action: "start_bulk_outbound_call", args: args, to: s}
}

// change is an update of a contact.
func change(does, input string) sink {
	return sink{does: does, action: "update_contact", args: on(input)}
}

// on returns the arguments of an update.
func on(input string) string { return `{"identity":"` + anID + `","input":` + input + `}` }

const (
	record  = `{"identity":"` + anID + `"}`
	live    = `{"input":{"callUuid":"c-1"}}`
	mail    = `{"input":{"recipientAddress":"hello@example.org","structuredPayload":{"from":"eve@example.net","text":"Hello"}}}`
	letters = `{"input":{"recipientAddress":"hello@example.org","structuredPayload":{"from":"hblythe@example.com","text":"Hello"}}}`
)

// sinks are the calls of the table. The order is that of the page.
var sinks = []struct {
	title string
	sinks []sink
}{
	{"Ringing people", []sink{
		{does: "ring a contact", action: "start_outbound_call", args: `{"input":{"contactId":"` + anID + `"}}`, to: to(known)},
		{does: "ring a number of no contact", action: "start_outbound_call", args: `{"input":{"phoneNumber":"+447700900555"}}`, to: to(unknown)},
		{does: "ring a premium-rate number of a contact", action: "start_outbound_call", args: `{"input":{"contactId":"` + anID + `"}}`, to: to(premium)},
		{does: "ring an emergency number of a contact", action: "start_outbound_call", args: `{"input":{"contactId":"` + anID + `"}}`, to: to(police)},
		bulk(9), bulk(25), bulk(26),
		{does: "ring a group, at most 25 of it", action: "start_bulk_outbound_call", args: `{"input":{"groupId":"` + anID + `","contactLimit":25}}`, to: &recipients.Set{Group: anID, Count: 25}},
		{does: "ring a group without a limit", action: "start_bulk_outbound_call", args: `{"input":{"groupId":"` + anID + `"}}`, to: &recipients.Set{Group: anID, Count: 10_000}},
	}},
	{"Email", []sink{
		{does: "hand in an email of a contact", action: "import_inbound_email", args: letters, to: to(client)},
		{does: "hand in an email of a stranger", action: "import_inbound_email", args: mail, to: to(other)},
		{does: "hand in an email of a contact, answers to a stranger", action: "import_inbound_email", args: letters, to: to(client, other)},
		{does: "add a template", action: "create_email_template", args: `{"input":{"model":"contact","name":"Recall","subject":"s","body":"b"}}`},
		{does: "change a template", action: "update_email_template", args: on(`{"body":"b"}`)},
		{does: "delete a template", action: "delete_email_template", args: record},
		{does: "add a sender", action: "create_email_identity", args: `{"input":{"ownerType":"organisation","ownerId":"` + anID + `","localPart":"a","domain":"example.org","organisationId":"` + anID + `"}}`},
		{does: "change a sender", action: "update_email_identity", args: on(`{"defaultOutbound":true}`)},
		{does: "delete a sender", action: "delete_email_identity", args: record},
		{does: "add a mailbox", action: "create_email_mailbox", args: `{"input":{"inboundDomain":"example.org","organisationId":"` + anID + `"}}`},
		{does: "change a mailbox", action: "update_email_mailbox", args: on(`{"mxTarget":"mx.example.net"}`)},
		{does: "delete a mailbox", action: "delete_email_mailbox", args: record},
	}},
	{"Contacts", []sink{
		{does: "add a contact", action: "create_contact", args: `{"input":{"fullName":"Ada King","phoneE164":"+447700900555"}}`},
		{does: "add a contact with another's number", action: "create_contact", args: `{"input":{"fullName":"Ada King","phoneE164":"+447700900101"}}`, matches: another(recipients.SharedNumber)},
		{does: "add a contact with another's address", action: "create_contact", args: `{"input":{"fullName":"Ada King","email":"eleanor.marsh@example.com"}}`, matches: another(recipients.SharedAddress)},
		{does: "add a contact with another's name and birthday", action: "create_contact", args: `{"input":{"fullName":"Eleanor Marsh","dateOfBirth":"1979-04-12","phoneE164":"+447700900555"}}`, matches: another(recipients.SharedBirthday)},
		{does: "add a contact with a verified number", action: "create_contact", args: `{"input":{"fullName":"Ada King","phoneE164":"+447700900555","phoneVerifiedAt":"2026-01-07T11:00:00Z"}}`},
		{does: "add a contact with a verified address", action: "create_contact", args: `{"input":{"fullName":"Ada King","email":"eve@example.net","emailVerifiedAt":"2026-01-07T11:00:00Z"}}`},
		change("change a contact's language", `{"defaultLanguage":"cy"}`),
		change("change a contact's number", `{"phoneE164":"+447700900555"}`),
		change("change a contact's address", `{"email":"eve@example.net"}`),
		change("change a contact's birthday", `{"dateOfBirth":"1979-04-12"}`),
		change("mark a contact's number as verified", `{"phoneVerifiedAt":"2026-01-07T11:00:00Z"}`),
		change("mark a contact's address as verified", `{"emailVerifiedAt":"2026-01-07T11:00:00Z"}`),
		{does: "correct a typo in a name", action: "update_contact", args: on(`{"fullName":"Hannah Blyth"}`), name: "Hannah Blythe"},
		{does: "give a contact a name that shares no word with the old one", action: "update_contact", args: on(`{"fullName":"Ada King"}`), name: "Hannah Blythe"},
		{does: "give a contact such a name in two steps", action: "update_contact", args: on(`{"fullName":"Ada King"}`), name: "Ada Blythe", earlier: "Hannah Blythe"},
		{does: "give a contact another contact's name", action: "update_contact", args: on(`{"fullName":"Eleanor Marsh"}`), name: "Eleanor Blythe", matches: another(recipients.SharedName)},
		{does: "add a key to metadata", action: "update_contact", args: on(`{"metadata":{"a":1,"b":2,"c":3}}`), metadata: map[string]any{"a": 1, "b": 2}},
		{does: "drop most keys of metadata", action: "update_contact", args: on(`{"metadata":{"a":1}}`), metadata: map[string]any{"a": 1, "b": 2, "c": 3}},
		{does: "archive a contact", action: "archive_contact", args: record},
		{does: "erase a contact", action: "delete_contact", args: `{"input":{"contactId":"` + anID + `"}}`},
	}},
	{"Live calls", []sink{
		{does: "hang up a call that the caller's work started", action: "end_call", args: live, own: true},
		{does: "hang up another call", action: "end_call", args: live},
		{does: "put the operator into a call", action: "barge_call", args: live},
		{does: "take the operator out of a call that the caller's work started", action: "leave_call", args: live, own: true},
		{does: "take the operator out of another call", action: "leave_call", args: live},
		{does: "give a call back to the AI", action: "resume_ai_call", args: live},
		{does: "move a call to the queue", action: "transfer_call_to_queue", args: live},
		{does: "accept a caller of the queue", action: "accept_call_queue_entry", args: record},
	}},
	{"Records, operators and credentials", []sink{
		{does: "add a record of a call that is over", action: "create_call", args: `{"input":{"direction":"inbound","fromNumber":"+447700900107","toNumber":"+442079460124","callUuid":"c-1","status":"completed"}}`},
		{does: "add a record of a live call", action: "create_call", args: `{"input":{"direction":"inbound","fromNumber":"+447700900107","toNumber":"+442079460124","callUuid":"c-1"}}`},
		{does: "flag a call for review", action: "flag_call_for_review", args: record},
		{does: "clear the flag of a call", action: "clear_call_review_flag", args: record},
		{does: "change the label of a call", action: "override_call_classification", args: on(`{"label":"complaint"}`)},
		{does: "restore the label of a call", action: "clear_call_classification_override", args: record},
		{does: "change an operator's status", action: "set_operator_status", args: `{"input":{"sipUserId":"` + anID + `","status":"available"}}`},
		{does: "issue a token that acts as an operator", action: "issue_operator_access_token", args: `{"input":{"operatorEmail":"a@example.org"}}`},
		{does: "issue access to the audio of a call", action: "issue_operator_media_access", args: live},
	}},
}
