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

// sentTexts are the texts of a call that are sent in the organisation's name: those that it replaces,
// and the new ones for them.
type sentTexts struct {
	fields   []string
	old, new map[string]string
	// unknown is true if not all old texts are known, or may not be shown.
	unknown bool
}

// readSent returns the texts of a call that are sent. r is nil for a call that creates a record.
func readSent(p *schemas.Payload, r *Record) sentTexts {
	s := sentTexts{old: map[string]string{}, new: p.SentTexts()}
	if len(s.new) == 0 {
		return s
	}
	s.fields = slices.Sorted(maps.Keys(s.new))
	if r != nil {
		eachValue(r.Replaced, func(field string, v any) {
			if text, ok := v.(string); (ok || v == nil) && !r.Hidden[field] {
				s.old[field] = text
			}
		})
	}
	s.unknown = slices.ContainsFunc(s.fields, func(f string) bool { _, ok := s.old[f]; return !ok })
	return s
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
	for _, field := range s.fields {
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

// AlsoIn names the records that still have what was removed; empty if none has. whole is false if
// there may be more records than these.
func (r *Removed) AlsoIn(records []schemas.SentRecord, whole bool) string {
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
