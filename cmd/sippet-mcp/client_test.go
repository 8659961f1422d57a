package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// reply is a response to tools/call.
type reply struct {
	Result struct {
		ResultType, RequestState string
		StructuredContent        struct {
			Outcome, Message, NextStep, Intent, ApprovedBy string
			Approval                                       struct{ ID, Link, Needs string }
			Result                                         record   // of one record
			Results                                        []record // of a list
			Next                                           json.RawMessage
			RetryAfterSeconds                              int
		}
		InputRequests map[string]struct{ Params struct{ Message string } }
	}
	Error *struct{ Message string }
}

func (r *reply) outcome() string { return r.Result.StructuredContent.Outcome }
func (r *reply) request() string { return r.Result.InputRequests["approve"].Params.Message }

const (
	approves = `{"action":"accept","content":{"approve":true}}`
	declines = `{"action":"decline"}`
)

// modern is a client of the protocol without sessions: a result may ask for input, and the call is
// repeated with the person's reply.
type modern struct {
	url  string
	http *http.Client
}

func newModern(url string) *modern {
	return &modern{url, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}}
}

// call sends one tools/call; rest holds further params.
func (m *modern) call(tool, args, rest string) (*reply, error) {
	const version = "2026-07-28"
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + args + rest +
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + version + `","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}`
	req, err := http.NewRequest("POST", m.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": tool} {
		req.Header.Set(k, v)
	}
	res, err := m.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if _, data, ok := bytes.Cut(raw, []byte("data: ")); ok {
		raw = data
	}
	r := new(reply)
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(r); err != nil {
		return nil, fmt.Errorf("HTTP %d has no JSON: %s", res.StatusCode, raw)
	}
	return r, nil
}

// answer repeats a call with a person's reply.
func (m *modern) answer(tool, args, state, answer string) (*reply, error) {
	return m.call(tool, args, `,"inputResponses":{"approve":`+answer+`},"requestState":"`+state+`"`)
}
