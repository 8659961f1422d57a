package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newAudit(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Read and verify the audit log",
		Long: `Read and verify the audit log. Every call leaves records: what was requested,
decided, approved, sent and answered. Each record holds the hash of the one
before it. Data about persons is sealed; whoever has the state directory with
its keys can read it.

A terminal gets tables. A pipe gets JSON, one object per line for a list.`,
		Example: "  sippet-mcp audit list --since 2h",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAuditList(p), newAuditShow(p), newAuditSubject(p), newAuditUndo(p), newAuditIntents(p), newAuditResolve(p),
		newAuditVerify(p), newAuditExport(p), newAuditErase(p))
	return c
}

// days matches the ages that time.ParseDuration does not read, such as 7d or 2w.
var days = regexp.MustCompile(`^(\d{1,4})([dw])$`)

// parseTime reads a time in RFC 3339, a local day, or an age such as 90m, 2h, 7d or 2w. The empty
// text is the zero time.
func parseTime(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t, nil
	}
	if m := days.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		if m[2] == "w" {
			n *= 7
		}
		return now.AddDate(0, 0, -n), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("--%s: %q is not a time: give an age such as 2h or 7d, a day such as 2026-03-01, or RFC 3339 such as 2026-03-01T12:00:00Z", flag, s)
}

// period is a span of time, as two flags.
type period struct{ since, until string }

func (o *period) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.since, "since", "", "only from this time on: an age such as 2h or 7d, a day, or RFC 3339")
	c.Flags().StringVar(&o.until, "until", "", "only before this time: as with --since")
}

func (o *period) times(now time.Time) (since, until time.Time, err error) {
	if since, err = parseTime("since", o.since, now); err != nil {
		return
	}
	if until, err = parseTime("until", o.until, now); err == nil && !until.IsZero() && until.Before(since) {
		err = errors.New("--until is before --since: swap them")
	}
	return
}
