package rules_test

import (
	"fmt"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// TestClock covers days and hours of a zone, with summer time and midnight.
func TestClock(t *testing.T) {
	read := payload(t, "list_contacts", `{}`)
	for when, cases := range map[string]map[string]bool{
		"workday(now, 'Europe/London')": {
			"2026-01-09T23:59:59Z": true, "2026-01-10T00:00:00Z": false, "2026-01-11T23:59:59Z": false, "2026-01-12T00:00:00Z": true,
			"2026-07-12T22:59:59Z": false, "2026-07-12T23:00:00Z": true, // summer time: Monday begins an hour earlier
		},
		"workday(now, 'Pacific/Auckland')":                 {"2026-01-09T12:00:00Z": false, "2026-01-11T12:00:00Z": true},
		"between(now, 'Europe/London', '08:00', '20:00')":  {"2026-01-07T07:59:59Z": false, "2026-01-07T08:00:00Z": true, "2026-01-07T19:59:59Z": true, "2026-01-07T20:00:00Z": false, "2026-07-07T07:00:00Z": true, "2026-07-07T19:00:00Z": false},
		"between(now, 'UTC', '22:30', '06:00')":            {"2026-01-07T22:29:59Z": false, "2026-01-07T22:30:00Z": true, "2026-01-07T00:00:00Z": true, "2026-01-07T05:59:59Z": true, "2026-01-07T06:00:00Z": false, "2026-01-07T12:00:00Z": false},
		"between(now, 'Asia/Kathmandu', '00:00', '00:01')": {"2026-01-07T18:15:00Z": true, "2026-01-07T18:16:00Z": false},
	} {
		p := parse(t, laxDefaults+fmt.Sprintf("rules: [{id: a, when: %q, decision: confirm, reason: R}]\n", when))
		for now, want := range cases {
			if v := p.Decide(rules.Facts{Payload: read, Now: parseTime(now)}); (v.Decision == rules.Confirm) != want {
				t.Errorf("%s at %s: %+v", when, now, v)
			}
		}
	}
	// A wrong value that is not a literal fails when it is evaluated, and denies.
	for _, when := range []string{"workday(now, caller.id)", "between(now, 'UTC', caller.id, '08:00')", "between(now, 'UTC', '08:00', caller.id)"} {
		p := parse(t, laxDefaults+fmt.Sprintf("rules: [{id: a, when: %q, decision: confirm, reason: R}]\n", when))
		for _, id := range []string{"", "Local", "../UTC", "8:00"} {
			if v := p.Decide(rules.Facts{Payload: read, Now: noon, Caller: rules.Caller{ID: id}}); v.Decision != rules.Deny {
				t.Errorf("%s with %q: %+v", when, id, v)
			}
		}
	}
}
