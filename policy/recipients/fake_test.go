package recipients

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// fakeContacts is a fake Sippet that has only contacts.
type fakeContacts struct {
	t     interface{ Fatalf(string, ...any) }
	rows  map[string]map[string]any
	reads []int // how many ids each read requested
	// alter changes an answer before it is returned; nil leaves it unchanged.
	alter func(page map[string]any)
}

func newFakeContacts(t interface{ Fatalf(string, ...any) }) *fakeContacts {
	return &fakeContacts{t: t, rows: map[string]map[string]any{}}
}

// add adds a contact and returns its id.
func (b *fakeContacts) add(n int, name, number any) string {
	id := fmt.Sprintf("c0000000-0000-4000-8000-%012x", n)
	b.rows[id] = map[string]any{"id": id, "fullName": name, "phoneE164": number, "erasedAt": nil, "deletedAt": nil}
	return id
}

func (b *fakeContacts) read(_ context.Context, p *schemas.Payload) (json.RawMessage, *schemas.Error) {
	if p.Action.Name != "list_contacts" {
		b.t.Fatalf("%s was read", p.Action.Name)
	}
	var body struct {
		Fields []string
		Filter struct {
			ID struct{ In []string }
		}
		Page struct{ Limit int }
	}
	if err := json.Unmarshal(p.Body, &body); err != nil {
		b.t.Fatalf("the body %s: %v", p.Body, err)
	}
	if strings.Join(body.Fields, " ") != "id fullName phoneE164 erasedAt deletedAt" {
		b.t.Fatalf("fields %v", body.Fields)
	}
	if n := len(body.Filter.ID.In); n == 0 || n > 250 || body.Page.Limit > 250 || body.Page.Limit < n {
		b.t.Fatalf("%d ids with a limit of %d", n, body.Page.Limit)
	}
	b.reads = append(b.reads, len(body.Filter.ID.In))
	asked := map[string]bool{}
	for _, id := range body.Filter.ID.In {
		asked[id] = true
	}
	results := []any{}
	for id, row := range b.rows { // in any order
		if asked[id] {
			results = append(results, row)
		}
	}
	page := map[string]any{"results": results, "hasMore": false, "limit": body.Page.Limit, "type": "keyset", "nextPage": "x"}
	if b.alter != nil {
		b.alter(page)
	}
	raw, err := json.Marshal(page)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	return raw, nil
}

// failingRead fails the test if it is called.
func failingRead(t testing.TB) Read {
	return func(context.Context, *schemas.Payload) (json.RawMessage, *schemas.Error) {
		t.Helper()
		t.Error("something was read")
		return nil, nil
	}
}

func check(t interface{ Fatalf(string, ...any) }, action string, input map[string]any) *schemas.Payload {
	a, fault := schemas.Find(action)
	if fault != nil {
		t.Fatalf("%v", fault)
	}
	raw, err := json.Marshal(map[string]any{"input": input})
	if err != nil {
		t.Fatalf("%v", err)
	}
	p, fault := a.Check(raw, schemas.Limits{})
	if fault != nil {
		t.Fatalf("%s %s: %v", action, raw, fault)
	}
	return p
}

// bulk returns a call to contacts.
func bulk(t interface{ Fatalf(string, ...any) }, ids ...string) *schemas.Payload {
	return check(t, "start_bulk_outbound_call", map[string]any{"contactIds": ids})
}

// recordedRead reads the page of a call once, and returns it from then on.
func recordedRead(t testing.TB, b *fakeContacts, p *schemas.Payload) Read {
	var page json.RawMessage
	_, fault := Resolve(t.Context(), p, func(ctx context.Context, r *schemas.Payload) (json.RawMessage, *schemas.Error) {
		var fault *schemas.Error
		page, fault = b.read(ctx, r)
		return page, fault
	})
	if fault != nil {
		t.Fatal(fault)
	}
	return func(context.Context, *schemas.Payload) (json.RawMessage, *schemas.Error) { return page, nil }
}
