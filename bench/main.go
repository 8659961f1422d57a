// Bench measures what the gate costs. In one run it puts the same work through
// several doors and compares their times:
//
//	direct  a POST to the upstream from Go, on a connection that is kept
//	bare    an mcp-go server with one tool that forwards its arguments
//	ours    sippet-mcp: the strict check, the policy, the gate, the rendering
//
// Upstream and servers are processes of their own; the upstream answers at once
// with a fixed page of 25 contacts of 7 fields. One client, the same for all,
// sends the calls and reads the answers without decoding them.
//
// Two parts look at the ledger alone: how many calls a second it makes durable,
// over bare commits of one row each by SQLite; and what the gate's calls take
// with it and without, in this process, the upstream in its own.
//
// Doors take turns in short rounds. Times are of single calls over all rounds;
// a ratio is the median of the rounds' own ratios (the p50 of one door in a
// round over that of another in the same round), so that a busy machine
// changes the times much and the ratios little. cpu is what the server's
// process used for a call, user and system; it hardly depends on who else is busy.
//
//	go run ./bench            some 90 s; a table on a terminal, JSON in a pipe
//	go run ./bench -json      JSON, also on a terminal
//	go run ./bench -time 1s   longer rounds
//	go run ./bench -flood 10m what one flooding caller does to nine ordinary ones
//	go test ./bench -run - -bench . -cpuprofile cpu.out    the same calls in one process, for profiles
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/term"
)

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "bare" || os.Args[1] == "upstream") {
		exit(serve(os.Args[1], os.Args[2:]))
		return
	}
	w := &world{}
	flag.DurationVar(&w.round, "time", 150*time.Millisecond, "length of a round")
	flag.IntVar(&w.rounds, "rounds", 9, "rounds for each figure")
	flag.IntVar(&w.many, "calls", 10_000, "calls before memory is measured again")
	asJSON := flag.Bool("json", false, "write JSON, also on a terminal")
	length := flag.Duration("flood", 0, "measure nothing but a flood of this length")
	flag.Parse()
	var r interface{ print(io.Writer) }
	var err error
	if *length > 0 {
		r, err = w.runFlood(flooding{length: *length, atOnce: 400, upstream: 50 * time.Millisecond})
	} else {
		r, err = w.run()
	}
	exit(err)
	if !*asJSON && term.IsTerminal(int(os.Stdout.Fd())) {
		r.print(os.Stdout)
		return
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	exit(e.Encode(r))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// serve is what this program does when it has started itself.
func serve(what string, args []string) error {
	switch {
	case what == "upstream" && len(args) == 1:
		after, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		return serveUpstream(os.Stdin, os.Stdout, after)
	case what == "bare" && len(args) == 3:
		return serveBare(args[0], args[1], args[2])
	}
	return fmt.Errorf("%s is for this program itself", what)
}

// run measures everything.
func (w *world) run() (*report, error) {
	done, err := w.build()
	if err != nil {
		return nil, err
	}
	defer done()
	stop, err := w.startUpstream(0)
	if err != nil {
		return nil, err
	}
	defer stop()
	r := &report{Go: runtime.Version(), CPUs: runtime.NumCPU(), Rounds: w.rounds, Round: w.round.String(), Calls: w.many}
	for _, part := range []func(*report) error{w.reads, w.writes, w.lists, w.starts, w.commits, w.records, w.decisions, w.memory} {
		if err := part(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// runFlood measures a flood alone.
func (w *world) runFlood(how flooding) (*flood, error) {
	done, err := w.build()
	if err != nil {
		return nil, err
	}
	defer done()
	return w.flood(how)
}

// build builds the program into a new folder, which done removes.
func (w *world) build() (done func(), err error) {
	if w.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return nil, err
	}
	done = func() { os.RemoveAll(w.dir) }
	w.program = filepath.Join(w.dir, "sippet-mcp")
	if out, err := exec.Command("go", "build", "-o", w.program, "github.com/sippet-ai/sippet-mcp/cmd/sippet-mcp").CombinedOutput(); err != nil {
		done()
		return nil, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return done, nil
}
