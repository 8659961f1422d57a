package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	crashRounds = 240 // of them every fourth on stdio, where they last longer
	crashShort  = 24  // with -short
	callers     = 4   // at once, of one server
)

const crashPolicy = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}
`

// payload is one call that the clients of one transport make, once or several times.
type payload struct {
	action *schemas.Action
	args   string
	body   string // the canonical bytes
	txn    ledger.Txn
	lane   *lane

	// Guarded by the world.
	validated, approved int
	state               string // request state of the last approval, if the client got one
	runs                []*run
	done                int
}

func (p *payload) confirmed() bool { return p.action.Class != schemas.Write }

// ending is what the upstream did with a run request.
type ending string

const (
	answeredRun ending = "answered" // it ran
	rejectedRun ending = "rejected" // it did not run, and the caller was told
	brokenRun   ending = "broken"   // it may have run: no answer, half of one, or HTTP 500
)

// possibleStates are the states of the intent after each ending.
var possibleStates = map[ending][]ledger.IntentState{
	answeredRun: {ledger.Succeeded, ledger.Unknown}, // unknown if the server died before the answer
	rejectedRun: {ledger.Failed, ledger.Unknown},
	brokenRun:   {ledger.Unknown},
}

// run is a run request, and the intent in the ledger when it arrived.
type run struct {
	at     time.Time
	intent ledger.Intent
	end    ending
}

// clientResult is the outcome that a client got; crashed if its server died.
type clientResult struct {
	p               *payload
	outcome, intent string
}

// crashWorld is everything except the servers: the upstream, the clients and the ledger.
type crashWorld struct {
	t            *testing.T
	dir, policy  string
	url          string
	organisation string
	l            *ledger.SQLite
	closing      chan struct{}
	reading      sync.Mutex

	mu       sync.Mutex
	payloads map[string]*payload // by their token
	results  []clientResult
	counts   map[string]int
}

// fail records an error from any goroutine.
func (w *crashWorld) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
}

func (w *crashWorld) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// TestCrashes kills servers at random and at critical moments, while clients call and the upstream
// fails. Nothing runs twice, nothing runs without a record, and no record or reported outcome is
// lost.
func TestCrashes(t *testing.T) {
	t.Parallel() // with other tests that mostly wait
	began := time.Now()
	w := newCrashWorld(t)
	up := httptest.NewServer(w)
	w.url = up.URL
	c, err := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpctest.Key})
	if err != nil {
		t.Fatal(err)
	}
	if w.organisation, _, err = w.l.OpenOrganisation(t.Context(), c.KeyName()); err != nil {
		t.Fatal(err)
	}
	n := crashRounds
	if testing.Short() {
		n = crashShort
	}
	var outside string
	http, stdio := newLane(w, "http"), newLane(w, "stdio")
	http.token = (&world{dir: w.dir}).token(t, "bob", "agent", "--interactive")
	http.caller = tokenActor("bob", http.token)
	for half := range 2 {
		var wg sync.WaitGroup
		for l, rounds := range map[*lane]int{http: n / 2 * 3 / 4, stdio: n / 2 / 4} {
			wg.Go(func() {
				for range rounds {
					l.round()
				}
			})
		}
		wg.Wait()
		if half == 0 {
			outside = w.copyCheckpoints()
		}
	}
	close(w.closing)
	up.Close()
	w.check(outside)
	t.Logf("%d rounds in %v: %s", n, time.Since(began).Round(time.Millisecond), w.summary())
}

func newCrashWorld(t *testing.T) *crashWorld {
	temp := t.TempDir()
	w := &crashWorld{t: t, dir: filepath.Join(temp, "state"), policy: filepath.Join(temp, "policy.yaml"), closing: make(chan struct{}),
		payloads: map[string]*payload{}, counts: map[string]int{}}
	if err := os.WriteFile(w.policy, []byte(crashPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened once, because closing a second handle of this process would drop its file locks. It
	// also signs, five times a second.
	w.l = openState(t, w.dir)
	return w
}

// copyCheckpoints copies the checkpoints to where servers cannot write, and returns the file.
func (w *crashWorld) copyCheckpoints() string {
	elsewhere := w.t.TempDir()
	for _, name := range []string{ledger.CheckpointFile, ledger.VerifyKeyFile} {
		raw, err := os.ReadFile(filepath.Join(w.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(elsewhere, name), raw, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return filepath.Join(elsewhere, ledger.CheckpointFile)
}

var tokens = regexp.MustCompile(`[0-9a-f]{8}-0000-4000-8000-[0-9]{12}`)

// find returns the payload with the token in a text.
func (w *crashWorld) find(text string) *payload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.payloads[tokens.FindString(text)]
}

// ServeHTTP is Sippet: it validates and answers, and fails in several ways.
func (w *crashWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	validating := strings.HasSuffix(r.URL.Path, "/validate")
	if chance(0.02) && !(validating && chance(0.8)) { // validation is retried, which takes time
		w.count("reset unread")
		resetConnection(rw)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server died while it sent, so nothing can have run
	}
	p := w.find(string(body))
	switch {
	case strings.HasPrefix(string(body), `{"action":"list_`) && strings.Contains(string(body), `"filter":{"or":`):
		io.WriteString(rw, `{"success":true,"data":{"results":[],"hasMore":false}}`) // nobody has the same name; nothing is kept of anybody
	case strings.HasPrefix(string(body), `{"action":"who_am_i"`):
		io.WriteString(rw, `{"success":true,"data":{"id":"u-1","fullName":"Ann Lee","email":null}}`)
	case p == nil:
		w.fail("the upstream got an unknown request: %s", body)
	case strings.HasPrefix(string(body), `{"action":"list_`):
		// The card shows a contact by its name, so the name is the token.
		fmt.Fprintf(rw, `{"success":true,"data":{"results":[{"id":"%[1]s","fullName":"%[1]s","phoneE164":"+442079460123","erasedAt":null,"deletedAt":null,"metadata":null}],"hasMore":false}}`,
			tokens.FindString(string(body)))
	case string(body) != p.body:
		w.fail("not the bytes of the payload: %s, want %s", body, p.body)
	case validating:
		w.mu.Lock()
		p.validated++
		w.mu.Unlock()
		p.lane.event("validate")
		io.WriteString(rw, `{"success":true}`)
	default:
		w.run(rw, r, p)
	}
}

// run records a run request, and checks that its intent was durable before.
func (w *crashWorld) run(rw http.ResponseWriter, r *http.Request, p *payload) {
	intent, err := w.conflicting(p)
	run := &run{at: time.Now(), end: answeredRun}
	switch x := rand.Float64(); {
	case x < 0.10:
		run.end = brokenRun
	case x < 0.14:
		run.end = rejectedRun
	}
	switch {
	case err != nil:
		w.fail("the ledger cannot be read: %v", err)
	case intent == nil || intent.State == ledger.Succeeded:
		w.fail("%s reached the upstream without an open intent", p.body)
	default:
		run.intent = *intent
	}
	w.mu.Lock()
	p.runs = append(p.runs, run)
	w.counts["runs upstream"]++
	if p.validated == 0 {
		w.fail("%s ran and was not validated", p.body)
	}
	w.mu.Unlock()
	p.lane.event("arrival")
	time.Sleep(rand.N(15 * time.Millisecond))
	switch run.end {
	case answeredRun:
		fmt.Fprintf(rw, `{"success":true,"data":{"id":"%s"}}`, tokens.FindString(p.body))
		_ = http.NewResponseController(rw).Flush()
	case rejectedRun:
		io.WriteString(rw, `{"success":false,"errors":[{"type":"invalid","message":"no","shortMessage":"no","vars":{},"fields":[],"path":[]}]}`)
	default:
		w.breakAnswer(rw, r)
	}
	p.lane.event("answer")
}

// conflicting returns the latest intent of a payload unless it failed; one read at a time.
func (w *crashWorld) conflicting(p *payload) (*ledger.Intent, error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.l.FindConflicting(ctx, p.txn)
}

// breakAnswer gives the caller no usable answer.
func (w *crashWorld) breakAnswer(rw http.ResponseWriter, r *http.Request) {
	switch rand.N(4) {
	case 0: // until the server dies
		select {
		case <-r.Context().Done():
		case <-w.closing:
		}
	case 1:
		rw.WriteHeader(http.StatusInternalServerError)
	case 2:
		io.WriteString(rw, `{"success":true,"da`)
		_ = http.NewResponseController(rw).Flush()
		resetConnection(rw)
	default:
		resetConnection(rw)
	}
}

func resetConnection(rw http.ResponseWriter) {
	conn, _, err := rw.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func chance(p float64) bool { return rand.Float64() < p }
