package rpc

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The bounds of the details of a rejection. Lengths are in characters, except maxEntry.
const (
	maxDetails = 20
	maxMessage = 500
	maxVar     = 200
	maxEntry   = 64 << 10 // bytes of one entry of errors; a longer one is not decoded
	untyped    = "error"  // the Type if Sippet gives none: a Type marks the Message as untrusted
)

// details reads errors in all known forms: a list of entries, a list of strings, an object of
// messages by name (as {"detail":"…"} of HTTP 400 and 500), a string. raw is valid JSON or nil.
// Other forms are left out.
func (c *Client) details(raw []byte) []schemas.Detail {
	if len(raw) == 0 {
		return nil
	}
	// Before any text is cut, which could leave a part of the key; and once more after decoding.
	raw = c.redact.json(raw)
	var list []schemas.Detail
	left := 0
	add := func(d schemas.Detail) {
		if len(list) == maxDetails {
			left++
			return
		}
		d.Path, d.Type = c.redact.text(d.Path), c.redact.text(d.Type)
		d.Message = clip(c.redact.text(d.Message), maxMessage)
		list = append(list, d)
	}
	switch raw[0] {
	case '"':
		add(schemas.Detail{Type: untyped, Message: decodeText(raw)})
	case '[':
		schemas.EachJSON(raw, func(_, entry []byte) {
			if len(list) == maxDetails {
				left++
			} else if d, ok := parseDetail(entry); ok {
				add(d)
			}
		})
	case '{':
		schemas.EachJSON(raw, func(key, value []byte) {
			path := ""
			if n := memberName(key); n != "detail" && n != "message" {
				path = inputPath(n)
			}
			eachMessage(value, func(message string) {
				add(schemas.Detail{Path: path, Type: untyped, Message: message})
			})
		})
	}
	if left > 0 {
		// This program wrote the text, so it has no Type.
		list[maxDetails-1] = schemas.Detail{Message: "and " + strconv.Itoa(left+1) + " more"}
	}
	return list
}

// eachMessage calls add with each string of a member: itself, or the elements of a list.
func eachMessage(value []byte, add func(string)) {
	switch value[0] {
	case '"':
		add(decodeText(value))
	case '[':
		schemas.EachJSON(value, func(_, v []byte) {
			if v[0] == '"' {
				add(decodeText(v))
			}
		})
	}
}

// decodeText decodes a JSON string, unless it is too long.
func decodeText(raw []byte) string {
	if len(raw) > maxEntry {
		return "a message too long to show"
	}
	return schemas.DecodeString(raw)
}

// parseDetail reads one entry. Each member may be missing, or of another type than documented.
func parseDetail(raw []byte) (schemas.Detail, bool) {
	if len(raw) > maxEntry {
		return schemas.Detail{Type: untyped, Message: "an error too long to show"}, true
	}
	if raw[0] == '"' {
		return schemas.Detail{Type: untyped, Message: decodeText(raw)}, true
	}
	if raw[0] != '{' {
		return schemas.Detail{}, false
	}
	var e map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&e) != nil {
		return schemas.Detail{}, false
	}
	vars, _ := e["vars"].(map[string]any)
	d := schemas.Detail{Type: errorType(e)}
	d.Path = errorPath(d.Type, e, vars)
	for _, name := range []string{"message", "shortMessage"} {
		if s, _ := e[name].(string); s != "" && d.Message == "" {
			d.Message = fillTemplate(lastParagraph(s), vars)
		}
	}
	if d.Message == "" {
		d.Message = strings.ReplaceAll(d.Type, "_", " ")
	}
	return d, true
}

var word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// errorType returns the code of an entry: type, or code where an unspecific error has no type.
func errorType(e map[string]any) string {
	for _, name := range []string{"type", "code"} {
		if s, _ := e[name].(string); word.MatchString(s) {
			return s
		}
	}
	return untyped
}

// lastParagraph removes the trace of calls ("Bread Crumbs: > Error returned from …") that some
// messages begin with.
func lastParagraph(s string) string {
	if !strings.HasPrefix(s, "Bread Crumbs:") {
		return s
	}
	s = strings.TrimSpace(s)
	if i := strings.LastIndex(s, "\n\n"); i >= 0 {
		return strings.TrimSpace(s[i:])
	}
	return s
}

var template = regexp.MustCompile(`%\{[A-Za-z_][A-Za-z0-9_]*\}`)

// fillTemplate replaces the names in a template by vars, once: a value that looks like a template
// is not filled again. Templates have %{action_name} for the var actionName, so both spellings are
// tried. A name without a var stays, and so does a map as Elixir writes it (%{limit: 0}).
func fillTemplate(s string, vars map[string]any) string {
	return template.ReplaceAllStringFunc(s, func(m string) string {
		name := m[2 : len(m)-1]
		for _, spelling := range []string{name, camel(name), snake(name)} {
			if v, ok := scalar(vars[spelling]); ok {
				return clip(v, maxVar)
			}
		}
		return m
	})
}

// scalar returns the text of a string, a number or a boolean, and false for structures.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func camel(s string) string {
	parts := strings.Split(s, "_")
	for i, p := range parts {
		if i > 0 && p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

func snake(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
