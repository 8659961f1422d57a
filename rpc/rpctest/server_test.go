package rpctest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func connect(t *testing.T) (*rpctest.Server, *rpc.Client) {
	t.Helper()
	s := rpctest.New(t)
	c, err := rpc.New(rpc.Config{BaseURL: s.URL, Key: rpctest.Key, RetryDelay: time.Millisecond, MaxResponse: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

func TestUsualAnswers(t *testing.T) {
	s, c := connect(t)
	for _, a := range schemas.Actions() {
		body := `{"action":"` + a.Name + `"`
		if a.Resource != nil {
			fields, _ := json.Marshal(a.Resource.Names())
			body += `,"fields":` + string(fields)
		}
		if a.Paged() {
			body += `,"page":{"limit":25}`
		}
		res, err := c.Run(t.Context(), rpc.Request{Action: a.Name, Body: []byte(body + "}"), Read: true})
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
			continue
		}
		record := res.Data
		switch {
		case a.Paged():
			var p struct {
				Results []json.RawMessage
				Type    string
			}
			if err := json.Unmarshal(res.Data, &p); err != nil || len(p.Results) != 2 || p.Type != "keyset" {
				t.Errorf("%s: not a page of two: %s", a.Name, res.Data)
				continue
			}
			record = p.Results[0]
		case a.List():
			var rows []json.RawMessage
			if err := json.Unmarshal(res.Data, &rows); err != nil || len(rows) != 2 {
				t.Errorf("%s: not a list of two: %s", a.Name, res.Data)
				continue
			}
			record = rows[0]
		}
		var m map[string]any
		if err := json.Unmarshal(record, &m); err != nil || a.Resource != nil && len(m) != len(a.Resource.Names()) {
			t.Errorf("%s: not a record with the fields asked for: %s", a.Name, record)
		}
		if err := c.Validate(t.Context(), rpc.Request{Action: a.Name, Body: []byte(body + "}")}); err != nil {
			t.Errorf("validate %s: %v", a.Name, err)
		}
	}
	got := s.Requests()
	if len(got) != 2*len(schemas.Actions()) || got[1].Endpoint != rpctest.Validate || got[0].Action != schemas.Actions()[0].Name || got[0].Header.Get("X-Api-Key") != rpctest.Key {
		t.Errorf("recorded %d requests, the first %+v", len(got), got[0])
	}
}

func TestAnswers(t *testing.T) {
	write := rpc.Request{Action: "delete_contact", Body: []byte(`{"action":"delete_contact"}`), Deadline: 300 * time.Millisecond}
	for name, c := range map[string]struct {
		h    rpctest.Handler
		want schemas.Outcome
	}{
		"ok":            {rpctest.OK(`{"id":"x"}`), schemas.Done},
		"usual":         {rpctest.Usual, schemas.Done},
		"refused":       {rpctest.Refuse("not_found", "record not found"), schemas.UpstreamError},
		"no faults":     {rpctest.Faults(), schemas.UpstreamError},
		"401":           {rpctest.Status(401, "no"), schemas.UpstreamError},
		"429":           {rpctest.Status(429, "", 7), schemas.UpstreamError},
		"503":           {rpctest.Status(503, "<html>"), schemas.OutcomeUnknown},
		"HTML":          {rpctest.HTML, schemas.OutcomeUnknown},
		"hang":          {rpctest.Hang, schemas.OutcomeUnknown},
		"reset":         {rpctest.Reset, schemas.OutcomeUnknown},
		"oversize":      {rpctest.Oversize, schemas.OutcomeUnknown},
		"truncated":     {rpctest.Truncated, schemas.OutcomeUnknown},
		"in turn":       {rpctest.InTurn(rpctest.Usual, rpctest.Reset), schemas.Done},
		"with a delay":  {rpctest.Always(rpctest.Answer{Usual: true, Delay: time.Millisecond}), schemas.Done},
		"any body else": {rpctest.Always(rpctest.Answer{Body: "null"}), schemas.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, client := connect(t)
			s.On("", "", rpctest.Status(500, "the one that names the action wins"))
			s.On(rpctest.Run, "delete_contact", c.h)
			_, err := client.Run(context.Background(), write)
			switch {
			case err == nil && c.want == schemas.Done:
			case err == nil || err.Outcome != c.want:
				t.Errorf("outcome of %v, want %s", err, c.want)
			case name == "429" && err.RetryAfter != 7*time.Second:
				t.Errorf("Retry-After %v", err.RetryAfter)
			}
			if n := len(s.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestDown(t *testing.T) {
	s, c := connect(t)
	s.On("", "", func(rpctest.Request) rpctest.Answer {
		s.Down()
		return rpctest.Answer{Usual: true, Close: true}
	})
	write := rpc.Request{Action: "delete_contact", Body: []byte(`{"action":"delete_contact"}`)}
	if err := c.Validate(t.Context(), write); err != nil {
		t.Fatalf("the request that was there is answered: %v", err)
	}
	res, err := c.Run(t.Context(), write)
	if err == nil || err.Outcome != schemas.UpstreamUnavailable || res.Sent {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestTablePages(t *testing.T) {
	var rows []map[string]any
	for n := range 23 {
		rows = append(rows, map[string]any{"id": rpctest.ID(n), "insertedAt": fmt.Sprintf("2026-01-31T09:00:%02d.000000Z", n)})
	}
	s, c := connect(t)
	s.On(rpctest.Run, "list_campaigns", rpctest.NewTable("insertedAt", rows...).Answer)
	read := func(page string) (ids []string, p struct {
		Results         []struct{ ID string }
		HasMore         bool
		NextPage, Type  string
		PreviousPage    string
		Count, Offset   *int
		Limit, NoSuches int
	}) {
		res, fault := c.Run(t.Context(), rpc.Request{Action: "list_campaigns", Read: true,
			Body: []byte(`{"action":"list_campaigns","fields":["id"],"sort":"-insertedAt","filter":{"and":[{"insertedAt":{"lessThan":"2026-01-31T09:00:20.000000Z"}}]},"page":` + page + `}`)})
		if fault != nil {
			t.Fatal(fault)
		}
		if err := json.Unmarshal(res.Data, &p); err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Results {
			ids = append(ids, r.ID)
		}
		return ids, p
	}
	var want, keyset, offset []string
	for n := 19; n >= 0; n-- {
		want = append(want, rpctest.ID(n))
	}
	for next, more := `{"limit":7}`, true; more; {
		ids, p := read(next)
		keyset, more, next = append(keyset, ids...), p.HasMore, `{"limit":7,"after":"`+p.NextPage+`"}`
		if p.Type != "keyset" {
			t.Error(p.Type)
		}
	}
	for more := true; more; {
		ids, p := read(fmt.Sprintf(`{"limit":7,"offset":%d,"count":true}`, len(offset)))
		offset, more = append(offset, ids...), p.HasMore
		if p.Type != "offset" || p.Count == nil || *p.Count != 20 {
			t.Errorf("%+v", p)
		}
	}
	if d := cmp.Diff(want, keyset); d != "" {
		t.Error("keyset", d)
	}
	if d := cmp.Diff(want, offset); d != "" {
		t.Error("offset", d)
	}
	ids, last := read(`{"limit":5,"offset":10}`)
	_, key := read(`{"limit":11}`)
	back, p := read(`{"limit":5,"before":"` + key.NextPage + `"}`)
	if d := cmp.Diff(want[10:15], ids); d != "" || !last.HasMore {
		t.Error(d)
	}
	if d := cmp.Diff(want[5:10], back); d != "" || !p.HasMore {
		t.Error("before", d)
	}
}

func TestAwaitAndRecord(t *testing.T) {
	s, c := connect(t)
	hold := make(chan struct{})
	s.On("", "", rpctest.Always(rpctest.Answer{Usual: true, Until: hold}))
	done := make(chan *schemas.Error)
	go func() {
		done <- c.Validate(context.Background(), rpc.Request{Action: "end_call", Body: []byte(`{"action":"end_call"}`)})
	}()
	if r := s.Await(t, 1); r[0].Action != "end_call" {
		t.Error(r)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.Forget()
	s.Record(false)
	_ = c.Validate(t.Context(), rpc.Request{Action: "end_call", Body: []byte(`{}`)})
	if r := s.Requests(); len(r) != 0 {
		t.Error(r)
	}
}
