package tools_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// peer is an MCP client that writes its own frames, so that the wire is tested.
type peer struct {
	t            testing.TB
	modern       bool
	capabilities string
	client       string // its name; empty: test
	wire         wire
	// answer returns the response to an elicitation, JSON; empty for no response, failed for an
	// error. nil accepts. think is called before: what the person takes.
	answer func(message string) string
	think  func()

	mu          sync.Mutex
	ids         int
	initialized bool
	forms       []string
}

// wire sends and receives frames. exchange sends a request and returns the response with its id. It
// passes the server's elicitations to ask and sends back what that returns.
type wire interface {
	exchange(t testing.TB, frame []byte, headers http.Header, id string, ask func(json.RawMessage) string) []byte
	notify(t testing.TB, frame []byte, headers http.Header)
}

const (
	modernVersion = "2026-07-28"
	legacyVersion = "2025-11-25"
)

const (
	accepts  = `{"action":"accept","content":{"approve":true}}`
	unticks  = `{"action":"accept","content":{"approve":false}}`
	declines = `{"action":"decline"}`
	cancels  = `{"action":"cancel"}`
	failed   = "error"
)

func always(s string) func(string) string { return func(string) string { return s } }

// reply is a JSON-RPC response to tools/call.
type reply struct {
	Frame  []byte          `json:"-"`
	ID     json.RawMessage `json:"id"`
	Result struct {
		ResultType string
		Content    []struct{ Type, Text string }
		Structured json.RawMessage `json:"structuredContent"`
		IsError    bool
		Meta       struct {
			Untrusted *struct {
				Marker string
				Paths  []string
			} `json:"sippet.ai/untrusted"`
			Stripped int `json:"sippet.ai/stripped"`
		} `json:"_meta"`
		RequestState  string
		InputRequests map[string]struct {
			Method string
			Params struct{ Message string }
		}
	}
	Error *struct {
		Code    int
		Message string
	}
}

func (r *reply) outcome(t testing.TB) string {
	t.Helper()
	if r.Result.Structured == nil {
		t.Fatalf("no structured content: %s", r.Frame)
	}
	s, _ := object(t, r.Result.Structured)["outcome"].(string)
	return s
}

func (r *reply) field(t testing.TB, name string) any {
	t.Helper()
	return object(t, r.Result.Structured)[name]
}

func (r *reply) text(t testing.TB, name string) string {
	t.Helper()
	s, _ := r.field(t, name).(string)
	return s
}

func (p *peer) id() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids++
	return fmt.Sprint(p.ids)
}

func (p *peer) begin() {
	if p.modern || p.initialized {
		return
	}
	p.initialized = true
	p.send("initialize", `{"protocolVersion":"`+legacyVersion+`","capabilities":`+p.capabilities+`,"clientInfo":`+p.clientInfo()+`}`, "")
	p.wire.notify(p.t, []byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`), p.headers("notifications/initialized", ""))
}

func (p *peer) headers(method, name string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if p.modern {
		h.Set("Mcp-Protocol-Version", modernVersion)
		h.Set("Mcp-Method", method)
		if name != "" {
			h.Set("Mcp-Name", name)
		}
	} else if method != "initialize" {
		h.Set("Mcp-Protocol-Version", legacyVersion)
	}
	return h
}

// clientInfo is what the client says about itself.
func (p *peer) clientInfo() string {
	if p.client == "" {
		return `{"name":"test","version":"1"}`
	}
	return `{"name":"` + p.client + `","version":"2.1.332"}`
}

func (p *peer) meta() string {
	return `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientInfo":` + p.clientInfo() + `,"io.modelcontextprotocol/clientCapabilities":` + p.capabilities + `}`
}

// send makes one request with params as they are. In the modern protocol it adds _meta.
func (p *peer) send(method, params, name string) []byte {
	p.t.Helper()
	id := p.id()
	if p.modern {
		if rest := strings.TrimPrefix(params, "{"); rest == "}" {
			params = "{" + p.meta() + "}"
		} else {
			params = "{" + p.meta() + "," + rest
		}
	}
	frame := `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + params + `}`
	return p.wire.exchange(p.t, []byte(frame), p.headers(method, name), id, p.elicited)
}

func (p *peer) elicited(params json.RawMessage) string {
	var in struct{ Message string }
	_ = json.Unmarshal(params, &in)
	p.mu.Lock()
	p.forms = append(p.forms, in.Message)
	p.mu.Unlock()
	if !p.modern && p.think != nil { // in the modern protocol retry thinks
		p.think()
	}
	if p.answer == nil {
		return accepts
	}
	return p.answer(in.Message)
}

func (p *peer) elicitations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.forms...)
}

// callOnce makes one tools/call. rest are further members of params.
func (p *peer) callOnce(tool, args, rest string) *reply {
	p.t.Helper()
	p.begin()
	params := `{"name":"` + tool + `"`
	if args != "" {
		params += `,"arguments":` + args
	}
	return p.parse(p.send("tools/call", params+rest+"}", tool))
}

func (p *peer) parse(frame []byte) *reply {
	p.t.Helper()
	r := &reply{Frame: frame}
	if err := json.Unmarshal(frame, r); err != nil {
		p.t.Fatalf("not a response: %v: %s", err, frame)
	}
	return r
}

// retry makes the second call of a modern client, with the response.
func (p *peer) retry(tool, args, state, answer string) *reply {
	p.t.Helper()
	if p.think != nil {
		p.think()
	}
	return p.callOnce(tool, args, `,"inputResponses":{"approve":`+answer+`},"requestState":`+string(mustJSON(state)))
}

// call calls a tool and responds to its elicitation, in the modern protocol with a second call.
func (p *peer) call(tool, args string) *reply {
	p.t.Helper()
	r := p.callOnce(tool, args, "")
	if r.Result.ResultType != "input_required" {
		return r
	}
	answer := p.elicited(mustJSON(r.Result.InputRequests["approve"].Params))
	if answer == "" || answer == failed { // it has no way to pass on an error
		return r
	}
	return p.retry(tool, args, r.Result.RequestState, answer)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// httpWire is streamable HTTP: a response is JSON, or a stream with elicitations.
type httpWire struct {
	url     string
	client  *http.Client
	session string
}

func (h *httpWire) post(t testing.TB, frame []byte, headers http.Header) *http.Response {
	t.Helper()
	r, err := http.NewRequest("POST", h.url, bytes.NewReader(frame))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = headers.Clone()
	if h.session != "" {
		r.Header.Set("Mcp-Session-Id", h.session)
	}
	res, err := h.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func (h *httpWire) notify(t testing.TB, frame []byte, headers http.Header) {
	t.Helper()
	res := h.post(t, frame, headers)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

func (h *httpWire) exchange(t testing.TB, frame []byte, headers http.Header, id string, ask func(json.RawMessage) string) []byte {
	t.Helper()
	res := h.post(t, frame, headers)
	defer res.Body.Close()
	if s := res.Header.Get("Mcp-Session-Id"); s != "" {
		h.session = s
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.TrimSpace(b)
	}
	in := bufio.NewReader(res.Body)
	for {
		line, err := in.ReadBytes('\n')
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			data = bytes.TrimSpace(data)
			if back := answerTo(data, ask); back != nil {
				h.notify(t, back, headers)
			} else if idOf(data) == id {
				return data
			}
		}
		if err != nil {
			t.Fatalf("the stream ended without an answer: %v", err)
		}
	}
}

// answerTo returns the response to an elicitation; nil if frame is none, or for no response.
func answerTo(frame []byte, ask func(json.RawMessage) string) []byte {
	var m struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if json.Unmarshal(frame, &m) != nil || m.Method != "elicitation/create" {
		return nil
	}
	result := ask(m.Params)
	switch result {
	case "":
		return nil
	case failed:
		return []byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":{"code":-32603,"message":"no dialogue here"}}`)
	}
	return []byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":` + result + `}`)
}

func idOf(frame []byte) string {
	var m struct {
		ID     json.RawMessage
		Method string
	}
	if json.Unmarshal(frame, &m) != nil || m.Method != "" {
		return ""
	}
	return string(m.ID)
}

// stdioWire is stdio: one frame a line.
type stdioWire struct {
	mu      sync.Mutex
	in      io.Writer
	waiting map[string]chan []byte
	ask     func(json.RawMessage) string
	// strays are responses to no request: errors without an id.
	strays chan []byte
}

func newStdioWire(in io.Writer, out io.Reader) *stdioWire {
	s := &stdioWire{in: in, waiting: map[string]chan []byte{}, strays: make(chan []byte, 100)}
	go func() {
		r := bufio.NewReaderSize(out, 1<<20)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			s.deliver(bytes.TrimSpace(line))
		}
	}()
	return s
}

func (s *stdioWire) deliver(frame []byte) {
	s.mu.Lock()
	ask, c := s.ask, s.waiting[idOf(frame)]
	s.mu.Unlock()
	if ask != nil {
		if back := answerTo(frame, ask); back != nil {
			go s.write(back)
			return
		}
	}
	if c != nil {
		c <- frame
		return
	}
	if id := idOf(frame); id == "null" || id == "" && !bytes.Contains(frame, []byte(`"method"`)) {
		s.strays <- frame
	}
}

func (s *stdioWire) write(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in.Write(append(bytes.Clone(frame), '\n'))
}

func (s *stdioWire) notify(_ testing.TB, frame []byte, _ http.Header) { s.write(frame) }

func (s *stdioWire) exchange(t testing.TB, frame []byte, _ http.Header, id string, ask func(json.RawMessage) string) []byte {
	t.Helper()
	c := make(chan []byte, 1)
	s.mu.Lock()
	s.waiting[id], s.ask = c, ask
	s.mu.Unlock()
	s.write(frame)
	select {
	case r := <-c:
		return r
	case <-time.After(20 * time.Second):
		t.Fatalf("no answer to %.200s", frame)
		return nil
	}
}

// newSession makes the next request begin another session, with the peer's present capabilities.
func (p *peer) newSession() {
	p.initialized = false
	if h, ok := p.wire.(*httpWire); ok {
		h.session = ""
	}
}
