package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// drawRecord draws a record with every field of the resource.
func drawRecord(t *rapid.T, a *Action) map[string]any {
	rec := map[string]any{}
	in := a.check.props["input"]
	for _, f := range a.Resource.Fields {
		n := byKind[f.Kind]
		if in != nil && in.props[f.Name] != nil {
			n = in.props[f.Name]
		}
		if rapid.IntRange(0, 5).Draw(t, f.Name+" is null") > 0 {
			rec[f.Name] = drawValue(t, n, f.Name)
		} else {
			rec[f.Name] = nil
		}
	}
	// A person and a time are set together; the id is that of the call.
	for _, pair := range [][2]string{{"flaggedAt", "flaggedByUserId"}, {"overriddenAt", "overriddenByUserId"}} {
		if v, ok := rec[pair[0]]; ok && v == nil {
			rec[pair[1]] = nil
		} else if ok {
			rec[pair[1]] = someID
		}
	}
	if at, ok := rec["overriddenAt"]; ok && at == nil {
		rec["effectiveLabel"] = rec["predictedLabel"]
	}
	rec["id"] = someID
	if a.recordKey != "" {
		rec[a.recordKey] = otherID
	}
	return rec
}

var byKind = map[Kind]*node{UUID: {format: "uuid"}, Word: {types: []string{"string"}}, Text: {types: []string{"string"}}, Bool: {types: []string{"boolean"}},
	Integer: {types: []string{"integer"}}, Float: {types: []string{"integer"}}, Decimal: {types: []string{"string"}}, Time: {format: "date-time"},
	Second: {format: "date-time"}, Date: {format: "date"}, Map: {types: []string{"object"}}, Texts: {types: []string{"array"}, items: &node{types: []string{"string"}}}}

// drawValue draws a value that the node accepts.
func drawValue(t *rapid.T, n *node, name string) any {
	switch {
	case len(n.enum) > 0:
		return rapid.SampledFrom(n.enum).Draw(t, name)
	case n.format != "" || n.pattern != nil:
		return n.sample(name)
	}
	switch n.types[0] {
	case "boolean":
		return rapid.Bool().Draw(t, name)
	case "integer":
		return json.Number(rapid.SampledFrom([]string{"1", "25", "9007199254740993"}).Draw(t, name))
	case "array":
		out := []any{}
		for range rapid.IntRange(0, 2).Draw(t, name) {
			out = append(out, drawValue(t, n.items, name+" item"))
		}
		return out
	case "object":
		return map[string]any{"n": json.Number("1.10"), rapid.StringMatching(`[a-z"\\é<]{1,3}`).Draw(t, name): map[string]any{}}
	}
	return rapid.StringMatching(`[a-zé<&"\\ ]{0,5}x`).Draw(t, name)
}

func drawWrite(t *rapid.T, a *Action, rec map[string]any) *Payload {
	args := map[string]any{}
	if a.hasKey("identity") {
		args["identity"] = rapid.SampledFrom([]string{someID, strings.ToUpper(someID)}).Draw(t, "identity")
	}
	if n := a.check.props["input"]; n != nil {
		in := map[string]any{}
		for _, k := range n.names {
			switch {
			case k == a.recordKey:
				in[k] = rec[k]
			case slices.Contains(n.required, k) || rapid.IntRange(0, 4).Draw(t, "sets "+k) == 0:
				in[k] = drawValue(t, n.props[k], k)
			}
		}
		args["input"] = in
	}
	p, err := a.Check(encode(args), Limits{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asArguments returns a payload as the arguments of its tool.
func asArguments(p *Payload) []byte {
	args := maps.Clone(p.Args)
	delete(args, "action")
	return encode(args)
}

// answer returns what a list answers: the record with the fields asked for, among others, paged or
// not.
func answer(list *Payload, rec map[string]any) []byte {
	row := map[string]any{}
	for _, f := range list.Args["fields"].([]any) {
		row[f.(string)] = rec[f.(string)]
	}
	rows := []any{map[string]any{"id": "e0000000-0000-4000-8000-000000000000"}, row}
	if !list.Action.Paged() {
		raw, _ := json.Marshal(rows)
		return raw
	}
	raw, _ := json.Marshal(map[string]any{"results": rows, "hasMore": false, "type": "keyset"})
	return raw
}
