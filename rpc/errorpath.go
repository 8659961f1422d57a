package rpc

import (
	"encoding/json"
	"strings"
)

// pathByType maps error types that have no path to the part of the payload that they are about.
var pathByType = map[string]string{
	"action_not_found":               "action",
	"unknown_field":                  "fields",
	"duplicate_field":                "fields",
	"empty_fields_array":             "fields",
	"invalid_fields_type":            "fields",
	"field_does_not_support_nesting": "fields",
	"requires_field_selection":       "fields",
	"invalid_calculation_args":       "fields",
	"invalid_field_selection":        "fields",
	"invalid_input_format":           "input",
	"missing_identity":               "identity",
	"invalid_identity":               "identity",
	"invalid_primary_key":            "identity",
	"invalid_page":                   "page",
	"invalid_pagination":             "page",
	"invalid_keyset":                 "page",
}

// payloadKeys are the top-level keys of a payload. Every other name is a key of input.
var payloadKeys = map[string]bool{"action": true, "identity": true, "input": true, "fields": true,
	"filter": true, "sort": true, "page": true}

// errorPath returns the path of an entry in the tool's arguments. Validate names the attribute in
// path. Run names it in fields and vars, with an empty path or an index (field languages, path
// [1]). Both become input.languages[1].
//
// A path is shown as trusted, so it is made of names and indexes only.
func errorPath(kind string, e, vars map[string]any) string {
	if p, ok := pathByType[kind]; ok {
		return p
	}
	if kind == "missing_required_parameter" {
		if p, _ := vars["parameter"].(string); payloadKeys[p] {
			return p
		}
	}
	path, _ := e["path"].([]any)
	field := ""
	if fields, _ := e["fields"].([]any); len(fields) > 0 {
		field, _ = fields[0].(string)
	} else {
		field, _ = vars["field"].(string)
	}
	names, found := 0, false
	for _, p := range path {
		if s, ok := p.(string); ok {
			names++
			found = found || s == field
		}
	}
	if field != "" && !found {
		if names == 0 {
			path = append([]any{field}, path...)
		} else {
			path = append(path, field)
		}
	} else if field == "" && names == 0 {
		return "" // an index without a name
	}
	var b strings.Builder
	for i, p := range path {
		switch p := p.(type) {
		case string:
			if !word.MatchString(p) {
				p = "?"
			}
			if i == 0 && !payloadKeys[p] {
				b.WriteString("input")
			}
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(p)
		case json.Number:
			b.WriteString("[" + clip(p.String(), 10) + "]")
		}
		if i == 15 {
			b.WriteString("…")
			break
		}
	}
	return b.String()
}

// inputPath returns the path of a name in an object of errors.
func inputPath(name string) string {
	switch {
	case name == "" || !word.MatchString(name):
		return ""
	case payloadKeys[name]:
		return name
	}
	return "input." + name
}
