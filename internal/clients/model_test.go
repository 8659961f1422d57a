//go:build clients

package clients_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// model is a stand-in for a model, with the three protocols that the clients speak: OpenAI's chat
// completions and responses, and Anthropic's messages. It asks for one call and keeps the result.
type model struct {
	tool      string
	arguments string

	mu       sync.Mutex
	received []any
}

// newModel starts a model and returns its address.
func newModel(t *testing.T, tool, arguments string) (*model, string) {
	t.Helper()
	m := &model{tool: tool, arguments: arguments}
	s := httptest.NewServer(m)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return m, s.URL
}

// results returns the results that the model received.
func (m *model) results() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.received
}

// object is a JSON object.
type object = map[string]any

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var in struct {
		Stream bool
		Tools  []struct {
			Name     string
			Function struct{ Name string }
		}
		Messages []struct {
			Role    string
			Content any
		}
		Input any
	}
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	tool := "" // by the name that the client gave it
	for _, t := range in.Tools {
		if name := t.Name + t.Function.Name; strings.HasSuffix(name, m.tool) {
			tool = name
		}
	}
	var results []any
	for _, message := range in.Messages {
		if message.Role == "tool" {
			results = append(results, message.Content)
		}
		results = append(results, blocks(message.Content, "tool_result")...)
	}
	results = append(results, blocks(in.Input, "function_call_output")...)
	if len(results) > 0 {
		m.mu.Lock()
		m.received = results
		m.mu.Unlock()
		tool = ""
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/chat/completions"):
		m.chat(w, tool)
	case strings.HasSuffix(r.URL.Path, "/responses"):
		m.responses(w, tool)
	case strings.HasSuffix(r.URL.Path, "/messages"):
		m.messages(w, tool, in.Stream)
	default:
		http.NotFound(w, r)
	}
}

// blocks returns the blocks of a type in a message's content.
func blocks(content any, kind string) (found []any) {
	all, _ := content.([]any)
	for _, b := range all {
		if b, ok := b.(object); ok && b["type"] == kind {
			found = append(found, b)
		}
	}
	return found
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (m *model) chat(w http.ResponseWriter, tool string) {
	message, finish := object{"role": "assistant", "content": "over"}, "stop"
	if tool != "" {
		finish = "tool_calls"
		message = object{"role": "assistant", "content": nil, "tool_calls": []object{
			{"id": "call_1", "type": "function", "function": object{"name": tool, "arguments": m.arguments}}}}
	}
	writeJSON(w, object{"id": "c1", "object": "chat.completion", "created": 1, "model": "stand-in",
		"choices": []object{{"index": 0, "message": message, "finish_reason": finish}},
		"usage":   object{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
}

func (m *model) responses(w http.ResponseWriter, tool string) {
	item := object{"type": "message", "id": "m1", "role": "assistant", "status": "completed",
		"content": []object{{"type": "output_text", "text": "over", "annotations": []any{}}}}
	if tool != "" {
		item = object{"type": "function_call", "id": "f1", "call_id": "call_1", "name": tool, "arguments": m.arguments, "status": "completed"}
	}
	writeJSON(w, object{"id": "r1", "object": "response", "created_at": 1, "status": "completed", "model": "stand-in",
		"output": []object{item}, "parallel_tool_calls": false, "tools": []any{}, "tool_choice": "auto",
		"usage": object{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
			"input_tokens_details": object{"cached_tokens": 0}, "output_tokens_details": object{"reasoning_tokens": 0}}})
}

func (m *model) messages(w http.ResponseWriter, tool string, stream bool) {
	block, begin, reason := object{"type": "text", "text": "over"}, object{"type": "text", "text": ""}, "end_turn"
	delta := object{"type": "text_delta", "text": "over"}
	if tool != "" {
		block = object{"type": "tool_use", "id": "toolu_1", "name": tool, "input": json.RawMessage(m.arguments)}
		begin = object{"type": "tool_use", "id": "toolu_1", "name": tool, "input": object{}}
		delta, reason = object{"type": "input_json_delta", "partial_json": m.arguments}, "tool_use"
	}
	message := object{"id": "msg_1", "type": "message", "role": "assistant", "model": "stand-in", "content": []object{block},
		"stop_reason": reason, "stop_sequence": nil, "usage": object{"input_tokens": 1, "output_tokens": 1}}
	if !stream {
		writeJSON(w, message)
		return
	}
	message["content"], message["stop_reason"] = []any{}, nil
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range []object{
		{"type": "message_start", "message": message},
		{"type": "content_block_start", "index": 0, "content_block": begin},
		{"type": "content_block_delta", "index": 0, "delta": delta},
		{"type": "content_block_stop", "index": 0},
		{"type": "message_delta", "delta": object{"stop_reason": reason, "stop_sequence": nil}, "usage": object{"output_tokens": 1}},
		{"type": "message_stop"},
	} {
		data, err := json.Marshal(event)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], data)
	}
}
