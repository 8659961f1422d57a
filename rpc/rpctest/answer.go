package rpctest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Answer is the answer to a request. The zero value is HTTP 200 with an empty body.
type Answer struct {
	// Status is the HTTP status; 0 is 200.
	Status int
	Header http.Header
	Body   string
	// Usual sends the usual answer in place of Body.
	Usual bool
	// Until delays the answer until it is closed, Delay for that long.
	Until <-chan struct{}
	Delay time.Duration
	// Hang never answers.
	Hang bool
	// Reset breaks the connection instead of answering.
	Reset bool
	// Truncated breaks the connection after Body, before the announced end.
	Truncated bool
	// Endless repeats Body until the client stops reading.
	Endless bool
	// Close closes the connection after the answer, so that the next request opens a new one.
	Close bool
}

// Always returns a handler with the same answer to every request.
func Always(a Answer) Handler { return func(Request) Answer { return a } }

// InTurn returns a handler that passes the first request to the first handler, and so on; the last
// handles the rest.
func InTurn(hs ...Handler) Handler {
	var mu sync.Mutex
	n := 0
	return func(r Request) Answer {
		mu.Lock()
		h := hs[min(n, len(hs)-1)]
		n++
		mu.Unlock()
		return h(r)
	}
}

// OK answers success with data, which is JSON. Empty data is {"success":true}, as validate answers.
func OK(data string) Handler { return Always(Answer{Body: success(data)}) }

func success(data string) string {
	if data == "" {
		return `{"success":true}`
	}
	return `{"success":true,"data":` + data + `}`
}

// Fault is one entry of the errors of an answer.
type Fault struct {
	Type    string         `json:"type,omitempty"`
	Message string         `json:"message"`
	Short   string         `json:"shortMessage"`
	Vars    map[string]any `json:"vars"`
	Fields  []string       `json:"fields"`
	Path    []any          `json:"path"`
}

// Faults answers HTTP 200 with success:false.
func Faults(faults ...Fault) Handler {
	for i := range faults {
		f := &faults[i]
		if f.Vars == nil {
			f.Vars = map[string]any{}
		}
		if f.Fields == nil {
			f.Fields = []string{}
		}
		if f.Path == nil {
			f.Path = []any{}
		}
	}
	if faults == nil {
		faults = []Fault{}
	}
	body, err := json.Marshal(map[string]any{"success": false, "errors": faults})
	if err != nil {
		panic("rpctest: " + err.Error())
	}
	return Always(Answer{Body: string(body)})
}

// Refuse answers success:false with one fault.
func Refuse(kind, message string) Handler {
	return Faults(Fault{Type: kind, Message: message, Short: message})
}

// Status answers with a status and a body, and with a Retry-After if retryAfter is given, in
// seconds.
func Status(code int, body string, retryAfter ...int) Handler {
	a := Answer{Status: code, Body: body, Header: http.Header{}}
	if len(retryAfter) > 0 {
		a.Header.Set("Retry-After", strconv.Itoa(retryAfter[0]))
	}
	return Always(a)
}

// Hang never answers. Reset breaks the connection after it has read the request. Usual sends the
// usual answer. Closing does too, and closes the connection. HTML is a proxy's page with HTTP 200.
// Oversize never ends. Truncated ends within the data.
var (
	Hang      = Always(Answer{Hang: true})
	Reset     = Always(Answer{Reset: true})
	Usual     = Always(Answer{Usual: true})
	Closing   = Always(Answer{Usual: true, Close: true})
	HTML      = Always(Answer{Body: "<html><body>Bad gateway</body></html>", Header: http.Header{"Content-Type": {"text/html"}}})
	Oversize  = Always(Answer{Body: strings.Repeat(" ", 64<<10), Endless: true})
	Truncated = Always(Answer{Body: `{"success":true,"data":{"id":"`, Truncated: true})
)
