package rpctest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// maxUsual bounds the answers that are cached, by the bytes of the request.
const maxUsual = 1000

// usual returns the usual answer to a request.
func (s *Server) usual(r Request) string {
	if r.Endpoint != Run {
		return success("")
	}
	key := string(r.Body)
	s.mu.Lock()
	body, ok := s.defaults[key]
	s.mu.Unlock()
	if ok {
		return body
	}
	body = usual(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.defaults) >= maxUsual {
		clear(s.defaults)
	}
	s.defaults[key] = body
	return body
}

// UsualAnswer returns the usual answer to a payload.
func UsualAnswer(endpoint string, p *schemas.Payload) string {
	if endpoint != Run {
		return success("")
	}
	return usual(Request{Endpoint: endpoint, Action: p.Action.Name, Body: p.Body})
}

// payload is the part of a request that decides the answer.
type payload struct {
	Fields []string       `json:"fields"`
	Filter map[string]any `json:"filter"`
	Sort   string         `json:"sort"`
	Page   *page          `json:"page"`
}

type page struct {
	Limit  int     `json:"limit"`
	Offset *int    `json:"offset"`
	After  *string `json:"after"`
	Before *string `json:"before"`
	Count  bool    `json:"count"`
}

func usual(r Request) string {
	a, err := schemas.Find(r.Action)
	if err != nil {
		return `{"success":false,"errors":[{"type":"action_not_found","message":"RPC action %{action_name} not found","shortMessage":"Action not found","vars":{"actionName":` + quote(r.Action) + `},"fields":[],"path":[]}]}`
	}
	var p payload
	_ = json.Unmarshal(r.Body, &p)
	switch {
	case a.Name == "list_contacts" && askedIDs(p.Filter) != nil:
		ids := askedIDs(p.Filter)
		rows := make([]string, len(ids))
		for i, id := range ids {
			rows[i] = contact(a.Resource, p.Fields, id, i)
		}
		return success(envelope(rows, p.Page, 0, false, len(rows)))
	case a.Name == "list_contacts" && p.Filter["or"] != nil: // nobody has a value of another person
		return success(envelope(nil, p.Page, 0, false, 0))
	case a.List() && askedField(p.Filter) != "":
		row := map[string]json.RawMessage{}
		_ = json.Unmarshal([]byte(recordJSON(a.Resource, p.Fields, 1)), &row)
		for key, v := range p.Filter {
			row[key], _ = json.Marshal(v.(map[string]any)["eq"])
		}
		for _, key := range []string{"erasedAt", "deletedAt"} { // it is neither erased nor archived
			if row[key] != nil {
				row[key] = json.RawMessage("null")
			}
		}
		raw, _ := json.Marshal(row)
		return success(envelope([]string{string(raw)}, p.Page, 0, false, 1))
	case a.List():
		rows := []string{recordJSON(a.Resource, p.Fields, 1), recordJSON(a.Resource, p.Fields, 2)}
		return success(envelope(rows, p.Page, 0, false, len(rows)))
	case a.Resource == nil:
		return success(`{"ok":true,"codec":"opus"}`)
	case len(p.Fields) == 0:
		return success("{}")
	}
	return success(recordJSON(a.Resource, p.Fields, 1))
}

// askedIDs returns the ids that a filter names; nil if it names none.
func askedIDs(filter map[string]any) (ids []any) {
	by, _ := filter["id"].(map[string]any)
	ids, _ = by["in"].([]any)
	return ids
}

// askedField returns the field by which a filter asks for one record; empty if it does not.
func askedField(filter map[string]any) string {
	for key, op := range filter {
		by, _ := op.(map[string]any)
		if _, is := by["eq"].(string); is && len(filter) == 1 && len(by) == 1 && (key == "id" || key == "callUuid" || key == "sipUserId") {
			return key
		}
	}
	return ""
}

// contact returns a contact that can be rung: the n-th of those asked for. Each of [ID] has a number
// of its own.
func contact(res *schemas.Resource, fields []string, id any, n int) string {
	number := n % 1000
	if s, ok := id.(string); ok && len(s) == len(ID(0)) && s[:len(s)-5] == ID(0)[:len(s)-5] {
		number, _ = strconv.Atoi(s[len(s)-5:])
	}
	known := map[string]any{"id": id, "phoneE164": fmt.Sprintf("+44207%07d", (9460000+number)%10_000_000), "erasedAt": nil, "deletedAt": nil}
	row := map[string]json.RawMessage{}
	for _, f := range fields {
		row[f] = json.RawMessage(value(res.Field(f), n))
		if v, ok := known[f]; ok {
			row[f], _ = json.Marshal(v)
		}
	}
	raw, _ := json.Marshal(row)
	return string(raw)
}

// envelope returns rows as Sippet does: a list if no page was asked for, an offset page if offset
// or count were, else a keyset page. first is the index of the first row among all.
func envelope(rows []string, p *page, first int, more bool, all int) string {
	list := "[" + strings.Join(rows, ",") + "]"
	if p == nil {
		return list
	}
	count := "null"
	if p.Count {
		count = fmt.Sprint(all)
	}
	if p.Offset != nil || p.Count && p.After == nil && p.Before == nil {
		return fmt.Sprintf(`{"results":%s,"hasMore":%t,"limit":%d,"offset":%d,"count":%s,"type":"offset"}`, list, more, p.Limit, first, count)
	}
	previous, next := "null", "null"
	if len(rows) > 0 {
		previous, next = quote(cursor(first)), quote(cursor(first+len(rows)-1))
	}
	return fmt.Sprintf(`{"results":%s,"hasMore":%t,"limit":%d,"after":%s,"before":%s,"previousPage":%s,"nextPage":%s,"count":%s,"type":"keyset"}`,
		list, more, p.Limit, orNull(p.After), orNull(p.Before), previous, next, count)
}

func orNull(s *string) string {
	if s == nil {
		return "null"
	}
	return quote(*s)
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

// ID returns the id of the n-th record.
func ID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// recordJSON returns the n-th record of a resource as JSON, with a value of its kind for each
// field. Unknown fields are null.
func recordJSON(res *schemas.Resource, fields []string, n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(name) + ":" + value(res.Field(name), n))
	}
	b.WriteByte('}')
	return b.String()
}

func value(f *schemas.Field, n int) string {
	if f == nil {
		return "null"
	}
	switch f.Kind {
	case schemas.UUID:
		return quote(ID(n))
	case schemas.Word:
		if len(f.Values) > 0 {
			return quote(f.Values[0])
		}
		return fmt.Sprintf(`"word-%d"`, n)
	case schemas.Bool:
		return "true"
	case schemas.Integer:
		return fmt.Sprint(n)
	case schemas.Float:
		return "0.5"
	case schemas.Decimal:
		return `"0.50"`
	case schemas.Time:
		return fmt.Sprintf(`"2026-01-31T09:00:%02d.000000Z"`, n%60)
	case schemas.Second:
		return fmt.Sprintf(`"2026-01-31T09:00:%02dZ"`, n%60)
	case schemas.Date:
		return `"2026-01-31"`
	case schemas.Map:
		return `{"key":"some value"}`
	case schemas.Texts:
		return `["some","texts"]`
	}
	return fmt.Sprintf(`"Some text %d"`, n)
}
