package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The most characters of a summary's parts.
const (
	maxSummaryText = 100
	maxSummaryName = 60
	maxSummaryNote = 500
)

// Summary says in a few words what the record is about. It is one line, without terminal controls
// and invisible characters, and holds no more of a sealed part than one sentence.
func (r *Record) Summary() string {
	switch {
	case r.Fault != "":
		return "INVALID RECORD: " + schemas.Escape(r.Fault, maxSummaryText)
	case r.Phase == PhaseRequested, r.Phase == PhasePrepared, r.Phase == PhaseRead, r.Phase == PhaseRejected, r.Phase == PhaseValidated:
		return r.callSummary()
	}
	switch r.Phase {
	case PhaseAnswered:
		return r.answerSummary()
	case PhaseUnanswered:
		return r.unansweredSummary()
	case PhaseLifted:
		return "pause of new requests ended" + r.by()
	case PhaseSent:
		return "sent to Sippet"
	case PhaseSettled:
		return r.settledSummary()
	case PhaseAbandoned:
		return "outcome unknown: nobody settled it"
	case PhaseResolved:
		return withNote("resolved as "+schemas.Escape(r.State, maxSummaryName)+r.by(), r.Note)
	case PhaseDropped:
		return count(r.Count, "event") + " not recorded: too many at once"
	case PhaseCounted:
		return withNote(count(r.Count, "more call")+" not recorded one by one: the caller has used up half of its share of the ledger", r.Note)
	case PhaseStopped:
		return withNote(r.scope()+" stopped"+r.by(), r.Note) + "; " + count(r.Count, "approval request") + " revoked"
	case PhaseResumed:
		return r.scope() + " resumed" + r.by()
	case PhaseErased:
		return withNote(count(int64(len(r.Subjects)), "personal key")+" destroyed"+r.by(), r.Note)
	case PhasePruned:
		return fmt.Sprintf("%s removed, up to record %d: older than the retention", count(r.Count, "record"), r.Upto)
	case PhaseLogin:
		return r.loginSummary()
	case PhaseLogout:
		return "logged out of the inbox"
	case PhaseTaken:
		return "issued credential shown once" + r.to() + ", then destroyed"
	case PhaseIssued:
		roles := schemas.Escape(strings.Join(r.Roles, ", "), 80)
		return withNote("token "+r.credential()+" ("+roles+") issued"+r.by(), r.Note)
	case PhaseRevoked:
		return "token " + r.credential() + " revoked" + r.by()
	case PhaseRemoved:
		return "removed" + r.by() + "; " + count(r.Count, "token") + " revoked"
	case PhaseAttached:
		return "key " + r.credential() + " attached to its organisation" + r.by()
	}
	return schemas.Escape(r.Note, maxSummaryText)
}

// callSummary is about a call: what it would do, or why it was rejected.
func (r *Record) callSummary() string {
	switch {
	case r.Erased() && r.Private == nil:
		return "concerns a person who was erased"
	case r.Prefetch:
		return "read by the gate for another call: " + r.Private.summary()
	case r.Phase == PhaseRejected && r.Why != "":
		return schemas.Escape(r.Why, maxSummaryText)
	case r.Erased():
		return withNote(ErasedText(r.ErasedCount), r.Private.summary())
	}
	return r.Private.summary()
}

// ErasedText says how many of the persons whom a call concerns were erased.
func ErasedText(n int) string {
	if n == 1 {
		return "1 person was erased"
	}
	return fmt.Sprintf("%d persons were erased", n)
}

func (r *Record) answerSummary() string {
	if r.unusable() {
		s := "approval" + r.by() + " could not be used"
		if r.Private == nil {
			return s
		}
		return withNote(s, ErrorMessage(r.Private.Fault))
	}
	note := ""
	if r.Private != nil {
		note = r.Private.Note
	}
	return answerSummary(r.State, r.By, r.Quick, note)
}

// unansweredSummary says what a client did instead of passing on a person's answer.
func (r *Record) unansweredSummary() string {
	what := map[ClientEventKind]string{
		ClientCancelled: "closed its dialogue without an answer",
		ClientTooFast:   "answered sooner than a person can, which does not count",
		ClientUnclear:   "sent no clear answer, which does not count",
		ClientFailed:    "could not ask its person",
		ClientDeparted:  "no longer waits for the answer",
		ClientReturned:  "waits for the answer again",
	}[ClientEventKind(r.Note)]
	if what == "" {
		what = "sent " + schemas.Escape(r.Note, maxSummaryText)
	}
	return schemas.Escape(r.By.Via, maxSummaryName) + " " + what
}

func answerSummary(state string, by Actor, quick bool, note string) string {
	s := schemas.Escape(state, maxSummaryName)
	if by != (Actor{}) {
		s += " by " + schemas.Escape(by.String(), maxSummaryName)
	}
	if quick {
		s += " (faster than the card can be read)"
	}
	return withNote(s, note)
}

// unusable reports whether the record revokes an approval because its call could not run, and not
// because a person withdrew it.
func (r *Record) unusable() bool {
	return r.Phase == PhaseAnswered && r.State == string(Revoked) && r.Outcome != "" && r.Outcome != schemas.Declined
}

func (r *Record) settledSummary() string {
	s := schemas.Escape(r.State, maxSummaryName)
	if r.Status != 0 {
		s += fmt.Sprintf(", HTTP %d", r.Status)
	}
	if r.Latency == 0 {
		return s
	}
	d, unit := time.Duration(r.Latency)*time.Microsecond, 100*time.Microsecond
	if d > time.Second {
		unit = 10 * time.Millisecond
	}
	return s + ", " + d.Round(unit).String()
}

func (r *Record) loginSummary() string {
	switch {
	case r.State != string(Session):
		return "one-time login link created" + r.by()
	case r.Credential != "":
		return "logged in to the inbox with token " + r.credential()
	case r.Note == string(OpenCode):
		return "logged in to the inbox with the browser that was opened"
	}
	return "logged in to the inbox with a link"
}

// by is ` by ada, via inbox`, or empty if nobody is recorded.
func (r *Record) by() string {
	if r.By == (Actor{}) {
		return ""
	}
	return " by " + schemas.Escape(r.By.String(), maxSummaryName)
}

// scope names what an emergency stop stops.
func (r *Record) scope() string { return StopScope{Kind: StopKind(r.Scope), Person: r.Person}.String() }

// to is ` to ada, via inbox`, or empty if nobody is recorded.
func (r *Record) to() string {
	if r.By == (Actor{}) {
		return ""
	}
	return " to " + schemas.Escape(r.By.String(), maxSummaryName)
}

func (r *Record) credential() string { return schemas.Escape(r.Credential, 20) }

// summary is the card's title, else the arguments; empty if neither can be read.
func (p *Private) summary() string {
	if p == nil {
		return ""
	}
	var card struct {
		Title string `json:"title"`
	}
	if json.Unmarshal(p.Card, &card) == nil && card.Title != "" {
		return schemas.Escape(card.Title, maxSummaryText)
	}
	var parts []string
	schemas.EachJSON(p.Payload, func(key, value []byte) {
		if name := schemas.DecodeString(key); name != "action" && name != "fields" {
			parts = append(parts, name+" "+string(value))
		}
	})
	return schemas.Escape(strings.Join(parts, ", "), maxSummaryText)
}

// withNote adds what a person or an error said to a sentence.
func withNote(s, note string) string {
	if note == "" {
		return s
	}
	return s + ": " + schemas.Escape(note, maxSummaryNote)
}

// count is a number with its noun, which gets an s unless the number is 1.
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
