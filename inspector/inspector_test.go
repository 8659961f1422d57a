// Package inspector drives the program with a real client: the official MCP
// Inspector, over both transports and in both protocol eras.
package inspector

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// missing skips where the client cannot be had; in CI that is a failure.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why + ", and in CI this test must run")
	}
	t.Skip(why)
}

func TestInspector(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		missing(t, "npm is not installed, so the MCP Inspector cannot be had")
	}
	out, err := exec.Command("bash", "install.sh").Output()
	if err != nil {
		missing(t, fmt.Sprintf("the MCP Inspector could not be installed: %v", err))
	}
	bin := strings.TrimSpace(string(out))
	program := filepath.Join(t.TempDir(), "sippet-mcp")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/sippet-mcp").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	url := serveHTTP(t, program)
	for _, transport := range []struct {
		name string
		to   []string // the server, after the method
	}{
		{"stdio", []string{"--", program, "stdio", "--sandbox"}},
		{"http", []string{"--server-url", url, "--transport", "http"}},
	} {
		for _, era := range []string{"legacy", "modern"} {
			t.Run(transport.name+"/"+era, func(t *testing.T) {
				inspect := func(args ...string) []byte {
					all := append([]string{filepath.Join(bin, "mcp-inspector"), "--cli"}, args...)
					all = append(all, "--format", "json", "-q")
					if era == "modern" {
						all = append(all, "--protocol-era", "modern")
					}
					return run(t, filepath.Join(bin, "node"), append(all, transport.to...)...)
				}
				tools := inspect("--method", "tools/list")
				var list struct {
					Tools []struct{ Name string } `json:"tools"`
				}
				decode(t, tools, &list)
				if len(list.Tools) != 53 {
					t.Errorf("%d tools, want the 52 actions and validate_action", len(list.Tools))
				}
				var res struct {
					IsError           bool `json:"isError"`
					StructuredContent struct {
						Outcome   string           `json:"outcome"`
						Results   []map[string]any `json:"results"`
						Simulated bool             `json:"simulated"`
					} `json:"structuredContent"`
				}
				decode(t, inspect("--method", "tools/call", "--tool-name", "list_contacts",
					"--tool-args-json", `{"fields":["id","fullName"],"page":{"limit":5}}`), &res)
				c := res.StructuredContent
				if res.IsError || c.Outcome != "done" || len(c.Results) != 5 || !c.Simulated || c.Results[0]["fullName"] == nil {
					t.Errorf("list_contacts answered %+v", res)
				}
			})
		}
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, errs.String())
	}
	return out
}

// decode takes the result, or the result within an envelope.
func decode(t *testing.T, raw []byte, v any) {
	t.Helper()
	var in struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, raw)
	}
	if in.Result != nil {
		raw = in.Result
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
}

// serveHTTP starts the program on a free port and waits until it is healthy.
func serveHTTP(t *testing.T, program string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cmd := exec.Command(program, "http", "--sandbox", "--addr", addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	for range 100 {
		if res, err := http.Get("http://" + addr + "/healthz"); err == nil {
			res.Body.Close()
			return "http://" + addr + "/mcp"
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the program did not become healthy")
	return ""
}
