package schemas

import (
	"encoding/json"
	"strings"
)

// sample returns arguments with which the action can be called: what it
// requires, one of its targets, and nothing else.
func sample(a *Action) string {
	args := map[string]any{}
	for _, name := range a.check.required {
		args[name] = a.check.props[name].sample(name)
	}
	if in := a.check.props["input"]; in != nil && len(a.Targets) > 0 {
		m, ok := args["input"].(map[string]any)
		if !ok {
			m = map[string]any{}
			args["input"] = m
		}
		m[a.Targets[0]] = in.props[a.Targets[0]].sample(a.Targets[0])
	}
	raw, err := json.Marshal(args)
	if err != nil {
		panic("schemas: " + a.Name + ": " + err.Error())
	}
	return string(raw)
}

func (n *node) sample(name string) any {
	switch {
	case n.enum != nil:
		return n.enum[0]
	case n.format == "uuid":
		return "00000000-0000-4000-8000-000000000001"
	case n.format == "date-time":
		return "2026-01-31T09:00:00Z"
	case n.format == "date":
		return "2026-01-31"
	case n.pattern != nil || strings.HasSuffix(name, "Number"):
		return "+442079460123"
	}
	switch n.types[0] {
	case "object":
		m := map[string]any{}
		for _, k := range n.required {
			m[k] = n.props[k].sample(k)
		}
		return m
	case "array":
		return []any{n.items.sample(name)}
	case "integer", "number":
		return 1
	case "boolean":
		return true
	}
	switch name {
	case "operatorEmail", "recipientAddress":
		return "ada@example.com"
	case "inboundDomain", "domain":
		return "example.com"
	}
	return "example"
}
