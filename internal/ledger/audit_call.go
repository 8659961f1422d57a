package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ErrNoCall means that an id names no intent, approval request or record.
var ErrNoCall = newRejection("no such intent, approval request or record")

// CallKind says what an AuditedCall was assembled from.
type CallKind string

// The kinds, a closed set.
const (
	KindIntent   CallKind = "intent"
	KindApproval CallKind = "approval" // its runs too
	KindRecord   CallKind = "record"   // one event that is about no call
)

// AuditedCall is everything that the ledger knows about one call, or about one event that is about
// no call. It is JSON for a reader.
type AuditedCall struct {
	// ID is the intent's or the approval request's; empty for a record.
	ID   string   `json:"id,omitempty"`
	Kind CallKind `json:"kind"`
	// State is the intent's, or the approval request's with `expired` as one more.
	State        string        `json:"state,omitempty"`
	Action       string        `json:"action,omitempty"`
	Class        schemas.Class `json:"class,omitempty"`
	Caller       Actor         `json:"caller,omitzero"`
	Client       string        `json:"client,omitempty"`
	Organisation string        `json:"organisation,omitempty"`
	Decision     string        `json:"decision,omitempty"`
	Why          string        `json:"why,omitempty"`
	Rules        []string      `json:"rules,omitempty"`
	Policy       string        `json:"policy,omitempty"`
	ApprovalID   string        `json:"approval,omitempty"`
	Repeats      string        `json:"repeats,omitempty"`
	// Answer is the state that the last reply to the request led to. By replied, Note is what they
	// said, and Quick means that they replied faster than the card can be read.
	Answer string `json:"answer,omitempty"`
	By     Actor  `json:"by,omitzero"`
	Quick  bool   `json:"quick,omitempty"`
	Note   string `json:"note,omitempty"`
	// Cause is why an approved call did not run, or why Sippet rejected it.
	Cause   string          `json:"cause,omitempty"`
	Outcome schemas.Outcome `json:"outcome,omitempty"`
	Status  int             `json:"status,omitempty"`
	People  []string        `json:"people,omitempty"`
	Erased  *Erasure        `json:"erased,omitempty"`
	// Card, Payload, Replaced and Result are nil if they were not kept or were erased. What belongs
	// to the others is still there if one of several recipients was erased.
	Card     json.RawMessage `json:"card,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	Replaced json.RawMessage `json:"replaced,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	// Records are all records of the call, oldest first.
	Records []RecordView `json:"records"`
}

// Erasure says that persons whom a call concerns were erased. By and At are of the first erasure
// that is recorded; zero if its record was pruned.
type Erasure struct {
	// Count is how many were erased. A person with two records, such as a contact and a number,
	// counts twice.
	Count int `json:"count"`
	// Partly is true if something of what was sealed can still be read.
	Partly bool `json:"partly,omitempty"`

	By Actor     `json:"by,omitzero"`
	At time.Time `json:"at,omitzero"`
}

// CallReader is what FindCall reads. A [Ledger] is one.
type CallReader interface {
	Records(ctx context.Context, f Filter) ([]Record, error)
	Intent(ctx context.Context, id string) (Intent, error)
	Approval(ctx context.Context, id string) (ApprovalRequest, error)
}

// FindCall assembles what is known about the call with an id: that of an intent or of an approval
// request, or the number of any record. ErrNoCall if there is none.
func FindCall(ctx context.Context, from CallReader, id string) (*AuditedCall, error) {
	c := &AuditedCall{ID: id}
	var records []Record
	if number, ok := recordNumber(id); ok {
		found, err := from.Records(ctx, Filter{After: number - 1, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 || found[0].Seq != number {
			return nil, ErrNoCall
		}
		c.ID, records = found[0].CallID(), found
	}
	if len(records) > 0 && c.ID == "" {
		c.Kind = KindRecord
	} else {
		var err error
		if records, err = c.read(ctx, from); err != nil {
			return nil, err
		}
	}
	for i := range records {
		c.add(&records[i])
	}
	return c, c.findErasure(ctx, from, records)
}

// recordNumber reads the number of a record. Ids are longer.
func recordNumber(id string) (int64, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	return n, err == nil && len(id) < 16
}

// read reads the state of the intent or approval request c.ID, and returns its records.
func (c *AuditedCall) read(ctx context.Context, from CallReader) ([]Record, error) {
	in, err := from.Intent(ctx, c.ID)
	if err == nil {
		c.Kind, c.State, c.Outcome, c.Status, c.ApprovalID = KindIntent, string(in.State), in.Outcome, in.Status, in.ApprovalID
		return c.intentRecords(ctx, from)
	}
	if !errors.Is(err, ErrNoIntent) {
		return nil, err
	}
	request, err := from.Approval(ctx, c.ID)
	if errors.Is(err, ErrNoApproval) {
		return nil, ErrNoCall
	}
	if err != nil {
		return nil, err
	}
	c.Kind, c.State, c.ApprovalID = KindApproval, string(request.StateAt(time.Now())), c.ID
	return c.approvalRecords(ctx, from)
}

// intentRecords returns the records of an intent and of its approval request.
func (c *AuditedCall) intentRecords(ctx context.Context, from CallReader) ([]Record, error) {
	records, err := from.Records(ctx, Filter{Intent: c.ID})
	if err != nil || c.ApprovalID == "" {
		return records, err
	}
	more, err := from.Records(ctx, Filter{ApprovalID: c.ApprovalID})
	if err != nil {
		return nil, err
	}
	// The approval may have been used by another intent before, which sent nothing.
	more = slices.DeleteFunc(more, func(r Record) bool { return r.Intent != "" && r.Intent != c.ID })
	return inOrder(append(records, more...)), nil
}

// approvalRecords returns the records of an approval request and of the intents that used it: more
// than one if the first sent nothing.
func (c *AuditedCall) approvalRecords(ctx context.Context, from CallReader) ([]Record, error) {
	records, err := from.Records(ctx, Filter{ApprovalID: c.ApprovalID})
	if err != nil {
		return nil, err
	}
	all := slices.Clone(records)
	for _, r := range records {
		if r.Phase != PhasePrepared || r.Intent == "" {
			continue
		}
		run, err := from.Records(ctx, Filter{Intent: r.Intent})
		if err != nil {
			return nil, err
		}
		all = append(all, run...)
	}
	return inOrder(all), nil
}

// inOrder sorts records by their number and drops repeated ones.
func inOrder(records []Record) []Record {
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Seq, b.Seq) })
	return slices.CompactFunc(records, func(a, b Record) bool { return a.Seq == b.Seq })
}

// add adds a record, and what it says about the call. Later records replace what earlier ones said.
func (c *AuditedCall) add(r *Record) {
	c.Records = append(c.Records, r.View())
	update(&c.Action, r.Action)
	update(&c.Class, r.Class)
	update(&c.Caller, r.Caller)
	update(&c.Client, r.Client)
	update(&c.Organisation, r.Organisation)
	update(&c.Decision, r.Decision)
	update(&c.Why, r.Why)
	update(&c.Policy, r.Policy)
	update(&c.Repeats, r.Repeats)
	if len(r.Rules) > 0 {
		c.Rules = r.Rules
	}
	if r.Phase == PhaseAnswered && !r.unusable() { // an approval that could not be used stays the answer
		c.Answer, c.By, c.Quick = r.State, r.By, r.Quick
	}
	if c.Kind != KindIntent {
		update(&c.Outcome, r.Outcome)
		update(&c.Status, r.Status)
	}
	for _, name := range r.SubjectNames {
		if !slices.Contains(c.People, name) {
			c.People = append(c.People, name)
		}
	}
	if r.Private != nil {
		c.addPrivate(r.Private)
	}
}

func (c *AuditedCall) addPrivate(p *Private) {
	update(&c.Note, p.Note)
	update(&c.Cause, ErrorMessage(p.Fault))
	for _, part := range []struct {
		to   *json.RawMessage
		from []byte
	}{{&c.Card, p.Card}, {&c.Payload, p.Payload}, {&c.Replaced, p.Replaced}, {&c.Result, p.Result}} {
		if part.from != nil {
			*part.to = part.from
		}
	}
}

// update sets a field unless the value is zero.
func update[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

// findErasure sets Erased if a sealed part cannot be read any more.
func (c *AuditedCall) findErasure(ctx context.Context, from CallReader, records []Record) error {
	var keys []string
	for i := range records {
		if r := &records[i]; r.Erased() {
			keys = append(keys, r.Sealed.Keys...)
			if c.Erased == nil {
				c.Erased = &Erasure{}
			}
			c.Erased.Count = max(c.Erased.Count, r.ErasedCount)
			c.Erased.Partly = c.Erased.Partly || r.Private != nil
		}
	}
	if keys == nil {
		return nil
	}
	erasures, err := from.Records(ctx, Filter{Phase: PhaseErased})
	for _, r := range erasures {
		if slices.ContainsFunc(r.Subjects, func(id string) bool { return slices.Contains(keys, id) }) {
			c.Erased.By, c.Erased.At = r.By, r.Time
			break
		}
	}
	return err
}

// AnswerSummary says in a few words who answered the approval request, and what; empty if nobody
// has. It is as safe to show as Record.Summary.
func (c *AuditedCall) AnswerSummary() string {
	if c.Answer == "" {
		return ""
	}
	return answerSummary(c.Answer, c.By, c.Quick, c.Note)
}

// RecordView is a record as JSON for a reader: with the names of the persons concerned, and without
// its sealed part.
type RecordView struct {
	Record
	People []string `json:"people,omitempty"`
	// Erased is Record.Erased, ErasedCount is Record.ErasedCount.
	Erased      bool `json:"erased,omitempty"`
	ErasedCount int  `json:"erasedCount,omitempty"`
	// Fault is Record.Fault. Line is then the record as it is stored, and only Seq can be relied
	// on.
	Fault string `json:"fault,omitempty"`
	Line  string `json:"line,omitempty"`
}

// View returns the record for a reader.
func (r *Record) View() RecordView {
	v := RecordView{Record: *r, People: r.SubjectNames, Erased: r.Erased(), ErasedCount: r.ErasedCount}
	if v.Sealed = nil; r.Fault != "" {
		v.Fault, v.Line = r.Fault, string(r.Line)
	}
	return v
}

// Erased reports whether what is sealed can never be read again, all of it or a part, because a
// person whom it concerns was erased.
func (r *Record) Erased() bool {
	return r.Fault == "" && r.Sealed != nil && (r.Private == nil || r.ErasedCount > 0)
}

// CallID returns the id by which FindCall finds the record's call: that of its intent, else of its
// approval request. It is empty if the record is about no call, or has a Fault.
func (r *Record) CallID() string {
	switch {
	case r.Fault != "":
		return ""
	case r.Intent != "":
		return r.Intent
	}
	return r.ApprovalID
}

// Undo is a call that restores what an earlier call replaced.
type Undo struct {
	// Intent is the id of the earlier call.
	Intent    string          `json:"intent"`
	Action    string          `json:"action"`
	Arguments json.RawMessage `json:"arguments"`
}

// Undo returns the call that restores what c replaced. It runs nothing. If there is no such call,
// the error says why.
func (c *AuditedCall) Undo() (*Undo, error) {
	intent, state := "", ""
	var payload, replaced json.RawMessage
	erased := false
	for _, r := range c.Records {
		if r.Phase == PhasePrepared {
			intent, payload, replaced, erased = r.Intent, nil, nil, r.Erased
			if r.Private != nil && !erased {
				payload, replaced = r.Private.Payload, r.Private.Replaced
			}
		}
		if r.Intent != "" && r.Intent == intent && r.State != "" {
			state = r.State
		}
	}
	switch {
	case intent == "":
		return nil, newRejection(c.title() + " is about no call that changed something, so there is nothing to undo")
	case state == string(Failed), state == string(NotSent):
		return nil, newRejection(fmt.Sprintf("intent %s is %s: it changed nothing", intent, state))
	case state == string(Unknown):
		return nil, newRejection(fmt.Sprintf("the outcome of intent %s is unknown: find out whether it ran, and record that with `sippet-mcp audit resolve` first", intent))
	case state != string(Succeeded):
		return nil, newRejection(fmt.Sprintf("intent %s has no outcome yet: it is %s", intent, state))
	case erased:
		return nil, newRejection(fmt.Sprintf("what intent %s changed can no longer be read: a person whom it concerns was erased", intent))
	case payload == nil:
		return nil, newRejection(fmt.Sprintf("the payload of intent %s was not kept", intent))
	}
	action, arguments, err := schemas.Reverse(c.Action, payload, replaced)
	if err != nil {
		return nil, newRejection(fmt.Sprintf("intent %s: %s; %s", intent, err.Message, err.Next))
	}
	return &Undo{Intent: intent, Action: action, Arguments: arguments}, nil
}

func (c *AuditedCall) title() string {
	if c.Kind == KindRecord && len(c.Records) > 0 {
		return fmt.Sprintf("record %d", c.Records[0].Seq)
	}
	return string(c.Kind) + " " + c.ID
}
