package ledger

import (
	"bytes"
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

// process names this process on its intents: machine and process namespace, process id, a random
// part that differs from an ended process with the same id, and when it started, if that is known.
var process = strings.TrimSpace(machine() + " " + strconv.Itoa(os.Getpid()) + " " + random() + " " + started(os.Getpid()))

func machine() string {
	name, _ := os.Hostname()
	// Containers may share a host name without seeing each other's processes. Only Linux has this
	// link.
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return strings.ReplaceAll(name+namespace, " ", "")
}

func random() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// processEnded reports whether the process of that name has certainly ended.
func processEnded(name string) bool {
	if name == process {
		return false
	}
	parts := strings.Fields(name)
	if len(parts) < 2 || parts[0] != machine() {
		return false
	}
	pid, err := strconv.Atoi(parts[1])
	if err != nil {
		return false
	}
	if pid == os.Getpid() {
		return true // an earlier process with our id
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	// On systems without signal 0 the error is another one, and only age decides.
	if errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone) {
		return true
	}
	now := started(pid)
	return now == ended || len(parts) > 3 && now != "" && now != parts[3] // another process with its id
}

// ended is what started returns for a process that has ended, and of which its parent does not know.
const ended = "ended"

// started returns when a process started, in the kernel's own unit; empty if that is unknown. Only
// Linux has this file.
func started(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // a name may have spaces
	switch {
	case len(fields) < 20:
		return ""
	case fields[0] == "Z" || fields[0] == "X":
		return ended
	}
	return fields[19]
}

const openQuery = "SELECT id, process, prepared FROM intents WHERE state IN ('prepared', 'sent')"

// collectAbandoned collects the abandoned intents from openQuery: their process ended, or they are
// older than any request may last.
func (s *SQLite) collectAbandoned(now time.Time, ids *[]string) func(func(...any) error) error {
	return func(scan func(...any) error) error {
		var id, owner string
		var prepared int64
		err := scan(&id, &owner, &prepared)
		if err == nil && (now.Sub(fromMicros(prepared)) > s.o.Stale || processEnded(owner)) {
			*ids = append(*ids, id)
		}
		return err
	}
}

// abandoned returns the ids of abandoned intents.
func (s *SQLite) abandoned(ctx context.Context) (ids []string, err error) {
	return ids, s.rows(ctx, openQuery, nil, s.collectAbandoned(s.now(), &ids))
}

// sweep makes abandoned intents unknown, and removes what has expired.
func (s *SQLite) sweep(ctx context.Context) error {
	if err := s.abandon(ctx); err != nil {
		return err
	}
	if err := s.retire(ctx); err != nil {
		return err
	}
	return s.deleteExpired(ctx)
}

// abandon makes abandoned intents unknown.
func (s *SQLite) abandon(ctx context.Context) error {
	// Read first, so that nothing is written if there are none.
	if ids, err := s.abandoned(ctx); err != nil || len(ids) == 0 {
		return err
	}
	return s.writeWith(ctx, noReserve, func(t *tx) error {
		var ids []string
		if err := t.rows(openQuery, nil, s.collectAbandoned(t.now, &ids)); err != nil {
			return err
		}
		for _, id := range ids {
			in, err := t.intent(intentQuery, intentArgs(id)...)
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

// retire removes old successes from the index of conflicts, so that it stays small however many
// intents the file holds. A success that settled late stays in the index, which is harmless.
func (s *SQLite) retire(ctx context.Context) error {
	const (
		retiredQuery = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'retired'"
		batchQuery   = "SELECT coalesce(max(seq), 0) FROM (SELECT seq, prepared FROM intents WHERE seq > ? ORDER BY seq LIMIT 1000) WHERE prepared <= ?"
		minBatch     = 100 // fewer do not justify a transaction
	)
	for {
		now := s.now()
		before := micros(now.Add(-s.o.Window))
		var from, to int64
		if _, err := s.row(ctx, retiredQuery, nil, &from); err != nil {
			return err
		}
		// This process or another one retired some.
		if s.conflicts.retired.Swap(from) != from {
			s.conflicts.stale.Store(true)
		}
		if _, err := s.row(ctx, batchQuery, []any{from, before}, &to); err != nil || to < from+minBatch {
			return err
		}
		err := s.write(ctx, func(t *tx) error {
			if _, err := t.exec("UPDATE intents SET conflict_key = NULL WHERE seq > ? AND seq <= ? AND state = 'succeeded' AND settled <= ?", from, to, before); err != nil {
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
