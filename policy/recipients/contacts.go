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

// Read runs a list and gives Sippet's answer.
type Read = func(context.Context, *schemas.Payload) (json.RawMessage, *schemas.Error)

// pageSize is Sippet's largest page. A larger one is not refused but cut short without a word.
const pageSize = 250

// maxName is how much of a name is kept, in characters: more than a card shows.
const maxName = 200

// ContactList is the action that contacts are looked up with.
const ContactList = "list_contacts"

// contactFields are what is asked for of a contact, and all of it must come.
var contactFields = []string{"id", "fullName", "phoneE164", "erasedAt", "deletedAt"}

// contact is one row.
type contact struct {
	id, name, number string
	archived, erased bool
}

// contacts reads the contacts of the ids, which are in lower case and differ.
func contacts(ctx context.Context, ids []string, read Read) (map[string]contact, *schemas.Error) {
	list, fault := schemas.Find(ContactList)
	if fault != nil {
		panic("recipients: " + fault.Error())
	}
	found := make(map[string]contact, len(ids))
	for batch := range slices.Chunk(ids, pageSize) {
		raw, _ := json.Marshal(map[string]any{"fields": contactFields, // cannot fail: texts and numbers only
			"filter": map[string]any{"id": map[string]any{"in": batch}}, "page": map[string]any{"limit": pageSize}})
		p, fault := list.Check(raw, schemas.Limits{})
		if fault != nil { // an id is none: whoever called Of has not checked the payload
			return nil, rejectCall("a contact to be rung is named by something that is no id", "give ids from "+ContactList)
		}
		data, fault := read(ctx, p)
		if fault != nil {
			return nil, readFailed(fault)
		}
		rows, err := parsePage(data)
		if err != nil {
			return nil, unusable(err)
		}
		for _, c := range rows {
			if !slices.Contains(batch, c.id) {
				return nil, unusable(errors.New("it tells of a contact that was not asked for"))
			}
			if _, twice := found[c.id]; twice {
				return nil, unusable(errors.New("it tells of a contact twice"))
			}
			found[c.id] = c
		}
	}
	return found, nil
}

// readFailed is the error of a call whose contacts could not be read. A read that
// ended nobody knows how has changed nothing, so that is said instead.
func readFailed(fault *schemas.Error) *schemas.Error {
	if fault != nil && fault.Outcome == schemas.OutcomeUnknown {
		return &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "the contacts to be rung could not be read",
			Next: "nothing ran; try again in a while", Err: fault}
	}
	return fault
}

func unusable(err error) *schemas.Error {
	return &schemas.Error{Outcome: schemas.UpstreamUnavailable,
		Message: "sippet's answer about the contacts to be rung cannot be relied on: " + err.Error(),
		Next:    "nothing ran; try again in a while, and tell whoever runs the server if it stays so", Err: err}
}

// parsePage reads one whole page of contacts. It is stricter than encoding/json,
// which takes PHONEE164 for phoneE164 and the last of two: what a rule is shown
// must not depend on who reads.
func parsePage(data []byte) ([]contact, error) {
	top := map[string][]byte{"results": nil, "hasMore": nil}
	if err := members(data, top); err != nil {
		return nil, err
	}
	switch more := string(top["hasMore"]); {
	case more == "true":
		return nil, errors.New("it is not the whole of it")
	case more != "false":
		return nil, errors.New("it does not say whether it is the whole of it")
	}
	if top["results"][0] != '[' {
		return nil, errors.New("its results are no list")
	}
	var (
		out   []contact
		fault error
		rows  int
	)
	schemas.EachJSON(top["results"], func(_, row []byte) { // valid, since the whole was
		if rows++; rows > pageSize {
			fault = fmt.Errorf("it has more than the %d rows that were asked for", pageSize)
		}
		if fault != nil {
			return
		}
		c, err := parseContact(row)
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

func parseContact(row []byte) (c contact, err error) {
	in := make(map[string][]byte, len(contactFields))
	for _, f := range contactFields {
		in[f] = nil
	}
	if err := members(row, in); err != nil {
		return c, err
	}
	text := func(field string) string {
		v := in[field]
		if string(v) == "null" {
			return ""
		}
		if v[0] != '"' && err == nil {
			err = fmt.Errorf("%s of a contact is neither text nor null", field)
		}
		return schemas.DecodeString(v)
	}
	// Lower case is how ids are compared; what is no id was not asked for and falls there.
	c.id = strings.ToLower(text("id"))
	c.name = schemas.Cut(text("fullName"), maxName)
	c.number = text("phoneE164")
	text("erasedAt")
	text("deletedAt")
	c.erased = string(in["erasedAt"]) != "null"
	c.archived = string(in["deletedAt"]) != "null"
	return c, err
}

// members fills in the values of those names that into has. Each must be there, once.
func members(doc []byte, into map[string][]byte) error {
	doc = bytes.TrimLeft(doc, " \t\r\n")
	if len(doc) == 0 || doc[0] != '{' {
		return errors.New("where a page or a contact should be is something else")
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
		return fmt.Errorf("%s is there twice", twice)
	}
	for name, v := range into {
		if v == nil {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return nil
}
