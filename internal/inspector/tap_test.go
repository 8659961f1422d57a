package inspector_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// A tap stands between client and server and notes the client's messages.

// said is a message of the client, as far as it tells the era.
type said struct {
	Method string `json:"method"`
	Params struct {
		ProtocolVersion string         `json:"protocolVersion"`
		Meta            map[string]any `json:"_meta"`
	} `json:"params"`
}

// revision is what the message itself says of the protocol; empty where it says nothing.
func (s said) revision() string {
	if v, ok := s.Params.Meta["io.modelcontextprotocol/protocolVersion"].(string); ok {
		return v
	}
	return s.Params.ProtocolVersion
}

func (s said) String() string {
	if r := s.revision(); r != "" {
		return s.Method + "[" + r + "]"
	}
	return s.Method
}

// tapHTTP puts a tap before a server. take gives what was said since it was last called.
func tapHTTP(t *testing.T, server string) (address string, take func() []said) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []said
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = u.Scheme, u.Host, u.Host
	}}
	tap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			var m said
			if json.Unmarshal(body, &m) == nil {
				mu.Lock()
				all = append(all, m)
				mu.Unlock()
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		tap.CloseClientConnections()
		tap.Close()
	})
	return tap.URL + u.Path, func() []said {
		mu.Lock()
		defer mu.Unlock()
		was := all
		all = nil
		return was
	}
}

// tapFile makes the test's own binary a tap for stdio: it runs the command that it is
// given, and copies what it is sent to the file that the variable names.
const tapFile = "INSPECTOR_TEST_TAP"

func TestMain(m *testing.M) {
	if file := os.Getenv(tapFile); file != "" {
		if err := tapStdio(file, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "tap:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func tapStdio(file string, command []string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	go func() {
		io.Copy(io.MultiWriter(f, in), os.Stdin)
		in.Close()
	}()
	return c.Wait()
}

// tapped reads what a tap for stdio noted.
func tapped(t *testing.T, file string) (all []said) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(raw)))
	for lines.Scan() {
		var m said
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatalf("the client sent what is no message: %s", lines.Text())
		}
		all = append(all, m)
	}
	return all
}
