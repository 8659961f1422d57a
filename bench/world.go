package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// world is what is measured, and how long.
type world struct {
	program  string
	upstream *upstream
	round    time.Duration
	rounds   int
}

func (w *world) close() { _ = w.upstream.srv.Close() }

// work is one thing done through one door.
type work struct {
	name string
	do   func() error
}

const (
	readArgs  = `{"fields":["id","fullName","email","phoneE164","defaultLanguage","deletedAt","erasedAt"],"page":{"limit":25}}`
	writeArgs = `{"fields":["id","fullName"],"input":{"fullName":"Ada Lovelace","phoneE164":"+15555550123"}}`
)

func bodyOf(action, args string) string { return `{"action":"` + action + `",` + args[1:] }

func call(tool, args string) string { return `{"name":"` + tool + `","arguments":` + args + `}` }

const modernMeta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}`

// through makes the work of one tool call, and proves once that it is answered well.
func through(name string, d door, tool, args string) (work, error) {
	params := call(tool, args)
	if w, ok := d.(*web); ok && w.modern {
		params = params[:len(params)-1] + modernMeta
	}
	answer, err := d.ask("tools/call", params)
	if err == nil && (!bytes.Contains(answer, []byte(`"structuredContent"`)) || bytes.Contains(answer, []byte(`"isError":true`))) {
		err = fmt.Errorf("it answered %.300s", answer)
	}
	if err != nil {
		return work{}, fmt.Errorf("%s: %w", name, err)
	}
	return work{name, func() error { _, err := d.ask("tools/call", params); return err }}, nil
}

func (w *world) direct(endpoints []string, body string) work {
	c := client()
	return work{"direct", func() error {
		for _, e := range endpoints {
			if _, err := post(c, w.upstream.url, e, []byte(body)); err != nil {
				return err
			}
		}
		return nil
	}}
}

// doors gives the same call through every door.
func (w *world) doors(forward, action, args string, modern bool) (all []work, shut func(), err error) {
	var open []door
	shut = func() {
		for _, d := range open {
			d.close()
		}
	}
	for _, transport := range []string{"stdio", "http"} {
		for _, server := range []string{"bare", "ours"} {
			d, err := w.spawn(server, transport)
			if err != nil {
				return nil, shut, err
			}
			open = append(open, d)
			tool, a := action, args
			if server == "bare" {
				tool, a = forward, bodyOf(action, args)
			}
			one, err := through(server+" "+transport, d, tool, a)
			if err != nil {
				return nil, shut, err
			}
			all = append(all, one)
			if w, ok := d.(*web); ok && modern {
				same := &web{cmd: w.cmd, client: w.client, url: w.url, modern: true}
				if one, err = through(server+" http modern", same, tool, a); err != nil {
					return nil, shut, err
				}
				all = append(all, one)
			}
		}
	}
	return all, shut, nil
}

func (w *world) reads(r *report) error {
	all, shut, err := w.doors("forward", "list_contacts", readArgs, true)
	defer shut()
	if err != nil {
		return err
	}
	all = append([]work{w.direct([]string{"run"}, bodyOf("list_contacts", readArgs))}, all...)
	for _, c := range []int{1, 8, 64} {
		r.add(fmt.Sprintf("read, %d at a time", c), w.measure(all, c))
	}
	return nil
}

func (w *world) writes(r *report) error {
	all, shut, err := w.doors("forward_twice", "create_contact", writeArgs, false)
	defer shut()
	if err != nil {
		return err
	}
	all = append([]work{w.direct([]string{"validate", "run"}, bodyOf("create_contact", writeArgs))}, all...)
	r.add("validated write, 1 at a time", w.measure(all, 1))
	return nil
}

func (w *world) lists(r *report) error {
	var all []work
	for _, transport := range []string{"stdio", "http"} {
		for _, server := range []string{"bare", "ours"} {
			d, err := w.spawn(server, transport)
			if err != nil {
				return err
			}
			defer d.close()
			all = append(all, work{server + " " + transport, func() error { _, err := d.ask("tools/list", `{}`); return err }})
		}
	}
	r.add("tools/list, 1 at a time", w.measure(all, 1))
	return nil
}

func (w *world) starts(r *report) error {
	var all []work
	for _, transport := range []string{"stdio", "http"} {
		for _, server := range []string{"bare", "ours"} {
			tool, args := "list_contacts", readArgs
			if server == "bare" {
				tool, args = "forward", bodyOf(tool, args)
			}
			all = append(all, work{server + " " + transport, func() error {
				d, err := w.spawn(server, transport)
				if err != nil {
					return err
				}
				defer d.close()
				_, err = through(server, d, tool, args)
				return err
			}})
		}
	}
	r.add("start to first answer", w.measure(all, 1))
	return nil
}

const manyCalls = 10_000

func (w *world) memory(r *report) error {
	for _, server := range []string{"bare", "ours"} {
		d, err := w.spawn(server, "http")
		if err != nil {
			return err
		}
		defer d.close()
		tool, args := "list_contacts", readArgs
		if server == "bare" {
			tool, args = "forward", bodyOf(tool, args)
		}
		one, err := through(server, d, tool, args)
		if err != nil {
			return err
		}
		before := resident(d.pid())
		for range manyCalls {
			if err := one.do(); err != nil {
				return err
			}
		}
		r.Memory = append(r.Memory, memory{server, before, resident(d.pid())})
	}
	return nil
}

// resident is a process's resident memory in MiB; 0 where the system does not say.
func resident(pid int) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// measure lets the works take turns, and gives their figures in order.
func (w *world) measure(all []work, concurrency int) []figure {
	times := make([][]time.Duration, len(all))
	rates := make([][]float64, len(all))
	failed := make([]error, len(all))
	for range w.rounds {
		for i, one := range all {
			ds, took, err := spell(one, concurrency, w.round)
			if err != nil {
				failed[i] = err
			}
			times[i] = append(times[i], ds...)
			rates[i] = append(rates[i], float64(len(ds))/took.Seconds())
		}
	}
	out := make([]figure, len(all))
	for i, one := range all {
		slices.Sort(times[i])
		slices.Sort(rates[i])
		f := figure{Name: one.name, Calls: len(times[i])}
		if failed[i] != nil {
			f.Error = failed[i].Error()
		}
		if n := len(times[i]); n > 0 {
			f.P50, f.P95 = us(times[i][n/2]), us(times[i][n*95/100])
			f.PerSecond = rates[i][len(rates[i])/2]
		}
		out[i] = f
	}
	return out
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// spell does the work over and over for a while.
func spell(one work, concurrency int, length time.Duration) (times []time.Duration, took time.Duration, failed error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := time.Now()
	for range concurrency {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for time.Since(begin) < length && err == nil {
				t := time.Now()
				if err = one.do(); err == nil {
					mine = append(mine, time.Since(t))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return times, time.Since(begin), failed
}
