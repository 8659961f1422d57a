package recipients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Read runs a list and returns Sippet's answer.
type Read = func(context.Context, *schemas.Payload) (json.RawMessage, *schemas.Error)

// pageSize is Sippet's largest page. Sippet silently cuts a larger one.
const pageSize = 250

// MaxName is how many characters of a name are kept: more than a card shows.
const MaxName = 200

// ContactList is the action that reads contacts.
const ContactList = "list_contacts"

// contactFields are the requested fields of a contact. The answer must have all of them.
var contactFields = []string{"id", "fullName", "phoneE164", "erasedAt", "deletedAt"}

// contact is one row.
type contact struct {
	id, name, number string
	email, birthday  string // only if they were requested, as is metadata
	metadata         []byte
	archived, erased bool
}

// readContacts reads the contacts by id. The ids are distinct and in lower case.
func readContacts(ctx context.Context, ids []string, read Read) (map[string]contact, *schemas.Error) {
	list, fault := schemas.Find(ContactList)
	if fault != nil {
		panic("recipients: " + fault.Error())
	}
	found := make(map[string]contact, len(ids))
	for batch := range slices.Chunk(ids, pageSize) {
		raw, _ := json.Marshal(map[string]any{"fields": contactFields, // cannot fail: texts and numbers only
			"filter": map[string]any{"id": map[string]any{"in": batch}}, "page": map[string]any{"limit": pageSize}})
		p, fault := list.Check(raw, schemas.Limits{})
		if fault != nil { // the caller did not check the payload
			return nil, rejectCall("a recipient is named by something that is not an id", "use ids that "+ContactList+" returned")
		}
		data, fault := read(ctx, p)
		if fault != nil {
			return nil, readFailed(fault)
		}
		rows, err := parsePage(data, contactFields)
		if err != nil {
			return nil, invalidAnswer(err)
		}
		for _, c := range rows {
			if !slices.Contains(batch, c.id) {
				return nil, invalidAnswer(errors.New("it has a contact that was not requested"))
			}
			if _, twice := found[c.id]; twice {
				return nil, invalidAnswer(errors.New("it has a contact twice"))
			}
			found[c.id] = c
		}
	}
	return found, nil
}

// readFailed returns the error of a call if its contacts could not be read. A read with an unknown
// outcome changed nothing, so it is reported as unavailable.
func readFailed(fault *schemas.Error) *schemas.Error {
	if fault != nil && fault.Outcome == schemas.OutcomeUnknown {
		return &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "the recipients could not be read",
			Next: "nothing ran; try again later", Err: fault}
	}
	return fault
}

func invalidAnswer(err error) *schemas.Error {
	return &schemas.Error{Outcome: schemas.UpstreamUnavailable,
		Message: "sippet's answer about the recipients is invalid: " + err.Error(),
		Next:    "nothing ran; try again later, and tell the administrator of this server if it happens again", Err: err}
}

// parsePage parses one whole page of contacts. It is stricter than encoding/json, which accepts
// PHONEE164 for phoneE164 and the last of two equal keys: the rules and every other reader must see
// the same contacts.
func parsePage(data []byte, fields []string) ([]contact, error) {
	top := map[string][]byte{"results": nil, "hasMore": nil}
	if err := parseMembers(data, top); err != nil {
		return nil, err
	}
	switch more := string(top["hasMore"]); {
	case more == "true":
		return nil, errors.New("it is not complete")
	case more != "false":
		return nil, errors.New("it does not say whether it is complete")
	}
	if top["results"][0] != '[' {
		return nil, errors.New("its results are not a list")
	}
	var (
		out   []contact
		fault error
		rows  int
	)
	schemas.EachJSON(top["results"], func(_, row []byte) { // valid, since the whole was
		if rows++; rows > pageSize {
			fault = fmt.Errorf("it has more than the %d rows that were requested", pageSize)
		}
		if fault != nil {
			return
		}
		c, err := parseContact(row, fields)
		if err != nil {
			fault = err
			return
		}
		out = append(out, c)
	})
	if fault != nil {
		return nil, fault
	}
	return out, nil
}

// recipient returns the recipient that the contact is. The zero contact was not found.
func (c contact) recipient() (r Recipient, fault string) {
	switch {
	case c.id == "":
		return r, "was not found"
	case c.erased:
		return r, "is erased"
	case c.archived:
		return r, "is archived"
	case c.number == "":
		return r, "has no phone number"
	}
	if r, fault = parseNumber(c.number); fault != "" {
		// The number is untrusted text and is not repeated: a model reads this.
		return r, "has a phone number that " + fault
	}
	r.Contact, r.Name = c.id, c.name
	return r, ""
}

func parseContact(row []byte, fields []string) (c contact, err error) {
	in := make(map[string][]byte, len(fields))
	for _, f := range fields {
		in[f] = nil
	}
	if err := parseMembers(row, in); err != nil {
		return c, err
	}
	text := func(field string) string {
		v := in[field]
		if v == nil || string(v) == "null" { // not requested, or empty
			return ""
		}
		if v[0] != '"' && err == nil {
			err = fmt.Errorf("%s of a contact is neither text nor null", field)
		}
		return schemas.DecodeString(v)
	}
	// Ids are compared in lower case. Anything that is not an id was not requested, and is rejected
	// as such.
	c.id = strings.ToLower(text("id"))
	c.name = schemas.Cut(text("fullName"), MaxName)
	c.number, c.email, c.birthday = text("phoneE164"), text("email"), text("dateOfBirth")
	if c.metadata = in["metadata"]; c.metadata != nil && c.metadata[0] != '{' && string(c.metadata) != "null" {
		err = errors.New("metadata of a contact is neither an object nor null")
	}
	text("erasedAt")
	text("deletedAt")
	c.erased = string(in["erasedAt"]) != "null"
	c.archived = string(in["deletedAt"]) != "null"
	return c, err
}

// parseMembers fills in the values of the names that into has. Each must occur exactly once.
func parseMembers(doc []byte, into map[string][]byte) error {
	doc = bytes.TrimLeft(doc, " \t\r\n")
	if len(doc) == 0 || doc[0] != '{' {
		return errors.New("a page or a contact is not a JSON object")
	}
	twice := ""
	ok := schemas.EachJSON(doc, func(key, value []byte) {
		name := schemas.DecodeString(key)
		old, wanted := into[name]
		if !wanted {
			return
		}
		if old != nil {
			twice = name
		}
		into[name] = value
	})
	switch {
	case !ok:
		return errors.New("it is not JSON")
	case twice != "":
		return fmt.Errorf("it has %s twice", twice)
	}
	for name, v := range into {
		if v == nil {
			return fmt.Errorf("it lacks %s", name)
		}
	}
	return nil
}
