package policy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"
)

// State is where a grant stands.
type State string

const (
	Waiting State = "pending" // nobody has answered
	Granted State = "granted"
	Refused State = "denied"
	Spent   State = "spent"
	Revoked State = "revoked" // withdrawn: nobody could be asked, or the same was asked anew
)

// Grant is a person's answer to one card, bound to what the card showed.
type Grant struct {
	// ID is 128 random bits, hex: whoever knows it can only use it for what it is bound to.
	ID string
	// Principal, Action, Hash and Policy are what it is bound to: who asks, what would run (see schemas.Payload.Hash), under which version of the policy.
	Principal, Action, Hash, Policy string
	State                           State
	// By is who answered, and how.
	By      string
	Expires time.Time
}

// The ways in which a grant does not fit. Each says what to do in its text.
var (
	ErrNoGrant      = errors.New("no such question was asked, or it was asked before a restart")
	ErrGrantExpired = errors.New("the answer came too late")
	ErrGrantSpent   = errors.New("the answer was already used once")
	ErrGrantDenied  = errors.New("the person said no")
	ErrGrantRevoked = errors.New("the question was withdrawn")
	ErrGrantWaiting = errors.New("nobody has answered yet")
	ErrGrantOther   = errors.New("the answer was given to another call: caller, action, payload or policy differ")
	ErrTooMany      = errors.New("too many questions are waiting for a person")
)

// Grants keeps grants. The ledger will keep them durably; until then memory does.
type Grants interface {
	// Open stores a new grant that waits for an answer, and revokes an open one for the same binding. ErrTooMany where too many wait.
	Open(ctx context.Context, g Grant) error
	// Record stores a person's answer to the grant that fits want: Granted, Refused or Revoked.
	// A yes counts only while the grant waits; a no also takes back a yes that is not spent.
	Record(ctx context.Context, want Grant, state State, by string) error
	// Check says whether Spend would succeed now.
	Check(ctx context.Context, want Grant) error
	// Spend turns a granted grant that fits want into a spent one, once.
	Spend(ctx context.Context, want Grant) error
}

// NewGrantID gives 128 random bits.
func NewGrantID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// MaxWaiting is how many questions may wait for a person at once, well below
// the workers of stdio: more than a person can answer with care.
const MaxWaiting = 16

// An answered or expired grant is remembered for so long, and so many of them,
// that its second use can be told apart from one that never was.
const (
	kept    = time.Hour
	maxKept = 4096
)

// Memory keeps grants until the process ends.
type Memory struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*Grant
}

// NewMemory makes an empty store; now is the clock.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, all: map[string]*Grant{}}
}

// Open implements Grants.
func (m *Memory) Open(_ context.Context, g Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, waiting := m.now(), 0
	for id, old := range m.all {
		// A yes that was not used is open too: with a new card the old answer is void.
		open := (old.State == Waiting || old.State == Granted) && now.Before(old.Expires)
		switch {
		case open && old.bound() == g.bound():
			old.State = Revoked
		case open && old.State == Waiting:
			waiting++
		case now.Sub(old.Expires) > kept || len(m.all) > maxKept && old.State != Granted:
			delete(m.all, id)
		}
	}
	if waiting >= MaxWaiting {
		return ErrTooMany
	}
	g.State = Waiting
	m.all[g.ID] = &g
	return nil
}

// Record implements Grants.
func (m *Memory) Record(_ context.Context, want Grant, state State, by string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.fits(want)
	switch {
	case errors.Is(err, ErrGrantWaiting):
	case err != nil:
		return err
	case state == Granted:
		return nil // said already
	}
	g.State, g.By = state, by
	return nil
}

// Check implements Grants.
func (m *Memory) Check(_ context.Context, want Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.fits(want)
	return err
}

// Spend implements Grants.
func (m *Memory) Spend(_ context.Context, want Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.fits(want)
	if err == nil {
		g.State = Spent
	}
	return err
}

func (m *Memory) fits(want Grant) (*Grant, error) {
	g, ok := m.all[want.ID]
	if !ok {
		return nil, ErrNoGrant
	}
	if g.bound() != want.bound() {
		return nil, ErrGrantOther
	}
	return g, g.wrong(m.now())
}

type binding struct{ principal, action, hash, policy string }

func (g *Grant) bound() binding { return binding{g.Principal, g.Action, g.Hash, g.Policy} }

// wrong says why the grant cannot be spent now; nil where it can.
func (g *Grant) wrong(now time.Time) error {
	switch {
	case g.State == Spent:
		return ErrGrantSpent
	case g.State == Refused:
		return ErrGrantDenied
	case g.State == Revoked:
		return ErrGrantRevoked
	case !now.Before(g.Expires):
		return ErrGrantExpired
	case g.State == Waiting:
		return ErrGrantWaiting
	case g.State == Granted:
		return nil
	}
	return ErrNoGrant
}
