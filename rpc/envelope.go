package rpc

import (
	"bytes"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// envelope is the answer's outer object. Its members are raw, and nil if missing. Unknown members
// are ignored. The last of several members of one name counts, as for Sippet.
type envelope struct {
	success, data, errors []byte
}

// parseEnvelope splits an answer into its members. It reports false if it is not one JSON object.
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

// memberName returns the name of a member. Its key may have escapes.
func memberName(key []byte) string {
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key[1 : len(key)-1])
	}
	return schemas.DecodeString(key)
}

// classifyEnvelope returns the reply of an envelope with a 2xx status.
//
// success:true without data is a success, because Sippet states that the action ran. success:true
// together with errors contradicts itself, so it is no answer.
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
