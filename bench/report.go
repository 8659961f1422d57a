package main

import (
	"fmt"
	"io"
	"strings"
)

// report is all that a run found.
type report struct {
	Go     string   `json:"go"`
	CPUs   int      `json:"cpus"`
	Rounds int      `json:"rounds"`
	Round  string   `json:"round"`
	Parts  []part   `json:"parts"`
	Memory []memory `json:"memory"`
}

// part is one kind of work, through every door.
type part struct {
	Name    string   `json:"name"`
	Figures []figure `json:"figures"`
}

// figure is one door's: times in microseconds, the median rate of its rounds.
type figure struct {
	Name      string  `json:"name"`
	Calls     int     `json:"calls"`
	P50       float64 `json:"p50"`
	P95       float64 `json:"p95"`
	PerSecond float64 `json:"perSecond"`
	// VsDirect and VsBare are ratios of medians; 0 where there is nothing to compare with.
	VsDirect float64 `json:"vsDirect,omitempty"`
	VsBare   float64 `json:"vsBare,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// memory is a server's resident memory in MiB, after its first call and after many.
type memory struct {
	Name   string  `json:"name"`
	Before float64 `json:"afterStart"`
	After  float64 `json:"afterManyCalls"`
}

func (r *report) add(name string, figures []figure) {
	by := map[string]float64{}
	for _, f := range figures {
		by[f.Name] = f.P50
	}
	for i := range figures {
		f := &figures[i]
		if d := by["direct"]; d > 0 && f.Name != "direct" {
			f.VsDirect = f.P50 / d
		}
		if rest, ok := strings.CutPrefix(f.Name, "ours"); ok && by["bare"+rest] > 0 {
			f.VsBare = f.P50 / by["bare"+rest]
		}
	}
	r.Parts = append(r.Parts, part{name, figures})
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d CPUs, medians of %d rounds of %s\n", r.Go, r.CPUs, r.Rounds, r.Round)
	for _, p := range r.Parts {
		fmt.Fprintf(w, "\n\x1b[1m%-30s %10s %10s %10s %9s %8s\x1b[0m\n", p.Name, "p50 µs", "p95 µs", "per s", "× direct", "× bare")
		for _, f := range p.Figures {
			fmt.Fprintf(w, "%-30s %10.0f %10.0f %10.0f %9s %8s %s\n", f.Name, f.P50, f.P95, f.PerSecond, ratio(f.VsDirect), ratio(f.VsBare), f.Error)
		}
	}
	fmt.Fprintf(w, "\n\x1b[1m%-30s %10s %10s\x1b[0m\n", "resident memory, MiB", "start", fmt.Sprintf("%d calls", manyCalls))
	for _, m := range r.Memory {
		fmt.Fprintf(w, "%-30s %10.1f %10.1f\n", m.Name, m.Before, m.After)
	}
}

func ratio(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}
