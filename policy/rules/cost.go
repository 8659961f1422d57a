package rules

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// The sizes that estimates assume where no schema states any.
const (
	mostText    = 10_000 // characters
	mostItems   = 10_000 // elements of a list in the input
	mostEntries = 2_500  // of a filter, or of what else has no schema
	mostRoles   = 100
	mostName    = 200 // characters of what a caller is called
)

// larger reports whether a call may be larger than estimates assume, so that its cost must be counted. A body of so many
// bytes has no longer text in it, no longer list, and, at four bytes for each, no larger map.
func larger(f *Facts) bool {
	c := f.Caller
	if len(f.Payload.Body) == 0 || len(f.Payload.Body) > mostText || len(c.ID)+len(c.Person) > mostName || len(c.Roles) > mostRoles {
		return true
	}
	for _, r := range c.Roles {
		if len(r) > mostName {
			return true
		}
	}
	if f.Recipients == nil {
		return false
	}
	return f.Recipients.Count > mostMembers || len(f.Recipients.List) > mostMembers || f.Recipients.Count < 0
}

// cost gives the most that an expression is estimated to take, and refuses one that could take too long.
func (c *compiler) cost(env *cel.Env, checked *cel.Ast) (uint64, error) {
	est, err := env.EstimateCost(checked, sizes{c.file})
	switch {
	case err != nil:
		return 0, err
	case est.IsUnknown():
		return 0, fmt.Errorf("could cost any amount, and at most %d is taken: it grows something without a bound", maxCost)
	case est.Max > maxCost:
		return 0, fmt.Errorf("could cost %d, and at most %d is taken: look at fewer things, or nest less", est.Max, maxCost)
	}
	return est.Max, nil
}

// sizes tells the estimator how large things get.
type sizes struct{ file *file }

// EstimateCallCost leaves calls to the library: ours cost as little as a comparison.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize knows variables by their paths, and all else by its type.
func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	most := uint64(0)
	switch last := path[len(path)-1]; {
	case path[0] == "lists":
		return s.list(path)
	case len(path) == 1 && last == "recipients":
		most = mostMembers
	case path[0] == "recipients" && last == "number":
		most = 16
	case path[0] == "recipients" && (last == "contact" || last == "country" || last == "kind"):
		most = 40
	case path[0] == "caller" && last == "roles":
		most = mostRoles
	case path[0] == "caller", path[0] == "action":
		most = mostName
	default:
		most = mostOf(n.Type())
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}

func mostOf(t *types.Type) uint64 {
	switch t.Kind() {
	case types.StringKind, types.BytesKind:
		return mostText
	case types.ListKind:
		return mostItems
	case types.MapKind:
		return mostEntries
	case types.DynKind, types.AnyKind:
		return mostText
	}
	return 1
}

// list knows the file's own lists exactly.
func (s sizes) list(path []string) *cost.SizeEstimate {
	if len(path) < 2 {
		return &cost.SizeEstimate{Max: uint64(len(s.file.lists))}
	}
	list := s.file.lists[path[1]]
	if len(path) == 2 {
		return &cost.SizeEstimate{Min: uint64(len(list)), Max: uint64(len(list))}
	}
	longest := 0
	for _, v := range list {
		longest = max(longest, len(v))
	}
	return &cost.SizeEstimate{Max: uint64(longest)}
}
