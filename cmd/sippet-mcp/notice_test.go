package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// hook receives notices.
type hook struct {
	t      *testing.T
	secret string

	mu  sync.Mutex
	got []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		h.t.Error(err)
	}
	at, sum, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Sippet-Signature"), "t="), ",v1=")
	m := hmac.New(sha256.New, []byte(h.secret))
	m.Write([]byte(at + "." + string(body)))
	if hex.EncodeToString(m.Sum(nil)) != sum {
		h.t.Errorf("not signed: %v", r.Header)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.got = append(h.got, string(body)); len(h.got) == 1 {
		w.WriteHeader(http.StatusInternalServerError) // it is sent again
	}
}

func (h *hook) bodies() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.got...)
}

// TestNotices: with both transports a webhook gets a notice of each request and of its end. It
// holds no name and no secret.
func TestNotices(t *testing.T) {
	for _, transport := range []string{"http", "stdio"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			w, h := newWorld(t), &hook{t: t, secret: "0123456789abcdef-notices"}
			server := httptest.NewServer(h)
			t.Cleanup(server.Close)
			env := []string{"SIPPET_NOTIFY_URL=" + server.URL + "/p4th", "SIPPET_NOTIFY_SECRET=" + h.secret}
			var id, base string
			switch transport {
			case "http":
				p := w.start(t, env, "http", "--addr", "127.0.0.1:0", "--approval-wait", "0s")
				must(t, p.listening())
				id, base = w.caller(t, p.url).tool(t, "delete_contact", erase(1)).waits(t)
			case "stdio":
				w.fix(t)
				_, c := w.stdio(t, env)
				id, base = c.tool(t, "delete_contact", erase(1)).waits(t)
			}
			type notice struct{ Event, Approval, Action, Class, Needs, State, Inbox string }
			next := func(n int) (got notice) {
				t.Helper()
				until(t, 20*time.Second, func() bool { return len(h.bodies()) >= n }, func() string { return "no notice arrived" })
				must(t, json.Unmarshal([]byte(h.bodies()[n-1]), &got))
				return got
			}
			asked := notice{Event: "approval.requested", Approval: id, Action: "delete_contact", Class: "destructive", Needs: "approve", Inbox: base + "/inbox"}
			if first, again := next(1), next(2); first != asked || again != asked {
				t.Errorf("%+v\n%+v, want\n%+v", first, again, asked)
			}
			ada := &answerer{base, w.ada}
			ada.approve(t, id)
			if got, want := next(3), (notice{Event: "approval.ended", Approval: id, State: string(ledger.Used), Inbox: base + "/inbox"}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			ada.awaitStatus(t, id, "it ran")
			all := strings.Join(h.bodies(), "\n")
			for _, bad := range []string{"bob", `"ada`, "ada (", "(stdio)", "(http)", w.bob, w.ada, h.secret, "sk_test", "/enter/", "stamp", "Some text"} {
				if strings.Contains(all, bad) {
					t.Errorf("%q is in %s", bad, all)
				}
			}
		})
	}
}
