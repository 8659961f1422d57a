package policy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// shop is a store of grants with a clock that a test moves.
type shop struct {
	*policy.Memory
	now time.Time
}

func newShop() *shop {
	s := &shop{now: noon}
	s.Memory = policy.NewMemory(func() time.Time { return s.now })
	return s
}

func (s *shop) open(t *testing.T, principal, hash string) policy.Grant {
	t.Helper()
	g := policy.Grant{ID: policy.NewGrantID(), Principal: principal, Action: "end_call", Hash: hash, Policy: "v1", Expires: s.now.Add(time.Minute)}
	if err := s.Open(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGrantErrors(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*shop, *policy.Grant)
		want   error
	}{
		"waiting":                    {func(*shop, *policy.Grant) {}, policy.ErrGrantWaiting},
		"granted":                    {func(s *shop, g *policy.Grant) { s.Record(t.Context(), *g, policy.Granted, "ada") }, nil},
		"twice granted":              {func(s *shop, g *policy.Grant) { yes(t, s, g); yes(t, s, g) }, nil},
		"refused":                    {func(s *shop, g *policy.Grant) { s.Record(t.Context(), *g, policy.Refused, "ada") }, policy.ErrGrantDenied},
		"taken back":                 {func(s *shop, g *policy.Grant) { yes(t, s, g); s.Record(t.Context(), *g, policy.Refused, "ada") }, policy.ErrGrantDenied},
		"yes after a no":             {func(s *shop, g *policy.Grant) { s.Record(t.Context(), *g, policy.Refused, "ada"); yes(t, s, g) }, policy.ErrGrantDenied},
		"withdrawn":                  {func(s *shop, g *policy.Grant) { s.Record(t.Context(), *g, policy.Revoked, "") }, policy.ErrGrantRevoked},
		"yes after it":               {func(s *shop, g *policy.Grant) { s.Record(t.Context(), *g, policy.Revoked, ""); yes(t, s, g) }, policy.ErrGrantRevoked},
		"spent":                      {func(s *shop, g *policy.Grant) { yes(t, s, g); s.Spend(t.Context(), *g) }, policy.ErrGrantSpent},
		"yes after that":             {func(s *shop, g *policy.Grant) { yes(t, s, g); s.Spend(t.Context(), *g); yes(t, s, g) }, policy.ErrGrantSpent},
		"expired":                    {func(s *shop, g *policy.Grant) { s.now = g.Expires }, policy.ErrGrantExpired},
		"a late yes":                 {func(s *shop, g *policy.Grant) { s.now = g.Expires; yes(t, s, g) }, policy.ErrGrantExpired},
		"a yes that waited too long": {func(s *shop, g *policy.Grant) { yes(t, s, g); s.now = g.Expires }, policy.ErrGrantExpired},
		"just in time":               {func(s *shop, g *policy.Grant) { yes(t, s, g); s.now = g.Expires.Add(-1) }, nil},
		"unknown":                    {func(s *shop, g *policy.Grant) { yes(t, s, g); g.ID = policy.NewGrantID() }, policy.ErrNoGrant},
		"no id":                      {func(s *shop, g *policy.Grant) { yes(t, s, g); g.ID = "" }, policy.ErrNoGrant},
		"another caller":             {func(s *shop, g *policy.Grant) { yes(t, s, g); g.Principal = "eve" }, policy.ErrGrantOther},
		"another action":             {func(s *shop, g *policy.Grant) { yes(t, s, g); g.Action = "delete_contact" }, policy.ErrGrantOther},
		"another payload":            {func(s *shop, g *policy.Grant) { yes(t, s, g); g.Hash = "h2" }, policy.ErrGrantOther},
		"another policy":             {func(s *shop, g *policy.Grant) { yes(t, s, g); g.Policy = "v2" }, policy.ErrGrantOther},
		"a claim of being granted":   {func(s *shop, g *policy.Grant) { g.State = policy.Granted }, policy.ErrGrantWaiting},
		"opened as granted": {func(s *shop, g *policy.Grant) {
			g.ID, g.Hash, g.State = policy.NewGrantID(), "h9", policy.Granted
			s.Open(t.Context(), *g)
		}, policy.ErrGrantWaiting},
		"asked anew":    {func(s *shop, g *policy.Grant) { s.open(t, "ada", "h1") }, policy.ErrGrantRevoked},
		"another asked": {func(s *shop, g *policy.Grant) { s.open(t, "ada", "h2"); yes(t, s, g) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop()
			g := s.open(t, "ada", "h1")
			c.before(s, &g)
			if err := s.Check(t.Context(), g); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("Check: %v, want %v", err, c.want)
			}
			if err := s.Spend(t.Context(), g); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("Spend: %v, want %v", err, c.want)
			}
			if c.want == nil {
				if err := s.Spend(t.Context(), g); !errors.Is(err, policy.ErrGrantSpent) {
					t.Errorf("Spend again: %v", err)
				}
			}
		})
	}
}

func yes(t *testing.T, s *shop, g *policy.Grant) {
	t.Helper()
	_ = s.Record(t.Context(), *g, policy.Granted, "ada") // the states that refuse it are what is tested
}

// TestSpendOnce: of many at the same moment one succeeds.
func TestSpendOnce(t *testing.T) {
	s := newShop()
	g := s.open(t, "ada", "h1")
	yes(t, s, &g)
	var wg sync.WaitGroup
	var mu sync.Mutex
	spent := 0
	for range 50 {
		wg.Go(func() {
			if s.Spend(t.Context(), g) == nil {
				mu.Lock()
				spent++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if spent != 1 {
		t.Errorf("spent %d times", spent)
	}
}

func TestQuestionsAtOnce(t *testing.T) {
	s := newShop()
	var all []policy.Grant
	for n := range policy.MaxWaiting {
		all = append(all, s.open(t, "ada", fmt.Sprint(n)))
	}
	another := policy.Grant{ID: policy.NewGrantID(), Principal: "bo", Hash: "x", Expires: s.now.Add(time.Minute)}
	if err := s.Open(t.Context(), another); !errors.Is(err, policy.ErrTooMany) {
		t.Errorf("a question too many: %v", err)
	}
	if err := s.Check(t.Context(), another); !errors.Is(err, policy.ErrNoGrant) {
		t.Errorf("it was kept: %v", err)
	}
	// The same asked anew takes the place of the first.
	s.open(t, "ada", "0")
	// An answer makes room, and so does time.
	yes(t, s, &all[1])
	if err := s.Open(t.Context(), another); err != nil {
		t.Error(err)
	}
	s.now = s.now.Add(time.Minute)
	for n := range policy.MaxWaiting {
		s.open(t, "cy", fmt.Sprint(n))
	}
}

// TestGrantsAreForgotten: memory does not grow without end, whatever clients do.
func TestGrantsAreForgotten(t *testing.T) {
	s := newShop()
	first := s.open(t, "ada", "first")
	yes(t, s, &first)
	if err := s.Spend(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(30 * time.Minute)
	s.open(t, "ada", "x")
	if err := s.Check(t.Context(), first); !errors.Is(err, policy.ErrGrantSpent) {
		t.Errorf("a spent answer is told from an unknown one for a while: %v", err)
	}
	s.now = s.now.Add(2 * time.Hour)
	s.open(t, "ada", "y")
	if err := s.Check(t.Context(), first); !errors.Is(err, policy.ErrNoGrant) {
		t.Errorf("kept for ever: %v", err)
	}

	// A client that asks and declines without end.
	var all []policy.Grant
	for n := range 6000 {
		g := s.open(t, "ada", fmt.Sprint(n))
		all = append(all, g)
		_ = s.Record(t.Context(), g, policy.Refused, "ada")
	}
	known := 0
	for _, g := range all {
		if err := s.Check(t.Context(), g); !errors.Is(err, policy.ErrNoGrant) {
			known++
		}
	}
	if known > 4200 {
		t.Errorf("of 6000 answered questions %d are kept", known)
	}
}

// TestGrantedUnderFlood: answers that wait to be used survive that.
func TestGrantedUnderFlood(t *testing.T) {
	s := newShop()
	var mine []policy.Grant
	for n := range 1000 {
		g := s.open(t, "ada", fmt.Sprint("mine", n))
		yes(t, s, &g)
		mine = append(mine, g)
	}
	for n := range 3500 {
		_ = s.Record(t.Context(), s.open(t, "eve", fmt.Sprint(n)), policy.Refused, "eve")
	}
	for _, g := range mine {
		if err := s.Spend(t.Context(), g); err != nil {
			t.Fatalf("a flood of questions voided a person's answer: %v", err)
		}
	}
}

// TestOneAnswerAtATime: asked anew, an earlier yes that was not used is void, whatever the new answer is.
func TestOneAnswerAtATime(t *testing.T) {
	now := time.Now()
	m := policy.NewMemory(func() time.Time { return now })
	ctx := context.Background()
	first := policy.Grant{ID: "1", Principal: "ada", Action: "end_call", Hash: "h", Policy: "v", Expires: now.Add(time.Minute)}
	second := first
	second.ID = "2"
	if err := m.Open(ctx, first); err != nil {
		t.Fatal(err)
	}
	if err := m.Record(ctx, first, policy.Granted, "test"); err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, second); err != nil {
		t.Fatal(err)
	}
	if err := m.Spend(ctx, first); !errors.Is(err, policy.ErrGrantRevoked) {
		t.Errorf("the first yes can still be spent: %v", err)
	}
	if err := m.Record(ctx, second, policy.Refused, "test"); err != nil {
		t.Fatal(err)
	}
	if err := m.Spend(ctx, first); !errors.Is(err, policy.ErrGrantRevoked) {
		t.Errorf("after a no the first yes can be spent: %v", err)
	}
}
