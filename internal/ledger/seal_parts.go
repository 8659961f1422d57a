package ledger

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// A call to several recipients is sealed in parts, so that erasing one of them leaves what belongs
// to the others:
//
//   - one recipient's own: their id in the payload, their line on the card
//   - nobody's: what this program writes itself, such as the title of the card and the count
//   - everybody's: all else, above all texts, because they may mention any of them
//
// What is nobody's is JSON with holes. What is somebody's fills them. All parts together are the
// very bytes that were sealed.

// Recipient is a person whom a call reaches, one of its Subjects.
type Recipient struct {
	Subject string
	// Names are what else identifies them in the payload and on the card: their name, number and
	// address.
	Names []string
}

// unsealed is a Private before it is sealed.
type unsealed struct {
	// whole is all of it, as JSON; nil if it is empty.
	whole []byte
	// common is what is nobody's, and parts are the rest; nil if it is not divided.
	common []byte
	parts  []part
}

// part is what belongs to the same persons.
type part struct {
	of    []string // subjects; nil for everybody
	plain []byte   // values in the order of their holes, with hole between them
}

// hole begins and ends the number of a part in unsealed.common. It occurs in no JSON.
const hole = 0

// erasedText replaces a text that was erased. Anything else is replaced by null.
const erasedText = `"(erased)"`

// The members of a card that this program writes itself. Those in generated may name recipients,
// and belong to the recipients that they name.
var (
	fixed = []string{"action", "class", "cut", "needs", "effect", "undo", "earlier", "unknown", "recipientCount", "stateNumber", "costs",
		"why", "rules", "requester", "client", "simulated", "expires", "own", "invisible"}
	generated = []string{"title", "recipients"}
)

// divide encodes p, in parts if the call reaches several recipients. It costs more than sealing,
// and needs no transaction.
func (p Private) divide(recipients []Recipient) (u unsealed, err error) {
	if u.whole, err = p.plain(); err != nil || u.whole == nil || len(recipients) < 2 {
		return u, err
	}
	d := newDivider(recipients)
	d.object(u.whole, func(name string, value []byte) {
		switch name {
		case "payload":
			d.payload(value)
		case "card":
			d.card(value)
		default:
			d.give(value, nil)
		}
	})
	common, parts := d.common.Bytes(), d.parts
	if joined, ok := join(common, func(i int) ([]byte, bool) { return parts[i].plain, true }); ok && bytes.Equal(joined, u.whole) {
		u.common, u.parts = common, parts
	}
	return u, nil
}

// divider divides one Private.
type divider struct {
	people []person
	// exactly finds the people whom a whole value names.
	exactly map[string][]int
	common  bytes.Buffer
	parts   []part
	indexes map[string]int // of parts
}

// person is a Recipient with its names as they are compared.
type person struct {
	subject string
	ids     []string // the digits of a number, else as in names
	names   []string // words in lower case with spaces around them
}

func newDivider(recipients []Recipient) *divider {
	d := &divider{exactly: map[string][]int{}, indexes: map[string]int{}}
	for i, r := range recipients {
		p := person{subject: r.Subject}
		_, id, _ := strings.Cut(r.Subject, ":")
		for _, name := range append([]string{id}, r.Names...) {
			key := strings.ToLower(strings.TrimSpace(name))
			if key == "" {
				continue
			}
			if !slices.Contains(d.exactly[key], i) {
				d.exactly[key] = append(d.exactly[key], i)
			}
			switch number := digits(name); {
			case strings.HasPrefix(name, "+") && len(number) > 2:
				p.ids = append(p.ids, number)
			case name == id, strings.Contains(name, "@"):
				p.ids = append(p.ids, words(name))
			default:
				p.names = append(p.names, words(name))
			}
		}
		d.people = append(d.people, p)
	}
	return d
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// words returns the words of a text in lower case, with a space before and after each.
func words(s string) string {
	list := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
	return " " + strings.Join(list, " ") + " "
}

// named returns the people whom a text names, by id and number, or by name if it has neither. With
// all it returns both.
func (d *divider) named(text string, all bool) (of []int) {
	number, spaced := digits(text), words(text)
	matches := func(term string) bool { return strings.Contains(number, term) || strings.Contains(spaced, term) }
	for i := range d.people {
		if slices.ContainsFunc(d.people[i].ids, matches) || all && slices.ContainsFunc(d.people[i].names, matches) {
			of = append(of, i)
		}
	}
	if of == nil && !all {
		return d.named(text, true)
	}
	return of
}

// object writes an object with what member writes for each of its values.
func (d *divider) object(doc []byte, member func(name string, value []byte)) {
	d.common.WriteByte('{')
	first := true
	schemas.EachJSON(doc, func(key, value []byte) {
		if !first {
			d.common.WriteByte(',')
		}
		first = false
		d.common.Write(key)
		d.common.WriteByte(':')
		member(schemas.DecodeString(key), value)
	})
	d.common.WriteByte('}')
}

// list writes a list of texts with what each writes for them. Any other value is everybody's.
func (d *divider) list(doc []byte, each func(text []byte)) {
	texts := doc[0] == '['
	if texts {
		schemas.EachJSON(doc, func(_, value []byte) { texts = texts && value[0] == '"' })
	}
	if !texts {
		d.give(doc, nil)
		return
	}
	d.common.WriteByte('[')
	first := true
	schemas.EachJSON(doc, func(_, value []byte) {
		if !first {
			d.common.WriteByte(',')
		}
		first = false
		each(value)
	})
	d.common.WriteByte(']')
}

// payload divides a payload. Only a value that is one recipient's id or number is theirs. Names of
// members deeper than the input are the caller's own words.
func (d *divider) payload(doc []byte) {
	if doc[0] != '{' {
		d.give(doc, nil)
		return
	}
	d.object(doc, func(name string, value []byte) {
		switch {
		case name == "action":
			d.common.Write(value)
		case name == "input" && value[0] == '{':
			d.object(value, func(_ string, value []byte) { d.argument(value) })
		case name == "identity":
			d.argument(value)
		default:
			d.give(value, nil)
		}
	})
}

func (d *divider) argument(value []byte) {
	exact := func(text []byte) { d.give(text, d.exactly[strings.ToLower(schemas.DecodeString(text))]) }
	if value[0] == '"' {
		exact(value)
		return
	}
	d.list(value, exact)
}

func (d *divider) card(doc []byte) {
	if doc[0] != '{' {
		d.give(doc, nil)
		return
	}
	d.object(doc, func(name string, value []byte) {
		switch {
		case slices.Contains(fixed, name):
			d.common.Write(value)
		case slices.Contains(generated, name) && value[0] == '"':
			if of := d.named(schemas.DecodeString(value), true); of != nil {
				d.give(value, of)
			} else {
				d.common.Write(value)
			}
		case name == "to":
			d.list(value, func(text []byte) { d.give(text, d.named(schemas.DecodeString(text), false)) })
		default:
			d.give(value, nil)
		}
	})
}

// give makes the value that of the people; nil for everybody.
func (d *divider) give(value []byte, people []int) {
	var key []byte
	for _, i := range people {
		key = append(strconv.AppendInt(key, int64(i), 10), ',')
	}
	n, ok := d.indexes[string(key)]
	if !ok {
		n = len(d.parts)
		d.indexes[string(key)] = n
		var of []string
		for _, i := range people {
			of = append(of, d.people[i].subject)
		}
		d.parts = append(d.parts, part{of: of})
	} else {
		d.parts[n].plain = append(d.parts[n].plain, hole)
	}
	d.parts[n].plain = append(d.parts[n].plain, value...)
	kind := byte('n')
	if value[0] == '"' {
		kind = '"'
	}
	d.common.Write([]byte{hole, kind})
	d.common.WriteString(strconv.Itoa(n))
	d.common.WriteByte(hole)
}

// join fills the holes of common. of returns a part, and false if the part was erased. join reports
// whether the parts fit.
func join(common []byte, of func(i int) (plain []byte, ok bool)) (out []byte, ok bool) {
	rest := map[int][]byte{}
	for {
		text, after, found := bytes.Cut(common, []byte{hole})
		out = append(out, text...)
		if !found {
			return out, true
		}
		ref, after, found := bytes.Cut(after, []byte{hole})
		if !found || len(ref) < 2 {
			return nil, false
		}
		common = after
		n, err := strconv.Atoi(string(ref[1:]))
		if err != nil || n < 0 {
			return nil, false
		}
		plain, exists := of(n)
		switch {
		case !exists && ref[0] == '"':
			out = append(out, erasedText...)
			continue
		case !exists:
			out = append(out, "null"...)
			continue
		}
		if left, seen := rest[n]; seen {
			plain = left
		}
		value, left, _ := bytes.Cut(plain, []byte{hole})
		rest[n] = left
		out = append(out, value...)
	}
}

// SealedPart is one part of a Sealed that is in parts.
type SealedPart struct {
	// Of are the positions in Keys of the keys that seal it; nil for all keys.
	Of []int `json:"of,omitempty"`
	// Data is as Sealed.Data.
	Data []byte `json:"data"`
}

// seal seals u under the keys; nil if it is empty. bound names the record of the blob, so that the
// blob opens for no other record.
func (t *tx) seal(keys []subjectKey, u unsealed, bound string) *Sealed {
	if u.common == nil {
		return sealPlain(keys, u.whole, bound)
	}
	s := &Sealed{Keys: keyIDs(keys), Common: t.s.seal.common.Seal(nil, nil, u.common, []byte(bound))}
	position := make(map[string]int, len(keys))
	for i, k := range keys {
		position[k.id] = i
	}
	for i, p := range u.parts {
		var of []int
		for _, subject := range p.of {
			at, found := position[t.keys[subject].id]
			if !found {
				of = nil // it is no subject of the call
				break
			}
			of = append(of, at)
		}
		slices.Sort(of)
		of = slices.Compact(of)
		s.Parts = append(s.Parts, SealedPart{Of: of, Data: combine(selectKeys(keys, of)).Seal(nil, nil, p.plain, partBinding(bound, i))})
	}
	return s
}

func partBinding(bound string, i int) []byte { return []byte(bound + " part " + strconv.Itoa(i)) }

// selectKeys returns the keys at the positions; all of them if of is nil.
func selectKeys(keys []subjectKey, of []int) []subjectKey {
	if of == nil {
		return keys
	}
	out := make([]subjectKey, len(of))
	for i, at := range of {
		out[i] = keys[at]
	}
	return out
}

// openParts reads a blob in parts. keys are those of s.Keys, nil where one is destroyed.
func (r *keyring) openParts(s *Sealed, keys []*subjectKey, bound string) ([]byte, error) {
	common, err := r.s.seal.common.Open(nil, nil, s.Common, []byte(bound))
	if err != nil {
		return nil, err
	}
	opened := make([][]byte, len(s.Parts))
	for i, p := range s.Parts {
		of := p.Of
		if of == nil {
			of = make([]int, len(keys))
			for at := range of {
				of[at] = at
			}
		}
		var all []subjectKey
		for _, at := range of {
			if at < 0 || at >= len(keys) {
				return nil, errPart
			}
			if keys[at] == nil {
				all = nil
				break
			}
			all = append(all, *keys[at])
		}
		if all == nil {
			continue
		}
		if opened[i], err = combine(all).Open(nil, nil, p.Data, partBinding(bound, i)); err != nil {
			return nil, err
		}
	}
	plain, ok := join(common, func(i int) ([]byte, bool) {
		if i >= len(opened) {
			return nil, false
		}
		return opened[i], opened[i] != nil
	})
	if !ok {
		return nil, errPart
	}
	return plain, nil
}

// clearErased removes what is null because it was erased. A payload that lacks a part stays, for
// people to read.
func (p *Private) clearErased() {
	for _, part := range []*json.RawMessage{&p.Payload, &p.Card, &p.Replaced, &p.Result, &p.Fault} {
		if string(*part) == "null" {
			*part = nil
		}
	}
	for _, text := range []*string{&p.Note, &p.Hash} {
		if *text == strings.Trim(erasedText, `"`) {
			*text = ""
		}
	}
}
