package sandbox

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHTTP(t *testing.T) {
	o := open(t, Options{})
	good := `{"action":"list_contacts","fields":["id"],"page":{"limit":1}}`
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	for name, x := range map[string]struct {
		method, path, kind, accept, key, body string
		status                                int
		contains                              string
	}{
		"good":             {body: good, status: 200, contains: `"success":true`},
		"the curl":         {body: good, accept: "*/*", status: 200, contains: `"keyset"`},
		"no key":           {body: good, key: "-", status: 401, contains: `{"errors":{"detail":"Unauthorized"}}`},
		"get":              {method: "GET", body: good, status: 404},
		"other path":       {path: "/", body: good, status: 404, contains: "Not Found"},
		"html only":        {body: good, accept: "text/html", status: 406},
		"html or anything": {body: good, accept: "text/html, */*;q=0.1", status: 200},
		"no JSON":          {body: `{"action":`, status: 400, contains: "Bad Request"},
		"two values":       {body: good + good, status: 400},
		"no UTF-8":         {body: "{\"action\":\"\xff\"}", status: 400},
		"no body":          {body: "", status: 200, contains: "missing_required_parameter"},
		"no object":        {body: "[]", status: 200, contains: "missing_required_parameter"},
		"no content type":  {body: good, kind: "-", status: 200, contains: "missing_required_parameter"},
		"text":             {body: good, kind: "text/plain", status: 200, contains: "missing_required_parameter"},
		"broken type":      {body: good, kind: ";;", status: 415},
		"form":             {body: "action=nope", kind: "application/x-www-form-urlencoded", status: 200, contains: "action_not_found"},
		"last key wins":    {body: `{"action":"nope","action":"list_campaigns"}`, status: 200, contains: "campaigns"},
		"deep JSON":        {body: deep("[", "]", 100_000), status: 400},
		"deep filter":      {body: `{"action":"list_contacts","fields":["id"],"filter":` + strings.Repeat(`{"not":[`, 900) + strings.Repeat("]}", 900) + `}`, status: 200, contains: "internal_error"},
		"allowed depth":    {body: `{"action":"list_contacts","fields":["id"],"filter":` + strings.Repeat(`{"not":[`, 150) + `{"id":{"isNil":true}}` + strings.Repeat("]}", 150) + `}`, status: 200, contains: `"success":true`},
		"wide filter":      {body: `{"action":"list_contacts","fields":["id"],"filter":{"or":[` + strings.Repeat(`{"fullName":{"eq":"x"}},`, 5000) + `{"fullName":{"eq":"y"}}]}}`, status: 200},
		"many values":      {body: `{"action":"list_contacts","fields":["id"],"filter":{"fullName":{"in":[` + strings.Repeat(`"x",`, 50_000) + `"y"]}}}`, status: 200},
		"empty and":        {body: `{"action":"list_contacts","fields":["id"],"filter":{"and":[]}}`, status: 500, contains: "Internal Server Error"},
		"sort as a list":   {body: `{"action":"list_contacts","fields":["id"],"sort":["id"]}`, status: 500},
		"huge number":      {body: `{"action":"list_contacts","fields":["id"],"page":{"limit":1e400}}`, status: 200, contains: "invalid_page"},
		"NUL":              {body: `{"action":"list_contacts","fields":["id"],"filter":{"fullName":{"eq":"a\u0000b"}}}`, status: 200},
		"action is a map":  {body: `{"action":{}}`, status: 500},
		"action is true":   {body: `{"action":true}`, status: 200, contains: "action_not_found"},
		"action is false":  {body: `{"action":false}`, status: 200, contains: "missing_required_parameter"},
		"too large":        {body: `{"x":"` + strings.Repeat("x", MaxBody) + `"}`, status: 413, contains: "Request Entity Too Large"},
	} {
		t.Run(name, func(t *testing.T) {
			method, path := "POST", runPath
			if x.method != "" {
				method = x.method
			}
			if x.path != "" {
				path = x.path
			}
			r := httptest.NewRequest(method, path, strings.NewReader(x.body))
			r.Header.Set("Content-Type", "application/json")
			switch x.kind {
			case "":
			case "-":
				r.Header.Del("Content-Type")
			default:
				r.Header.Set("Content-Type", x.kind)
			}
			if x.accept != "" {
				r.Header.Set("Accept", x.accept)
			}
			if x.key != "-" {
				r.Header.Set("X-Api-Key", "k")
			}
			w := httptest.NewRecorder()
			o.s.Handler().ServeHTTP(w, r)
			if w.Code != x.status || !strings.Contains(w.Body.String(), x.contains) {
				t.Errorf("status %d, want %d with %q: %.300s", w.Code, x.status, x.contains, w.Body)
			}
			if _, ok := decodeJSON(w.Body.Bytes()); !ok || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("not JSON: %s %.200s", w.Header(), w.Body)
			}
		})
	}
	o.run(good) // it still works
}

func TestServe(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	base, key, err := s.Serve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(key string) (int, string) {
		r, err := http.NewRequest("POST", base+runPath, bytes.NewReader([]byte(`{"action":"who_am_i","fields":["fullName"]}`)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("content-type", "application/json")
		r.Header.Set("x-api-key", key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	if !strings.HasPrefix(base, "http://127.0.0.1:") {
		t.Errorf("base URL %s", base)
	}
	if status, body := ask(key); status != 200 || body != `{"data":{"fullName":"Nadia Rahman"},"success":true}` {
		t.Errorf("status %d: %s", status, body)
	}
	for _, other := range []string{"", "guess", key + "x"} {
		if status, _ := ask(other); status != 401 {
			t.Errorf("key %q: status %d, want 401", other, status)
		}
	}
	cancel()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if status, _ := ask(key); status == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("still serving after the context ended")
		}
	}
}
