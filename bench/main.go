// Bench measures what the gate costs. In one run it puts the same work through
// several doors and prints their times as ratios, so that a slow or busy
// machine changes the figures and hardly the ratios:
//
//	direct  a POST to the upstream from Go, on a connection that is kept
//	bare    an mcp-go server with one tool that forwards its arguments
//	ours    sippet-mcp: the strict check, the policy, the gate, the rendering
//
// The upstream is a server in this process that answers at once with 25
// contacts. Servers run as processes of their own. Doors take turns in short
// rounds, and a figure is the median over all rounds.
//
//	go run ./bench            about a minute and a half; a table, JSON in a pipe
//	go run ./bench -time 1s   longer rounds
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/term"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "bare" {
		if err := serveBare(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	round := flag.Duration("time", 300*time.Millisecond, "length of a round")
	rounds := flag.Int("rounds", 7, "rounds for each figure")
	flag.Parse()
	if err := run(*round, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(round time.Duration, rounds int) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "sippet-mcp")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/sippet-mcp").CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	up, err := newUpstream()
	if err != nil {
		return err
	}
	w := &world{program: program, upstream: up, round: round, rounds: rounds}
	defer w.close()
	r := report{Go: runtime.Version(), CPUs: runtime.NumCPU(), Rounds: rounds, Round: round.String()}
	for _, part := range []func(*report) error{w.reads, w.writes, w.lists, w.starts, w.memory} {
		if err := part(&r); err != nil {
			return err
		}
	}
	if term.IsTerminal(int(os.Stdout.Fd())) {
		r.print(os.Stdout)
		return nil
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
