package ash

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Document is a stored map or array: compact JSON with sorted keys.
type Document string

// The layouts of stored times. Texts of the same layout sort as their times do.
const (
	TimeLayout   = "2006-01-02T15:04:05.000000Z"
	SecondLayout = "2006-01-02T15:04:05Z"
	DateLayout   = "2006-01-02"
)

// castValue converts a decoded JSON value to a stored value of the attribute's kind. As in Ash it
// is the first of two steps, and the only one for values in filters: it does not check constraints.
func (a *Attribute) castValue(v any, known atoms) (any, *Violation) {
	if v == nil {
		return nil, nil
	}
	if a.Kind.isArray() {
		return a.castArray(v, known)
	}
	out, ok := castScalar(a.Kind, v)
	if !ok {
		if a.Kind == Time || a.Kind == Second {
			return nil, invalid("Could not cast input to datetime", nil)
		}
		return nil, plainInvalid()
	}
	if a.Kind == Enum && out != nil && !slices.Contains(a.Values, out.(string)) && !known[out.(string)] {
		return nil, plainInvalid() // not an atom
	}
	return out, nil
}

func castScalar(k Kind, v any) (any, bool) {
	s, isString := v.(string)
	number, isNumber := v.(json.Number)
	truth, isBool := v.(bool)
	switch k {
	case String:
		if isBool {
			return strconv.FormatBool(truth), true
		}
		return v, isString
	case Enum:
		if isBool {
			return strconv.FormatBool(truth), true
		}
		if s == "" {
			return nil, isString
		}
		return s, isString
	case UUID:
		if isString && s == "" {
			return nil, true
		}
		return castUUID(s)
	case Bool:
		switch {
		case isBool:
			return truth, true
		case s == "true" || s == "1":
			return true, true
		case s == "false" || s == "0":
			return false, true
		}
		return nil, isString && s == ""
	case Integer:
		if isNumber {
			s = number.String()
		}
		if isString && s == "" {
			return nil, true
		}
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	case Float:
		if isNumber {
			s = number.String()
		}
		if isString && s == "" {
			return nil, true
		}
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
	case Decimal:
		if isNumber {
			s = number.String()
		}
		if isString && s == "" {
			return nil, true
		}
		return castDecimal(s)
	case Time, Second:
		if isString && s == "" {
			return nil, true
		}
		t, ok := castTime(s)
		if !ok {
			return nil, false
		}
		if k == Second {
			return t.Format(SecondLayout), true
		}
		return t.Format(TimeLayout), true
	case Date:
		if isString && s == "" {
			return nil, true
		}
		if t, err := time.Parse(DateLayout, s); err == nil {
			return t.Format(DateLayout), true
		}
		t, ok := castTime(s)
		return t.Format(DateLayout), ok
	case Map:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		return NewDocument(m), true
	}
	return nil, false
}

func castUUID(s string) (any, bool) {
	s = strings.TrimSpace(s)
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return nil, false
	}
	return u.String(), true
}

var decimalPattern = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$`)

func castDecimal(s string) (any, bool) {
	if !decimalPattern.MatchString(s) {
		return nil, false
	}
	if strings.ContainsAny(s, "eE") { // stored without an exponent
		f, _ := strconv.ParseFloat(s, 64)
		s = strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strings.TrimPrefix(s, "+"), true
}

// castTime parses what Elixir accepts as ISO 8601. The default zone is UTC, a space may replace the
// T, and a date is its midnight.
func castTime(s string) (time.Time, bool) {
	s = strings.Replace(s, " ", "T", 1)
	for _, layout := range []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", DateLayout} {
		t, err := time.Parse(layout, s)
		if err == nil {
			t = t.UTC()
			return t, t.Year() >= 0 && t.Year() <= 9999
		}
	}
	return time.Time{}, false
}

func (a *Attribute) castArray(v any, known atoms) (any, *Violation) {
	items, ok := v.([]any)
	if !ok {
		if items, ok = indexedItems(v); !ok {
			return nil, plainInvalid()
		}
	}
	item := Attribute{Kind: String, NoTrim: true}
	if a.Kind == UUIDs {
		item.Kind = UUID
	}
	out := make([]any, 0, len(items))
	for i, x := range items {
		if x == nil {
			violation := invalid("no nil values", nil)
			violation.index = i
			return nil, violation
		}
		cast, violation := item.castValue(x, known)
		if violation != nil {
			violation.index, violation.path, violation.formBlind = i, []any{i}, true
			return nil, violation
		}
		out = append(out, cast)
	}
	return NewDocument(out), nil
}

// indexedItems returns {"0": a, "1": b} as the list [a, b]. HTML forms send lists like this.
func indexedItems(v any) ([]any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	var indexes []int
	for k := range m {
		i, err := strconv.Atoi(k)
		if err != nil || i < 0 || strconv.Itoa(i) != k {
			return nil, false
		}
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	items := make([]any, len(indexes))
	for n, i := range indexes {
		items[n] = m[strconv.Itoa(i)]
	}
	return items, true
}

// constrain is the second step of a cast: it trims strings and checks constraints.
func (a *Attribute) constrain(v any) (any, *Violation) {
	switch v := v.(type) {
	case string:
		switch a.Kind {
		case String:
			return a.constrainString(v)
		case Enum:
			if !slices.Contains(a.Values, v) {
				return nil, invalid("atom must be one of %{atom_list}, got: %{value}",
					map[string]any{"atomList": strings.Join(a.Values, ", "), "value": v})
			}
		}
		return v, nil
	case int64:
		if a.Min != nil && v < *a.Min {
			return nil, invalid("must be greater than or equal to %{min}", map[string]any{"min": *a.Min})
		}
		if a.Max != nil && v > *a.Max {
			return nil, invalid("must be less than or equal to %{max}", map[string]any{"max": *a.Max})
		}
	case Document:
		if a.Kind == Strings {
			return constrainStrings(v)
		}
	}
	return v, nil
}

func (a *Attribute) constrainString(s string) (any, *Violation) {
	trimmed := strings.TrimSpace(s)
	if trimmed == "" {
		return nil, nil
	}
	if !a.NoTrim {
		s = trimmed
	}
	n := int64(utf8.RuneCountInString(s))
	if a.Min != nil && n < *a.Min {
		return nil, invalid("length must be greater than or equal to %{min}", map[string]any{"min": *a.Min})
	}
	if a.Max != nil && n > *a.Max {
		return nil, invalid("length must be less than or equal to %{max}", map[string]any{"max": *a.Max})
	}
	if a.Match != nil && !a.Match.MatchString(s) {
		return nil, invalid("must match the pattern %{regex}", map[string]any{"regex": "~r/" + a.Match.String() + "/"})
	}
	return s, nil
}

func constrainStrings(v Document) (any, *Violation) {
	items, err := v.Decode()
	if err != nil {
		return nil, plainInvalid()
	}
	list := items.([]any)
	for i, x := range list {
		s := strings.TrimSpace(x.(string))
		if s == "" { // the backend turns it into nil, which its form accepts
			violation := invalid("no nil values", nil)
			violation.index, violation.formBlind = i, true
			return nil, violation
		}
		list[i] = s
	}
	return NewDocument(list), nil
}

// cast is both steps, and the check of Required.
func (a *Attribute) cast(v any, known atoms) (any, *Violation) {
	out, violation := a.castValue(v, known)
	if violation == nil && out != nil {
		out, violation = a.constrain(out)
	}
	if violation == nil && out == nil && a.Required {
		violation = &Violation{kind: requiredKind, index: -1}
	}
	if violation != nil {
		violation.field = a.Name
	}
	return out, violation
}

// NewDocument returns a decoded JSON value as a Document.
func NewDocument(v any) Document {
	b, err := marshal(v)
	if err != nil {
		panic("ash: a decoded JSON value does not encode: " + err.Error())
	}
	return Document(b)
}

// Decode returns the decoded value. Numbers are json.Number.
func (d Document) Decode() (any, error) {
	dec := json.NewDecoder(strings.NewReader(string(d)))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// toString returns a stored value as Elixir's to_string/1 writes it.
func toString(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return formatFloat(v)
	case Document:
		return string(v)
	}
	return ""
}

// formatFloat returns a float as the backend writes it: 4.0, not 4, and 1.0e30.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	digits, exponent, scientific := strings.Cut(s, "e")
	if !strings.Contains(digits, ".") {
		digits += ".0"
	}
	if scientific {
		digits += "e" + strings.TrimPrefix(exponent, "+")
	}
	return digits
}
