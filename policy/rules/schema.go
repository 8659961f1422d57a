package rules

import (
	"bytes"
	"encoding/json"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// object is a JSON object.
type object = map[string]any

// Schema returns the JSON Schema of a policy file, for editors. It describes keys and types. Only
// Parse checks the rest, such as whether an expression is valid for its actions.
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
	described := func(o object, text string) object { o["description"] = text; return o }
	copied := func(o object) object {
		out := object{}
		for k, v := range o {
			out[k] = v
		}
		return out
	}
	// A bare true, false or number is an expression, too.
	expression := object{"type": []string{"string", "boolean", "integer"}}
	reason := object{"type": "string", "minLength": 1, "maxLength": maxReason, "description": "a sentence for the person or model that reads the decision"}
	id := object{"type": "string", "pattern": idPattern.String()}
	day := object{"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, "description": "its last day, UTC"}
	classes, actions := object{}, object{}
	for _, c := range classNames {
		classes[c] = word(allowedDecisions(schemas.Class(c)))
	}
	for _, a := range schemas.Actions() {
		actions[a.Name] = word(allowedDecisions(a.Class))
	}
	effects := []object{{"required": []string{"decision"}}, {"required": []string{"limit"}}, {"required": []string{"redact"}}}
	rule := closed([]string{"id", "reason"}, object{
		"id":       described(copied(id), "unique in the file"),
		"match":    described(closed(nil, object{"actions": texts(text), "classes": texts(text), "toolsets": texts(text), "roles": texts(text)}), "names with globs; ! negates; a missing list matches everything"),
		"when":     described(copied(expression), "a CEL expression; default: true"),
		"decision": word(decisionNames[1:]),
		"limit":    described(copied(text), "the name of a budget"),
		"redact":   described(texts(text), "hidden fields, such as Contact.dateOfBirth or *.recordingUri"),
		"reason":   reason,
	})
	rule["oneOf"] = effects
	budget := closed([]string{"key", "rate", "burst"}, object{
		"key":   described(word(budgetOwners), "who has their own share"),
		"rate":  object{"type": "string", "pattern": ratePattern.String(), "description": "how fast it grows back, such as 20/h"},
		"burst": object{"type": "integer", "minimum": 1, "maximum": maxUnits, "description": "the most units that a share holds"},
		"perCaller": object{"type": "integer", "minimum": 1, "maximum": maxPerCaller,
			"description": "with key: organisation, the units for each named caller, if that is more than burst; default: 0"},
		"cost":   described(copied(expression), "a CEL expression that returns an integer, or shown: the persons that the answer of a read shows; default: 1"),
		"over":   object{"const": Confirm.String(), "description": "a call over the budget is confirmed; default: it is rejected"},
		"refill": object{"type": "integer", "minimum": 1, "maximum": maxUnits, "description": "how many units the approval of a call over the budget adds"},
	})
	budget["dependentRequired"] = object{"over": []string{"refill"}, "refill": []string{"over"}}
	exemption := closed([]string{"rule", "until", "reason"}, object{"rule": text, "when": expression, "until": day, "reason": reason})
	recipient := object{}
	for _, k := range recipientKeys {
		recipient[k] = text
	}
	recipient["kind"] = word(kindNames)
	testCase := closed([]string{"name", "call", "expect"}, object{
		"name":       text,
		"as":         closed(nil, object{"id": text, "person": text, "roles": object{"type": "array", "items": text}}),
		"now":        object{"type": "string", "format": "date-time", "description": "default: Wednesday noon, UTC"},
		"ownCall":    object{"type": "boolean", "description": "the caller's own work started the live call; default: false"},
		"call":       object{"type": "object", "required": []string{"action"}, "properties": object{"action": word(actionNames)}, "description": "an action and its arguments"},
		"recipients": object{"type": []string{"array", "integer"}, "minimum": 0, "items": closed(nil, recipient), "description": "who would be rung, or how many; default: the recipients in the arguments"},
		"current":    described(closed(nil, object{"fullName": text, "earlierNames": texts(text), "metadata": object{"type": "object"}, "lost": texts(text), "erased": object{"type": "boolean"}}), "the contact before the update; default: it has the name that it gets"),
		"usedUp":     described(texts(text), "budgets of the file that hold nothing more; default: none"),
		"matches":    object{"type": "array", "items": closed([]string{"by"}, object{"contact": text, "name": text, "by": word(sharedNames)}), "description": "other contacts that share something with the one that the call writes; default: none"},
		"expect":     closed(nil, object{"decision": word(decisionNames), "rules": described(texts(text), "rules that must match"), "without": described(texts(text), "rules that must not match")}),
	})
	named := func(pattern string, of object) object {
		return object{"type": "object", "propertyNames": object{"pattern": pattern}, "additionalProperties": of}
	}
	schema := closed([]string{"apiVersion"}, object{
		"apiVersion":      object{"const": apiVersion},
		"defaults":        described(closed(nil, object{"class": closed(nil, classes), "action": closed(nil, actions), "safe": word([]string{Validate.String(), Deny.String()})}), "the decision without a stricter rule; the default of an action replaces that of its class, and safe replaces both for a call in the safe direction; an action without a default is denied"),
		"unrecordedReads": object{"type": "boolean", "description": "allow reads for five minutes while the audit log cannot be written"},
		"lists":           described(named(namePattern.String(), texts(text)), "strings that expressions read as lists.name"),
		"budgets":         named(idPattern.String(), budget),
		"rules":           object{"type": "array", "items": rule, "description": "the strictest matching rule decides"},
		"exempt":          object{"type": "array", "items": exemption},
		"tests":           object{"type": "array", "items": testCase},
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
	for d := minDecision(c); d <= Deny; d++ {
		out = append(out, d.String())
	}
	return out
}
