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

// FaultKind is a way for a request to go wrong.
type FaultKind string

// The kinds. Those named after-commit do what was asked, and then the client
// does not learn of it: at-most-once has to be proved against these.
const (
	Error500           FaultKind = "error-500"            // status 500, nothing is done
	Error503           FaultKind = "error-503"            // status 503 with Retry-After: 1, nothing is done
	HTML               FaultKind = "html"                 // status 502 and a page of HTML, as of a proxy; nothing is done
	Slow               FaultKind = "slow"                 // three seconds late, else as ever
	Reset              FaultKind = "reset"                // the connection is reset, nothing is done
	Timeout            FaultKind = "timeout"              // no answer ever, nothing is done
	Truncated          FaultKind = "truncated"            // done, but half of the answer is missing
	ResetAfterCommit   FaultKind = "reset-after-commit"   // done, and the connection is reset
	TimeoutAfterCommit FaultKind = "timeout-after-commit" // done, and no answer ever
)

// FaultKinds lists them.
var FaultKinds = []FaultKind{Error500, Error503, HTML, Slow, Reset, Timeout, Truncated, ResetAfterCommit, TimeoutAfterCommit}

// Fault is what goes wrong, and for whom.
type Fault struct {
	Endpoint string // run or validate; "" is both
	Action   string // "" is every one
	Kind     FaultKind
	// Probability is between 0 and 1; 0 is 1, always. Chance comes from the seed.
	Probability float64
}

const (
	slowDelay   = 3 * time.Second
	hangTimeout = 2 * time.Minute // an answer that never comes is given up for good
)

// ParseFault reads `[ENDPOINT:]ACTION=KIND[@PROBABILITY]`, such as
// `run:start_outbound_call=timeout-after-commit@0.5`; `*` is every endpoint or action.
func ParseFault(s string) (Fault, error) {
	where, what, ok := strings.Cut(s, "=")
	if !ok {
		return Fault{}, fmt.Errorf("fault %q: want [ENDPOINT:]ACTION=KIND[@PROBABILITY]", s)
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
		return Fault{}, fmt.Errorf("fault %q: endpoint %q is none of run, validate, *", s, f.Endpoint)
	}
	if f.Action == "*" {
		f.Action = ""
	} else if _, err := schemas.Find(f.Action); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", s, err)
	}
	kind, chance, hasChance := strings.Cut(what, "@")
	if f.Kind = FaultKind(kind); !slices.Contains(FaultKinds, f.Kind) {
		return Fault{}, fmt.Errorf("fault %q: kind %q is none of %v", s, kind, FaultKinds)
	}
	if hasChance {
		p, err := strconv.ParseFloat(chance, 64)
		if err != nil || !(p > 0 && p <= 1) {
			return Fault{}, fmt.Errorf("fault %q: probability %q is not above 0 and at most 1", s, chance)
		}
		f.Probability = p
	}
	return f, nil
}

// faultPicker gives the fault of each request in turn.
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

// applyBefore does what goes wrong ahead of the action, and reports whether the
// request is over with it.
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

// applyAfter does what goes wrong once the action is done.
func (f *Fault) applyAfter(w http.ResponseWriter, r *http.Request, p *response) bool {
	switch f.Kind {
	case Truncated:
		w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
		p.body = p.body[:len(p.body)/2]
		p.write(w)
		http.NewResponseController(w).Flush() // else net/http sends nothing at all
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

// resetConnection closes the connection so that the other side sees a reset.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // not reachable this way, but cut off all the same
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// waitForClient waits until the client gives up.
func waitForClient(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(hangTimeout):
	}
	panic(http.ErrAbortHandler)
}
