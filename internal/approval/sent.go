package approval

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// sentTexts are the texts of a call that are sent in the organisation's name, by field: those that it
// replaces, and the new ones for them.
type sentTexts struct {
	old, new map[string]string
	// unknown are the fields of which the old text is not known, or must not be shown. A call that
	// creates a record has none.
	unknown map[string]bool
}

// readSent returns the texts of a call that are sent. r is the record that it changes.
func readSent(p *schemas.Payload, r *Record) sentTexts {
	s := sentTexts{old: map[string]string{}, new: p.SentTexts(), unknown: map[string]bool{}}
	if p.SimilarRead() == nil { // it changes none
		return s
	}
	if r != nil {
		eachValue(r.Replaced, func(field string, v any) {
			if text, ok := v.(string); (ok || v == nil) && !r.Hidden[field] {
				s.old[field] = text
			}
		})
	}
	for field := range s.new {
		if _, ok := s.old[field]; !ok {
			s.unknown[field] = true
		}
	}
	return s
}

// has reports whether a value of the payload is such a text.
func (s *sentTexts) has(path []string) bool {
	if len(path) != 2 || path[0] != "input" {
		return false
	}
	_, ok := s.new[path[1]]
	return ok
}

// addMentions adds what the new texts mention: a warning if that is new, and a fact if the whole
// record is.
func (c *Card) addMentions(p *schemas.Payload, s *sentTexts) {
	var old, new []mention
	for _, field := range slices.Sorted(maps.Keys(s.new)) {
		old, new = append(old, mentionsOf(s.old[field])...), append(new, mentionsOf(s.new[field])...)
	}
	verb := "adds"
	if len(s.unknown) > 0 {
		verb = "has"
	}
	added := distinct(new, old)
	if p.SimilarRead() == nil {
		if len(added) > 0 {
			c.Facts = append(c.Facts, Line{Name: "mentions", Value: c.listMentions(added)})
		}
		return
	}
	for _, m := range added[:min(maxMentions, len(added))] {
		c.Warnings = append(c.Warnings, verb+" the "+m.kind+" "+c.formatMention(m))
	}
	if more := len(added) - maxMentions; more > 0 {
		c.Warnings[len(c.Warnings)-1] += fmt.Sprintf(", and %d more", more)
	}
}

const (
	minPhrase = 6 // characters; a shorter one is in too many texts
	maxNamed  = 5 // records
)

// Removed is what a call takes out of texts that are sent.
type Removed struct {
	phrases  []string
	mentions []mention
}

// FindRemoved returns what the call takes out of texts that are sent; nil if that is nothing, or not
// known.
func FindRemoved(p *schemas.Payload, r *Record) *Removed {
	s, out := readSent(p, r), Removed{}
	var old, new []mention
	for _, field := range slices.Sorted(maps.Keys(s.new)) {
		old, new = append(old, mentionsOf(s.old[field])...), append(new, mentionsOf(s.new[field])...)
		if text, now := s.old[field], s.new[field]; len(text)+len(now) <= maxDiffBytes {
			moved := func(phrase string) bool { return hasPhrase(now, phrase) }
			out.phrases = append(out.phrases, slices.DeleteFunc(removedPhrases(findEdits(splitTexts(text, now))), moved)...)
		}
	}
	out.mentions = distinct(old, new)
	if out.phrases == nil && out.mentions == nil {
		return nil
	}
	return &out
}

// removedPhrases returns the words that changed lines do not have any more, of each line without the
// words at its ends that stay.
func removedPhrases(edits []edit) (out []string) {
	for i := 0; i < len(edits); {
		if edits[i].sign == ' ' {
			i++
			continue
		}
		var minus, plus []string
		for ; i < len(edits) && edits[i].sign == '-'; i++ {
			minus = append(minus, edits[i].text)
		}
		for ; i < len(edits) && edits[i].sign == '+'; i++ {
			plus = append(plus, edits[i].text)
		}
		for n, line := range minus {
			now := ""
			if len(plus) == len(minus) {
				now = plus[n]
			}
			if phrase := removedWords(strings.Fields(line), strings.Fields(now)); utf8.RuneCountInString(phrase) >= minPhrase {
				out = append(out, phrase)
			}
		}
	}
	return out
}

func removedWords(old, new []string) string {
	start, end := 0, 0
	for start < min(len(old), len(new)) && old[start] == new[start] {
		start++
	}
	for end < min(len(old), len(new))-start && old[len(old)-1-end] == new[len(new)-1-end] {
		end++
	}
	end = len(old) - end
	for start < end && start > 0 && hasDigit(old[start]) && hasDigit(old[start-1]) { // the whole of a number
		start--
	}
	for start < end && end < len(old) && hasDigit(old[end-1]) && hasDigit(old[end]) {
		end++
	}
	phrase := tag.ReplaceAllString(strings.Join(old[start:end], " "), "")
	return strings.TrimFunc(phrase, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`.,;:!?"'()<>`, r) })
}

func hasDigit(s string) bool { return strings.ContainsFunc(s, unicode.IsDigit) }

// alsoIn names the records that still have what was removed; empty if none has. whole is false if
// there may be more records than these.
func (r *Removed) alsoIn(records []schemas.SentRecord, whole bool) string {
	var names []string
	more := 0
	for _, record := range records {
		switch {
		case !slices.ContainsFunc(record.Texts, r.isIn):
		case len(names) == maxNamed:
			more++
		default:
			name, _ := schemas.Quote(record.Name, maxValue)
			names = append(names, name)
		}
	}
	out := strings.Join(names, ", ")
	if more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	if !whole {
		out = strings.TrimSpace(fmt.Sprintf("%s (only the first %d were looked at)", out, len(records)))
	}
	return out
}

func (r *Removed) isIn(text string) bool {
	return slices.ContainsFunc(r.phrases, func(phrase string) bool { return hasPhrase(text, phrase) }) ||
		len(r.mentions) > len(distinct(r.mentions, mentionsOf(text)))
}

// hasPhrase reports whether a text has the words of a phrase, whatever space is between them.
func hasPhrase(text, phrase string) bool {
	return strings.Contains(strings.Join(strings.Fields(text), " "), phrase)
}
