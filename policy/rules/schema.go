package rules

import (
	"bytes"
	"encoding/json"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// object is a JSON object in the making.
type object = map[string]any

// Schema is the JSON Schema of a policy file, for editors. It says which keys
// there are and of which type; what only Parse can know, such as whether an
// expression fits its actions, it does not say.
func Schema() []byte {
	text := object{"type": "string", "minLength": 1}
	texts := func(of object) object { return object{"type": "array", "minItems": 1, "items": of} }
	word := func(list []string) object { return object{"type": "string", "enum": list} }
	closed := func(required []string, properties object) object {
		o := object{"type": "object", "additionalProperties": false, "properties": properties}
		if required != nil {
			o["required"] = required
		}
		return o
	}
	about := func(o object, text string) object { o["description"] = text; return o }
	copied := func(o object) object {
		out := object{}
		for k, v := range o {
			out[k] = v
		}
		return out
	}
	// A bare true, false or number is an expression, too.
	expression := object{"type": []string{"string", "boolean", "integer"}}
	reason := object{"type": "string", "minLength": 1, "maxLength": maxReason, "description": "for whoever meets it, a sentence"}
	id := object{"type": "string", "pattern": idPattern.String()}
	day := object{"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, "description": "the last day on which it holds, UTC"}
	classes, actions := object{}, object{}
	for _, c := range classNames {
		classes[c] = word(allowedDecisions(schemas.Class(c)))
	}
	for _, a := range schemas.Actions() {
		actions[a.Name] = word(allowedDecisions(a.Class))
	}
	effects := []object{{"required": []string{"decision"}}, {"required": []string{"limit"}}, {"required": []string{"redact"}}}
	rule := closed([]string{"id", "reason"}, object{
		"id":       about(copied(id), "unique over all files that are composed"),
		"match":    about(closed(nil, object{"actions": texts(text), "classes": texts(text), "toolsets": texts(text), "roles": texts(text)}), "names with globs; ! negates; what is not mentioned may be anything"),
		"when":     about(copied(expression), "a CEL expression; left out: always"),
		"decision": word(decisionWords[1:]),
		"limit":    about(copied(text), "the name of a budget"),
		"redact":   about(texts(text), "fields that are hidden, such as Contact.dateOfBirth or *.recordingUri"),
		"reason":   reason,
	})
	rule["oneOf"] = effects
	budget := closed([]string{"key", "rate", "burst"}, object{
		"key":   about(word(budgetOwners), "who has a share of their own"),
		"rate":  object{"type": "string", "pattern": ratePattern.String(), "description": "how fast it grows back, such as 20/h"},
		"burst": object{"type": "integer", "minimum": 1, "maximum": maxUnits, "description": "the most that can be saved up"},
		"cost":  about(copied(expression), "a CEL expression that gives an integer; left out: 1"),
	})
	exemption := closed([]string{"rule", "until", "reason"}, object{"rule": text, "when": expression, "until": day, "reason": reason})
	recipient := object{}
	for _, k := range recipientKeys {
		recipient[k] = text
	}
	recipient["kind"] = word(kindNames)
	trial := closed([]string{"name", "call", "expect"}, object{
		"name":       text,
		"as":         closed(nil, object{"id": text, "person": text, "roles": object{"type": "array", "items": text}}),
		"now":        object{"type": "string", "format": "date-time", "description": "left out: the noon of a Wednesday, UTC"},
		"call":       object{"type": "object", "required": []string{"action"}, "properties": object{"action": word(actionNames)}, "description": "an action and its arguments"},
		"recipients": object{"type": []string{"array", "integer"}, "minimum": 0, "items": closed(nil, recipient), "description": "whom it would ring, or how many; left out: what the arguments say"},
		"expect":     closed(nil, object{"decision": word(decisionWords), "rules": about(texts(text), "rules that must be among those that match"), "without": about(texts(text), "rules that must not match")}),
	})
	named := func(pattern string, of object) object {
		return object{"type": "object", "propertyNames": object{"pattern": pattern}, "additionalProperties": of}
	}
	schema := closed([]string{"apiVersion"}, object{
		"apiVersion":      object{"const": apiVersion},
		"defaults":        about(closed(nil, object{"class": closed(nil, classes), "action": closed(nil, actions)}), "what an action needs where no rule says more; its own line goes before its class's; silence denies"),
		"unrecordedReads": object{"type": "boolean", "description": "reads go on while the audit cannot be written"},
		"lists":           about(named(namePattern.String(), texts(text)), "texts that expressions read as lists.name"),
		"budgets":         named(idPattern.String(), budget),
		"rules":           object{"type": "array", "items": rule, "description": "of all that match the strictest decides"},
		"exempt":          object{"type": "array", "items": exemption},
		"tests":           object{"type": "array", "items": trial},
	})
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "A policy of sippet-mcp"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schema); err != nil {
		panic("rules: the schema does not encode: " + err.Error())
	}
	return b.Bytes()
}

// allowedDecisions are the decisions that a class can have.
func allowedDecisions(c schemas.Class) (out []string) {
	for d := least(c); d <= Deny; d++ {
		out = append(out, d.String())
	}
	return out
}
