package recipients

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Related is what the contacts say about a call that creates or updates one.
type Related struct {
	// Current is the contact that the call updates; nil for a create.
	Current *Current
	// Matches are other contacts that share something with the contact as the call writes it.
	Matches []Match
}

// Current is a contact before an update.
type Current struct {
	// Name is its full name. EarlierNames are those that it had before the caller's own renames of the
	// last day, as far as nobody approved them; an empty one is not known. All are untrusted text.
	Name         string
	EarlierNames []string

	Erased bool
	// Keys are the keys of its metadata, Dropped those that the update leaves out; both are sorted. Lost
	// are others that the caller's own updates of the last day left out, as far as nobody approved them
	// and the update does not set them again; an empty one is not known. It is empty if the update sets
	// no metadata.
	Keys, Dropped, Lost []string
}

// Match is another contact. It is read before the decision and shown on the card.
type Match struct {
	Contact string `json:"contact"`
	// Name is its full name, cut at 200 characters. It is untrusted text.
	Name string `json:"name"`
	// By is what it shares.
	By Shared `json:"by"`
}

// Shared is what two contacts share.
type Shared string

// What contacts share.
const (
	SharedNumber   Shared = "number"
	SharedAddress  Shared = "address"
	SharedBirthday Shared = "birthday" // the name and the birthday
	SharedName     Shared = "name"     // only for updates of the name
)

// AllShared lists what contacts share.
var AllShared = []Shared{SharedNumber, SharedAddress, SharedBirthday, SharedName}

// currentFields are the requested fields of the contact that a call updates.
var currentFields = append(slices.Clone(contactFields), "metadata")

// HasRelated reports whether the action writes a contact.
func HasRelated(a *schemas.Action) bool {
	return a.Class == schemas.Write && a.Resource != nil && a.Resource.Field("id").Names == schemas.ContactSubject
}

// HasCurrent reports whether the action updates a contact.
func HasCurrent(a *schemas.Action) bool { return HasRelated(a) && !a.CreatesSubject() }

// FindRelated reads the contacts that a checked call is about; nil, nil if its action writes none.
// It reads nothing for a create that has no number, address and birthday.
//
// Outcomes: validation_failed if the contact to update does not exist, upstream_unavailable if
// Sippet's answer is invalid, else the error of read.
func FindRelated(ctx context.Context, p *schemas.Payload, read Read) (*Related, *schemas.Error) {
	if !HasRelated(p.Action) {
		return nil, nil
	}
	r, id := &Related{}, ""
	if HasCurrent(p.Action) {
		id, _ = p.Args["identity"].(string)
		if id = strings.ToLower(id); id == "" {
			return nil, rejectCall("identity is empty", "use an id that "+ContactList+" returned")
		}
		rows, fault := searchContacts(ctx, map[string]any{"id": map[string]any{"in": []string{id}}}, currentFields, read)
		if fault != nil {
			return nil, fault
		}
		if len(rows) != 1 || rows[0].id != id {
			return nil, &schemas.Error{Outcome: schemas.ValidationFailed, Message: "contact " + id + " was not found",
				Next: "find the contact's id with " + ContactList + "; nothing ran"}
		}
		r.Current = newCurrent(p, rows[0].name, rows[0].metadata, rows[0].erased)
	}
	w := writtenBy(p)
	filters := w.filters()
	if filters == nil {
		return r, nil
	}
	rows, fault := searchContacts(ctx, map[string]any{"or": filters}, w.fields(), read)
	if fault != nil {
		return nil, fault
	}
	for _, c := range rows {
		if by := w.shared(c); by != "" && c.id != id && !c.erased {
			r.Matches = append(r.Matches, Match{Contact: c.id, Name: c.name, By: by})
		}
	}
	slices.SortFunc(r.Matches, func(a, b Match) int { return strings.Compare(a.Contact, b.Contact) })
	return r, nil
}

// RelatedFromArguments returns what the arguments alone tell: the contact has the name that it gets
// and no metadata, and no other matches. known is false if a read could say otherwise.
func RelatedFromArguments(p *schemas.Payload) (r *Related, known bool) {
	if !HasRelated(p.Action) {
		return nil, true
	}
	w := writtenBy(p)
	if r = new(Related); HasCurrent(p.Action) {
		in, _ := p.Args["input"].(map[string]any)
		r.Current = &Current{Name: w.name}
		return r, in["fullName"] == nil && !sets(in, "metadata")
	}
	return r, w.filters() == nil
}

func sets(in map[string]any, key string) bool { _, ok := in[key]; return ok }

// NewCurrent returns a contact with this name and metadata, before the call updates it.
func NewCurrent(p *schemas.Payload, name string, metadata map[string]any, erased bool) *Current {
	raw, err := json.Marshal(metadata)
	if err != nil {
		raw = nil
	}
	return newCurrent(p, name, raw, erased)
}

func newCurrent(p *schemas.Payload, name string, metadata []byte, erased bool) *Current {
	c := &Current{Name: name, Erased: erased}
	in, _ := p.Args["input"].(map[string]any)
	next, _ := in["metadata"].(map[string]any)
	schemas.EachJSON(metadata, func(key, _ []byte) {
		if key != nil {
			c.Keys = append(c.Keys, schemas.DecodeString(key))
		}
	})
	slices.Sort(c.Keys)
	c.Keys = slices.Compact(c.Keys)
	for _, k := range c.Keys {
		if _, kept := next[k]; !kept && sets(in, "metadata") {
			c.Dropped = append(c.Dropped, k)
		}
	}
	return c
}

// AddLost adds the keys of an earlier value of its metadata to Lost. It reports false if that is no
// metadata.
func (c *Current) AddLost(p *schemas.Payload, metadata json.RawMessage) bool {
	in, _ := p.Args["input"].(map[string]any)
	next, _ := in["metadata"].(map[string]any)
	if len(metadata) == 0 || metadata[0] != '{' && string(metadata) != "null" {
		return false
	}
	schemas.EachJSON(metadata, func(raw, _ []byte) {
		if raw == nil {
			return
		}
		key := schemas.DecodeString(raw)
		if _, set := next[key]; !set && !slices.Contains(c.Keys, key) && !slices.Contains(c.Lost, key) {
			c.Lost = append(c.Lost, key)
		}
	})
	return true
}

// written is what a call writes into a contact, as far as it can match another.
type written struct {
	number, address, birthday, name string
	update                          bool
}

func writtenBy(p *schemas.Payload) written {
	in, _ := p.Args["input"].(map[string]any)
	text := func(key string) string { s, _ := in[key].(string); return strings.TrimSpace(s) }
	w := written{name: text("fullName"), update: HasCurrent(p.Action)}
	if !w.update { // an update of the others is confirmed whoever has them
		w.number, w.address, w.birthday = text("phoneE164"), text("email"), text("dateOfBirth")
	}
	return w
}

// filters find at least the contacts that match; nil if none can.
func (w written) filters() (out []any) {
	if w.number != "" {
		out = append(out, map[string]any{"phoneE164": map[string]any{"eq": w.number}})
	}
	if w.address != "" {
		out = append(out, addressFilters([]string{w.address})...)
	}
	words := splitName(w.name)
	if w.birthday == "" && !w.update || len(words) == 0 {
		return out
	}
	var all []any
	if w.birthday != "" {
		all = append(all, map[string]any{"dateOfBirth": map[string]any{"eq": w.birthday}})
	}
	like := func(pattern string) any { return map[string]any{"fullName": map[string]any{"ilike": pattern}} }
	for _, word := range words {
		before, after := "%", "%"
		if len(words) == 1 && w.update {
			before, after = "", "" // a short name is part of many others
			word = w.name
		}
		find := like(before + escapePattern(word) + after)
		if folded := foldName(word); folded != strings.ToLower(word) { // Sippet's search folds the case only
			find = map[string]any{"or": []any{find, like(before + escapePattern(folded) + after)}}
		}
		all = append(all, find)
	}
	return append(out, map[string]any{"and": all})
}

// fields are the requested fields of a contact that may match.
func (w written) fields() []string {
	out := slices.Clone(contactFields)
	if w.address != "" {
		out = append(out, "email")
	}
	if w.birthday != "" {
		out = append(out, "dateOfBirth")
	}
	return out
}

// shared returns what the contact shares; empty if it does not match.
func (w written) shared(c contact) Shared {
	sameName := w.name != "" && slices.Equal(nameWords(w.name), nameWords(c.name))
	switch {
	case w.number != "" && c.number == w.number:
		return SharedNumber
	case w.address != "" && strings.EqualFold(c.email, w.address):
		return SharedAddress
	case w.birthday != "" && c.birthday == w.birthday && sameName:
		return SharedBirthday
	case w.update && sameName:
		return SharedName
	}
	return ""
}

// splitName returns the words of a name as they are spelled, sorted, without repeats.
func splitName(name string) []string {
	name, _ = schemas.Clean(name)
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) })
	slices.Sort(words)
	return slices.Compact(words)
}

// foldName returns a name in one spelling for all cases, accents and widths of its letters.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x300 && r <= 0x36f { // the accents; marks of other scripts are letters to their readers
			return -1
		}
		return r
	}, norm.NFKD.String(cases.Fold().String(norm.NFKD.String(name))))
}

// nameWords returns the folded words of a name, sorted, without repeats.
func nameWords(name string) []string {
	return splitName(foldName(name))
}

// SharesWord reports whether two names have a word in common, in any case and order, or are the same
// letters with other spaces or signs between them. An initial is no word.
func SharesWord(a, b string) bool {
	words := nameWords(a)
	return slices.ContainsFunc(nameWords(b), func(w string) bool { return len(w) > 1 && slices.Contains(words, w) }) ||
		len(words) > 0 && letters(a) == letters(b)
}

// letters returns the folded letters and digits of a name, in its order.
func letters(name string) string {
	name, _ = schemas.Clean(name)
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, foldName(name))
}

// maxDropped is how many keys a note names.
const maxDropped = 40

// plainKey matches the keys that a note may name: they cannot hold a sentence.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`)

// DroppedNote says for a model which keys of metadata the update drops; empty if it drops none. It names
// plain keys only.
func (r *Related) DroppedNote() string {
	if r == nil || r.Current == nil || len(r.Current.Dropped) == 0 {
		return ""
	}
	c := r.Current
	var names []string
	for _, k := range c.Dropped {
		if plainKey.MatchString(k) && len(names) < maxDropped {
			names = append(names, k)
		}
	}
	note := fmt.Sprintf("the update replaces metadata whole and drops %d of its %s", len(c.Dropped), plural(len(c.Keys), "key", "keys"))
	if len(names) > 0 {
		note += ": " + strings.Join(names, ", ")
	}
	if rest := len(c.Dropped) - len(names); rest > 0 {
		note += fmt.Sprintf("; %d not named here", rest)
	}
	return note
}
