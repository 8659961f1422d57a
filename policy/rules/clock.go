package rules

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // for machines without a zone database

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// clockFunctions are workday(t, zone) and between(t, zone, from, to).
var clockFunctions = []cel.EnvOption{
	cel.Function("workday", cel.Overload("workday_timestamp_string", []*cel.Type{cel.TimestampType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(t, zone ref.Val) ref.Val {
			local, err := localTime(t, zone)
			if err != nil {
				return types.WrapErr(err)
			}
			day := local.Weekday()
			return types.Bool(day != time.Saturday && day != time.Sunday)
		}))),
	cel.Function("between", cel.Overload("between_timestamp_string_string_string", []*cel.Type{cel.TimestampType, cel.StringType, cel.StringType, cel.StringType}, cel.BoolType,
		cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			local, err := localTime(args[0], args[1])
			if err != nil {
				return types.WrapErr(err)
			}
			from, to, err := parseSpan(args[2], args[3])
			if err != nil {
				return types.WrapErr(err)
			}
			m := local.Hour()*60 + local.Minute()
			if from < to {
				return types.Bool(from <= m && m < to)
			}
			return types.Bool(from <= m || m < to)
		}))),
}

func localTime(t, zone ref.Val) (time.Time, error) {
	at, ok := t.(types.Timestamp)
	name, ok2 := zone.(types.String)
	if !ok || !ok2 {
		return time.Time{}, fmt.Errorf("a time and a zone are needed, such as now and 'Europe/London'")
	}
	loc, err := loadLocation(string(name))
	if err != nil {
		return time.Time{}, err
	}
	return at.In(loc), nil
}

func parseSpan(from, to ref.Val) (int, int, error) {
	a, ok := from.(types.String)
	b, ok2 := to.(types.String)
	if !ok || !ok2 {
		return 0, 0, fmt.Errorf("two times of day are needed, such as '08:00' and '20:00'")
	}
	start, err := parseMinute(string(a))
	if err != nil {
		return 0, 0, err
	}
	end, err := parseMinute(string(b))
	if err == nil && start == end {
		err = fmt.Errorf("the times %s and %s are equal: write two different times", quote(string(a)), quote(string(b)))
	}
	return start, end, err
}

// parseMinute converts HH:MM to minutes since midnight.
func parseMinute(s string) (int, error) {
	digit := func(i int) int {
		if i < len(s) && '0' <= s[i] && s[i] <= '9' {
			return int(s[i] - '0')
		}
		return 1000 // makes the hour or the minute invalid
	}
	h, m := digit(0)*10+digit(1), digit(3)*10+digit(4)
	if len(s) != 5 || s[2] != ':' || h > 23 || m > 59 {
		return 0, fmt.Errorf("%s is not a time of day: write HH:MM, from 00:00 to 23:59", quote(s))
	}
	return h*60 + m, nil
}

var locations sync.Map // name → *time.Location; only existing zones, so it stays small

// loadLocation returns a zone by its name in the IANA database. It rejects the machine's local
// zone, since a policy must mean the same everywhere.
func loadLocation(name string) (*time.Location, error) {
	if l, ok := locations.Load(name); ok {
		return l.(*time.Location), nil
	}
	if name != "" && name != "Local" {
		if l, err := time.LoadLocation(name); err == nil {
			locations.Store(name, l)
			return l, nil
		}
	}
	return nil, fmt.Errorf("unknown time zone %s: write one such as Europe/London or UTC", quote(name))
}
