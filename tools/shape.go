package tools

import "github.com/sippet-ai/sippet-mcp/schemas"

// shape is the form that a value must have to be shown without fences. A trusted field is fenced
// like any other if its value has another form: a status that contains a sentence is untrusted
// text.
type shape int

const (
	none shape = iota // no value is trusted
	word              // short, without spaces: letters, digits and a few signs
	uuidShape
	timeShape
	number
	identifier // the name of a member in a program: short, letters, digits and _
	idOrTime   // for unknown fields
)

func shapeOf(f *schemas.Field) shape {
	switch {
	case f == nil:
		return idOrTime
	case !f.Trusted():
		return none
	}
	switch f.Kind {
	case schemas.UUID:
		return uuidShape
	case schemas.Time, schemas.Second, schemas.Date:
		return timeShape
	case schemas.Integer, schemas.Float, schemas.Decimal:
		return number
	}
	return word
}

const maxWord = 64 // bytes

// matches reports whether the inside of a JSON string, or a number, has the shape.
func (s shape) matches(inner []byte) bool {
	switch s {
	case word:
		return len(inner) <= maxWord && all(inner, func(c byte) bool {
			return digit(c) || letter(c) || c == '_' || c == '-' || c == '.' || c == ':' || c == '/' || c == '+'
		})
	case identifier:
		return len(inner) > 0 && len(inner) <= 40 && letter(inner[0]) && all(inner, func(c byte) bool { return digit(c) || letter(c) || c == '_' })
	case uuidShape:
		return len(inner) == 36 && all(inner, func(c byte) bool {
			return digit(c) || c == '-' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		})
	case timeShape:
		return len(inner) >= 8 && len(inner) <= 35 && digit(inner[0]) && all(inner, func(c byte) bool {
			return digit(c) || c == '-' || c == ':' || c == '.' || c == 'T' || c == 'Z' || c == '+'
		})
	case number:
		return len(inner) <= 40 && all(inner, func(c byte) bool {
			return digit(c) || c == '-' || c == '.' || c == '+' || c == 'e' || c == 'E'
		})
	case idOrTime:
		return uuidShape.matches(inner) || timeShape.matches(inner)
	}
	return false
}

func all(b []byte, ok func(byte) bool) bool {
	for _, c := range b {
		if !ok(c) {
			return false
		}
	}
	return true
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
