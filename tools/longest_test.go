package tools

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestLongest checks the bound by which a list's rows are known to fit without being rendered:
// no rendered value is longer.
func TestLongest(t *testing.T) {
	check := func(t interface {
		Helper()
		Errorf(string, ...any)
	}, raw []byte) {
		t.Helper()
		w := &renderer{marker: []byte("abcdef")}
		w.value(raw, nil, "results[]")
		if most := longest(raw); len(w.fenced) > most || len(w.plain) > most {
			t.Errorf("%.200s: %d and %d bytes, the bound is %d", raw, len(w.plain), len(w.fenced), most)
		}
	}
	for _, raw := range []string{`"x"`, `""`, `{"a b":"c"}`, `["a","b","c"]`, `"` + strings.Repeat("\xff", 100) + `"`, `"\u0000\n\ud800\u2028"`, `"\"\"\"\""`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100), strings.Repeat("[", 12) + strings.TrimSuffix(strings.Repeat("[],", 100), ",") + strings.Repeat("]", 12)} {
		check(t, []byte(raw))
	}
	values := rapid.Deferred(func() *rapid.Generator[any] { return rapid.Just[any](nil) })
	for range 4 {
		inner := values
		values = rapid.OneOf(rapid.String().AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.SliceOfN(inner, 0, 4).AsAny(),
			rapid.MapOfN(rapid.String(), inner, 0, 4).AsAny())
	}
	rapid.Check(t, func(rt *rapid.T) {
		raw, err := json.Marshal(values.Draw(rt, "value"))
		if err != nil {
			rt.Fatal(err)
		}
		check(rt, raw)
	})
}
