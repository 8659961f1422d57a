package inspector_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"
)

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "sippet-mcp")
	if runtime.GOOS == "windows" {
		exe += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", exe, "github.com/sippet-ai/sippet-mcp/cmd/sippet-mcp").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	return exe
}

var endpoint = regexp.MustCompile(`http://[^"\s]+/mcp`)

// serve starts `sippet-mcp http --sandbox` on a free port and gives its address.
func serve(t *testing.T, exe string) string {
	t.Helper()
	c := exec.Command(exe, "http", "--sandbox", "--addr", "127.0.0.1:0", "--log-level", "warn")
	c.Env = environment(t.TempDir(), filepath.Dir(exe))
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.Process.Signal(os.Interrupt) != nil {
			c.Process.Kill() // where there are no signals
		}
		// Clients may leave streams open, so it takes no longer than this.
		late := time.AfterFunc(10*time.Second, func() { c.Process.Kill() })
		defer late.Stop()
		if err := c.Wait(); err != nil && runtime.GOOS != "windows" {
			t.Errorf("the server did not end well: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url := endpoint.FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, out)
			return url
		}
	}
	t.Fatal("the server ended without saying where it listens")
	return ""
}
