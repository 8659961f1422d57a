package inbox_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const noticeSecret = "a secret that both know"

// notice is the documented form of a notice.
type notice struct {
	Event     string     `json:"event"`
	Approval  string     `json:"approval"`
	Action    string     `json:"action"`
	Class     string     `json:"class"`
	Needs     string     `json:"needs"`
	People    int        `json:"people"`
	Expires   *time.Time `json:"expires"`
	State     string     `json:"state"`
	Simulated bool       `json:"simulated"`
	Inbox     string     `json:"inbox"`
	At        time.Time  `json:"at"`
}

// receiver is a program that receives notices.
type receiver struct {
	t *testing.T
	// answer answers the n-th request, from 0 on; nil means 200.
	answer func(n int, w http.ResponseWriter, r *http.Request)

	mu     sync.Mutex
	bodies []string
}

// ServeHTTP checks the signature as documented.
func (s *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	at, sent, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Sippet-Signature"), "t="), ",v1=")
	m := hmac.New(sha256.New, []byte(noticeSecret))
	m.Write([]byte(at + "." + string(body)))
	if want := hex.EncodeToString(m.Sum(nil)); sent != want {
		s.t.Errorf("signed %s, want %s", sent, want)
	}
	if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 10*time.Second {
		s.t.Errorf("signed at %q", at)
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.URL.String() != "/hook?k=1" {
		s.t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	s.mu.Lock()
	n := len(s.bodies)
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(n, w, r)
	}
}

func (s *receiver) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

// await waits until n requests have arrived.
func (s *receiver) await(n int) []string {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); len(s.got()) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%d requests arrived, want %d: %q", len(s.got()), n, s.got())
		}
	}
	return s.got()
}

// noticeOf decodes a body that must have the documented keys only.
func noticeOf(t *testing.T, body string) (n notice) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if time.Since(n.At) > 30*time.Second {
		t.Errorf("its time is %v", n.At)
	}
	n.At = time.Time{}
	return n
}

// notifying is a running notifier with a receiver.
type notifying struct {
	*inbox.Notifier
	ledger *ledger.SQLite
	log    *buffer
	end    func()
}

func newNotifying(t *testing.T, s *receiver) *notifying {
	t.Helper()
	s.t = t
	server := httptest.NewServer(s)
	n, err := inbox.NewNotifier(server.URL+"/hook?k=1", noticeSecret)
	if err != nil {
		t.Fatal(err)
	}
	w := &notifying{Notifier: n, ledger: ledgertest.Open(t, ledger.Options{}), log: &buffer{}}
	n.Ledger, n.Log, n.Simulated = w.ledger, slog.New(slog.NewTextHandler(w.log, nil)), true
	n.Watch = &approval.Watcher{Ledger: w.ledger, Log: n.Log}
	n.Inbox = func() string { return "https://mcp.example.com/inbox" }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { n.Run(ctx); close(ended) }()
	var once sync.Once
	w.end = func() {
		once.Do(func() {
			cancel()
			<-ended
			server.CloseClientConnections()
			server.Close()
		})
	}
	t.Cleanup(w.end)
	return w
}

// personal are texts of a request that no notice may contain.
var personal = []string{"Ada", "Lovelace", "442079460123", "bob", "Claude", "invoice", anID, "test.yaml", "Ring"}

// ask stores a request with personal data, and notifies.
func (w *notifying) ask(t *testing.T, lasts time.Duration) *policy.PendingApproval {
	t.Helper()
	card := approval.Card{Action: "start_outbound_call", Class: schemas.Outbound, Needs: "confirm", Title: "Ring Ada Lovelace.", Recipients: "+442079460123", To: []string{"Ada +442079460123"},
		RecipientCount: 12, StateNumber: 12, Facts: []approval.Line{{Name: "fullName", Value: "Ada"}}, Sent: []approval.Line{{Name: "input.contactId", Value: anID}}, Why: "test.yaml", Requester: "bob, via token 1",
		Client: "Claude", Reason: "about her invoice", Expires: time.Now().Add(lasts).UTC()}
	raw, err := json.Marshal(card)
	if err != nil {
		t.Fatal(err)
	}
	req := ledger.ApprovalRequest{ID: ledger.NewID(), Requester: ledger.Actor{Name: "bob", Via: "1"}, Person: "bob", Action: card.Action, Hash: ledger.NewID(), EffectKey: ledger.NewID(), Policy: "v1", Needs: card.Needs,
		Payload: []byte(`{"action":"start_outbound_call"}`), Card: raw, Expires: card.Expires}
	if err := w.ledger.CreateApproval(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	p := &policy.PendingApproval{ApprovalID: req.ID, Card: card, New: true}
	w.Requested(p)
	return p
}

func (w *notifying) answer(t *testing.T, id string, r ledger.Reply) {
	t.Helper()
	req, err := w.ledger.Approval(t.Context(), id)
	if err == nil {
		err = w.ledger.AnswerApproval(t.Context(), req, r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestNotices: the receiver gets a signed notice of each request and of its end, without personal
// data.
func TestNotices(t *testing.T) {
	t.Parallel()
	s := &receiver{}
	w := newNotifying(t, s)
	p := w.ask(t, time.Hour)
	got := noticeOf(t, s.await(1)[0])
	if d := cmp.Diff(notice{Event: "approval.requested", Approval: p.ApprovalID, Action: "start_outbound_call", Class: "outbound", Needs: "confirm", People: 12, Expires: &p.Card.Expires,
		Simulated: true, Inbox: "https://mcp.example.com/inbox"}, got); d != "" {
		t.Error(d)
	}
	ended := func(n int, id, state string) {
		t.Helper()
		got := noticeOf(t, s.await(n)[n-1])
		if d := cmp.Diff(notice{Event: "approval.ended", Approval: id, State: state, Simulated: true, Inbox: "https://mcp.example.com/inbox"}, got); d != "" {
			t.Error(d)
		}
	}
	w.answer(t, p.ApprovalID, ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: "ada", Via: "inbox"}, Note: "not Ada Lovelace"})
	ended(2, p.ApprovalID, "declined")
	// An approval does not end the request before it is used or expired.
	p = w.ask(t, time.Hour)
	s.await(3)
	w.answer(t, p.ApprovalID, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada", Via: "inbox"}})
	time.Sleep(1500 * time.Millisecond) // longer than the poll interval
	if n := len(s.got()); n != 3 {
		t.Errorf("a notice of an unused approval: %s", s.got()[n-1])
	}
	w.answer(t, p.ApprovalID, ledger.Reply{State: ledger.Revoked, Outcome: schemas.LimitExceeded, Fault: []byte(`{"Outcome":"limit_exceeded"}`)})
	ended(4, p.ApprovalID, "revoked")
	// An expiry ends it too.
	p = w.ask(t, 300*time.Millisecond)
	s.await(5)
	ended(6, p.ApprovalID, "expired")
	time.Sleep(200 * time.Millisecond)
	if n := len(s.got()); n != 6 {
		t.Errorf("%d notices of three requests", n)
	}
	for _, body := range s.got() {
		for _, bad := range append(personal, noticeSecret, "/enter/", "ada, via") {
			if strings.Contains(body, bad) {
				t.Errorf("%q is in %s", bad, body)
			}
		}
	}
	if log := w.log.String(); log != "" {
		t.Errorf("the log: %s", log)
	}
}

// TestNoticesRetry: a rejected notice is sent again unchanged until it is accepted. Redirects are
// not followed.
func TestNoticesRetry(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	s := &receiver{answer: func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}}
	w := newNotifying(t, s)
	began := time.Now()
	w.ask(t, time.Hour)
	all := s.await(3)
	if all[1] != all[0] || all[2] != all[0] {
		t.Errorf("the notices differ: %q", all)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("three attempts within %v", took)
	}
	time.Sleep(5 * time.Second) // a fourth would have been sent
	if n := len(s.got()); n != 3 {
		t.Errorf("it was sent %d times, and accepted at the third", n)
	}
	if log := w.log.String(); log != "" {
		t.Errorf("the log: %s", log)
	}
}

// TestNoticesStuck: a receiver that does not answer delays neither other notices nor the end of the
// program. The log names its host only.
func TestNoticesStuck(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	defer close(stuck)
	s := &receiver{answer: func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 0 {
			select {
			case <-stuck:
			case <-r.Context().Done():
			}
		}
	}}
	w := newNotifying(t, s)
	w.ask(t, time.Hour)
	s.await(1)
	began := time.Now()
	for range 20 {
		w.ask(t, time.Hour)
	}
	s.await(21)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("twenty others took %v", took)
	}
	began = time.Now()
	w.end()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
	// Nothing is sent any more.
	card := approval.Card{Action: "start_outbound_call", Title: "Ring Ada Lovelace."}
	for range 1001 {
		w.Requested(&policy.PendingApproval{ApprovalID: ledger.NewID(), Card: card})
	}
	log := w.log.String()
	if !strings.Contains(log, "a notice was dropped, because too many are queued") || !strings.Contains(log, "host=127.0.0.1:") {
		t.Errorf("the log: %s", log)
	}
	for _, bad := range append(personal, noticeSecret, "/hook", "k=1") {
		if strings.Contains(log, bad) {
			t.Errorf("%q is in the log: %s", bad, log)
		}
	}
}

// TestNotifierConfiguration: errors about the URL and the secret contain neither.
func TestNotifierConfiguration(t *testing.T) {
	const secret = "0123456789abcdef"
	for _, c := range []struct{ address, secret, want string }{
		{"https://hooks.example.com/p4th?t=t0ken", secret, ""},
		{"https://us3r:pa55@hooks.example.com/p4th", secret, ""},
		{"http://127.0.0.1:9/p4th", secret, ""},
		{"http://localhost/p4th", secret, ""},
		{"http://[::1]:9/p4th", secret, ""},
		{"http://hooks.example.com/p4th", secret, "must be https, or http on this machine"},
		{"http://localhost.example.com/p4th", secret, "must be https"},
		{"http://127.0.0.1.example.com/p4th", secret, "must be https"},
		{"http://10.0.0.1/p4th", secret, "must be https"},
		{"ftp://hooks.example.com/p4th", secret, "must be https"},
		{"hooks.example.com/p4th", secret, "is not a URL"},
		{"https:///p4th", secret, "is not a URL"},
		{"https://us3r:pa55@hooks.example.com:p4th/", secret, "is not a URL"},
		{"p4th\x7f", secret, "is not a URL"},
		{"https://hooks.example.com/p4th", secret[1:], "at least 16 characters"},
		{"https://hooks.example.com/p4th", "", "at least 16 characters"},
	} {
		_, err := inbox.NewNotifier(c.address, c.secret)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q, %q: %v, want %q", c.address, c.secret, err, c.want)
		case err != nil:
			for _, bad := range []string{"p4th", "t0ken", "us3r", "pa55", "hooks.example.com/p", "23456789abcdef"} {
				if strings.Contains(err.Error(), bad) {
					t.Errorf("%q is in %v", bad, err)
				}
			}
		}
	}
	if _, err := inbox.NewNotifier("http://127.0.0.1", string(bytes.Repeat([]byte("x"), 16))); err != nil {
		t.Error(err)
	}
}
