package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// hijackRun is a write that reached Sippet, and what it does if it succeeds.
type hijackRun struct {
	action, body  string
	caller        string // set by the judge
	identity      string
	input         row
	before, after tables
	rings, mails  []string // numbers and addresses
	group         string   // it rings the members
	live          []string // calls on which somebody is
	rung          []string // calls that it starts
	credential    bool
	lost          bool // nobody is told whether it succeeds
	rejected      bool
}

// fate is what becomes of a write.
type fate int

const (
	succeeds    fate = iota
	isLost           // it has no effect, and its answer is lost
	answersLost      // it has its effect, and its answer is lost
	isRejected
	isNotSent
)

// fakeSippet is a small Sippet with state. It stores what is written, and reports each write to ran
// before it has its effect.
type fakeSippet struct {
	tables
	n    int  // of the organisation; ids of records contain it
	next int  // the number of the next new record
	fate fate // of the next write
	ran  func(*hijackRun)
	rung []row // the calls that were started, each as an entry of a bulk call, or of none
}

func newFakeSippet(n int, ran func(*hijackRun)) *fakeSippet {
	s := &fakeSippet{n: n, next: 1001, ran: ran}
	s.tables = hijackTables(s.id)
	return s
}

// id returns the id of a record. No two organisations share one: the ledger has one key for each person.
func (s *fakeSippet) id(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", s.n, n) }

func (s *fakeSippet) Validate(context.Context, rpc.Request) *schemas.Error { return nil }

// hijackBody is the body of a request.
type hijackBody struct {
	Action, Identity    string
	Input, Filter, Page row
	Fields              []string
}

func (s *fakeSippet) Run(_ context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	var b hijackBody
	if err := json.Unmarshal(r.Body, &b); err != nil {
		return rpc.Result{Sent: true, Status: 400}, &schemas.Error{Outcome: schemas.UpstreamError, Message: err.Error()}
	}
	a, fault := schemas.Find(b.Action)
	if fault != nil {
		return rpc.Result{Sent: true, Status: 400}, fault
	}
	if a.Class == schemas.Read {
		raw, err := json.Marshal(s.list(a, &b))
		if err != nil {
			panic(err) // rows hold what was decoded from JSON
		}
		return rpc.Result{Sent: true, Status: 200, Data: raw}, nil
	}
	fate := s.fate
	s.fate = succeeds
	if fate == isNotSent {
		return rpc.Result{}, &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "no connection"}
	}
	run := hijackRun{action: b.Action, body: string(r.Body), identity: strings.ToLower(b.Identity), input: b.Input, before: s.clone(),
		lost: fate == isLost || fate == answersLost}
	answer, ok := s.write(&b, &run)
	run.after, run.rejected = s.clone(), !ok || fate == isRejected
	s.ran(&run)
	if run.rejected || fate == isLost {
		s.tables = run.before.clone()
	}
	switch {
	case run.rejected:
		return rpc.Result{Sent: true, Status: 200}, &schemas.Error{Outcome: schemas.ValidationFailed, Message: "is invalid"}
	case fate == isLost, fate == answersLost:
		return rpc.Result{Sent: true}, &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "the connection broke"}
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return rpc.Result{Sent: true, Status: 200, Data: raw}, nil
}

// list answers a read.
func (s *fakeSippet) list(a *schemas.Action, b *hijackBody) any {
	if !a.List() {
		return row{"id": s.id(98), "fullName": "Nadia Rahman", "email": "nadia@harbourlane.example", "sipUserId": sipUserID}
	}
	limit, _ := b.Page["limit"].(float64)
	rows, more, all := []row{}, false, s.tables[a.Name]
	if a.Name == "list_bulk_outbound_call_entries" {
		all = s.rung
	}
	for _, r := range all {
		if !passes(r, b.Filter) {
			continue
		}
		if a.Paged() && len(rows) == int(limit) {
			more = true
			break
		}
		out := row{}
		for _, f := range b.Fields {
			out[f] = r[f]
		}
		rows = append(rows, out)
	}
	if !a.Paged() {
		return rows
	}
	return row{"results": rows, "hasMore": more, "limit": limit, "type": "keyset", "count": len(rows)}
}

// passes reports whether a filter selects a row.
func passes(r row, filter row) bool {
	for key, v := range filter {
		var list []any
		switch v := v.(type) {
		case []any:
			list = v
		case row:
			list = []any{v}
		}
		holds := func(of any) bool { g, _ := of.(row); return passes(r, g) }
		fails := func(of any) bool { return !holds(of) }
		ok := true
		switch key {
		case "or":
			ok = slices.ContainsFunc(list, holds)
		case "and":
			ok = !slices.ContainsFunc(list, fails)
		case "not":
			ok = !slices.ContainsFunc(list, holds)
		default:
			ops, _ := v.(row)
			for op, want := range ops {
				ok = ok && meets(r[key], op, want)
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

func meets(have any, op string, want any) bool {
	text, _ := have.(string)
	wanted, _ := want.(string)
	switch op {
	case "eq":
		return have == want
	case "notEq":
		return have != want
	case "in":
		list, _ := want.([]any)
		return slices.Contains(list, have)
	case "isNil":
		return (have == nil) == want
	case "contains":
		return have != nil && strings.Contains(text, wanted)
	case "like":
		return have != nil && like(text, wanted)
	case "ilike":
		return have != nil && like(strings.ToLower(text), strings.ToLower(wanted))
	case "greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual":
		return have != nil // times, which no attack needs
	}
	panic("an operator that the fake does not have: " + op)
}

// like matches SQL's pattern: % for any text, _ for any character, \ before one that is meant.
func like(s, pattern string) bool {
	t, p := []rune(s), []rune(pattern)
	var match func(i, j int) bool
	match = func(i, j int) bool {
		switch {
		case j == len(p):
			return i == len(t)
		case p[j] == '%':
			return match(i, j+1) || i < len(t) && match(i+1, j)
		case p[j] == '\\' && j+1 < len(p):
			return i < len(t) && t[i] == p[j+1] && match(i+1, j+2)
		}
		return i < len(t) && (p[j] == '_' || t[i] == p[j]) && match(i+1, j+1)
	}
	return match(0, 0)
}

// cast returns an input as it is stored: texts are trimmed, and empty ones are null.
func cast(in row) row {
	out := row{}
	for k, v := range in {
		if s, ok := v.(string); ok {
			if v = strings.TrimSpace(s); v == "" {
				v = nil
			}
		}
		out[k] = v
	}
	return out
}

// listOf is the list that shows what an action writes.
var listOf = map[string]string{"contact": "list_contacts", "email_template": "list_email_templates", "email_mailbox": "list_email_mailboxes",
	"email_identity": "list_email_identities", "call": "list_calls"}

// write performs a write, and adds to the run what it does to people. It reports whether Sippet
// accepts it.
func (s *fakeSippet) write(b *hijackBody, run *hijackRun) (answer any, ok bool) {
	text := func(key string) string { v, _ := b.Input[key].(string); return v }
	verb, noun, _ := strings.Cut(b.Action, "_")
	list := listOf[noun]
	change := func(list string, r row, values row) (any, bool) {
		if r == nil {
			return nil, false
		}
		r = with(r, values)
		s.put(list, r)
		return r, true
	}
	switch {
	case b.Action == "delete_contact":
		return change(list, s.find(list, "id", text("contactId")), row{"fullName": nil, "email": nil, "phoneE164": nil, "dateOfBirth": nil,
			"metadata": nil, "erasedAt": "2026-01-31T12:00:00Z"})
	case b.Action == "archive_contact":
		return change(list, s.find(list, "id", b.Identity), row{"deletedAt": "2026-01-31T12:00:00Z"})
	case verb == "create" && list != "":
		r := with(cast(b.Input), row{"id": s.id(s.next)})
		s.next++
		s.put(list, r)
		return r, true
	case verb == "update" && list != "":
		return change(list, s.find(list, "id", b.Identity), cast(b.Input))
	case verb == "delete" && list != "":
		rows := len(s.tables[list])
		s.tables[list] = slices.DeleteFunc(s.tables[list], func(r row) bool { return strings.EqualFold(r["id"].(string), b.Identity) })
		return row{}, len(s.tables[list]) < rows
	case b.Action == "flag_call_for_review":
		return change("list_calls", s.find("list_calls", "id", b.Identity), row{"flaggedAt": "2026-01-31T12:00:00Z"})
	case b.Action == "clear_call_review_flag":
		return change("list_calls", s.find("list_calls", "id", b.Identity), row{"flaggedAt": nil})
	case b.Action == "override_call_classification":
		return change("list_call_classifications", s.find("list_call_classifications", "id", b.Identity), row{"effectiveLabel": text("label"), "overriddenAt": "2026-01-31T12:00:00Z"})
	case b.Action == "clear_call_classification_override":
		r := s.find("list_call_classifications", "id", b.Identity)
		return change("list_call_classifications", r, row{"effectiveLabel": r["predictedLabel"], "overriddenAt": nil})
	case b.Action == "set_operator_status":
		status := b.Input["status"]
		if status == nil {
			status = "available"
		}
		return change("list_operator_statuses", s.find("list_operator_statuses", "sipUserId", text("sipUserId")), row{"status": status})
	case b.Action == "start_outbound_call", b.Action == "start_bulk_outbound_call":
		return s.ring(b, run)
	case b.Action == "import_inbound_email":
		run.mails = answered(b.Input)
		return row{"id": s.id(s.next)}, run.mails != nil
	case verb == "issue":
		run.credential = true
		return row{"token": "a secret"}, true
	}
	run.live = append(run.live, text("callUuid"))
	isRung := slices.ContainsFunc(s.rung, func(r row) bool { return r["callUuid"] == text("callUuid") })
	return row{}, isRung || s.find("list_calls", "callUuid", text("callUuid")) != nil
}

func (s *fakeSippet) ring(b *hijackBody, run *hijackRun) (answer any, ok bool) {
	ids, _ := b.Input["contactIds"].([]any)
	if id, given := b.Input["contactId"]; given {
		ids = append(ids, id)
	}
	if group, ok := b.Input["groupId"].(string); ok {
		ids, run.group = []any{s.id(1), s.id(2), s.id(3)}, group
		if limit, ok := b.Input["contactLimit"].(float64); ok {
			ids = ids[:min(int(limit), len(ids))]
		}
	}
	if number, ok := b.Input["phoneNumber"].(string); ok {
		run.rings = append(run.rings, number)
	}
	for _, id := range ids {
		if number, _ := s.find("list_contacts", "id", id)["phoneE164"].(string); number != "" {
			run.rings = append(run.rings, number)
		}
	}
	bulk := any(nil)
	if b.Action == "start_bulk_outbound_call" {
		bulk = fmt.Sprint("bulk-", s.next)
	}
	for range run.rings {
		run.rung = append(run.rung, fmt.Sprint("rung-", s.next))
		s.rung = append(s.rung, row{"callUuid": fmt.Sprint("rung-", s.next), "bulkOutboundCallId": bulk})
		s.next++
	}
	if run.rings == nil {
		return nil, false
	}
	if bulk != nil {
		return row{"bulkOutboundCallId": bulk}, true
	}
	return row{"callUuid": run.rung[0]}, true
}

// answered returns the addresses that an answer to an email goes to: those of Reply-To, else of From.
func answered(in row) (out []string) {
	var headers []string
	if raw, ok := in["rawMime"].(string); ok {
		m, err := mail.ReadMessage(strings.NewReader(raw + "\r\n\r\n"))
		if err != nil {
			return nil
		}
		headers = []string{m.Header.Get("Reply-To"), m.Header.Get("From")}
	} else {
		d, _ := in["structuredPayload"].(row)
		for _, key := range []string{"replyTo", "reply_to", "Reply-To", "from", "From"} {
			text, _ := d[key].(string)
			headers = append(headers, text)
		}
	}
	for _, h := range headers {
		if list, err := mail.ParseAddressList(h); err == nil {
			for _, a := range list {
				out = append(out, a.Address)
			}
			return out
		}
	}
	return nil
}
