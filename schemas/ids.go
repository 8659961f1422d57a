package schemas

import "strings"

// Ids are written in lower case, so that one record has one spelling. An id in capitals would
// escape a rule that names it, and would make another payload of the same call.

// lowerIDs writes all ids of a value in lower case, in place where it can, and returns the value.
// Values of the wrong type are left to the checker.
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

// lowerFilterIDs writes the ids in a filter in lower case.
func (a *Action) lowerFilterIDs(filter any) {
	if a.Resource == nil || !a.hasKey("filter") {
		return
	}
	a.Resource.lowerGroupIDs(filter, 0)
}

func (r *Resource) lowerGroupIDs(v any, nesting int) {
	g, ok := v.(map[string]any)
	if !ok || nesting > maxFilterDepth {
		return
	}
	for k, e := range g {
		if list, ok := e.([]any); ok {
			for _, e := range list {
				r.lowerGroupIDs(e, nesting+1)
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
