package ledger_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestApprovalStates: whatever came before, Check and Commit agree on whether a grant can be spent, and on why not.
func TestApprovalStates(t *testing.T) {
	type world struct {
		*ledger.SQLite
		c *clock
		g ledger.ApprovalRequest
		x ledger.Txn
	}
	say := func(s ledger.ApprovalState) func(*world) {
		// Some are refused, which is what is tested.
		return func(w *world) {
			_ = w.AnswerApproval(t.Context(), w.g, ledger.Reply{State: s, By: ledger.Actor{Name: "ada"}})
		}
	}
	yes, no, off := say(ledger.Approved), say(ledger.Declined), say(ledger.Revoked)
	spend := func(w *world) { settle(t, w, commit(t, w, w.x), ledger.Failed) }
	late := func(w *world) { w.c.pass(time.Minute) }
	for name, test := range map[string]struct {
		before []func(*world)
		want   error
	}{
		"waiting":                    {nil, ledger.ErrApprovalPending},
		"granted":                    {[]func(*world){yes}, nil},
		"twice granted":              {[]func(*world){yes, yes}, nil},
		"refused":                    {[]func(*world){no}, ledger.ErrApprovalDeclined},
		"taken back":                 {[]func(*world){yes, no}, ledger.ErrApprovalDeclined},
		"yes after a no":             {[]func(*world){no, yes}, ledger.ErrApprovalDeclined},
		"withdrawn":                  {[]func(*world){off}, ledger.ErrApprovalRevoked},
		"yes after it":               {[]func(*world){off, yes}, ledger.ErrApprovalRevoked},
		"spent":                      {[]func(*world){yes, spend}, ledger.ErrApprovalUsed},
		"yes after that":             {[]func(*world){yes, spend, yes}, ledger.ErrApprovalUsed},
		"expired":                    {[]func(*world){late}, ledger.ErrApprovalExpired},
		"a late yes":                 {[]func(*world){late, yes}, ledger.ErrApprovalExpired},
		"a yes that waited too long": {[]func(*world){yes, late}, ledger.ErrApprovalExpired},
		"just in time":               {[]func(*world){yes, func(w *world) { w.c.pass(time.Minute - time.Microsecond) }}, nil},
		"asked as granted": {[]func(*world){func(w *world) {
			w.g.ID, w.g.State = ledger.NewID(), ledger.Approved
			if err := w.CreateApproval(t.Context(), w.g); err != nil {
				t.Fatal(err)
			}
			w.x.ApprovalID = w.g.ID
		}}, ledger.ErrApprovalPending},
		"a claim of being granted": {[]func(*world){func(w *world) { w.g.State = ledger.Approved }}, ledger.ErrApprovalPending},
		"no id":                    {[]func(*world){yes, func(w *world) { w.g.ID, w.x.ApprovalID = "", "none" }}, ledger.ErrNoApproval},
		"asked anew":               {[]func(*world){func(w *world) { ask(t, w, w.x, w.c.now().Add(time.Minute)) }}, ledger.ErrApprovalRevoked},
		"asked anew after a yes":   {[]func(*world){yes, func(w *world) { ask(t, w, w.x, w.c.now().Add(time.Minute)) }}, ledger.ErrApprovalRevoked},
		"another asked":            {[]func(*world){func(w *world) { ask(t, w, call("b"), w.c.now().Add(time.Minute)) }, yes}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			w := &world{SQLite: open(t, ledger.Options{Now: c.now}), c: c, x: call("a")}
			w.g = ask(t, w, w.x, c.now().Add(time.Minute))
			w.x.ApprovalID = w.g.ID
			for _, f := range test.before {
				f(w)
			}
			wantErr(t, "check", w.CheckApproval(t.Context(), w.g), test.want)
			_, err := w.Commit(t.Context(), w.x)
			wantErr(t, "commit", err, test.want)
			if test.want == nil {
				wantErr(t, "check after it", w.CheckApproval(t.Context(), w.g), ledger.ErrApprovalUsed)
			}
			clean(t, w)
		})
	}
}

// TestOneAnswerAtATime: asked anew, an earlier yes is void, whatever the new answer is and whatever becomes of a call
// that had spent it.
func TestOneAnswerAtATime(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	first := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, first, ledger.Approved)
	x.ApprovalID = first.ID
	second := ask(t, l, x, c.now().Add(time.Minute))
	_, err := l.Commit(t.Context(), x)
	wantErr(t, "the first yes", err, ledger.ErrApprovalRevoked)
	answer(t, l, second, ledger.Declined)
	_, err = l.Commit(t.Context(), x)
	wantErr(t, "the first yes after a no", err, ledger.ErrApprovalRevoked)

	third := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, third, ledger.Approved)
	x.ApprovalID = third.ID
	in := commit(t, l, x)
	fourth := ask(t, l, x, c.now().Add(time.Minute))
	settle(t, l, in, ledger.NotSent)
	wantErr(t, "given back", l.CheckApproval(t.Context(), third), ledger.ErrApprovalRevoked)
	wantErr(t, "its successor", l.CheckApproval(t.Context(), fourth), ledger.ErrApprovalPending)
	clean(t, l)
}

func TestSpendOnce(t *testing.T) {
	l := open(t, ledger.Options{})
	x := call("a")
	x.Class, x.Action = schemas.Read, "get_contact" // nothing but the grant stands in its way
	g := ask(t, l, x, time.Now().Add(time.Minute))
	answer(t, l, g, ledger.Approved)
	x.ApprovalID = g.ID
	var wg sync.WaitGroup
	won := make(chan bool, 50)
	for range cap(won) {
		wg.Go(func() {
			if _, err := l.Commit(t.Context(), x); err == nil {
				won <- true
			} else if !errors.Is(err, ledger.ErrApprovalUsed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("spent %d times", len(won))
	}
}

// TestConfirmedRead: a read that a person had to confirm spends its yes as a write does, and stands in nobody's way.
func TestConfirmedRead(t *testing.T) {
	l := open(t, ledger.Options{})
	x := call("a")
	x.Class, x.Action = schemas.Read, "get_contact"
	for range 2 {
		x.ApprovalID = ""
		if _, err := l.Commit(t.Context(), x); err == nil {
			t.Fatal("a read needs no intent")
		}
		g := ask(t, l, x, time.Now().Add(time.Minute))
		x.ApprovalID = g.ID
		_, err := l.Commit(t.Context(), x)
		wantErr(t, "before the answer", err, ledger.ErrApprovalPending)
		answer(t, l, g, ledger.Approved)
		in := commit(t, l, x)
		_, err = l.Commit(t.Context(), x)
		wantErr(t, "again", err, ledger.ErrApprovalUsed)
		if p, err := l.FindConflicting(t.Context(), x); err != nil || p != nil {
			t.Errorf("prior of a read: %+v, %v", p, err)
		}
		settle(t, l, in, ledger.Succeeded)
	}
	clean(t, l)
}
