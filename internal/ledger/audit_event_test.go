package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func TestRecordEventNeverBlocks(t *testing.T) {
	l := open(t, ledger.Options{})
	release := ledger.HoldWriter(l)
	const many = 10_000
	began := time.Now()
	for range many {
		l.RecordEvent(event("contact:1"))
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("RecordEvent took %v while the store was busy", d)
	}
	release()
	l.RecordEvent(event("contact:1"))
	var written, dropped int64
	for end := time.Now().Add(10 * time.Second); written+dropped < many+1 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		written, dropped = 0, 0
		for _, r := range records(t, l, ledger.Filter{}) {
			switch r.Phase {
			case ledger.PhaseRead:
				written++
			case ledger.PhaseDropped:
				dropped += r.Count
			}
		}
	}
	if written+dropped != many+1 || dropped == 0 {
		t.Errorf("of %d reads %d were written and %d counted as dropped", many+1, written, dropped)
	}
	verifyClean(t, l)
}

func TestRecords(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	began := c.now()
	for i := range 6 {
		c.advance(time.Second)
		settle(t, l, commit(t, l, call(fmt.Sprint(i))), []ledger.IntentState{ledger.Succeeded, ledger.Failed}[i%2])
	}
	in := records(t, l, ledger.Filter{Outcome: schemas.UpstreamError})[0].Intent
	for name, test := range map[string]struct {
		f    ledger.Filter
		want []int64
	}{
		"all":       {ledger.Filter{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		"follow":    {ledger.Filter{After: 10}, []int64{11, 12}},
		"the first": {ledger.Filter{Limit: 2}, []int64{1, 2}},
		"the last":  {ledger.Filter{Limit: 2, Last: true}, []int64{11, 12}},
		"since":     {ledger.Filter{Since: began.Add(5500 * time.Millisecond)}, []int64{11, 12}},
		"until":     {ledger.Filter{Until: began.Add(1500 * time.Millisecond)}, []int64{1, 2}},
		"phase":     {ledger.Filter{Phase: ledger.PhaseSettled, Limit: 2}, []int64{2, 4}},
		"outcome":   {ledger.Filter{Outcome: schemas.UpstreamError}, []int64{4, 8, 12}},
		"intent":    {ledger.Filter{Intent: in}, []int64{3, 4}},
		"action":    {ledger.Filter{Action: "delete_contact"}, nil},
		"caller":    {ledger.Filter{Caller: "ada", Phase: ledger.PhasePrepared, Last: true, Limit: 1}, []int64{11}},
		"subject":   {ledger.Filter{Subject: "contact:nobody"}, nil},
	} {
		var got []int64
		for _, r := range records(t, l, test.f) {
			got = append(got, r.Seq)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if all, err := l.Intents(t.Context(), ledger.IntentFilter{State: ledger.Failed, Limit: 2, Caller: "ada", Action: "create_contact", Since: began}); err != nil || len(all) != 2 || all[0].Prepared.Before(all[1].Prepared) {
		t.Errorf("intents: %+v, %v", all, err)
	}
}
