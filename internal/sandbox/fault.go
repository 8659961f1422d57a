package sandbox

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// FaultKind is the way in which a request fails.
type FaultKind string

// The kinds of faults. Slow, Truncated and those with AfterCommit perform the action, the others do
// not. A client that promises to run an action at most once has to be tested against AfterCommit.
const (
	Error500           FaultKind = "error-500"            // status 500
	Error503           FaultKind = "error-503"            // status 503 with Retry-After: 1
	HTML               FaultKind = "html"                 // status 502 with an HTML page, as from a proxy
	Slow               FaultKind = "slow"                 // the normal response, three seconds late
	Reset              FaultKind = "reset"                // the connection is reset
	Timeout            FaultKind = "timeout"              // no response
	Truncated          FaultKind = "truncated"            // half of the response
	ResetAfterCommit   FaultKind = "reset-after-commit"   // the connection is reset
	TimeoutAfterCommit FaultKind = "timeout-after-commit" // no response
)

// FaultKinds are all kinds of faults.
var FaultKinds = []FaultKind{Error500, Error503, HTML, Slow, Reset, Timeout, Truncated, ResetAfterCommit, TimeoutAfterCommit}

// Fault makes requests fail on purpose.
type Fault struct {
	Endpoint string // run or validate; "" is both
	Action   string // "" is every action
	Kind     FaultKind
	// Probability is above 0 and at most 1; 0 also means 1. Chance depends on the seed.
	Probability float64
}

const (
	slowDelay   = 3 * time.Second
	hangTimeout = 2 * time.Minute // then the connection is closed
)

// ParseFault parses [ENDPOINT:]ACTION=KIND[@PROBABILITY], such as
// run:start_outbound_call=timeout-after-commit@0.5. An asterisk stands for every endpoint or
// action.
func ParseFault(s string) (Fault, error) {
	where, what, ok := strings.Cut(s, "=")
	if !ok {
		return Fault{}, fmt.Errorf("invalid fault %q; use [ENDPOINT:]ACTION=KIND[@PROBABILITY]", s)
	}
	var f Fault
	if endpoint, action, ok := strings.Cut(where, ":"); ok {
		f.Endpoint, where = endpoint, action
	}
	f.Action = where
	switch f.Endpoint {
	case "", "run", "validate":
	case "*":
		f.Endpoint = ""
	default:
		return Fault{}, fmt.Errorf("fault %q: unknown endpoint %q; use run, validate or *", s, f.Endpoint)
	}
	if f.Action == "*" {
		f.Action = ""
	} else if _, err := schemas.Find(f.Action); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", s, err)
	}
	kind, chance, hasChance := strings.Cut(what, "@")
	if f.Kind = FaultKind(kind); !slices.Contains(FaultKinds, f.Kind) {
		return Fault{}, fmt.Errorf("fault %q: unknown kind %q; use one of %v", s, kind, FaultKinds)
	}
	if hasChance {
		p, err := strconv.ParseFloat(chance, 64)
		if err != nil || !(p > 0 && p <= 1) {
			return Fault{}, fmt.Errorf("fault %q: invalid probability %q; use a number above 0 and up to 1", s, chance)
		}
		f.Probability = p
	}
	return f, nil
}

// faultPicker returns a function that returns the fault of each request in turn, or nil.
func faultPicker(o *organisation, faults []Fault) func(endpoint, action string) *Fault {
	var n atomic.Uint64
	return func(endpoint, action string) *Fault {
		for i := range faults {
			f := &faults[i]
			if f.Endpoint != "" && f.Endpoint != endpoint || f.Action != "" && f.Action != action {
				continue
			}
			if f.Probability == 0 || o.random("fault", strconv.FormatUint(n.Add(1), 10)).Float64() < f.Probability {
				return f
			}
		}
		return nil
	}
}

// applyBefore applies a fault that precedes the action. It reports whether the request ends with
// it.
func (f *Fault) applyBefore(w http.ResponseWriter, r *http.Request) bool {
	switch f.Kind {
	case Error500:
		errorResponse(http.StatusInternalServerError).write(w)
	case Error503:
		p := errorResponse(http.StatusServiceUnavailable)
		p.retryAfter = "1"
		p.write(w)
	case HTML:
		(&response{status: http.StatusBadGateway, html: true, body: []byte("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>")}).write(w)
	case Reset:
		resetConnection(w)
	case Timeout:
		waitForClient(r)
	case Slow:
		select {
		case <-time.After(slowDelay):
		case <-r.Context().Done():
		}
		return false
	default:
		return false
	}
	return true
}

// applyAfter applies a fault that follows the action. It reports whether the response was sent.
func (f *Fault) applyAfter(w http.ResponseWriter, r *http.Request, p *response) bool {
	switch f.Kind {
	case Truncated:
		w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
		p.body = p.body[:len(p.body)/2]
		p.write(w)
		http.NewResponseController(w).Flush() // otherwise net/http sends nothing
		panic(http.ErrAbortHandler)
	case ResetAfterCommit:
		resetConnection(w)
	case TimeoutAfterCommit:
		waitForClient(r)
	default:
		return false
	}
	return true
}

// resetConnection closes the connection so that the client sees a reset.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // without a connection to reset, close it
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// waitForClient waits until the client disconnects, and then closes the connection.
func waitForClient(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(hangTimeout):
	}
	panic(http.ErrAbortHandler)
}
