package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// process names this process on its intents: machine and process namespace, process id, and a
// random part that tells it from a dead one with the same id.
var process = machine() + " " + strconv.Itoa(os.Getpid()) + " " + random()

func machine() string {
	name, _ := os.Hostname()
	// Containers may share a host name and still not see each other's processes. Elsewhere than on Linux there is no such link.
	space, _ := os.Readlink("/proc/self/ns/pid")
	return strings.ReplaceAll(name+space, " ", "")
}

func random() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// gone reports whether the process of that name has certainly ended.
func gone(name string) bool {
	if name == process {
		return false
	}
	place, rest, _ := strings.Cut(name, " ")
	id, _, _ := strings.Cut(rest, " ")
	pid, err := strconv.Atoi(id)
	if err != nil || place != machine() {
		return false
	}
	if pid == os.Getpid() {
		return true // it had our id before us
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	// Where signal 0 does not exist the error is another one, and age alone decides.
	return errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

const openQuery = "SELECT id, process, prepared FROM intents WHERE state IN ('prepared', 'sent')"

// stale collects from openQuery the intents that nobody will settle.
func (s *SQLite) stale(now time.Time, ids *[]string) func(func(...any) error) error {
	return func(scan func(...any) error) error {
		var id, who string
		var prepared int64
		err := scan(&id, &who, &prepared)
		if err == nil && (now.Sub(fromMicros(prepared)) > s.o.Stale || gone(who)) {
			*ids = append(*ids, id)
		}
		return err
	}
}

// unsettled gives the intents that nobody will settle.
func (s *SQLite) unsettled(ctx context.Context) (ids []string, err error) {
	return ids, s.rows(ctx, openQuery, nil, s.stale(s.now(), &ids))
}

// sweep makes intents unknown that nobody will settle: their process has
// ended, or they are older than any request can last.
func (s *SQLite) sweep(ctx context.Context) error {
	if err := s.retire(ctx); err != nil {
		return err
	}
	if err := s.expire(ctx); err != nil {
		return err
	}
	// A look first, so that nothing is written where nothing is stale.
	if ids, err := s.unsettled(ctx); err != nil || len(ids) == 0 {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		var ids []string
		if err := t.rows(openQuery, nil, s.stale(t.now, &ids)); err != nil {
			return err
		}
		for _, id := range ids {
			in, err := t.intent(byID, idArgs(id)...)
			if err != nil || in == nil {
				return err
			}
			r := in.record(PhaseAbandoned)
			r.State, r.Outcome, r.Sent = string(Unknown), schemas.OutcomeUnknown, true
			if err := t.append(r); err != nil {
				return err
			}
			if _, err := t.exec("UPDATE intents SET state = 'unknown', sent = 1, outcome = ?, settled = ?, settled_seq = ? WHERE seq = ?",
				string(schemas.OutcomeUnknown), micros(t.now), r.Seq, in.seq); err != nil {
				return err
			}
		}
		return nil
	})
}

// retire takes successes that answer for nothing any more out of the index of payloads, so that it stays small, however
// many intents the file holds. One that it passes by, because it ended late, stays in the index, which does no harm.
func (s *SQLite) retire(ctx context.Context) error {
	const (
		mark  = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'retired'"
		batch = "SELECT coalesce(max(seq), 0) FROM (SELECT seq, prepared FROM intents WHERE seq > ? ORDER BY seq LIMIT 1000) WHERE prepared <= ?"
		many  = 100 // fewer are not worth a transaction
	)
	for {
		now := s.now()
		over := micros(now.Add(-s.o.Window))
		var from, to int64
		if _, err := s.row(ctx, mark, nil, &from); err != nil {
			return err
		}
		// It was this process or another one.
		if s.conflicts.retired.Swap(from) != from {
			s.conflicts.stale.Store(true)
		}
		if _, err := s.row(ctx, batch, []any{from, over}, &to); err != nil || to < from+many {
			return err
		}
		err := s.write(ctx, func(t *tx) error {
			if _, err := t.exec("UPDATE intents SET conflict_key = NULL WHERE seq > ? AND seq <= ? AND state = 'succeeded' AND settled <= ?", from, to, over); err != nil {
				return err
			}
			_, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('retired', ?)", strconv.FormatInt(to, 10))
			return err
		})
		if err != nil {
			return err
		}
	}
}
