package recipients

import (
	"encoding/json"
	"math"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// bounds are what a call says about how many it rings.
type bounds struct {
	limit      int64 // contactLimit; 0 where it is not given
	start, end int64 // positions in a group, both included; -1 where not given
}

// readBounds reads them strictly: a number that does not fit would become another one.
func readBounds(in map[string]any) (bounds, *schemas.Error) {
	b := bounds{start: -1, end: -1}
	for _, k := range []struct {
		key   string
		least int64
		into  *int64
	}{{"contactLimit", 1, &b.limit}, {"contactRangeStart", 0, &b.start}, {"contactRangeEnd", 0, &b.end}} {
		v, given := in[k.key]
		if !given {
			continue
		}
		number, _ := v.(json.Number)
		n, err := number.Int64()
		if err != nil || n < k.least || n == math.MaxInt64 { // one more must fit
			return b, rejectCall("input."+k.key+" is not a number of people or a position", "give a whole number")
		}
		*k.into = n
	}
	if b.end >= 0 && b.start > b.end {
		return b, rejectCall("input.contactRangeEnd comes before contactRangeStart", "give the first position and then the last")
	}
	return b, nil
}

// resolveGroup is the most members of a group that can be rung; false where nothing
// says so. Whether positions count from 0 or from 1 is not documented, so a
// range without a beginning is taken to begin at 0. A range without an end bounds nothing.
//
// Contacts that are named one by one are bounded by contactLimit only: that a
// range means anything there is not documented either, and a bound that Sippet
// does not keep would let a few stand on the card for the many that are rung.
func (b bounds) ofGroup() (most int64, ok bool) {
	if b.limit > 0 {
		most, ok = b.limit, true
	}
	if b.end >= 0 {
		if n := b.end - max(b.start, 0) + 1; !ok || n < most {
			most, ok = n, true
		}
	}
	return most, ok
}
