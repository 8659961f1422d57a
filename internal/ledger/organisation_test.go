package ledger_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

const oldKey, newKey, otherHostKey = "api.sippet.ai 111111111111", "api.sippet.ai 222222222222", "staging.sippet.ai 111111111111"

// openOrganisation returns the organisation of a key.
func openOrganisation(t testing.TB, l ledger.Ledger, key string, wantAlone bool) string {
	t.Helper()
	id, alone, err := l.OpenOrganisation(t.Context(), key)
	if err != nil || alone != wantAlone || !strings.HasPrefix(id, strings.Fields(key)[0]+" ") || id == key {
		t.Fatalf("%q, alone %t, %v", id, alone, err)
	}
	return id
}

// under returns a call that goes through a key.
func under(key, organisation, n string) ledger.Txn {
	x := call(n)
	x.Key, x.Organisation = key, organisation
	return x
}

// TestOrganisation checks that a key keeps its organisation, that a new key knows nothing of what
// ran under another, and that it does once it is attached.
func TestOrganisation(t *testing.T) {
	o := ledger.Options{Dir: t.TempDir()}
	l, other := open(t, o), open(t, o)
	id := openOrganisation(t, l, oldKey, false)
	if again := openOrganisation(t, other, oldKey, false); again != id {
		t.Errorf("%q, then %q", id, again)
	}
	alone := openOrganisation(t, l, newKey, true)
	if alone == id {
		t.Fatal("a new key got the organisation of another")
	}
	unknown := commit(t, l, under(oldKey, id, "lost"))
	settle(t, l, unknown, ledger.Unknown)
	if p, err := l.FindConflicting(t.Context(), under(newKey, alone, "lost")); err != nil || p != nil {
		t.Errorf("another organisation: %+v, %v", p, err)
	}
	request := approvalFor(under(newKey, alone, "asked"), time.Now().Add(time.Hour))
	if err := l.CreateApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if revoked, err := l.AttachKey(t.Context(), newKey, id, ledger.Actor{Name: "root"}); err != nil || revoked != 1 {
		t.Fatalf("%d revoked, %v", revoked, err)
	}
	if q, err := l.Approval(t.Context(), request.ID); err != nil || q.State != ledger.Revoked {
		t.Errorf("the request is %s, %v", q.State, err)
	}
	if now := openOrganisation(t, other, newKey, false); now != id {
		t.Errorf("attached to %q, not %q", now, id)
	}
	for key, l := range map[string]ledger.Ledger{oldKey: l, newKey: other} {
		var conflict *ledger.ConflictError
		if _, err := l.Commit(t.Context(), under(key, id, "lost")); !errors.As(err, &conflict) || conflict.Intent.ID != unknown.ID {
			t.Errorf("%s: %v", key, err)
		}
	}
	// A program that was started before has the other organisation still.
	stale := under(newKey, alone, "lost")
	_, err := l.Commit(t.Context(), stale)
	wantErr(t, "a commit", err, ledger.ErrKeyMoved)
	stale.Action = ledger.HangUp
	commit(t, l, stale)
	again := approvalFor(under(newKey, alone, "asked"), time.Now().Add(time.Hour))
	again.Key = newKey
	wantErr(t, "a request", l.CreateApproval(t.Context(), again), ledger.ErrKeyMoved)
	verifyClean(t, l)

	all, err := l.Organisations(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != id || len(all[0].Keys) != 2 || all[0].Unresolved != 1 || all[0].Keys[1].Name != newKey || all[0].Keys[1].By.Name != "root" ||
		all[1].ID != alone || len(all[1].Keys) != 0 || all[1].Unresolved != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestTwoKeys checks that calls under two keys of an organisation know the same: what ran, what is
// unknown, what was approved, and what is left in a budget. Calls under a third know only the budget.
func TestTwoKeys(t *testing.T) {
	l := open(t, ledger.Options{Dir: t.TempDir()})
	id := openOrganisation(t, l, oldKey, false)
	if _, err := l.AttachKey(t.Context(), newKey, id, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	const strangerKey = "api.sippet.ai 333333333333"
	stranger := openOrganisation(t, l, strangerKey, true)
	ran := commit(t, l, under(oldKey, id, "ran"))
	settle(t, l, ran, ledger.Succeeded)
	rings := func(key, organisation, n string) ledger.Txn {
		x := under(key, organisation, n)
		x.EffectKind, x.Affects, x.Debits = "ring", []string{"+442079460123"}, []ledger.Debit{callBudget(1)}
		return x
	}
	lost := commit(t, l, rings(oldKey, id, "lost"))
	settle(t, l, lost, ledger.Unknown)
	wantLeft(t, l, callBudget(1), 4)
	approved := createApproval(t, l, under(oldKey, id, "approved"), time.Now().Add(time.Hour))
	answer(t, l, approved, ledger.Approved)

	for key, organisation := range map[string]string{newKey: id, strangerKey: stranger} {
		same := organisation == id
		if p, err := l.FindConflicting(t.Context(), under(key, organisation, "ran")); err != nil || (p != nil && p.ID == ran.ID) != same {
			t.Errorf("%s: %+v, %v", key, p, err)
		}
		if p, err := l.FindUnknown(t.Context(), rings(key, organisation, "another")); err != nil || (p != nil && p.ID == lost.ID) != same {
			t.Errorf("%s: %+v, %v", key, p, err)
		}
		want := under(key, organisation, "approved")
		if _, err := l.LatestApproval(t.Context(), approvalFor(want, time.Time{})); same && err != nil || !same && !errors.Is(err, ledger.ErrNoApproval) {
			t.Errorf("%s: %v", key, err)
		}
		if want.ApprovalID = approved.ID; !same {
			_, err := l.Commit(t.Context(), want)
			wantErr(t, key, err, ledger.ErrApprovalMismatch)
			settle(t, l, commit(t, l, rings(key, organisation, "lost")), ledger.Succeeded)
			continue
		}
		settle(t, l, commit(t, l, want), ledger.Succeeded)
		var unknown *ledger.UnknownError
		if _, err := l.Commit(t.Context(), rings(key, organisation, "another")); !errors.As(err, &unknown) {
			t.Errorf("%s: %v", key, err)
		}
	}
	wantLeft(t, l, callBudget(1), 3)
	verifyClean(t, l)
}

// TestNewKeyForgets checks that a new key is not used while it may replace the key of a call without
// a known outcome. A person says where it belongs, or records the outcome.
func TestNewKeyForgets(t *testing.T) {
	for _, state := range []ledger.IntentState{ledger.Prepared, ledger.Unknown} {
		t.Run(string(state), func(t *testing.T) {
			l := open(t, ledger.Options{Dir: t.TempDir()})
			root := ledger.Actor{Name: "root"}
			id := openOrganisation(t, l, oldKey, false)
			in := commit(t, l, under(oldKey, id, "lost"))
			if state == ledger.Unknown {
				settle(t, l, in, state)
			}
			rejected := func() {
				t.Helper()
				var unresolved *ledger.UnresolvedError
				if _, _, err := l.OpenOrganisation(t.Context(), newKey); !errors.As(err, &unresolved) || unresolved.Organisation != id || unresolved.Intents != 1 {
					t.Errorf("%v", err)
				}
			}
			rejected()
			rejected() // the first attempt attached nothing
			openOrganisation(t, l, otherHostKey, true)
			if got := openOrganisation(t, l, oldKey, false); got != id {
				t.Errorf("the key of the call: %s", got)
			}
			if _, err := l.AttachKey(t.Context(), newKey, "", root); err != nil {
				t.Fatal(err)
			}
			own := openOrganisation(t, l, newKey, false)
			if own == id {
				t.Error("a new organisation is the one that was there")
			}
			// That was a mistake, and then the other way round.
			for _, organisation := range []string{id, id} {
				if _, err := l.AttachKey(t.Context(), newKey, organisation, root); err != nil {
					t.Fatal(err)
				}
			}
			var unresolved *ledger.UnresolvedError
			if _, err := l.AttachKey(t.Context(), newKey, "", root); !errors.As(err, &unresolved) {
				t.Errorf("it leaves an organisation with an unresolved call: %v", err)
			}
			if state == ledger.Prepared {
				settle(t, l, in, ledger.Unknown)
			}
			if err := l.Resolve(t.Context(), in.ID, ledger.Failed, "", root); err != nil {
				t.Fatal(err)
			}
			if _, err := l.AttachKey(t.Context(), newKey, "", root); err != nil {
				t.Fatal(err)
			}
			if again := openOrganisation(t, l, newKey, false); again == id || again == own {
				t.Errorf("attached to %s again", again)
			}
			openOrganisation(t, l, "api.sippet.ai 333333333333", true)
			verifyClean(t, l)
		})
	}
}

// TestAttachKeyRejected checks what cannot be attached: it would mix organisations up, or forget a
// call.
func TestAttachKeyRejected(t *testing.T) {
	l := open(t, ledger.Options{Dir: t.TempDir()})
	id := openOrganisation(t, l, oldKey, false)
	attach := func(key, organisation string) error {
		_, err := l.AttachKey(t.Context(), key, organisation, ledger.Actor{Name: "root"})
		return err
	}
	wantErr(t, "no organisation", attach(newKey, "api.sippet.ai ffffffffffff"), ledger.ErrNoOrganisation)
	wantErr(t, "a key is none", attach(newKey, oldKey), ledger.ErrNoOrganisation)
	wantErr(t, "another host", attach(otherHostKey, id), ledger.ErrOtherHost)
	if err := attach(oldKey, id); err != nil {
		t.Errorf("where it is: %v", err)
	}
	if err := attach(newKey, id); err != nil {
		t.Errorf("a key that was never used: %v", err)
	}
	alone := openOrganisation(t, l, "api.sippet.ai 333333333333", true)
	for _, state := range []ledger.IntentState{ledger.Prepared, ledger.Unknown} {
		in := commit(t, l, under("api.sippet.ai 333333333333", alone, string(state)))
		if state == ledger.Unknown {
			settle(t, l, in, state)
		}
		var unresolved *ledger.UnresolvedError
		if err := attach("api.sippet.ai 333333333333", id); !errors.As(err, &unresolved) || unresolved.Organisation != alone || unresolved.Intents != 1 {
			t.Errorf("%s: %v", state, err)
		}
		if state == ledger.Prepared {
			settle(t, l, in, ledger.Succeeded)
		} else if err := l.Resolve(t.Context(), in.ID, ledger.Failed, "", ledger.Actor{Name: "root"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := attach("api.sippet.ai 333333333333", id); err != nil {
		t.Error(err)
	}
	verifyClean(t, l)
}

// TestOrganisationTampered checks that verify finds a key that was attached by hand, also after its
// record was pruned, and that no program uses it.
func TestOrganisationTampered(t *testing.T) {
	for name, c := range map[string]struct {
		query  string
		pruned bool
	}{
		"changed":               {"UPDATE api_keys SET organisation = 'api.sippet.ai aaaaaaaaaaaa'", false},
		"changed, pruned":       {"UPDATE api_keys SET organisation = 'api.sippet.ai aaaaaaaaaaaa'", true},
		"removed":               {"DELETE FROM api_keys", false},
		"written":               {"INSERT INTO api_keys VALUES ('api.sippet.ai 444444444444', 'api.sippet.ai aaaaaaaaaaaa', '{}', '', 1, 1)", false},
		"as of a pruned record": {"INSERT INTO api_keys VALUES ('api.sippet.ai 444444444444', 'api.sippet.ai aaaaaaaaaaaa', '{}', '', 1, 1)", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, c2 := t.TempDir(), newClock()
			o := ledger.Options{Dir: dir, Now: c2.now, Retention: day}
			l, err := ledger.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			id := openOrganisation(t, l, oldKey, false)
			if c.pruned {
				c2.advance(3 * day)
				settle(t, l, commit(t, l, under(oldKey, id, "later")), ledger.Succeeded)
				ledger.Prune(t, l)
				if got := openOrganisation(t, l, oldKey, false); got != id {
					t.Errorf("pruning forgot the organisation: %s", got)
				}
				if r, err := l.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || r.Pruned == 0 || len(r.Findings) > 0 {
					t.Fatalf("%+v, %v", r, err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			tamper(t, dir, func(db *sql.DB) { run(t, db, c.query) })
			l = open(t, o)
			r, err := l.Verify(t.Context(), ledger.VerifyOptions{})
			if err != nil || len(r.Findings) != 1 || r.Findings[0].Kind != ledger.WrongOrganisation {
				t.Errorf("%+v, %v", r.Findings, err)
			}
			if strings.HasPrefix(name, "changed") {
				_, _, err := l.OpenOrganisation(t.Context(), oldKey)
				wantStoreError(t, "a changed key", err, ledger.Corrupt)
			}
		})
	}
}
