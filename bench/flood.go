package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ordinaryCallers = 9
	// ordinaryPause is how long an ordinary caller thinks between two calls.
	ordinaryPause = 200 * time.Millisecond
	// ordinaryWrites is how often an ordinary caller writes: less often than the built-in budgets
	// of changes allow.
	ordinaryWrites = time.Minute
	// floodBegins is how long the flood goes on before the ordinary callers' times count.
	floodBegins = 2 * time.Second
)

// anotherRead shows nobody, so that no budget of reading ends it.
var anotherRead = task{action: "who_am_i", args: `{"fields":["id"]}`}

// flooding is how a flood is made.
type flooding struct {
	length   time.Duration // how long the ordinary callers work beside it
	atOnce   int           // how many calls the flooding caller has at a time
	upstream time.Duration // how long the upstream takes for an answer
}

// flood is what one flooding caller does to nine ordinary ones.
type flood struct {
	Length   string `json:"length"`
	AtOnce   int    `json:"atOnce"`
	Upstream string `json:"upstream"`
	// Calls are the flooding caller's, by outcome.
	Calls  map[string]int `json:"calls"`
	Phases []phase        `json:"phases"`
	// Start, Before and After are the server's: after its start, before the flood and after it.
	Start  kept `json:"start"`
	Before kept `json:"before"`
	After  kept `json:"after"`
}

// phase has the ordinary callers' times in milliseconds.
type phase struct {
	Name     string         `json:"name"`
	Calls    int            `json:"calls"`
	P50      float64        `json:"p50"`
	P99      float64        `json:"p99"`
	Outcomes map[string]int `json:"outcomes"`
}

// kept is what a server has in memory and on disk, in MiB.
type kept struct {
	Resident float64 `json:"resident"`
	Ledger   float64 `json:"ledger"`
}

// flood lets nine callers work alone, then beside the flood, then alone again.
func (w *world) flood(how flooding) (*flood, error) {
	stop, err := w.startUpstream(how.upstream)
	if err != nil {
		return nil, err
	}
	defer stop()
	state := filepath.Join(w.dir, "flooded")
	server, tokens, err := w.team(state)
	if err != nil {
		return nil, err
	}
	defer server.close()
	var ordinary []*caller
	for _, token := range tokens[1:] {
		c, err := server.caller(token)
		if err != nil {
			return nil, err
		}
		ordinary = append(ordinary, c)
	}
	hijacked, err := server.caller(tokens[0])
	if err != nil {
		return nil, err
	}
	look := func() kept { return kept{resident(server.pid()), size(state)} }
	f := &flood{Length: how.length.String(), AtOnce: how.atOnce, Upstream: how.upstream.String(), Calls: map[string]int{}, Start: look()}
	alone := max(how.length/10, 2*time.Second)
	run := func(name string, length time.Duration) {
		f.Phases = append(f.Phases, work9(name, ordinary, length))
	}
	run("before", alone)
	f.Before = look()
	end := hijacked.flood(how.atOnce, f.Calls)
	time.Sleep(floodBegins)
	run("beside the flood", how.length)
	end()
	f.After = look()
	run("after", alone)
	return f, nil
}

// team starts a server with ten callers, each with a token. Its policy has no budget of reading, which
// would hold back the flood before its requests wait for their turn.
func (w *world) team(state string) (*web, []string, error) {
	env := append(os.Environ(), "SIPPET_BASE_URL="+w.upstream, "SIPPET_SECRET_KEY="+key, "SIPPET_STATE_DIR="+state)
	var tokens []string
	for n := range 1 + ordinaryCallers {
		c := exec.Command(w.program, "tokens", "create", fmt.Sprintf("person-%d", n), "--roles", "agent")
		c.Env, c.Stderr = env, os.Stderr
		out, err := c.Output()
		if err != nil {
			return nil, nil, fmt.Errorf("creating a token: %w", err)
		}
		var made struct{ Secret string }
		if err := json.Unmarshal(out, &made); err != nil {
			return nil, nil, fmt.Errorf("creating a token: %w", err)
		}
		tokens = append(tokens, made.Secret)
	}
	addr, err := free()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(w.program, "http", "--policy", "desktop", "--log-level", "error", "--addr", addr)
	cmd.Env, cmd.Stderr = env, os.Stderr
	server, err := newWeb(cmd, "http://"+addr+"/mcp", tokens[0])
	return server, tokens, err
}

// caller is a client with a token.
type caller struct {
	*web
	wrote time.Time
}

// caller returns another client of the same server.
func (w *web) caller(token string) (*caller, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 1000, 1000
	c := &caller{web: &web{cmd: w.cmd, client: &http.Client{Transport: t, Timeout: 2 * patience}, url: w.url, token: token}}
	_, err := c.ask("initialize", "", hello)
	return c, err
}

// do makes one call and returns its outcome.
func (c *caller) do(t task) (string, error) {
	answer, err := c.ask("tools/call", t.action, `{"name":"`+t.action+`","arguments":`+numbered(t.args)+`}`)
	if err != nil {
		return "", err
	}
	const member = `\"outcome\":\"`
	_, rest, ok := bytes.Cut(answer, []byte(member))
	if !ok {
		return "", fmt.Errorf("it answered %.300s", answer)
	}
	outcome, _, _ := bytes.Cut(rest, []byte(`\"`))
	return string(outcome), nil
}

// work9 lets ordinary callers work for some time.
func work9(name string, callers []*caller, length time.Duration) phase {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var times []time.Duration
	p := phase{Name: name, Outcomes: map[string]int{}}
	begin := time.Now()
	for i, c := range callers {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * ordinaryPause / ordinaryCallers)
			for time.Since(begin) < length {
				what := anotherRead
				if time.Since(c.wrote) > ordinaryWrites {
					what, c.wrote = aWrite, time.Now()
				}
				t := time.Now()
				outcome, err := c.do(what)
				took := time.Since(t)
				mu.Lock()
				if times = append(times, took); err != nil {
					outcome = "error: " + err.Error()
				}
				p.Outcomes[outcome]++
				mu.Unlock()
				time.Sleep(ordinaryPause)
			}
		})
	}
	wg.Wait()
	slices.Sort(times)
	p.Calls, p.P50, p.P99 = len(times), us(at(times, .5))/1000, us(at(times, .99))/1000
	return p
}

// flood makes calls without end, reads and every fourth a write, until end is called.
func (c *caller) flood(atOnce int, outcomes map[string]int) (end func()) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var over atomic.Bool
	for range atOnce {
		wg.Go(func() {
			for n := 0; !over.Load(); n++ {
				what := anotherRead
				if n%4 == 3 {
					what = aWrite
				}
				outcome, err := c.do(what)
				if err != nil {
					outcome = "error"
					time.Sleep(10 * time.Millisecond)
				}
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
	return func() { over.Store(true); wg.Wait() }
}

// size is that of a folder's files in MiB.
func size(dir string) float64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // it was just removed
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			sum += info.Size()
		}
		return nil
	})
	return float64(sum) / (1 << 20)
}

func (f *flood) print(w io.Writer) {
	fmt.Fprintf(w, "one caller with %d calls at a time beside %d ordinary ones, for %s; the upstream takes %s\n\n", f.AtOnce, ordinaryCallers, f.Length, f.Upstream)
	fmt.Fprintf(w, "%-20s %9s %9s %9s %10s  %s\n", "ordinary callers", "calls", "p50 ms", "p99 ms", "× p99", "outcomes")
	for _, p := range f.Phases {
		fmt.Fprintf(w, "%-20s %9d %9.1f %9.1f %10.2f  %v\n", p.Name, p.Calls, p.P50, p.P99, p.P99/f.Phases[0].P99, p.Outcomes)
	}
	fmt.Fprintf(w, "\n%-20s %9s %9s\n", "the server, MiB", "memory", "ledger")
	for _, one := range []struct {
		name string
		kept
	}{{"at its start", f.Start}, {"before the flood", f.Before}, {"after the flood", f.After}} {
		fmt.Fprintf(w, "%-20s %9.1f %9.1f\n", one.name, one.Resident, one.Ledger)
	}
	total := 0
	for _, n := range f.Calls {
		total += n
	}
	fmt.Fprintf(w, "\nthe flood: %s calls, %v\n", strconv.Itoa(total), f.Calls)
}
