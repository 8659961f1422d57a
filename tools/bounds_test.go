package tools_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

func TestBounds(t *testing.T) {
	long := strings.Repeat("ü€😀 ", 200)
	w := newWorld(t, setup{rows: 30, bytes: 10_000})
	p := w.httpPeer(t, true)
	w.up.On("run", "list_contacts", table("insertedAt", 100, 1, long).Answer)
	r := p.call("list_contacts", `{"page":{"limit":30}}`)
	if n := len(r.Result.Content[0].Text); n > 11_000 {
		t.Errorf("the text has %d bytes", n)
	}
	a := list(t, p, "list_contacts", `{"page":{"limit":30}}`)
	if len(a.Results) == 0 || a.Omitted != 30-len(a.Results) || !a.hasNote(fmt.Sprintf("%d rows were left out", a.Omitted)) {
		t.Errorf("%d rows, omitted %d, %q", len(a.Results), a.Omitted, a.Notes)
	}
	if a.Results[0]["fullName"] != long {
		t.Error("a row that fits was changed")
	}
}

// TestLongRow checks that the texts of a single row are cut if it is too long, and that it is left
// out if that is not enough.
func TestLongRow(t *testing.T) {
	giant := strings.Repeat("word ", 100_000)
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	w.up.On("run", "list_contacts", table("insertedAt", 3, 1, giant).Answer)
	r := p.call("list_contacts", `{}`)
	a := list(t, p, "list_contacts", `{}`)
	name, _ := a.Results[0]["fullName"].(string)
	if len(r.Frame) > 120_000 || len(name) < 1000 || len(name) > 50_000 || !strings.Contains(name, "cut, 500000 characters in all") || !a.hasNote("long texts were cut") {
		t.Errorf("%d bytes, name of %d, %q", len(r.Frame), len(name), a.Notes)
	}
	// next continues with the other rows.
	if d := cmp.Diff(ids(0, 3), flat(follow(t, p, "list_contacts", `{}`))); d != "" {
		t.Error(d)
	}

	numbers := "[" + strings.Repeat("1234567890,", 20_000) + "0]"
	w.up.On("run", "list_contacts", rpctest.OK(`{"results":[{"id":"x","metadata":{"n":`+numbers+`}}],"hasMore":false,"limit":25,"type":"keyset","nextPage":"c"}`))
	a = list(t, p, "list_contacts", `{"fields":["id","metadata"]}`)
	if len(a.Results) != 0 || a.Omitted != 1 || !a.HasMore || !a.hasNote("ask for fewer fields") {
		t.Errorf("%+v", a)
	}
	w.up.On("run", "get_campaign", rpctest.OK(`{"id":"x","status":`+numbers+`}`))
	one := p.call("get_campaign", samples["get_campaign"])
	if one.outcome(t) != "done" || one.field(t, "result") != nil || !strings.Contains(encodeJSON(one.field(t, "notes")), "ask for fewer fields") {
		t.Errorf("%.500s", one.Frame)
	}
	w.up.On("run", "get_campaign", rpctest.OK(`{"id":"x","targetType":`+string(mustJSON(giant))+`}`))
	one = p.call("get_campaign", samples["get_campaign"])
	if got := object(t, one.Result.Structured)["result"].(map[string]any)["targetType"].(string); !strings.Contains(got, "cut, 500000 characters") {
		t.Errorf("%d bytes", len(got))
	}
}

// TestShapesOfLists checks that all of Sippet's shapes of a list become one.
func TestShapesOfLists(t *testing.T) {
	row := `{"id":"` + rpctest.ID(1) + `"}`
	for name, c := range map[string]struct {
		data string
		rows int
		more bool
		note string
	}{
		"plain":            {`[` + row + `,` + row + `]`, 2, false, ""},
		"empty":            {`[]`, 0, false, ""},
		"null":             {`null`, 0, false, ""},
		"page":             {`{"results":[` + row + `],"hasMore":true,"limit":25,"nextPage":"c","type":"keyset"}`, 1, true, ""},
		"page of nothing":  {`{"results":[],"hasMore":false,"limit":25,"nextPage":null,"type":"keyset"}`, 0, false, ""},
		"more than asked":  {`{"results":[` + strings.TrimSuffix(strings.Repeat(row+",", 26), ",") + `],"hasMore":false,"limit":25,"nextPage":"c","type":"keyset"}`, 26, true, "more rows than were asked for"},
		"neither":          {`{"id":"x"}`, 1, false, ""},
		"results no list":  {`{"results":5}`, 1, false, ""},
		"cursors of other": {`{"results":[` + row + `],"hasMore":true,"limit":25,"nextPage":5,"type":7}`, 1, true, ""},
	} {
		w := newWorld(t, setup{})
		w.up.On("run", "", rpctest.OK(c.data))
		a := list(t, w.httpPeer(t, true), "list_contacts", `{}`)
		if len(a.Results) != c.rows || a.HasMore != c.more || c.note != "" && !a.hasNote(c.note) {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
