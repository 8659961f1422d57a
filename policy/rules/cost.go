package rules

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// The sizes that cost estimates assume if no schema states one.
const (
	maxText     = 10_000 // characters
	maxItems    = 10_000 // elements of a list in the input
	maxEntries  = 2_500  // of a filter, and of other maps without a schema
	maxRoles    = 100
	maxName     = 200   // characters of the caller's id and person
	maxMatches  = 250   // one page of contacts
	maxFullName = 1_000 // bytes of a contact's name, of which 200 characters are kept
)

// exceedsEstimates reports whether a call may be larger than estimates assume, so that its cost
// must be counted. A payload of maxText bytes has no longer string, no longer list and, at four
// bytes an entry, no larger map.
func exceedsEstimates(f *Facts) bool {
	c := f.Caller
	if len(f.Payload.Body) == 0 || len(f.Payload.Body) > maxText || len(c.ID)+len(c.Person) > maxName || len(c.Roles) > maxRoles {
		return true
	}
	for _, r := range c.Roles {
		if len(r) > maxName {
			return true
		}
	}
	if r := f.Related; r != nil && (len(r.Matches) > maxMatches || r.Current != nil && (len(r.Current.Keys) > maxEntries || len(r.Current.Name) > maxFullName)) {
		return true
	}
	if f.Recipients == nil {
		return false
	}
	return f.Recipients.Count > maxMembers || len(f.Recipients.List) > maxMembers || f.Recipients.Count < 0
}

// estimateCost returns the estimated maximal cost of an expression. It returns an error if the
// expression could run too long.
func (c *compiler) estimateCost(env *cel.Env, checked *cel.Ast) (uint64, error) {
	est, err := env.EstimateCost(checked, sizeEstimator{c.file})
	switch {
	case err != nil:
		return 0, err
	case est.IsUnknown():
		return 0, fmt.Errorf("has no upper bound of its cost: it builds something without a limit; the maximum is %d", maxCost)
	case est.Max > maxCost:
		return 0, fmt.Errorf("could cost %d, and the maximum is %d: read less, or nest less", est.Max, maxCost)
	}
	return est.Max, nil
}

// sizeEstimator estimates sizes for CEL's cost estimator.
type sizeEstimator struct{ file *file }

// EstimateCallCost returns CEL's default, since our functions cost as little as a comparison.
func (sizeEstimator) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize estimates a variable by its path, and everything else by its type.
func (s sizeEstimator) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	most := uint64(0)
	switch last := path[len(path)-1]; {
	case path[0] == "lists":
		return s.listSize(path)
	case len(path) == 1 && last == "recipients":
		most = maxMembers
	case path[0] == "recipients" && last == "number":
		most = 16
	case path[0] == "recipients" && last == "address":
		most = 254
	case path[0] == "recipients" && (last == "contact" || last == "country" || last == "kind"):
		most = 40
	case len(path) == 1 && last == "matches":
		most = maxMatches
	case path[0] == "matches" && (last == "contact" || last == "by"):
		most = 40
	case path[0] == "matches", path[0] == "current" && last == "fullName":
		most = maxFullName
	case path[0] == "current":
		most = maxEntries
	case path[0] == "caller" && last == "roles":
		most = maxRoles
	case path[0] == "caller", path[0] == "action":
		most = maxName
	default:
		most = maxSizeOf(n.Type())
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}

func maxSizeOf(t *types.Type) uint64 {
	switch t.Kind() {
	case types.StringKind, types.BytesKind:
		return maxText
	case types.ListKind:
		return maxItems
	case types.MapKind:
		return maxEntries
	case types.DynKind, types.AnyKind:
		return maxText
	}
	return 1
}

// listSize returns the exact size of a list of the file.
func (s sizeEstimator) listSize(path []string) *cost.SizeEstimate {
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
