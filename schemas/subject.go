package schemas

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
)

// SubjectKind is a kind of value that identifies a person.
type SubjectKind string

// The kinds. A subject is written as its kind, a colon and a value, and has one spelling only.
const (
	ContactSubject SubjectKind = "contact" // a uuid in lower case
	PhoneSubject   SubjectKind = "phone"   // a number in E.164
	EmailSubject   SubjectKind = "email"   // an address in lower case

	// SenderSubject is only a tag: an email, of which the senders are subjects.
	SenderSubject SubjectKind = "sender"
)

// subjectPrefixes are what a text may begin with to say which kind it is.
var subjectPrefixes = map[string]SubjectKind{
	"contact": ContactSubject,
	"phone":   PhoneSubject, "tel": PhoneSubject,
	"email": EmailSubject, "mailto": EmailSubject,
}

// ParseSubject returns the subject that a person's text names, spelled as
// [Payload.Subjects] spells it. The text is a contact's id, a phone number with
// its country code (+44 20 7946 0123, 0044/20/79460123, +44 (0)20 7946-0123) or
// an email address, with or without the kind before it (phone:, email:, contact:).
//
// The error names the text and says what to give. A number without a country
// code is refused: it names another person in each country.
func ParseSubject(text string) (string, error) {
	kinds, value := []SubjectKind{ContactSubject, PhoneSubject, EmailSubject}, text
	if prefix, rest, ok := strings.Cut(text, ":"); ok {
		if kind := subjectPrefixes[strings.ToLower(strings.TrimSpace(prefix))]; kind != "" {
			kinds, value = []SubjectKind{kind}, rest
		}
	}
	for _, kind := range kinds {
		if s, ok := subjectOf(kind, value); ok {
			return s, nil
		}
	}
	const example = "such as +442079460123"
	switch digits := dialled(value); {
	case kinds[0] == EmailSubject:
		return "", fmt.Errorf("%s is not an email address: give one such as ada@example.com", quote(text))
	case len(kinds) == 1 && kinds[0] == ContactSubject:
		return "", fmt.Errorf("%s is not a contact's id: give the uuid that list_contacts shows", quote(text))
	case len(digits) > 2 && strings.Trim(digits, "0123456789") == "":
		return "", fmt.Errorf("the phone number %s has no country code: give it with one, %s", quote(text), example)
	case kinds[0] == PhoneSubject, strings.HasPrefix(digits, "+"):
		return "", fmt.Errorf("%s is not a phone number: give one with its country code, %s", quote(text), example)
	}
	return "", fmt.Errorf("%s is no contact: give a contact's id, a phone number with its country code, %s, or an email address", quote(text), example)
}

// subjectOf returns the subject of a value of a kind in its one spelling. It reports false where
// the value cannot be of that kind.
func subjectOf(kind SubjectKind, v string) (string, bool) {
	ok := false
	switch kind {
	case ContactSubject:
		v = strings.ToLower(strings.TrimSpace(v))
		ok = isUUID(v)
	case PhoneSubject:
		v = dialled(v)
		ok = isPhone(v)
	case EmailSubject:
		v, ok = mailbox(v)
	}
	return string(kind) + ":" + v, ok
}

// mailbox returns an email address in lower case, without the name and the angle brackets that may
// be around it.
func mailbox(s string) (string, bool) {
	s, _ = Clean(s)
	if strings.ContainsRune(s, '<') {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return "", false
		}
		s = a.Address
	}
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	return s, at > 0 && at < len(s)-1 && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;:<>", r) })
}

// dialled returns what is dialled of a phone number: digits, after a plus where
// it has a country code. Spaces, hyphens, dots, slashes and brackets only help
// the reader, and so does the (0) that is dialled within the country alone.
// Other characters stay, and make it no phone number.
func dialled(s string) string {
	s, _ = Clean(s)
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), strings.ContainsRune("./·−", r):
		case r == '＋':
			b.WriteByte('+')
		default:
			b.WriteRune(r)
		}
	}
	s = b.String()
	if rest, ok := strings.CutPrefix(s, "00"); ok {
		s = "+" + rest
	}
	if before, after, ok := strings.Cut(s, "(0)"); ok && strings.HasPrefix(s, "+") && len(before) <= len("+378") {
		if keepsZero(before) {
			before += "0"
		}
		s = before + after
	}
	return strings.NewReplacer("(", "", ")", "", "[", "", "]", "").Replace(s)
}

// keepsZero reports whether numbers of a country keep the zero when they are dialled from abroad:
// Italy, San Marino, the Vatican.
func keepsZero(code string) bool { return code == "+39" || code == "+378" || code == "+379" }

// isPhone reports what phonePattern would, at less cost.
func isPhone(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
