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
	crashRounds = 320 // shared by both transports
	crashShort  = 24  // with -short
	callers     = 4   // at once, of one server
)

const crashPolicy = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}
`

// payload is one call that is made, once or again and again, by the clients of one transport.
type payload struct {
	action *schemas.Action
	args   string
	body   string // the canonical bytes
	txn    ledger.Txn
	lane   *lane

	// Guarded by the world.
	validated, approved int
	state               string // of the last question that was answered yes, where the client was told one
	runs                []*run
	done                int
}

func (p *payload) confirmed() bool { return p.action.Class != schemas.Write }

// ending is what the upstream did with a run request, and so what may become of its intent.
type ending string

const (
	answered ending = "answered" // it ran
	turned   ending = "refused"  // it did not, and the caller was told
	broken   ending = "broken"   // it may have: no answer, half of one, or HTTP 500
)

var mayBecome = map[ending][]ledger.IntentState{
	answered: {ledger.Succeeded, ledger.Unknown}, // unknown: the server died before the answer
	turned:   {ledger.Failed, ledger.Unknown},
	broken:   {ledger.Unknown},
}

// run is a run request, and what the ledger held at the moment when it arrived.
type run struct {
	at     time.Time
	intent ledger.Intent
	end    ending
}

// told is an answer that a client got.
type told struct {
	p               *payload
	outcome, intent string
}

// crashWorld is everything beside the servers: upstream, clients and the ledger as the test reads it.
type crashWorld struct {
	t            *testing.T
	dir, policy  string
	url          string
	organisation string
	l            *ledger.SQLite
	closing      chan struct{}
	looking      sync.Mutex

	mu       sync.Mutex
	payloads map[string]*payload // by their token
	told     []told
	counts   map[string]int
}

// fail is for goroutines: the world is checked only when all have ended.
func (w *crashWorld) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
}

func (w *crashWorld) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// A server is killed, again and again, at random moments and at the worst ones, while clients call and the upstream
// fails: nothing runs twice, nothing runs unrecorded, nothing that was recorded or said is lost.
func TestCrashes(t *testing.T) {
	t.Parallel() // with what mostly waits
	began := time.Now()
	w := newCrashWorld(t)
	up := httptest.NewServer(w)
	w.url = up.URL
	c, err := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpctest.Key})
	if err != nil {
		t.Fatal(err)
	}
	w.organisation = c.Organisation()
	n := crashRounds
	if testing.Short() {
		n = crashShort
	}
	var outside string
	lanes := []*lane{newLane(w, "http"), newLane(w, "stdio")}
	for half := range 2 {
		var wg sync.WaitGroup
		for _, l := range lanes {
			wg.Go(func() {
				for range n / 2 / len(lanes) {
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
	up.Close() // and whatever is still in it
	w.check(outside)
	t.Logf("%d rounds in %v: %s", n, time.Since(began).Round(time.Millisecond), w.figures())
}

func newCrashWorld(t *testing.T) *crashWorld {
	temp := t.TempDir()
	w := &crashWorld{t: t, dir: filepath.Join(temp, "state"), policy: filepath.Join(temp, "policy.yaml"), closing: make(chan struct{}),
		payloads: map[string]*payload{}, counts: map[string]int{}}
	if err := os.WriteFile(w.policy, []byte(crashPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened once: while it is, nothing else in this process may open and close the file. It also signs, five times a second.
	w.l = openState(t, w.dir)
	return w
}

// copyCheckpoints keeps what is signed so far where the servers cannot reach it, and gives the file.
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

// The upstream.

var tokens = regexp.MustCompile(`[0-9a-f]{8}-0000-4000-8000-[0-9]{12}`)

// find gives the payload that a text is about.
func (w *crashWorld) find(text string) *payload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.payloads[tokens.FindString(text)]
}

// ServeHTTP is Sippet: it validates, answers, and fails in every way.
func (w *crashWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	validating := strings.HasSuffix(r.URL.Path, "/validate")
	if chance(0.02) && !(validating && chance(0.8)) { // validating is tried again, which takes time
		w.count("reset unread")
		cut(rw)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it died within its request, of which nothing can have run
	}
	p := w.find(string(body))
	switch {
	case p == nil:
		w.fail("the upstream got what nobody asked for: %s", body)
	case strings.HasPrefix(string(body), `{"action":"list_`):
		fmt.Fprintf(rw, `{"success":true,"data":{"results":[{"id":"%s","fullName":"Ada","phoneE164":"+442079460123","erasedAt":null,"deletedAt":null}],"hasMore":false}}`, tokens.FindString(string(body)))
	case string(body) != p.body:
		w.fail("not the bytes of the payload: %s, want %s", body, p.body)
	case validating:
		w.mu.Lock()
		p.validated++
		w.mu.Unlock()
		p.lane.edge("validate")
		io.WriteString(rw, `{"success":true}`)
	default:
		w.run(rw, r, p)
	}
}

// run writes a run request down, and first of all looks whether its intent is durable.
func (w *crashWorld) run(rw http.ResponseWriter, r *http.Request, p *payload) {
	intent, err := w.look(p)
	run := &run{at: time.Now(), end: answered}
	switch x := rand.Float64(); {
	case x < 0.10:
		run.end = broken
	case x < 0.14:
		run.end = turned
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
	p.lane.edge("arrival")
	time.Sleep(rand.N(15 * time.Millisecond))
	switch run.end {
	case answered:
		fmt.Fprintf(rw, `{"success":true,"data":{"id":"%s"}}`, tokens.FindString(p.body))
		_ = http.NewResponseController(rw).Flush()
	case turned:
		io.WriteString(rw, `{"success":false,"errors":[{"type":"invalid","message":"no","shortMessage":"no","vars":{},"fields":[],"path":[]}]}`)
	default:
		w.breakOff(rw, r)
	}
	p.lane.edge("answer")
}

// look finds what stands in the way of a payload: its latest intent, unless that has failed. One look at a time.
func (w *crashWorld) look(p *payload) (*ledger.Intent, error) {
	w.looking.Lock()
	defer w.looking.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.l.FindConflicting(ctx, p.txn)
}

// breakOff leaves the caller without a usable answer.
func (w *crashWorld) breakOff(rw http.ResponseWriter, r *http.Request) {
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
		cut(rw)
	default:
		cut(rw)
	}
}

// cut resets the connection.
func cut(rw http.ResponseWriter) {
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

// The load.
