package rpc

import (
	"bytes"
	"encoding/json"
)

// envelope is the answer's outer object. Unknown members are ignored, and of
// two members of one name the last counts, as it does for Sippet.
type envelope struct {
	success []byte // as it came: true, false or anything else
	data    []byte // nil where missing
	errors  []byte // nil where missing
}

// parseEnvelope cuts an answer into its members without decoding or copying
// them. It reports false for what is not one JSON object.
func parseEnvelope(doc []byte) (e envelope, ok bool) {
	doc = bytes.TrimSpace(doc)
	if len(doc) == 0 || doc[0] != '{' || !json.Valid(doc) {
		return envelope{}, false
	}
	each(doc, func(key, value []byte) bool {
		switch memberName(key) {
		case "success":
			e.success = value
		case "data":
			e.data = value
		case "errors":
			e.errors = value
		}
		return true
	})
	return e, true
}

// memberName gives the name of a member, whose key may be spelled with escapes.
func memberName(key []byte) string {
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key[1 : len(key)-1])
	}
	var name string
	json.Unmarshal(key, &name) // valid JSON already
	return name
}

// each visits the members of an object (key with its quotes) or the elements
// of an array (key nil) until visit says false. doc must be valid JSON and begin with its bracket.
func each(doc []byte, visit func(key, value []byte) bool) {
	object := doc[0] == '{'
	for i := skipSpace(doc, 1); doc[i] != '}' && doc[i] != ']'; {
		var key []byte
		if object {
			end := skipString(doc, i)
			key = doc[i:end]
			i = skipSpace(doc, skipSpace(doc, end)+1) // past the colon
		}
		end := skipValue(doc, i)
		if !visit(key, doc[i:end]) {
			return
		}
		i = skipSpace(doc, end)
		if doc[i] == ',' {
			i = skipSpace(doc, i+1)
		}
	}
}

func skipSpace(doc []byte, i int) int {
	for doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\n' || doc[i] == '\r' {
		i++
	}
	return i
}

// skipString gives the index after the string that begins at i.
func skipString(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue gives the index after the value that begins at i.
func skipValue(doc []byte, i int) int {
	switch doc[i] {
	case '"':
		return skipString(doc, i)
	case '{', '[':
		for depth := 0; ; {
			switch doc[i] {
			case '"':
				i = skipString(doc, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for ; i < len(doc); i++ {
		switch doc[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return i
}
