package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newAudit(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "See what was done, by whom and with whose yes, and check that nobody changed it",
		Long: `See what was asked, agreed to, done and read: every call leaves records in a
chain in which each holds the hash of the one before. What concerns persons is
sealed, and shown to whoever has the state directory with its keys.

A terminal gets tables, a pipe gets JSON: one object a line for what is a list.`,
		Example: `  sippet-mcp audit list --since 2h
  sippet-mcp audit show 17
  sippet-mcp audit verify`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAuditList(p), newAuditShow(p), newAuditSubject(p), newAuditUndo(p), newAuditIntents(p), newAuditResolve(p),
		newAuditVerify(p), newAuditExport(p), newAuditErase(p))
	return c
}

// entry is a record as a pipe gets it: its own fields and whom it concerns, without what is sealed.
type entry struct {
	ledger.Record
	People []string `json:"people,omitempty"`
	// Erased is true where the key to what was sealed is destroyed.
	Erased bool `json:"erased,omitempty"`
	// Fault says what is wrong with the record, and Line is then how it stands there: the rest cannot be relied on.
	Fault string `json:"fault,omitempty"`
	Line  string `json:"line,omitempty"`
}

func newEntry(r ledger.Record) entry {
	e := entry{Record: r, People: r.SubjectNames, Erased: erased(&r)}
	if e.Sealed = nil; r.Fault != "" {
		e.Fault, e.Line = r.Fault, string(r.Line)
	}
	return e
}

// erased reports whether a record held something that can no longer be read.
func erased(r *ledger.Record) bool { return r.Sealed != nil && r.Private == nil && r.Fault == "" }

var days = regexp.MustCompile(`^(\d{1,4})([dw])$`)

// parseTime takes a time in RFC 3339, a day, or an age such as 90m, 2h, 7d or 2w. Empty is no time.
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
	return time.Time{}, fmt.Errorf("--%s: %q is no time: give an age such as 2h or 7d, a day such as 2026-03-01, or RFC 3339 such as 2026-03-01T12:00:00Z", flag, s)
}

// period is a time filter's two flags.
type period struct{ since, until string }

func (o *period) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.since, "since", "", "from then on: an age such as 2h or 7d, a day, or a time in RFC 3339")
	c.Flags().StringVar(&o.until, "until", "", "before then: likewise")
}

func (o *period) times(now time.Time) (since, until time.Time, err error) {
	if since, err = parseTime("since", o.since, now); err != nil {
		return
	}
	if until, err = parseTime("until", o.until, now); err == nil && !until.IsZero() && until.Before(since) {
		err = errors.New("--until is before --since, so nothing can be between")
	}
	return
}

// what tells in a few words what a record is about; nothing in it can write to the terminal.
func what(r *ledger.Record) string {
	const most = 100 // characters
	by := ""
	if r.By != (ledger.Actor{}) {
		by = " by " + schemas.Escape(r.By.String(), 60)
	}
	if r.Fault != "" {
		return "NOT AS THE LEDGER WROTE IT: " + schemas.Escape(r.Fault, most)
	}
	switch r.Phase {
	case ledger.PhaseRequested, ledger.PhasePrepared, ledger.PhaseRead, ledger.PhaseRejected:
		switch {
		case erased(r):
			return "about somebody who was erased"
		case r.Prefetch:
			return "read by the gate for another call: " + schemas.Escape(brief(r.Private), most)
		case r.Phase == ledger.PhaseRejected && r.Why != "":
			return schemas.Escape(r.Why, most)
		case r.Inbox:
			return "in the inbox: " + schemas.Escape(brief(r.Private), most)
		}
		return schemas.Escape(brief(r.Private), most)
	case ledger.PhaseAnswered:
		return answerOf(r) + noteSuffix(noteOf(r))
	case ledger.PhaseSent:
		return "on its way to Sippet"
	case ledger.PhaseSettled:
		s := r.State
		if r.Status != 0 {
			s += fmt.Sprintf(", HTTP %d", r.Status)
		}
		if r.Latency != 0 {
			s += ", " + latency(r.Latency)
		}
		return s
	case ledger.PhaseAbandoned:
		return "nobody settled it, so nobody knows how it ended"
	case ledger.PhaseDropped:
		return count(r.Count, "event") + " came too fast to be written"
	case ledger.PhaseStopped:
		return "everything stopped" + by + noteSuffix(r.Note) + ", " + count(r.Count, "question") + " void"
	case ledger.PhaseResumed:
		return "resumed" + by
	case ledger.PhaseErased:
		return fmt.Sprintf("%s of persons destroyed (%s)", count(len(r.Subjects), "key"), schemas.Escape(r.By.String(), 80))
	case ledger.PhasePruned:
		return fmt.Sprintf("%s, up to %d, older than the retention removed", count(r.Count, "record"), r.Upto)
	case ledger.PhaseLogin:
		return loggedIn(r, by)
	case ledger.PhaseLogout:
		return "logged out of the inbox"
	case ledger.PhaseTaken:
		return "what was issued was shown once, to " + orDash(r.By.String(), 60) + ", and destroyed"
	case ledger.PhaseIssued:
		return fmt.Sprintf("token %s for %s%s%s", schemas.Escape(r.Credential, 20), schemas.Escape(strings.Join(r.Roles, ", "), 80), by, noteSuffix(r.Note))
	case ledger.PhaseRevoked:
		return "token " + schemas.Escape(r.Credential, 20) + " revoked" + by
	case ledger.PhaseRemoved:
		return "removed" + by + ", " + count(r.Count, "token") + " revoked"
	case ledger.PhaseResolved:
		return r.State + by + noteSuffix(r.Note)
	}
	return schemas.Escape(r.Note, most)
}

// answerOf tells of an answer, or of a yes that came to nothing.
func answerOf(r *ledger.Record) string {
	who := schemas.Escape(r.By.String(), 60)
	switch {
	case revokedByStop(r) && r.Private != nil && r.Private.Fault != nil:
		return "the yes of " + who + " came to nothing: " + schemas.Escape(ledger.ErrorMessage(r.Private.Fault), 300)
	case revokedByStop(r):
		return "the yes of " + who + " came to nothing"
	case r.By == (ledger.Actor{}):
		return r.State
	case r.Quick:
		return r.State + " by " + who + ", sooner than the card can be read"
	}
	return r.State + " by " + who
}

// noteOf is what was said to an answer; empty where nothing was, or where it went with somebody who was erased.
func noteOf(r *ledger.Record) string {
	if r.Private == nil {
		return ""
	}
	return r.Private.Note
}

// revokedByStop reports whether a yes was not taken back by a person, but could not be used.
func revokedByStop(r *ledger.Record) bool {
	return r.Phase == ledger.PhaseAnswered && r.State == string(ledger.Revoked) && r.Outcome != "" && r.Outcome != schemas.Declined
}

func loggedIn(r *ledger.Record, by string) string {
	switch {
	case r.State != string(ledger.Session):
		return "a link that logs in to the inbox once, made" + by
	case r.Credential != "":
		return "logged in to the inbox with token " + schemas.Escape(r.Credential, 20)
	case r.Note == string(ledger.OpenCode):
		return "logged in to the inbox with the browser that was opened"
	}
	return "logged in to the inbox with a link"
}

// brief is the card's sentence, else what was asked for.
func brief(s *ledger.Private) string {
	if s == nil {
		return ""
	}
	var card struct {
		Sentence string `json:"sentence"`
	}
	if json.Unmarshal(s.Card, &card) == nil && card.Sentence != "" {
		return card.Sentence
	}
	var parts []string
	schemas.EachJSON(s.Payload, func(k, v []byte) {
		if name := schemas.DecodeString(k); name != "action" && name != "fields" {
			parts = append(parts, name+" "+string(v))
		}
	})
	return strings.Join(parts, ", ")
}

func latency(micros int64) string {
	d := time.Duration(micros) * time.Microsecond
	if d > time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}
