package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newAuditShow(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show everything known of one call",
		Long: `Show everything known of one call: who asked for it, what was decided and who
agreed to what, what was sent, what it replaced, what Sippet answered, and the
records in their order. ID is an intent's id, a question's (a grant's) id, or
the number of a record, as "audit list" shows them.

In a pipe it is one JSON object.`,
		Example: `  sippet-mcp audit show 17
  sippet-mcp audit show 00000000001f6c1de3a2b49a7be5d0c8 | jq .payload`,
		Args: oneArg("an intent's id, a grant's id or a record's number; see `sippet-mcp audit list`"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.reading(c.Context(), p, func(l *ledger.SQLite) error {
				m, err := findMatter(c.Context(), l, args[0])
				if err != nil {
					return err
				}
				if !p.outTerminal {
					return writeJSON(p.out, m)
				}
				m.show(p)
				return nil
			})
		},
	}
	o.flags(c)
	return c
}

// oneArg wants exactly one argument and says which.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return errors.New("give " + what)
		}
		return nil
	}
}

// auditedCall is what is known of one call, or of one event that is no call. Note is what whoever answered said to it, Quick that
// they did so sooner than the card can be read, and Cause why the call came to nothing.
type auditedCall struct {
	ID   string `json:"id,omitempty"`
	Kind string `json:"kind"` // intent, approval or record
	// State is the intent's or the grant's.
	State        string          `json:"state,omitempty"`
	Action       string          `json:"action,omitempty"`
	Class        schemas.Class   `json:"class,omitempty"`
	Caller       ledger.Actor    `json:"caller,omitzero"`
	Client       string          `json:"client,omitempty"`
	Organisation string          `json:"organisation,omitempty"`
	Decision     string          `json:"decision,omitempty"`
	Why          string          `json:"why,omitempty"`
	Rules        []string        `json:"rules,omitempty"`
	Policy       string          `json:"policy,omitempty"`
	ApprovalID   string          `json:"approval,omitempty"`
	Repeats      string          `json:"repeats,omitempty"`
	Answer       string          `json:"answer,omitempty"`
	By           ledger.Actor    `json:"by,omitzero"`
	Quick        bool            `json:"quick,omitempty"`
	Note         string          `json:"note,omitempty"`
	Cause        string          `json:"cause,omitempty"`
	Outcome      schemas.Outcome `json:"outcome,omitempty"`
	Status       int             `json:"status,omitempty"`
	People       []string        `json:"people,omitempty"`
	Erased       *erasure        `json:"erased,omitempty"`
	Card         json.RawMessage `json:"card,omitempty"`
	Payload      json.RawMessage `json:"payload,omitempty"`
	Replaced     json.RawMessage `json:"replaced,omitempty"`
	Result       json.RawMessage `json:"result,omitempty"`
	Records      []entry         `json:"records"`
}

// erasure says that a person whom the matter concerns was erased; By and At are of the first that is recorded.
type erasure struct {
	By ledger.Actor `json:"by,omitzero"`
	At time.Time    `json:"at,omitzero"`
}

// findMatter takes a record's number, an intent's id or a grant's.
func findMatter(ctx context.Context, l *ledger.SQLite, id string) (*auditedCall, error) {
	var records []ledger.Record
	var err error
	m := &auditedCall{ID: id}
	if n, e := strconv.ParseInt(id, 10, 64); e == nil && len(id) < 16 {
		if records, err = l.Records(ctx, ledger.Filter{After: n - 1, Limit: 1}); err != nil {
			return nil, err
		}
		if len(records) == 0 || records[0].Seq != n {
			return nil, fmt.Errorf("there is no record %d; `sippet-mcp audit list` shows the newest", n)
		}
		if m.ID = idOf(&records[0]); records[0].Fault != "" {
			m.ID = "" // what it says it is about cannot be relied on
		}
	}
	var in ledger.Intent
	var g ledger.ApprovalRequest
	if m.ID == "" {
		m.Kind = "record"
	} else if in, err = l.Intent(ctx, m.ID); err == nil {
		m.Kind, m.State, m.Outcome, m.Status, m.ApprovalID = "intent", string(in.State), in.Outcome, in.Status, in.ApprovalID
		records, err = l.Records(ctx, ledger.Filter{Intent: m.ID})
	} else if !errors.Is(err, ledger.ErrNoIntent) {
		return nil, err
	} else if g, err = l.Approval(ctx, m.ID); err == nil {
		m.Kind, m.State, m.ApprovalID = "approval", stateOf(&g, time.Now()), m.ID
	} else if errors.Is(err, ledger.ErrNoApproval) {
		return nil, fmt.Errorf("%q is no intent, grant or record that is known; see `sippet-mcp audit list`", schemas.Escape(id, 80))
	}
	if err != nil {
		return nil, err
	}
	if m.ApprovalID != "" {
		more, err := l.Records(ctx, ledger.Filter{ApprovalID: m.ApprovalID})
		if err != nil {
			return nil, err
		}
		if m.Kind == "approval" {
			// The intents that it was spent on: more than one where nothing was sent the first time.
			for _, r := range more {
				if r.Phase == ledger.PhasePrepared && r.Intent != "" {
					of, err := l.Records(ctx, ledger.Filter{Intent: r.Intent})
					if err != nil {
						return nil, err
					}
					more = append(more, of...)
				}
			}
		} else {
			more = slices.DeleteFunc(more, func(r ledger.Record) bool { return r.Intent != "" && r.Intent != m.ID })
		}
		records = append(records, more...)
		slices.SortFunc(records, func(a, b ledger.Record) int { return int(a.Seq - b.Seq) })
		records = slices.CompactFunc(records, func(a, b ledger.Record) bool { return a.Seq == b.Seq })
	}
	for i := range records {
		m.take(&records[i])
	}
	return m, m.findErasure(ctx, l, records)
}

// take adds what one record tells; what a later one says of the same counts.
func (m *auditedCall) take(r *ledger.Record) {
	m.Records = append(m.Records, newEntry(*r))
	set := func(to *string, s string) {
		if s != "" {
			*to = s
		}
	}
	set(&m.Action, r.Action)
	set((*string)(&m.Class), string(r.Class))
	if r.Caller != (ledger.Actor{}) {
		m.Caller = r.Caller
	}
	set(&m.Client, r.Client)
	set(&m.Organisation, r.Organisation)
	set(&m.Decision, r.Decision)
	set(&m.Why, r.Why)
	set(&m.Policy, r.Policy)
	set(&m.Repeats, r.Repeats)
	if len(r.Rules) > 0 {
		m.Rules = r.Rules
	}
	if r.Phase == ledger.PhaseAnswered && !revokedByStop(r) { // else who agreed did so
		m.Answer, m.By, m.Quick = r.State, r.By, r.Quick
	}
	if m.Kind != "intent" {
		set((*string)(&m.Outcome), string(r.Outcome))
		if r.Status != 0 {
			m.Status = r.Status
		}
	}
	for _, name := range r.SubjectNames {
		if !slices.Contains(m.People, name) {
			m.People = append(m.People, name)
		}
	}
	if s := r.Private; s != nil {
		set(&m.Note, s.Note)
		set(&m.Cause, ledger.ErrorMessage(s.Fault))
		for _, f := range []struct {
			to   *json.RawMessage
			from json.RawMessage
		}{{&m.Card, s.Card}, {&m.Payload, s.Payload}, {&m.Replaced, s.Replaced}, {&m.Result, s.Result}} {
			if f.from != nil {
				*f.to = f.from
			}
		}
	}
}

// findErasure finds out who destroyed the key to what cannot be read.
func (m *auditedCall) findErasure(ctx context.Context, l *ledger.SQLite, records []ledger.Record) error {
	var keys []string
	for i := range records {
		if erased(&records[i]) {
			keys = append(keys, records[i].Sealed.Keys...)
		}
	}
	if keys == nil {
		return nil
	}
	m.Erased = &erasure{}
	all, err := l.Records(ctx, ledger.Filter{Phase: ledger.PhaseErased})
	for _, r := range all {
		if m.Erased.By == (ledger.Actor{}) && slices.ContainsFunc(r.Subjects, func(id string) bool { return slices.Contains(keys, id) }) {
			m.Erased.By, m.Erased.At = r.By, r.Time
		}
	}
	return err
}

// show writes sections for a person.
func (m *auditedCall) show(p *program) {
	w, paint := p.out, painter(p)
	title := m.Kind
	switch {
	case m.Action != "" && m.State != "":
		title = m.Action + ": " + m.State
	case m.Action != "":
		title = m.Action
	case len(m.Records) > 0:
		title = string(m.Records[0].Phase)
	}
	fmt.Fprintln(w, paint(bold, schemas.Escape(title, 120)))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-12s %s\n", name, schemas.Escape(value, 1000))
		}
	}
	if m.Kind != "record" {
		line(m.Kind, m.ID)
	}
	line("class", string(m.Class))
	line("caller", m.Caller.String())
	line("client", m.Client)
	line("organisation", m.Organisation)
	line("outcome", string(m.Outcome))
	if m.Status != 0 {
		line("status", "HTTP "+strconv.Itoa(m.Status))
	}
	line("decision", m.Decision)
	line("why", m.Why)
	line("rules", strings.Join(m.Rules, ", "))
	line("policy", m.Policy)
	if m.Kind == "intent" {
		line("approval", m.ApprovalID)
	}
	if answer := m.Answer; answer != "" {
		if m.By != (ledger.Actor{}) {
			answer += " by " + m.By.String()
		}
		if m.Quick {
			answer += ", sooner than the card can be read"
		}
		line("answer", answer+noteSuffix(m.Note))
	}
	line("cause", m.Cause)
	line("repeats", m.Repeats)
	line("people", strings.Join(m.People, ", "))
	if e := m.Erased; e != nil {
		line("erased", "somebody whom this concerns was erased, and what was sealed with their key cannot be read again")
		if e.By != (ledger.Actor{}) {
			line("", e.By.String()+", "+longTime(e.At))
		}
	}
	m.showCard(w, paint)
	section(w, paint, "What was asked of Sippet", m.Payload)
	section(w, paint, "What it replaced", m.Replaced)
	section(w, paint, "What Sippet answered", m.Result)
	fmt.Fprintf(w, "\n%s\n", paint(bold, "Records"))
	for i := range m.Records {
		r := &m.Records[i].Record
		s := what(r)
		outcome := ""
		if r.Outcome != "" {
			outcome = paint(outcomeColour(string(r.Outcome)), string(r.Outcome)) + "  "
		}
		fmt.Fprintf(w, "  %5d  %s  %-9s %s%s\n", r.Seq, longTime(r.Time), r.Phase, outcome, s)
		if r.Fault != "" {
			fmt.Fprintf(w, "         %s\n", schemas.Escape(string(r.Line), 2000))
		}
	}
	if m.Kind == "intent" && m.State == string(ledger.Unknown) {
		fmt.Fprintf(w, "\nNobody knows whether it ran. Find out%s, then: sippet-mcp audit resolve %s --as succeeded --note 'how you know'\n", where(m.Action), m.ID)
	}
}

// where names the list in which an action's effect can be seen.
func where(action string) string {
	if a, err := schemas.Find(action); err == nil {
		if list := a.ShownBy(); list != "" {
			return " with " + list
		}
	}
	return ""
}

// showCard writes what a person saw when they were asked.
func (m *auditedCall) showCard(w io.Writer, paint func(code, s string) string) {
	if m.Card == nil {
		return
	}
	const title = "What the person was shown"
	var c approval.Card
	if json.Unmarshal(m.Card, &c) != nil || c.Sentence == "" {
		section(w, paint, title, m.Card)
		return
	}
	fmt.Fprintf(w, "\n%s\n", paint(bold, title))
	for l := range strings.Lines(c.Text()) {
		fmt.Fprintln(w, strings.TrimRight("  "+schemas.Escape(strings.TrimSuffix(l, "\n"), 2000), " "))
	}
}

// section writes JSON with a title, indented; in full it is in a pipe only.
func section(w io.Writer, paint func(code, s string) string, title string, doc json.RawMessage) {
	const most = 200 // lines
	if doc == nil {
		return
	}
	fmt.Fprintf(w, "\n%s\n", paint(bold, title))
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "  ", "  "); err != nil {
		b.Write(doc)
	}
	lines := strings.Split(b.String(), "\n")
	for i, l := range lines {
		if i == most {
			fmt.Fprintf(w, "  … (%d more lines; `sippet-mcp audit show ID | jq` has them)\n", len(lines)-most)
			break
		}
		if i == 0 {
			l = "  " + l
		}
		fmt.Fprintln(w, schemas.Escape(l, 2000))
	}
}
