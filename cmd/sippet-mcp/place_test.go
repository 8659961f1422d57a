//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
)

// Two programs of one state directory have one inbox, which outlives whichever of them serves it.
func TestOneInbox(t *testing.T) {
	for name, c := range map[string]struct {
		end func(*process)
		// both says that the other one has asked something too; else it was never in need of an inbox.
		both bool
	}{
		"killed":                 {end: (*process).kill},
		"killed, both had asked": {end: (*process).kill, both: true},
		"stopped":                {end: func(p *process) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }},
		"left by its client":     {end: func(p *process) { _ = p.in.Close() }, both: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			addr := w.fix(t)
			first, one := w.stdio(t, nil)
			_, two := w.stdio(t, nil)
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				t.Fatal("an inbox is served that nobody needs")
			}
			id, base := one.tool(t, "delete_contact", erase(1)).waits(t)
			if base != "http://"+addr {
				t.Fatalf("the inbox is at %s, and was to be at %s", base, addr)
			}
			var other string
			if c.both {
				var there string
				if other, there = two.tool(t, "delete_contact", erase(2)).waits(t); there != base {
					t.Errorf("the other's inbox is at %s, not at %s", there, base)
				}
			} else {
				time.Sleep(2500 * time.Millisecond) // so that it has looked, and has seen that the inbox is served
			}
			ada := &answerer{base, w.ada}
			if q, err := ada.look(id); err != nil || q.State != "pending" {
				t.Fatalf("%+v %v", q, err)
			}
			c.end(first)
			<-first.ended
			began := time.Now()
			var q pending
			var err error
			until(t, 6*time.Second, func() bool { q, err = ada.look(id); return err == nil }, func() string { return "nobody serves the inbox any more: " + err.Error() })
			t.Logf("the other one serves it after %v", time.Since(began).Round(time.Millisecond))
			if q.State != "pending" || !strings.Contains(q.Card.Sentence, "Erase the contact") {
				t.Errorf("what waited there does not any more: %+v", q)
			}
			// Nobody else than the other process is there to run it.
			ada.agree(t, id)
			ada.becomes(t, id, "ada agreed, and it ran")
			if r := two.tool(t, "delete_contact", erase(1)); r.outcome() != "done" || r.Result.StructuredContent.ApprovedBy != "ada" {
				t.Errorf("the same call again: %+v", r.Result)
			}
			if c.both {
				ada.agree(t, other)
				ada.becomes(t, other, "ada agreed, and it ran")
			}
			if again, there := two.tool(t, "delete_contact", erase(3)).waits(t); there != base || again == id {
				t.Errorf("what is asked now waits at %s", there)
			}
			if n := w.erased(); n != 1 && !c.both || n != 2 && c.both {
				t.Errorf("it ran %d times", n)
			}
		})
	}
}

// foreign is another program at an address, which answers everything and remembers what it was told.
type foreign struct {
	mu   sync.Mutex
	seen bytes.Buffer
}

func (f *foreign) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintln(&f.seen, r.Method, r.URL)
	_ = r.Header.Write(&f.seen)
	_, _ = f.seen.ReadFrom(r.Body)
	fmt.Fprint(w, `{"proof":"0000","pages":0}`)
}

func (f *foreign) told() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen.String()
}

// takes takes the address, which must be free.
func (f *foreign) takes(t *testing.T, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f)
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	t.Cleanup(s.Close)
}

// opener is what BROWSER names: it writes down the addresses with which it is opened.
type opener struct{ file, command string }

func newOpener(t *testing.T) *opener {
	t.Helper()
	dir := t.TempDir()
	b := &opener{filepath.Join(dir, "opened"), filepath.Join(dir, "browser")}
	if err := os.WriteFile(b.command, []byte("#!/bin/sh\necho \"$1\" >>"+b.file+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *opener) env() []string { return []string{"BROWSER=" + b.command} }

func (b *opener) opened() []string {
	raw, _ := os.ReadFile(b.file)
	return strings.Fields(string(raw))
}

// await waits until the browser was opened, and gives with what.
func (b *opener) await(t *testing.T) string {
	t.Helper()
	until(t, 10*time.Second, func() bool { return len(b.opened()) > 0 }, func() string { return "no browser was opened" })
	if all := b.opened(); len(all) != 1 {
		t.Errorf("the browser was opened with %v", all)
	}
	return b.opened()[0]
}

// codeOf takes the code from an address.
func codeOf(t *testing.T, url string) string {
	t.Helper()
	_, rest, found := strings.Cut(url, inbox.Path+"/enter/")
	code, _, _ := strings.Cut(rest, "?")
	if !found || len(code) < 40 {
		t.Fatalf("%q has no code", url)
	}
	return code
}

// Another program holds the port: the inbox is elsewhere then, and that one is told nothing that is worth anything.
func TestPortOfOthers(t *testing.T) {
	t.Parallel()
	w, b, f := newWorld(t), newOpener(t), &foreign{}
	addr := w.fix(t)
	f.takes(t, addr)
	p, err := spawn([]string{"stdio", "--policy", "team", "--approval-wait", "0s", "--base-url", w.up.URL, "--state-dir", w.dir}, b.env()...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.kill(); <-p.ended }()
	c, err := newLegacy(p, &crashWorld{t: t})
	if err != nil {
		t.Fatal(err)
	}
	id, base := c.tool(t, "delete_contact", erase(1)).waits(t)
	fixed, err := os.ReadFile(filepath.Join(w.dir, addressFile))
	if err != nil || base == "http://"+addr || base != "http://"+strings.TrimSpace(string(fixed)) {
		t.Errorf("the inbox is at %s, and written down is %s (%v)", base, fixed, err)
	}
	if !strings.Contains(p.faults(), "another program holds the port of the inbox") {
		t.Errorf("the log says nothing of it: %s", p.faults())
	}
	opened := b.await(t)
	code := codeOf(t, opened)
	if !strings.HasPrefix(opened, base+"/") || !strings.HasSuffix(opened, "?q="+id) {
		t.Errorf("the browser was opened at %s", opened)
	}
	out, err := command("audit", "export", "--state-dir", w.dir).Output()
	if err != nil || strings.Contains(string(out)+p.faults(), code) {
		t.Errorf("the code is in the audit or the log (%v)", err)
	}
	nowhere(t, w.dir, code)
	if told := f.told(); !strings.HasPrefix(told, "GET /inbox/whose?nonce=") || strings.Contains(told, code) || strings.Contains(told, id) ||
		strings.Count(told, "GET ") != strings.Count(told, "GET /inbox/whose?nonce=") || strings.Contains(told, "POST") {
		t.Errorf("the other program was told: %s", told)
	}
}

// Whoever takes the port in the moment between two processes of ours is given no code either.
func TestPortTakenBetween(t *testing.T) {
	t.Parallel()
	w, b, f := newWorld(t), newOpener(t), &foreign{}
	addr := w.fix(t)
	first, one := w.stdio(t, nil)
	one.tool(t, "delete_contact", erase(1)).waits(t)
	page := w.watches(t, "http://"+addr)
	second, two := w.stdio(t, b.env())
	// It knows the address from now on, and leaves the browser alone, because somebody looks already.
	if _, base := two.tool(t, "delete_contact", erase(2)).waits(t); base != "http://"+addr {
		t.Fatalf("the inbox is at %s", base)
	}
	if all := b.opened(); len(all) > 0 {
		t.Errorf("the browser was opened though a page is open: %v", all)
	}
	page()
	must(t, second.cmd.Process.Signal(syscall.SIGSTOP))
	first.kill()
	<-first.ended
	f.takes(t, addr)
	must(t, second.cmd.Process.Signal(syscall.SIGCONT))
	_, base := two.tool(t, "delete_contact", erase(3)).waits(t)
	if base == "http://"+addr {
		t.Errorf("the inbox is said to be where another program is: %s", base)
	}
	opened := b.await(t)
	if strings.HasPrefix(opened, "http://"+addr) || !strings.HasPrefix(opened, base) {
		t.Errorf("another program was given a code: the browser was opened at %s", opened)
	}
	if told := f.told(); strings.Contains(told, "/enter/") {
		t.Errorf("%s", told)
	}
}

// watches opens the page of the inbox as ada, until the function is called that it gives.
func (w *world) watches(t *testing.T, base string) (leave func()) {
	t.Helper()
	form, err := outlet.Post(base+"/inbox/login", "application/x-www-form-urlencoded", strings.NewReader("token="+w.ada))
	if err != nil || len(form.Cookies()) != 1 {
		t.Fatalf("no login: %v %+v", err, form)
	}
	form.Body.Close()
	r, err := http.NewRequest("GET", base+"/inbox/events?seen=1", nil)
	must(t, err)
	r.AddCookie(form.Cookies()[0])
	stream, err := outlet.Do(r)
	if err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("no stream: %v %+v", err, stream)
	}
	return func() { stream.Body.Close() }
}
