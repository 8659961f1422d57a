package main

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// work is one thing done through one door.
type work struct {
	name string
	do   func() error
	// pid is the process that does it; 0 where that is this one, or a new one each time.
	pid int
}

// round is how one door did in one round.
type round struct {
	times []time.Duration // sorted
	took  time.Duration
	cpu   time.Duration
}

func (r round) p50() float64 { return us(at(r.times, .5)) }

// measure lets the works take turns, and gives their figures in order.
func (w *world) measure(all []work, concurrency int) ([]figure, error) {
	rounds := make([][]round, len(all))
	for range w.rounds {
		for i, one := range all {
			r, err := spell(one, concurrency, w.round)
			if err != nil {
				return nil, err
			}
			rounds[i] = append(rounds[i], r)
		}
	}
	out := make([]figure, len(all))
	index := map[string]int{}
	for i, one := range all {
		index[one.name] = i
		out[i] = sum(one.name, rounds[i])
		if d, ok := index["direct"]; ok && i != d {
			out[i].VsDirect = ratioOf(rounds[i], rounds[d])
		}
		if b, ok := index[counterpart(one.name)]; ok && i != b {
			out[i].VsBare = ratioOf(rounds[i], rounds[b])
		}
	}
	return out, nil
}

// spell does the work over and over for a while, at least once.
func spell(one work, concurrency int, length time.Duration) (r round, failed error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	cpu, begin := used(one.pid), time.Now()
	for range concurrency {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil && (len(mine) == 0 || time.Since(begin) < length) {
				t := time.Now()
				err = one.do()
				mine = append(mine, time.Since(t))
			}
			mu.Lock()
			defer mu.Unlock()
			r.times = append(r.times, mine...)
			failed = cmp.Or(failed, err)
		})
	}
	wg.Wait()
	r.took, r.cpu = time.Since(begin), used(one.pid)-cpu
	slices.Sort(r.times)
	return r, failed
}

// sum makes one figure of a door's rounds.
func sum(name string, rounds []round) figure {
	var all []time.Duration
	var rates []float64
	var cpu time.Duration
	for _, r := range rounds {
		all = append(all, r.times...)
		rates = append(rates, float64(len(r.times))/r.took.Seconds())
		cpu += r.cpu
	}
	slices.Sort(all)
	return figure{Name: name, Calls: len(all), P50: us(at(all, .5)), P95: us(at(all, .95)),
		PerSecond: median(rates), CPU: us(cpu) / float64(len(all))}
}

// ratioOf is the median of the rounds' ratios.
func ratioOf(of, to []round) float64 {
	var all []float64
	for i := range of {
		all = append(all, of[i].p50()/to[i].p50())
	}
	return median(all)
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func at(sorted []time.Duration, share float64) time.Duration {
	return sorted[int(share*float64(len(sorted)-1))]
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
