package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// StopKind is a kind of emergency stop, a closed set.
type StopKind string

// The kinds.
const (
	StopEverything StopKind = "everything"
	// StopRinging stops the actions with the effect kind [schemas.Ringing].
	StopRinging StopKind = "ringing"
	// StopAssistant stops all calls in the name of one person.
	StopAssistant StopKind = "assistant"
)

// StopKinds are all kinds, the widest first.
var StopKinds = []StopKind{StopEverything, StopRinging, StopAssistant}

// StopScope is what an emergency stop stops.
type StopScope struct {
	Kind StopKind
	// Person is the name of the callers that StopAssistant stops, in any case; empty otherwise. A
	// person has several callers: each of their tokens, and the programs of their user on a machine.
	Person string
}

func (s StopScope) check() error {
	if !slices.Contains(StopKinds, s.Kind) || (s.Kind == StopAssistant) != (s.Person != "") {
		return fmt.Errorf("%w: an emergency stop is one of everything, of ringing, or of the assistants of a person", errUsage)
	}
	return nil
}

// Same reports whether both scopes stop the same.
func (s StopScope) Same(other StopScope) bool {
	return s.Kind == other.Kind && strings.EqualFold(clip(s.Person), clip(other.Person))
}

// Concerns reports whether the scope covers calls by a caller with an effect. An unknown kind covers
// all calls.
func (s StopScope) Concerns(caller Actor, effect schemas.EffectKind) bool {
	switch s.Kind {
	case StopRinging:
		return effect == schemas.Ringing
	case StopAssistant:
		return strings.EqualFold(clip(s.Person), clip(caller.Name))
	}
	return true
}

// String names what is stopped, for a sentence: `ringing`, `the assistants of ada`.
func (s StopScope) String() string {
	if s.Kind == StopAssistant {
		return "the assistants of " + schemas.Escape(s.Person, 64)
	}
	return string(s.Kind)
}

// Continues says what a stop of the scope does not stop.
func (s StopScope) Continues() string {
	switch s.Kind {
	case StopRinging:
		return "everything but ringing goes on"
	case StopAssistant:
		return "for them only reads and hanging up go on"
	}
	return "only reads and hanging up go on"
}

// EmergencyStop is an emergency stop in force.
type EmergencyStop struct {
	StopScope
	At   time.Time
	By   Actor
	Note string

	id, seq int64
}

// FindStop returns the first stop that covers a call; nil if none does.
func FindStop(stops []EmergencyStop, caller Actor, effect schemas.EffectKind) *EmergencyStop {
	for i := range stops {
		if stops[i].Concerns(caller, effect) {
			return &stops[i]
		}
	}
	return nil
}

// cachedStops is the last read of the emergency stops in force.
type cachedStops struct {
	readAt time.Time // the machine's clock, not the ledger's: it measures age
	stops  []EmergencyStop
}

// readStops reads the stops in force, the widest first, with rows of a transaction or of the file.
func readStops(rows rowsFunc) (all []EmergencyStop, err error) {
	err = rows(`SELECT id, seq, scope, person, at, stopped_by, note FROM stops WHERE resumed IS NULL
		ORDER BY scope = 'assistant', scope = 'ringing', id`, nil, func(scan func(...any) error) error {
		var s EmergencyStop
		var at int64
		var by string
		if err := scan(&s.id, &s.seq, &s.Kind, &s.Person, &at, &by, &s.Note); err != nil {
			return err
		}
		s.At, s.By = fromMicros(at), parseActor(by)
		all = append(all, s)
		return nil
	})
	return all, err
}

// currentStops reads the stops once a transaction: only a change in the transaction can end them.
func (t *tx) currentStops() ([]EmergencyStop, error) {
	if t.stopsRead {
		return t.stops, nil
	}
	stops, err := readStops(t.rows)
	if err != nil {
		return nil, err
	}
	t.stopsRead, t.stops = true, stops
	return stops, nil
}

// checkStopped rejects an action during an emergency stop that covers it, unless it is safe. It reads
// in the transaction, so it never misses a stop that was committed before.
func (t *tx) checkStopped(caller Actor, action string, effect schemas.EffectKind, safe bool) error {
	if safe || action == HangUp {
		return nil
	}
	stops, err := t.currentStops()
	if err != nil {
		return err
	}
	if stop := FindStop(stops, caller, effect); stop != nil {
		return &StoppedError{*stop}
	}
	return nil
}

// effectOf returns the effect kind of an action.
func effectOf(action string) schemas.EffectKind {
	a, err := schemas.Find(action)
	if err != nil {
		return ""
	}
	return a.EffectKind
}

// Stop implements Ledger.
func (s *SQLite) Stop(ctx context.Context, scope StopScope, by Actor, note string) error {
	if err := scope.check(); err != nil {
		return err
	}
	least := noReserve
	if scope.Kind == StopAssistant { // anybody may repeat it without end
		least = halfReserve
	}
	return s.writeWith(ctx, least, func(t *tx) error {
		current, err := t.currentStops()
		if err != nil {
			return err
		}
		open, err := t.openApprovals("1", nil)
		if err != nil {
			return err
		}
		// One record for all of them: there must be room for it on a full disk.
		r := &Record{Phase: PhaseStopped, Scope: string(scope.Kind), Person: scope.Person, By: by, Note: note}
		for _, row := range open {
			if !scope.Concerns(parseActor(row.requester), effectOf(row.action)) {
				continue
			}
			if _, err := t.exec("UPDATE approvals SET state = 'revoked', last_seq = ? WHERE id = ?", t.head.seq+1, row.id); err != nil {
				return err
			}
			r.Count++
		}
		if err := t.append(r); err != nil {
			return err
		}
		t.invalidateStops()
		if slices.ContainsFunc(current, func(c EmergencyStop) bool { return c.Same(scope) }) {
			return nil
		}
		_, err = t.exec("INSERT INTO stops (scope, person, at, stopped_by, note, seq) VALUES (?, ?, ?, ?, ?, ?)",
			r.Scope, r.Person, micros(t.now), by.column(), r.Note, r.Seq)
		return err
	})
}

// Resume implements Ledger.
func (s *SQLite) Resume(ctx context.Context, scope StopScope, by Actor) (ended []EmergencyStop, err error) {
	if scope != (StopScope{}) {
		if err := scope.check(); err != nil {
			return nil, err
		}
	}
	err = s.writeWith(ctx, noReserve, func(t *tx) error {
		ended = nil
		current, err := t.currentStops()
		if err != nil {
			return err
		}
		for _, c := range current {
			if scope != (StopScope{}) && !c.Same(scope) {
				continue
			}
			if _, err := t.exec("UPDATE stops SET resumed = ?, resumed_by = ? WHERE id = ?", micros(t.now), by.column(), c.id); err != nil {
				return err
			}
			if err := t.append(&Record{Phase: PhaseResumed, Scope: string(c.Kind), Person: c.Person, By: by}); err != nil {
				return err
			}
			ended = append(ended, c)
		}
		t.invalidateStops()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// invalidateStops makes this transaction read the stops again, and this process once the change is
// durable.
func (t *tx) invalidateStops() {
	t.stopsRead = false
	t.afterCommit = append(t.afterCommit, func() { t.s.cachedStops.Store(nil) })
}

// stoppedSince reports whether a stop that covers the intent began after it, or is in force.
func (t *tx) stoppedSince(in *Intent) (stopped bool, err error) {
	err = t.rows("SELECT scope, person FROM stops WHERE seq > ? OR resumed IS NULL", []any{in.seq}, func(scan func(...any) error) error {
		var s StopScope
		if err := scan(&s.Kind, &s.Person); err != nil {
			return err
		}
		stopped = stopped || s.Concerns(in.Caller, in.EffectKind)
		return nil
	})
	return stopped, err
}

// CurrentStops implements Ledger. Calls within FreshFor share the result.
func (s *SQLite) CurrentStops(ctx context.Context) (stops []EmergencyStop, err error) {
	if cached := s.cachedStops.Load(); cached != nil && time.Since(cached.readAt) < FreshFor {
		return cached.stops, nil
	}
	// Take the time before the read: the result may be older than its end.
	cached := &cachedStops{readAt: time.Now()}
	if cached.stops, err = readStops(func(query string, args []any, each func(func(...any) error) error) error {
		return s.rows(ctx, query, args, each)
	}); err != nil {
		return nil, err
	}
	s.cachedStops.Store(cached)
	return cached.stops, nil
}

// People implements Ledger.
func (s *SQLite) People(ctx context.Context) (names []string, err error) {
	err = s.rows(ctx, "SELECT person FROM tokens UNION SELECT requester->>'name' FROM approvals ORDER BY 1", nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}
