package schemas

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// The scanner checks JSON and splits it at the top level in one pass, without decoding or copying.
// encoding/json takes about six times as long, which for a long answer is more than fetching it
// takes. The scanner accepts what json.Valid accepts; a fuzz test compares them.

// maxScanDepth is that of encoding/json, so that what is accepted here can be decoded.
const maxScanDepth = 10000

// EachJSON visits the members of an object (key with its quotes) or the elements of an array (key
// nil), in order. It reports whether doc is one valid JSON object or array and nothing else. What
// was visited before it reports false must not be used.
func EachJSON(doc []byte, visit func(key, value []byte)) bool {
	i := skipSpace(doc, 0)
	if i == len(doc) || doc[i] != '{' && doc[i] != '[' {
		return false
	}
	end := scanNested(doc, i, 1, visit)
	return end >= 0 && skipSpace(doc, end) == len(doc)
}

// The functions below return the index after the value that begins at i, and -1 if it is not valid.

func scanValue(doc []byte, i, depth int) int {
	if i >= len(doc) {
		return -1
	}
	switch c := doc[i]; {
	case c == '"':
		return scanString(doc, i)
	case c == '{', c == '[':
		return scanNested(doc, i, depth+1, nil)
	case c == '-', '0' <= c && c <= '9':
		return scanNumber(doc, i)
	case c == 't':
		return scanWord(doc, i, "true")
	case c == 'f':
		return scanWord(doc, i, "false")
	case c == 'n':
		return scanWord(doc, i, "null")
	}
	return -1
}

// scanNested scans an object or an array; visit may be nil.
func scanNested(doc []byte, i, depth int, visit func(key, value []byte)) int {
	if depth > maxScanDepth {
		return -1
	}
	object := doc[i] == '{'
	closer := byte(']')
	if object {
		closer = '}'
	}
	if i = skipSpace(doc, i+1); i < len(doc) && doc[i] == closer {
		return i + 1
	}
	for {
		var key []byte
		if object {
			if i >= len(doc) || doc[i] != '"' {
				return -1
			}
			end := scanString(doc, i)
			if end < 0 {
				return -1
			}
			key = doc[i:end]
			if i = skipSpace(doc, end); i >= len(doc) || doc[i] != ':' {
				return -1
			}
			i = skipSpace(doc, i+1)
		}
		end := scanValue(doc, i, depth)
		if end < 0 {
			return -1
		}
		if visit != nil {
			visit(key, doc[i:end])
		}
		if i = skipSpace(doc, end); i >= len(doc) {
			return -1
		}
		switch doc[i] {
		case closer:
			return i + 1
		case ',':
			i = skipSpace(doc, i+1)
		default:
			return -1
		}
	}
}

// special marks the bytes that end the plain part of a string.
var special = func() (t [256]bool) {
	for c := range ' ' {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

func scanString(doc []byte, i int) int {
	for i++; i < len(doc); i++ {
		c := doc[i]
		if !special[c] {
			continue
		}
		if c == '"' {
			return i + 1
		}
		if i++; c != '\\' || i >= len(doc) {
			return -1
		}
		switch doc[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			for range 4 {
				if i++; i >= len(doc) || !isHex(doc[i]) {
					return -1
				}
			}
		default:
			return -1
		}
	}
	return -1
}

func scanNumber(doc []byte, i int) int {
	if doc[i] == '-' {
		i++
	}
	if i < len(doc) && doc[i] == '0' {
		i++ // and no digit after it
	} else if i = scanDigits(doc, i); i < 0 {
		return -1
	}
	if i < len(doc) && doc[i] == '.' {
		if i = scanDigits(doc, i+1); i < 0 {
			return -1
		}
	}
	if i < len(doc) && (doc[i] == 'e' || doc[i] == 'E') {
		if i++; i < len(doc) && (doc[i] == '+' || doc[i] == '-') {
			i++
		}
		return scanDigits(doc, i)
	}
	return i
}

// scanDigits scans one or more digits.
func scanDigits(doc []byte, i int) int {
	begin := i
	for i < len(doc) && '0' <= doc[i] && doc[i] <= '9' {
		i++
	}
	if i == begin {
		return -1
	}
	return i
}

func scanWord(doc []byte, i int, word string) int {
	end := i + len(word)
	if end > len(doc) || string(doc[i:end]) != word {
		return -1
	}
	return end
}

func skipSpace(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\n' || doc[i] == '\t' || doc[i] == '\r') {
		i++
	}
	return i
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// DecodeString decodes a JSON string, with its quotes, that EachJSON accepted. It returns "" for
// any other value.
func DecodeString(quoted []byte) (s string) {
	if len(quoted) == 0 || quoted[0] != '"' { // no key: an array's element
		return ""
	}
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	json.Unmarshal(quoted, &s)
	return s
}
