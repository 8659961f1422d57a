package rpc

import (
	"bytes"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// envelope is the answer's outer object, its members as they came and nil
// where missing. Unknown members are ignored, and of two members of one
// name the last counts, as it does for Sippet.
type envelope struct {
	success, data, errors []byte
}

// parseEnvelope cuts an answer into its members. It reports false for what is not one JSON object.
func parseEnvelope(doc []byte) (e envelope, ok bool) {
	if !bytes.HasPrefix(bytes.TrimLeft(doc, " \t\r\n"), []byte("{")) {
		return envelope{}, false
	}
	ok = schemas.EachJSON(doc, func(key, value []byte) {
		switch memberName(key) {
		case "success":
			e.success = value
		case "data":
			e.data = value
		case "errors":
			e.errors = value
		}
	})
	if !ok {
		return envelope{}, false
	}
	return e, true
}

// memberName gives the name of a member, whose key may be spelled with escapes.
func memberName(key []byte) string {
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key[1 : len(key)-1])
	}
	return schemas.DecodeString(key)
}

// classifyEnvelope reads an envelope that came with a 2xx.
//
// success:true without data is a success: Sippet says in so many words that it
// ran, and calling that unknown would make a person look for what is known. But
// success:true beside named errors contradicts itself, and is no answer.
func classifyEnvelope(e envelope) *reply {
	switch string(e.success) {
	case "true":
		switch string(e.errors) {
		case "", "null", "[]", "{}":
		default:
			return &reply{verdict: noAnswer, reason: "its answer says both success and failure"}
		}
		if e.data == nil {
			e.data = []byte("null")
		}
		return &reply{verdict: done, data: e.data, envelope: true}
	case "false":
		return &reply{verdict: rejected, errors: e.errors, envelope: true}
	}
	return &reply{verdict: noAnswer, transient: true, reason: "its answer says neither success nor failure"}
}
