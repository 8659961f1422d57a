package main

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// world is what is measured, and how long.
type world struct {
	program  string // the built program
	upstream string // its address
	round    time.Duration
	rounds   int
	many     int
	dir      string // for what servers keep
}

const (
	readArgs = `{"fields":["id","fullName","email","phoneE164","defaultLanguage","deletedAt","erasedAt"],"page":{"limit":25}}`
	// The number is another one each time: the same write twice would be answered from the record.
	writeArgs = `{"fields":["id","fullName"],"input":{"fullName":"Ada Lovelace #","defaultLanguage":"en"}}`
)

// task is one kind of call: the real tool with its arguments, in which # is a number, and the bare
// server's tool that sends the same body.
type task struct {
	action, args string
	bare         string
	endpoints    []string
}

var numbers atomic.Int64

// numbered gives the arguments of the next call.
func numbered(args string) string {
	before, after, ok := strings.Cut(args, "#")
	if !ok {
		return args
	}
	return before + strconv.FormatInt(1_000_000_000+numbers.Add(1), 10) + after
}

var (
	aRead  = task{"list_contacts", readArgs, "forward", []string{"run"}}
	aWrite = task{"create_contact", writeArgs, "forward_twice", []string{"validate", "run"}}
)

// body is what Sippet is sent.
func (t task) body() string { return `{"action":"` + t.action + `",` + t.args[1:] }

// call makes the work of one task through a door, and proves once that it is answered well.
func call(name string, d door, server string, t task) (work, error) {
	tool, args := t.action, t.args
	if server == "bare" {
		tool, args = t.bare, t.body()
	}
	ask := func() ([]byte, error) {
		return d.ask("tools/call", tool, `{"name":"`+tool+`","arguments":`+numbered(args)+`}`)
	}
	answer, err := ask()
	if err == nil && (!bytes.Contains(answer, []byte(`"structuredContent"`)) || bytes.Contains(answer, []byte(`"isError":true`))) {
		err = fmt.Errorf("it answered %.300s", answer)
	}
	if err != nil {
		return work{}, fmt.Errorf("%s: %w", name, err)
	}
	return work{name, func() error { _, err := ask(); return err }, d.pid()}, nil
}

func (w *world) direct(t task) work {
	c := client()
	return work{name: "direct", do: func() error {
		body := []byte(numbered(t.body()))
		for _, e := range t.endpoints {
			if _, err := post(c, w.upstream, e, body); err != nil {
				return err
			}
		}
		return nil
	}}
}

// pair is a server on a transport.
type pair struct{ server, transport string }

func (p pair) String() string { return p.server + " " + p.transport }

// pairs stand so that what is compared comes one after the other.
var pairs = []pair{{"bare", "stdio"}, {"ours", "stdio"}, {"bare", "http"}, {"ours", "http"}}

// through measures a task through every door.
func (w *world) through(r *report, t task, title string, concurrencies ...int) error {
	all := []work{w.direct(t)}
	var modern []work
	for _, p := range pairs {
		d, err := w.spawn(p)
		if err != nil {
			return err
		}
		defer d.close()
		one, err := call(p.String(), d, p.server, t)
		if err != nil {
			return err
		}
		all = append(all, one)
		if h, ok := d.(*web); ok {
			if one, err = call(p.String()+" modern", h.inModern(), p.server, t); err != nil {
				return err
			}
			modern = append(modern, one)
		}
	}
	all = append(all, modern...)
	for _, c := range concurrencies {
		if err := w.add(r, fmt.Sprintf("%s, %d at a time", title, c), all, c); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) add(r *report, title string, all []work, concurrency int) error {
	figures, err := w.measure(all, concurrency)
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	r.Parts = append(r.Parts, part{title, figures})
	return nil
}

func (w *world) reads(r *report) error  { return w.through(r, aRead, "read", 1, 8, 64) }
func (w *world) writes(r *report) error { return w.through(r, aWrite, "validated write", 1, 8) }

func (w *world) lists(r *report) error {
	var all []work
	for _, p := range pairs {
		d, err := w.spawn(p)
		if err != nil {
			return err
		}
		defer d.close()
		all = append(all, work{p.String(), func() error { _, err := d.ask("tools/list", "", `{}`); return err }, d.pid()})
	}
	return w.add(r, "tools/list, 1 at a time", all, 1)
}

// starts measures from nothing to the first answer, the first try of a connection included.
func (w *world) starts(r *report) error {
	var all []work
	for _, p := range pairs {
		all = append(all, work{name: p.String(), do: func() error {
			d, err := w.spawn(p)
			if err != nil {
				return err
			}
			defer d.close()
			_, err = call(p.String(), d, p.server, aRead)
			return err
		}})
	}
	return w.add(r, "start to first answer", all, 1)
}

func (w *world) memory(r *report) error {
	for _, p := range pairs {
		d, err := w.spawn(p)
		if err != nil {
			return err
		}
		defer d.close()
		one, err := call(p.String(), d, p.server, aRead)
		if err != nil {
			return err
		}
		m := memory{Name: p.String(), Before: resident(d.pid())}
		if err := times(w.many, 8, one.do); err != nil {
			return err
		}
		m.After = resident(d.pid())
		r.Memory = append(r.Memory, m)
	}
	return nil
}

// times does something n times, several at once.
func times(n, concurrency int, do func() error) error {
	var left atomic.Int64
	left.Store(int64(n))
	failed := make(chan error, concurrency)
	for range concurrency {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				err = do()
			}
			failed <- err
		}()
	}
	var err error
	for range concurrency {
		err = cmp.Or(err, <-failed)
	}
	return err
}
