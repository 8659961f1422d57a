package schemas

// The bounds of one argument: identity, filter and the like, or one value of input with all that it
// holds. They are in bytes of JSON. An email may have more, and maxLengths has tighter ones.
const (
	MaxArgument = 64 << 10
	maxEmail    = 10 << 20 // bytes of an email itself
)

// maxLengths are the most characters of inputs, by name: in all actions the same name is the same
// kind of text. They are so wide that models do without them: tools do not show them.
var maxLengths = map[string]uint64{
	"callUuid": 200, "fullName": 500, "name": 500, "displayName": 500, "label": 500, "subject": 1000,
	"email": 320, "operatorEmail": 320, "recipientAddress": 320, "localPart": 200, "domain": 253, "inboundDomain": 253,
	"fromNumber": 200, "toNumber": 200, "sipUsername": 200, "defaultLanguage": 200,
}

// checkSizes reports arguments that are larger than any use of them needs. The raw arguments are
// valid JSON.
func (a *Action) checkSizes(raw []byte, args map[string]any, f *faults) {
	if len(raw) <= MaxArgument {
		return
	}
	EachJSON(raw, func(key, value []byte) {
		switch name := DecodeString(key); {
		case name == "input" && value[0] == '{':
			EachJSON(value, func(key, value []byte) { a.checkSize(DecodeString(key), value, args, f) })
		case len(value) > MaxArgument:
			f.add(name, tooLarge, len(value), MaxArgument)
		}
	})
}

const tooLarge = "has %d bytes, at most %d are taken"

func (a *Action) checkSize(name string, value []byte, args map[string]any, f *faults) {
	max := MaxArgument
	if in := a.inputKey(name); in != nil && in.Names == SenderSubject {
		input, _ := args["input"].(map[string]any)
		if s, ok := input[name].(string); ok && len(s) <= maxEmail {
			return
		}
		max = maxEmail
	}
	if len(value) > max {
		f.add("input."+name, tooLarge, len(value), max)
	}
}
