package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Record is the record that a call is about, as it was read for the card.
type Record struct {
	// Named holds the fields by which a person knows it, Replaced the fields that the call
	// overwrites, JSON objects. Both are nil if the record was not found.
	Named, Replaced json.RawMessage
	// Erased holds the fields that the call erases, a JSON object; nil if it erases none.
	Erased json.RawMessage
	// IsErased is true if its data was erased: nothing may change it.
	IsErased bool
	// Unreadable is true if the record could not be read.
	Unreadable bool
	// Hidden are the fields that the requester must not see.
	Hidden map[string]bool
}

// ShowsRecord reports whether the card shows the record as it is now, and the other contacts that
// share something with it. The approval of a card that does not is void: somebody may have renamed the
// record before the card was made, and back after it was approved. A card that says that the record
// could not be read is true as long as it cannot.
func (c Card) ShowsRecord(now *Record, related *recipients.Related, p *schemas.Payload) bool {
	return c.Record == now.digest(related, p)
}

// ShowsRecipients reports whether the card shows the recipients as they are now, with
// their names. The approval is bound to their contacts, numbers and addresses besides.
func (c Card) ShowsRecipients(now *recipients.Set) bool {
	return now == nil || slices.Equal(c.To, now.Lines(maxTo))
}

// digest identifies the values that a card shows whole or in part, without those that change by
// themselves, and the other contacts. A hidden value is not on the card, and nobody may try to guess
// it from the digest.
func (r *Record) digest(related *recipients.Related, p *schemas.Payload) string {
	h := sha256.New()
	if related != nil {
		for _, m := range related.Matches {
			fmt.Fprintf(h, "shares %s %s\n", m.By, m.Contact)
		}
	}
	shares := related != nil && len(related.Matches) > 0
	switch {
	case r == nil && !shares:
		return ""
	case r == nil:
		return hex.EncodeToString(h.Sum(nil))
	case r.Unreadable:
		return "could not be read"
	case r.Named == nil:
		return "was not found"
	}
	resource := p.AboutRead().Action.Resource
	write := func(part string, replaced bool, object json.RawMessage) {
		eachValue(object, func(field string, v any) {
			if !r.Hidden[field] && (replaced || !resource.Changes(field)) {
				value, _ := json.Marshal(v) // it was decoded from JSON
				fmt.Fprintf(h, "%s %q %d:%s\n", part, field, len(value), value)
			}
		})
	}
	write("named", false, r.Named)
	write("replaced", true, r.Replaced)
	write("erased", true, r.Erased)
	return hex.EncodeToString(h.Sum(nil))
}
