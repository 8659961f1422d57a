package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

const key = "sk_bench_0123456789"

// answers is the upstream: it stands in for Sippet, answers after some time and remembers nothing.
func answers(after time.Duration) http.Handler {
	rows := make([]string, 25)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"defaultLanguage":"en","deletedAt":null,"email":"person%02d@example.com","erasedAt":null,"fullName":"Person Number %02d","id":"c0000000-0000-4000-8000-0000000000%02d","phoneE164":"+4477009001%02d"}`, i, i, i, i)
	}
	page := []byte(`{"success":true,"data":{"after":null,"before":null,"count":null,"hasMore":true,"limit":25,"nextPage":"g2wAAAABbQAAACRj","previousPage":"g2wAAAABbQAAACRk","results":[` +
		strings.Join(rows, ",") + `],"type":"keyset"}}`)
	record := []byte(`{"success":true,"data":` + rows[0] + `}`)
	passed := []byte(`{"success":true}`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if after > 0 {
			time.Sleep(after)
		}
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/validate"):
			_, _ = w.Write(passed)
		case bytes.Contains(body, []byte(`"list_contacts"`)):
			_, _ = w.Write(page)
		default:
			_, _ = w.Write(record)
		}
	})
}

// serveUpstream serves until its input ends, which is when its parent does. It says where on its
// output.
func serveUpstream(in io.Reader, out io.Writer, after time.Duration) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s\n", ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		ln.Close()
	}()
	err = http.Serve(ln, answers(after))
	if strings.Contains(err.Error(), net.ErrClosed.Error()) {
		return nil
	}
	return err
}

// startUpstream runs it as a process of its own.
func (w *world) startUpstream(after time.Duration) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, "upstream", after.String())
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop = func() { in.Close(); _ = c.Wait() }
	if _, err := fmt.Fscanln(out, &w.upstream); err != nil {
		stop()
		return nil, fmt.Errorf("the upstream did not start: %w", err)
	}
	return stop, nil
}

// post is what every door does in the end.
func post(c *http.Client, base, endpoint string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, base+"/rpc/public/"+endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Api-Key", key)
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return answer, err
}

func client() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 128
	return &http.Client{Transport: t}
}
