package tools_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
)

// TestTranscripts sends the client's frames of each transcript over stdio, and compares the
// server's frames and what reached upstream. In the files, random values have the names APPROVAL,
// ELICITATION, MARKER, NOW and SECONDS, and the instructions, which have their own file, INSTRUCTIONS. In a
// client's frame APPROVAL and ELICITATION become the values of this run. -update rewrites all but
// the client's part.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file, playTranscript(t, a))
		})
	}
}

// names replace random values, in this order.
var names = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`("requestState": ")[0-9a-f]{32}\.[^"]*"`), `${1}APPROVAL"`},
	{regexp.MustCompile(`("id\\?": ?\\?"|/approvals/)[0-9a-f]{32}`), `${1}REQUEST`},
	{regexp.MustCompile(`("(?:ranAt|expires)\\?": ?\\?")[^"\\]*`), `${1}NOW`},
	{regexp.MustCompile(`("instructions": ")(?:[^"\\]|\\.)*"`), `${1}INSTRUCTIONS"`},
	{regexp.MustCompile(`("asOf": ")[^"]*"`), `${1}NOW"`},
	{regexp.MustCompile(`(\\"asOf\\":\\")[^"]*\\"`), `${1}NOW\"`},
	{regexp.MustCompile(`(it ran )(?:just now|\d+ seconds ago)`), `${1}SECONDS ago`},
	{regexp.MustCompile(`("id": )[0-9]+(,\s+"method": "elicitation/create")`), `${1}"ELICITATION"${2}`},
}

func playTranscript(t *testing.T, script *txtar.Archive) []byte {
	t.Helper()
	w := newWorld(t, setup{})
	inR, in := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- serve.Stdio(context.Background(), w.server, ada, inR, outW, slog.New(slog.DiscardHandler))
		outW.Close()
	}()
	lines := make(chan []byte, 10)
	go func() {
		defer close(lines)
		for r := bufio.NewReader(outR); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}()
	got := &txtar.Archive{Comment: script.Comment}
	upstream := func() {
		if rs := lifecycle(w.up.Requests()); len(rs) > 0 {
			got.Files = append(got.Files, txtar.File{Name: "upstream", Data: []byte(strings.Join(rs, "\n") + "\n")})
			w.up.Forget()
		}
	}
	id, request := "", ""
	for _, f := range script.Files {
		if f.Name != "client" {
			continue
		}
		got.Files = append(got.Files, f)
		var frame bytes.Buffer
		sent := strings.NewReplacer("APPROVAL", id, `"ELICITATION"`, request).Replace(string(f.Data))
		if err := json.Compact(&frame, []byte(sent)); err != nil {
			t.Fatalf("%v: %s", err, sent)
		}
		frame.WriteByte('\n')
		w.think()
		if _, err := in.Write(frame.Bytes()); err != nil {
			t.Fatal(err)
		}
		var m struct {
			ID     json.RawMessage
			Method string
		}
		if _ = json.Unmarshal(frame.Bytes(), &m); m.ID == nil {
			continue // a notification
		}
		var line []byte
		select {
		case line = <-lines:
		case <-time.After(20 * time.Second):
			t.Fatalf("no answer to %s", frame.Bytes())
		}
		upstream()
		got.Files = append(got.Files, txtar.File{Name: "server", Data: normalise(t, line)})
		r := &reply{}
		if json.Unmarshal(line, r) == nil && r.Result.RequestState != "" {
			id = r.Result.RequestState
		}
		if _ = json.Unmarshal(line, &m); m.Method == "elicitation/create" {
			request = string(m.ID)
		}
	}
	in.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for line := range lines {
		t.Errorf("one more frame: %s", line)
	}
	return txtar.Format(got)
}

// normalise indents a frame and replaces random values by names.
func normalise(t *testing.T, frame []byte) []byte {
	t.Helper()
	marker := ""
	r := &reply{}
	if json.Unmarshal(frame, r) == nil && r.Result.Meta.Untrusted != nil {
		marker = r.Result.Meta.Untrusted.Marker
	}
	// Angle brackets are easier to read than their escapes.
	frame = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(frame)))
	var b bytes.Buffer
	if err := json.Indent(&b, frame, "", "  "); err != nil {
		t.Fatalf("%v: %s", err, frame)
	}
	s := b.String()
	if marker != "" {
		s = strings.ReplaceAll(s, marker, "MARKER")
	}
	for _, n := range names {
		s = n.pattern.ReplaceAllString(s, n.name)
	}
	return []byte(strings.TrimSpace(s) + "\n")
}
