package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/ledger"
)

func TestGrantIsSpentOnce(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	g := ask(t, l, x, c.now().Add(time.Minute))
	wantErr(t, "check before the answer", l.Check(t.Context(), g), ledger.ErrGrantWaiting)
	x.Grant = g.ID
	_, err := l.Commit(t.Context(), x)
	wantErr(t, "commit before the answer", err, ledger.ErrGrantWaiting)
	answer(t, l, g, ledger.Granted)
	answer(t, l, g, ledger.Granted) // twice is once
	if err := l.Check(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	in := commit(t, l, x)
	settle(t, l, in, ledger.Failed)
	_, err = l.Commit(t.Context(), x)
	wantErr(t, "second commit", err, ledger.ErrGrantSpent)
	wantErr(t, "check after it", l.Check(t.Context(), g), ledger.ErrGrantSpent)
	got, err := l.Grant(t.Context(), g.ID)
	if err != nil || got.State != ledger.Spent || string(got.Payload) != string(x.Payload) || got.Hash != x.Hash || got.By == "" {
		t.Errorf("the grant reads %+v, %v", got, err)
	}
	clean(t, l)
}

func TestGrantThatDoesNotFit(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	g := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, g, ledger.Granted)
	for name, change := range map[string]func(*ledger.Grant){
		"principal":  func(g *ledger.Grant) { g.Principal = "eve" },
		"credential": func(g *ledger.Grant) { g.Credential = "other" },
		"action":     func(g *ledger.Grant) { g.Action = "delete_contact" },
		"upstream":   func(g *ledger.Grant) { g.Upstream = "another" },
		"hash":       func(g *ledger.Grant) { g.Hash = "hash-b" },
		"policy":     func(g *ledger.Grant) { g.Policy = "v2" },
	} {
		other := g
		change(&other)
		wantErr(t, name, l.Check(t.Context(), other), ledger.ErrGrantOther)
		y := x
		y.Principal, y.Credential, y.Upstream, y.Action, y.Hash, y.Policy, y.Grant = other.Principal, other.Credential, other.Upstream, other.Action, other.Hash, other.Policy, g.ID
		_, err := l.Commit(t.Context(), y)
		wantErr(t, name+" at commit", err, ledger.ErrGrantOther)
		wantErr(t, name+" at answer", l.Answer(t.Context(), other, ledger.Refused, "eve"), ledger.ErrGrantOther)
	}
	none := g
	none.ID = ledger.NewID()
	wantErr(t, "unknown id", l.Check(t.Context(), none), ledger.ErrNoGrant)
	c.pass(time.Minute)
	wantErr(t, "late", l.Check(t.Context(), g), ledger.ErrGrantExpired)

	g = ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, g, ledger.Granted)
	answer(t, l, g, ledger.Refused) // a no takes back a yes
	wantErr(t, "taken back", l.Check(t.Context(), g), ledger.ErrGrantDenied)
	wantErr(t, "yes after no", l.Answer(t.Context(), g, ledger.Granted, "ada"), ledger.ErrGrantDenied)

	first := ask(t, l, x, c.now().Add(time.Minute))
	ask(t, l, x, c.now().Add(time.Minute))
	wantErr(t, "asked anew", l.Check(t.Context(), first), ledger.ErrGrantRevoked)
	clean(t, l)
}

func TestTooManyQuestions(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	for i := range ledger.MaxWaiting {
		ask(t, l, call(fmt.Sprint(i)), c.now().Add(time.Minute))
	}
	wantErr(t, "one more", l.Ask(t.Context(), grantFor(call("more"), c.now().Add(time.Minute))), ledger.ErrTooMany)
	ask(t, l, call("3"), c.now().Add(time.Minute)) // takes the place of its elder
	if w, err := l.Waiting(t.Context()); err != nil || len(w) != ledger.MaxWaiting || w[0].Payload == nil || w[0].Card == nil {
		t.Errorf("waiting: %d, %v", len(w), err)
	}
	c.pass(time.Hour)
	ask(t, l, call("more"), c.now().Add(time.Minute))
}

func TestNotSentGivesTheGrantBack(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	g := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, g, ledger.Granted)
	x.Grant = g.ID
	settle(t, l, commit(t, l, x), ledger.NotSent)
	settle(t, l, commit(t, l, x), ledger.NotSent)
	in := commit(t, l, x)
	if err := l.Freeze(t.Context(), "ada", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Resume(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	settle(t, l, in, ledger.NotSent)
	wantErr(t, "after a freeze", l.Check(t.Context(), g), ledger.ErrGrantRevoked)
	clean(t, l)
}

func TestFreeze(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	waiting, x := ask(t, l, call("w"), c.now().Add(time.Minute)), call("g")
	granted := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, granted, ledger.Granted)
	if f, err := l.Frozen(t.Context()); err != nil || f != nil {
		t.Fatal(f, err)
	}
	if err := l.Freeze(t.Context(), "ada", "lunch"); err != nil {
		t.Fatal(err)
	}
	if f, err := l.Frozen(t.Context()); err != nil || f == nil || f.By != "ada" || f.Note != "lunch" {
		t.Fatalf("frozen: %+v, %v", f, err)
	}
	wantErr(t, "waiting", l.Check(t.Context(), waiting), ledger.ErrGrantRevoked)
	wantErr(t, "granted", l.Check(t.Context(), granted), ledger.ErrGrantRevoked)
	var frozen *ledger.FrozenError
	if _, err := l.Commit(t.Context(), x); !errors.As(err, &frozen) || frozen.Note != "lunch" {
		t.Errorf("commit while frozen: %v", err)
	}
	if err := l.Ask(t.Context(), grantFor(x, c.now().Add(time.Minute))); !errors.As(err, &frozen) {
		t.Errorf("ask while frozen: %v", err)
	}
	up := call("up")
	up.Action, up.Class = ledger.HangUp, "destructive"
	commit(t, l, up)
	commit(t, l, up) // also while the first is in flight
	if was, err := l.Resume(t.Context(), "ada"); err != nil || !was {
		t.Fatal(was, err)
	}
	if was, err := l.Resume(t.Context(), "ada"); err != nil || was {
		t.Fatal(was, err)
	}
	wantErr(t, "after the freeze", l.Check(t.Context(), granted), ledger.ErrGrantRevoked)
	commit(t, l, x)
	clean(t, l)
}
