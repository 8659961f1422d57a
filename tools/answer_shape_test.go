package tools_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

func encodeJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// checkShape checks what every answer of every tool has in common.
func checkShape(t testing.TB, r *reply) {
	t.Helper()
	if r.Error != nil {
		t.Errorf("a JSON-RPC error: %s", r.Frame)
		return
	}
	got := object(t, r.Result.Structured)
	o, _ := got["outcome"].(string)
	if !slices.Contains(schemas.Outcomes, schemas.Outcome(o)) {
		t.Errorf("outcome %q is not of the closed set", o)
	}
	if (schemas.Outcome(o).Ran() || o == string(schemas.ApprovalPending)) == r.Result.IsError {
		t.Errorf("isError is %t with outcome %s", r.Result.IsError, o)
	}
	if !schemas.Outcome(o).Ran() {
		if _, ok := got["ran"]; !ok || got["message"] == "" || got["message"] == nil || got["nextStep"] == nil {
			t.Errorf("an error without message, ran or nextStep: %s", r.Result.Structured)
		}
	}
	if len(r.Result.Content) != 1 || r.Result.Content[0].Type != "text" {
		t.Errorf("content: %s", r.Frame)
		return
	}
	// Without the fences, the text is the same JSON.
	text := r.Result.Content[0].Text
	if u := r.Result.Meta.Untrusted; u != nil {
		if len(u.Marker) != 6 || len(u.Paths) == 0 {
			t.Errorf("marker %q, paths %q", u.Marker, u.Paths)
		}
		if bytes.Contains(r.Result.Structured, []byte(u.Marker)) {
			t.Errorf("structured content is fenced: %s", r.Result.Structured)
		}
		open, shut := "["+u.Marker+"]", "[/"+u.Marker+"]"
		if strings.Count(text, open) != strings.Count(text, shut) || !strings.Contains(text, open) {
			t.Errorf("fences do not pair: %s", text)
		}
		text = strings.NewReplacer(open, "", shut, "").Replace(text)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, r.Result.Structured); err != nil {
		t.Error(err)
	}
	var fromText, fromStructured any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&fromText); err != nil {
		t.Errorf("the text is not JSON: %v: %s", err, text)
	}
	d = json.NewDecoder(&compact)
	d.UseNumber()
	_ = d.Decode(&fromStructured)
	if encodeJSON(fromText) != encodeJSON(fromStructured) {
		t.Errorf("the text differs from the structured content:\n%s\n%s", text, r.Result.Structured)
	}
}
