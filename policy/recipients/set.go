package recipients

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// maxRecipients is how many recipients one call may have.
const maxRecipients = 10_000

// Recipient is one person, number or email address that a call would reach.
type Recipient struct {
	// Contact is the contact's id in lower case; empty for a number or an address of no contact.
	Contact string `json:"contact,omitempty"`
	// Name is the contact's full name as Sippet stores it, cut at 200 characters. It is untrusted
	// text.
	Name string `json:"name,omitempty"`
	// Number is in E.164. An emergency number is as Sippet stores it, such as 112.
	Number string `json:"number,omitempty"`
	// Address is an email address in lower case; empty for a number.
	Address string `json:"address,omitempty"`
	// Country is the number's, in ISO 3166-1 alpha-2 such as GB; empty for a number of no country.
	Country string `json:"country,omitempty"`
	// Kind is the sort of number, one of Kinds, or Email for an address.
	Kind Kind `json:"kind,omitempty"`
	// Recent is true for an address if the caller itself added its contact, or gave the contact this
	// address, in the last day. To rules it is a stranger's: they see no contact.
	Recent bool `json:"recent,omitempty"`
}

// Set is all recipients of one call.
type Set struct {
	// List holds the recipients in the order of the call. It is empty for a group, since nothing
	// lists its members.
	List []Recipient `json:"list,omitempty"`
	// Group is the id of the group; empty if List is known.
	Group string `json:"group,omitempty"`
	// Count is the most recipients that are rung, of List or of Group.
	Count int `json:"count"`
	// Digest identifies the recipients. It depends on their contacts, numbers and addresses, not on
	// their order and names.
	Digest string `json:"digest"`
}

// computeDigest sets the digest of a complete set, and returns the set.
func (s *Set) computeDigest() *Set {
	sorted := slices.SortedFunc(slices.Values(s.List), func(a, b Recipient) int {
		return cmp.Or(strings.Compare(a.Contact, b.Contact), strings.Compare(a.Number, b.Number), strings.Compare(a.Address, b.Address))
	})
	h := sha256.New()
	writePart(h, "sippet-mcp reach v1") // in every stored digest, so it never changes
	writePart(h, s.Group)
	writePart(h, fmt.Sprint(s.Count))
	for _, r := range sorted {
		writePart(h, r.Contact)
		if r.Address != "" {
			writePart(h, "mailto:"+r.Address) // no number begins like this
		} else {
			writePart(h, r.Number)
		}
	}
	s.Digest = hex.EncodeToString(h.Sum(nil))
	return s
}

// AppendSubjects appends the people of the set, by contact, number and address, as package schemas
// spells them; for a group its id.
func (s *Set) AppendSubjects(out []string) []string {
	if s.Group != "" {
		out = append(out, "group:"+s.Group)
	}
	for _, r := range s.List {
		if r.Contact != "" {
			out = append(out, string(schemas.ContactSubject)+":"+r.Contact)
		}
		if r.Number != "" {
			out = append(out, string(schemas.PhoneSubject)+":"+r.Number)
		}
		if r.Address != "" {
			out = append(out, string(schemas.EmailSubject)+":"+r.Address)
		}
	}
	return out
}

// IsMail reports whether the recipients are email addresses; false for nil.
func (s *Set) IsMail() bool { return s != nil && len(s.List) > 0 && s.List[0].Kind == Email }

// writePart hashes a text with its length, so that two lists of parts never hash alike.
func writePart(h hash.Hash, s string) {
	fmt.Fprintf(h, "%d:%s,", len(s), s)
}

// Kind is a sort of number.
type Kind string

// The kinds. Each country's numbering plan says which numbers are of which kind.
const (
	Mobile            Kind = "mobile"
	FixedLine         Kind = "fixed_line"
	FixedLineOrMobile Kind = "fixed_line_or_mobile" // the plan does not distinguish them, as in North America
	TollFree          Kind = "toll_free"
	PremiumRate       Kind = "premium_rate"
	SharedCost        Kind = "shared_cost"
	VoIP              Kind = "voip"
	PersonalNumber    Kind = "personal_number" // follows a person from line to line, such as the British 070; often expensive
	Pager             Kind = "pager"
	UAN               Kind = "uan" // one number for a whole company
	Voicemail         Kind = "voicemail"
	ShortCode         Kind = "short_code" // works inside its own country, such as directory enquiries; often expensive
	Emergency         Kind = "emergency"
	Email             Kind = "email"   // an email address
	Unknown           Kind = "unknown" // only for rules to name: a number of unknown kind is rejected
)

// Kinds lists all kinds.
var Kinds = []Kind{Mobile, FixedLine, FixedLineOrMobile, TollFree, PremiumRate, SharedCost, VoIP, PersonalNumber,
	Pager, UAN, Voicemail, ShortCode, Emergency, Email, Unknown}

// words returns the kind for a reader, such as `fixed line or mobile`.
func (k Kind) words() string { return strings.ReplaceAll(string(k), "_", " ") }
