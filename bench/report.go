package main

import (
	"fmt"
	"io"
	"strings"
)

// report is all that a run found.
type report struct {
	Go       string    `json:"go"`
	CPUs     int       `json:"cpus"`
	Rounds   int       `json:"rounds"`
	Round    string    `json:"round"`
	Calls    int       `json:"calls"`
	Parts    []part    `json:"parts"`
	Commits  []commits `json:"commits"`
	Decision decision  `json:"decision"`
	Memory   []memory  `json:"memory"`
}

// commits is how fast the ledger makes calls durable for so many callers at once.
type commits struct {
	Callers   int     `json:"callers"`
	PerSecond float64 `json:"perSecond"`
	// Bare is the rate of one writer's single-row commits between; VsBare the median of the rounds'
	// ratios.
	Bare   float64 `json:"bare"`
	VsBare float64 `json:"vsBare"`
	P50    float64 `json:"p50"`
}

// part is one kind of work, through every door.
type part struct {
	Name    string   `json:"name"`
	Figures []figure `json:"figures"`
}

// figure is one door's: times in microseconds.
type figure struct {
	Name  string  `json:"name"`
	Calls int     `json:"calls"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	// PerSecond is the median of the rounds' rates.
	PerSecond float64 `json:"perSecond"`
	// CPU is the server's, for a call; 0 where it is not known.
	CPU float64 `json:"cpu,omitempty"`
	// VsDirect and VsBare are medians of the rounds' ratios of p50; 0 where there is nothing to
	// compare with.
	VsDirect float64 `json:"vsDirect,omitempty"`
	VsBare   float64 `json:"vsBare,omitempty"`
}

// memory is a server's resident memory in MiB, after its first call and after many.
type memory struct {
	Name   string  `json:"name"`
	Before float64 `json:"afterStart"`
	After  float64 `json:"afterManyCalls"`
}

// counterpart is the bare server's door of the same kind as one of ours; empty for others.
func counterpart(name string) string {
	if rest, ok := strings.CutPrefix(name, "ours"); ok {
		return "bare" + rest
	}
	return ""
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d CPUs, %d rounds of %s, each door in turn\n", r.Go, r.CPUs, r.Rounds, r.Round)
	for _, p := range r.Parts {
		fmt.Fprintf(w, "\n\x1b[1m%-30s %9s %9s %9s %9s %9s %8s\x1b[0m\n", p.Name, "p50 µs", "p95 µs", "cpu µs", "per s", "× direct", "× bare")
		for _, f := range p.Figures {
			fmt.Fprintf(w, "%-30s %9.0f %9.0f %9s %9.0f %9s %8s\n", f.Name, f.P50, f.P95, given("%.0f", f.CPU), f.PerSecond, given("%.2f", f.VsDirect), given("%.2f", f.VsBare))
		}
	}
	fmt.Fprintf(w, "\n\x1b[1m%-30s %9s %9s %9s %9s\x1b[0m\n", "durable intents", "p50 µs", "per s", "bare /s", "× bare")
	for _, c := range r.Commits {
		fmt.Fprintf(w, "%-30s %9.0f %9.0f %9.0f %9.2f\n", fmt.Sprintf("%d at a time", c.Callers), c.P50, c.PerSecond, c.Bare, c.VsBare)
	}
	d := r.Decision
	fmt.Fprintf(w, "\n\x1b[1m%-30s %9s %9s\x1b[0m\n", fmt.Sprintf("a decision over %d rules", d.Rules), "p50 µs", "p99 µs")
	fmt.Fprintf(w, "%-30s %9.1f %9.1f\n%-30s %9.1f %9.1f\n", "a call to ten people", d.Ring50, d.Ring99, "a read", d.Read50, d.Read99)
	fmt.Fprintf(w, "(loaded in %.0f ms; %.1f %% of a read through stdio)\n", d.Load, 100*d.OfARead)
	fmt.Fprintf(w, "\n\x1b[1m%-30s %9s %9s\x1b[0m\n", "resident memory, MiB", "at start", "later")
	for _, m := range r.Memory {
		fmt.Fprintf(w, "%-30s %9.1f %9.1f\n", m.Name, m.Before, m.After)
	}
	fmt.Fprintf(w, "(later: after %d calls)\n", r.Calls)
}

// given leaves out what is not known.
func given(format string, v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}
