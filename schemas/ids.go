package schemas

import "strings"

// One record has one spelling: a uuid in capitals would be another id to a
// rule, and another payload to whoever looks whether the same ran before.

// lowerIDs writes all ids of a value in lower case, in place where it can, and
// gives the value. What is of the wrong type is left for the checker.
func (n *node) lowerIDs(v any) any {
	switch v := v.(type) {
	case string:
		if n.format == "uuid" {
			return strings.ToLower(v)
		}
	case []any:
		if n.items != nil {
			for i := range v {
				v[i] = n.items.lowerIDs(v[i])
			}
		}
	case map[string]any:
		for k, p := range n.props {
			if e, ok := v[k]; ok {
				v[k] = p.lowerIDs(e)
			}
		}
	}
	return v
}

// lowerFilterIDs does the same for the values that a filter compares ids with.
func (a *Action) lowerFilterIDs(filter any) {
	if a.Resource == nil || !a.hasKey("filter") {
		return
	}
	a.Resource.lowerGroupIDs(filter, 0)
}

func (r *Resource) lowerGroupIDs(v any, deep int) {
	g, ok := v.(map[string]any)
	if !ok || deep > maxFilterDepth {
		return
	}
	for k, e := range g {
		if list, ok := e.([]any); ok {
			for _, e := range list {
				r.lowerGroupIDs(e, deep+1)
			}
			continue
		}
		ops, ok := e.(map[string]any)
		if f := r.Field(k); !ok || f == nil || f.Kind != UUID {
			continue
		}
		id := &node{format: "uuid"}
		id.items = id
		for op := range ops {
			ops[op] = id.lowerIDs(ops[op])
		}
	}
}
