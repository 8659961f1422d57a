package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxFactName    = 60 // characters
	maxFactNumbers = 5
	maxFactKeys    = 5 // of a map

	unreadable = "could not be read"
)

// facts returns what a person must know in addition to the payload and the record: the agent that
// speaks, the operator, who has a number, other texts with what is replaced, and what an erasure erases
// and leaves. warnings are what is odd about them. It reads, so it is only for a card. What cannot be
// read has a line that says so.
func (at *attempt) facts(ctx context.Context) (facts []approval.Line, warnings []string) {
	ctx, cancel := context.WithTimeout(ctx, recordDeadline) // for all of them
	defer cancel()
	lookups := at.Payload.References()
	if l := at.Payload.Operator(); l != nil {
		lookups = append(lookups, *l)
	}
	for _, l := range lookups {
		what := l.Read.Action.Resource.One
		value, warning := at.describe(ctx, l)
		if facts = append(facts, approval.Line{Name: what, Value: value}); warning != "" {
			warnings = append(warnings, "the "+what+" "+warning)
		}
	}
	for _, line := range at.ownerLines(ctx) {
		facts = append(facts, approval.Line{Name: "number", Value: line})
	}
	facts = append(facts, at.similarLines(ctx)...)
	return append(facts, at.erasureLines(ctx)...), warnings
}

// readFact is prefetch for a fact.
func (at *attempt) readFact(ctx context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
	return at.prefetch(ctx, read, "facts of "+at.Payload.Action.Name)
}

// describe describes a record to which the call refers, such as `"Finn", published`. warning says
// what is odd about it, such as `is not published`; empty if nothing is.
func (at *attempt) describe(ctx context.Context, l schemas.Lookup) (text, warning string) {
	data, fault := at.readFact(ctx, l.Read)
	if fault != nil {
		return unreadable, ""
	}
	named, ok := l.Named(data)
	switch {
	case !ok:
		return unreadable, ""
	case named == nil:
		return "no " + l.Read.Action.Resource.One + " has this id", ""
	}
	hidden, name, is := at.Hidden(at.Caller, l.Read.Action), "", ""
	eachMember(named, func(field string, v any) {
		switch v := v.(type) {
		case string:
			switch {
			case name != "" || strings.TrimSpace(v) == "": // the first one is the most telling
			case hidden[field]:
				name = "hidden from the requester"
			default:
				name, _ = schemas.Quote(v, maxFactName)
			}
		case bool:
			switch {
			case hidden[field]:
			case v:
				is += ", " + field
			default:
				is += ", not " + field
				warning = "is not " + field
			}
		}
	})
	if name == "" {
		name = "has no name"
	}
	return name + is, warning
}

// ownerLines says which contacts have the numbers that the call names, and seals the card for them.
func (at *attempt) ownerLines(ctx context.Context) (out []string) {
	var numbers []string
	for _, subject := range at.Payload.Subjects() {
		if number, ok := strings.CutPrefix(subject, string(schemas.PhoneSubject)+":"); ok {
			numbers = append(numbers, number)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	hidden := at.hiddenContactFields()
	if hidden["phoneE164"] {
		return []string{"the contacts with this number are hidden from the requester"}
	}
	rest := len(numbers) - maxFactNumbers
	numbers = numbers[:min(maxFactNumbers, len(numbers))]
	owners, fault := recipients.FindOwners(ctx, numbers, at.readFact)
	if fault != nil {
		return []string{"whether a contact has it " + unreadable}
	}
	at.owners = owners
	for _, number := range numbers {
		out = append(out, recipients.OwnersLine(number, owners[number], hidden["fullName"]))
		for _, o := range owners[number] {
			subject := string(schemas.ContactSubject) + ":" + o.Contact
			at.txn.RecipientList = append(at.txn.RecipientList, ledger.Recipient{Subject: subject, Names: []string{o.Name}})
			if !slices.Contains(at.txn.Subjects, subject) {
				at.txn.Subjects = append(at.txn.Subjects, subject)
			}
		}
	}
	if rest > 0 {
		out = append(out, fmt.Sprintf("%d more, not looked up in your contacts", rest))
	}
	return out
}

// erasureLines says what an erasure erases, what stays at Sippet, and what stays here.
func (at *attempt) erasureLines(ctx context.Context) []approval.Line {
	if at.Payload.Erases() == nil {
		return nil
	}
	record := at.readRecord(ctx)
	return []approval.Line{
		{Name: "goes", Value: at.erasedFields(record)},
		{Name: "stays at Sippet", Value: at.keptRecords(ctx, record)},
		{Name: "stays here", Value: "when it was erased and who did it, in the audit log, without name and number"},
	}
}

// erasedFields names the fields that an erasure empties, such as `name, number, metadata ("notes")`.
func (at *attempt) erasedFields(record *approval.Record) string {
	switch {
	case record == nil || record.Unreadable:
		return unreadable
	case record.Erased == nil:
		return "nothing: the record was not found"
	}
	var parts []string
	hides := false
	eachMember(record.Erased, func(field string, v any) {
		if record.Hidden[field] { // even that it is empty
			hides = true
			return
		}
		label := at.Payload.Action.Resource.Field(field).Label
		switch v := v.(type) {
		case nil:
			return
		case string:
			if strings.TrimSpace(v) == "" {
				return
			}
		case []any:
			if len(v) == 0 {
				return
			}
		case map[string]any:
			if len(v) == 0 {
				return
			}
			label += " (" + quoteKeys(v) + ")"
		}
		if !slices.Contains(parts, label) {
			parts = append(parts, label)
		}
	})
	if hides {
		parts = append(parts, "what is hidden from the requester")
	}
	if parts == nil {
		return "nothing: it is empty already"
	}
	return strings.Join(parts, ", ")
}

func quoteKeys(m map[string]any) string {
	var names []string
	keys := schemas.SortedKeys(m)
	for _, k := range keys[:min(maxFactKeys, len(keys))] {
		name, _ := schemas.Quote(k, maxFactName)
		names = append(names, name)
	}
	if rest := len(keys) - len(names); rest > 0 {
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return strings.Join(names, ", ")
}

// keptRecords counts what Sippet keeps of an erased person, such as `3 calls (numbers, recordings,
// transcripts, summaries)`.
func (at *attempt) keptRecords(ctx context.Context, record *approval.Record) string {
	var erased json.RawMessage
	by := "id"
	if record != nil && record.Erased != nil {
		erased, by = record.Erased, "id or number"
	}
	var parts []string
	for _, read := range at.Payload.Kept(erased) {
		resource := read.Action.Resource
		data, fault := at.readFact(ctx, read)
		n, more, ok := schemas.CountRows(data)
		switch {
		case fault != nil || !ok:
			parts = append(parts, resource.Many+" that could not be counted")
			continue
		case n == 0:
			continue
		}
		count := fmt.Sprintf("%d %s", n, resource.Many)
		if more {
			count = fmt.Sprintf("%d or more %s", n, resource.Many)
		} else if n == 1 {
			count = "1 " + resource.One
		}
		parts = append(parts, count+" ("+resource.Keeps+")")
	}
	if parts == nil {
		return "nothing that this API finds by its " + by
	}
	return strings.Join(parts, ", ") + "; this API cannot erase them"
}

// eachMember calls visit for each member of a JSON object, decoded.
func eachMember(object json.RawMessage, visit func(name string, v any)) {
	schemas.EachJSON(object, func(key, value []byte) {
		var v any
		if key != nil && json.Unmarshal(value, &v) == nil {
			visit(schemas.DecodeString(key), v)
		}
	})
}
