package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
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
		wantErr(t, name+" at answer", l.Answer(t.Context(), other, ledger.Reply{State: ledger.Refused, By: "eve"}), ledger.ErrGrantOther)
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
	wantErr(t, "yes after no", l.Answer(t.Context(), g, ledger.Reply{State: ledger.Granted, By: "ada"}), ledger.ErrGrantDenied)

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
	if w, err := l.Grants(t.Context(), ledger.GrantFilter{Open: true}); err != nil || len(w) != ledger.MaxWaiting {
		t.Errorf("waiting: %d, %v", len(w), err)
	}
	x := call("another's")
	x.Principal = "bob"
	ask(t, l, x, c.now().Add(time.Minute)) // one caller does not fill the room of all
	y := call("hang up")
	y.Action = ledger.HangUp
	ask(t, l, y, c.now().Add(time.Minute)) // nothing keeps a call from being hung up
	if testing.Short() {
		t.Skip("filling the room of all is not done with -short")
	}
	c.pass(time.Hour)
	ask(t, l, call("more"), c.now().Add(time.Minute))
	for i := 1; i < ledger.MaxWaitingAll; i++ {
		x := call(fmt.Sprint(i))
		x.Principal = fmt.Sprint("caller ", i)
		ask(t, l, x, c.now().Add(time.Minute))
	}
	wantErr(t, "one more than all", l.Ask(t.Context(), grantFor(x, c.now().Add(time.Minute))), ledger.ErrTooMany)
}

// A yes counts for those whom the card named and for nobody else.
func TestDrift(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	x.Reach, x.Exempted, x.Shadow = "two numbers", []string{"night"}, "deny"
	g := grantFor(x, c.now().Add(time.Hour))
	g.Reach = x.Reach
	if err := l.Ask(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Grant(t.Context(), g.ID); err != nil || got.Reach != g.Reach {
		t.Errorf("%+v, %v", got, err)
	}
	drifted, foreign := g, g
	drifted.Reach, foreign.Reach, foreign.Principal = "three numbers", "three numbers", "bob"
	wantErr(t, "check", l.Check(t.Context(), drifted), ledger.ErrGrantDrift)
	wantErr(t, "a yes", l.Answer(t.Context(), drifted, ledger.Reply{State: ledger.Granted, By: "ada"}), ledger.ErrGrantDrift)
	wantErr(t, "another's", l.Check(t.Context(), foreign), ledger.ErrGrantOther)
	answer(t, l, g, ledger.Granted)
	wantErr(t, "check of a yes", l.Check(t.Context(), drifted), ledger.ErrGrantDrift)
	y := x
	y.Grant, y.Reach = g.ID, "three numbers"
	_, err := l.Commit(t.Context(), y)
	wantErr(t, "commit", err, ledger.ErrGrantDrift)
	if x.Grant = g.ID; err == nil {
		t.Fatal("it ran")
	}
	in := commit(t, l, x)
	if r := records(t, l, ledger.Filter{Intent: in.ID})[0]; r.Reach != x.Reach || len(r.Exempted) != 1 || r.Shadow != "deny" {
		t.Errorf("%+v", r)
	}
	// What was known of the payload before is known of it wherever it reaches now.
	if p, err := l.Prior(t.Context(), y); err != nil || p == nil || p.ID != in.ID {
		t.Errorf("%+v, %v", p, err)
	}
	wantErr(t, "spent", l.Check(t.Context(), drifted), ledger.ErrGrantSpent)

	// A no counts even so.
	z := call("b")
	h := ask(t, l, z, c.now().Add(time.Hour))
	h.Reach = "somebody"
	answer(t, l, h, ledger.Refused)
	clean(t, l)
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
