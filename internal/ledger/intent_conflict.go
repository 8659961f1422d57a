package ledger

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// conflictIndex holds the intents that may conflict with the same call, by conflict key. It is in
// memory because an index in the file would be written in random places, and would cost a commit a
// third of its time. It may hold too many intents, which the table then excludes, but never too
// few. An intent is added when its row is written and never later. So the rows after the last one
// that was read hold everything that other processes added.
type conflictIndex struct {
	mu   sync.Mutex
	upto int64 // all intents up to this record are in the index
	// purges counts how often the index was emptied.
	purges int
	seqs   map[int64]int64
	others map[int64][]int64 // further intents of an effect, beside the one in seqs

	retired atomic.Int64 // the record up to which the sweep has retired intents
	stale   atomic.Bool  // the index holds retired intents
}

// conflictIndexQuery reads the intents that were added since, from an index that grows at its end
// only.
const conflictIndexQuery = "SELECT seq, conflict_key FROM intents WHERE conflict_key IS NOT NULL AND seq > ? ORDER BY seq"

type rowsFunc func(query string, args []any, each func(scan func(...any) error) error) error

// update reads the intents that were added since, and reports whether the index is complete. The
// caller knows that it is complete up to record upto then; 0 if it knows of none. update holds no
// lock while it reads, because the writer must never wait for a reader.
func (c *conflictIndex) update(upto int64, rows rowsFunc) (complete bool, err error) {
	c.mu.Lock()
	read, purges := c.upto, c.purges
	c.mu.Unlock()
	if upto > 0 && upto <= read {
		return true, nil
	}
	var entries [][2]int64
	err = rows(conflictIndexQuery, []any{read}, func(scan func(...any) error) error {
		var entry [2]int64
		err := scan(&entry[0], &entry[1])
		entries = append(entries, entry)
		return err
	})
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.purges != purges {
		return false, nil // the index was emptied meanwhile
	}
	for _, entry := range entries {
		c.put(entry[0], entry[1])
		c.upto = max(c.upto, entry[0])
	}
	c.upto = max(c.upto, upto)
	return true, nil
}

func (c *conflictIndex) put(seq, key int64) {
	if c.seqs == nil {
		c.seqs, c.others = map[int64]int64{}, map[int64][]int64{}
	}
	switch first, ok := c.seqs[key]; {
	case !ok:
		c.seqs[key] = seq
	case first != seq && !slices.Contains(c.others[key], seq):
		c.others[key] = append(c.others[key], seq)
	}
}

// add adds an intent that this process is writing. If the write fails, the index holds one too
// many.
func (c *conflictIndex) add(seq, key int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(seq, key)
}

// find returns the intents of an effect, the latest first, and the number of purges so far.
func (c *conflictIndex) find(key int64) (seqs []int64, purges int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, ok := c.seqs[key]
	if !ok {
		return nil, c.purges
	}
	seqs = append([]int64{first}, c.others[key]...)
	slices.Sort(seqs)
	slices.Reverse(seqs)
	return seqs, c.purges
}

// advance is called when all intents up to the record are durable.
func (c *conflictIndex) advance(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upto = max(c.upto, seq)
}

// purge empties the index if it holds retired intents; the others are read again. Only the writer
// calls it, before update: within a transaction the index must be complete.
func (c *conflictIndex) purge() {
	if !c.stale.Swap(false) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upto, c.seqs, c.others = 0, nil, nil
	c.purges++
}

// FindConflicting implements Ledger.
func (s *SQLite) FindConflicting(ctx context.Context, x Txn) (*Intent, error) {
	if x.Class == schemas.Read {
		return nil, nil
	}
	effect := s.seal.effect(x.Organisation, x.EffectKey)
	var seqs []int64
	_, before := s.conflicts.find(conflictKey(effect))
	for {
		complete, err := s.conflicts.update(0, func(query string, args []any, each func(func(...any) error) error) error {
			return s.rows(ctx, query, args, each)
		})
		if err != nil {
			return nil, err
		}
		var purges int
		if seqs, purges = s.conflicts.find(conflictKey(effect)); complete && purges == before {
			break
		}
		before = purges
	}
	for _, seq := range seqs {
		if in, err := s.readIntent(ctx, conflictQuery, s.conflictArgs(seq, &x, effect, s.now())...); err != nil || in != nil {
			return in, err
		}
	}
	return nil, nil
}

// findConflicting returns the latest intent that conflicts with the call.
func (t *tx) findConflicting(x *Txn, effect string) (*Intent, error) {
	seqs, _ := t.s.conflicts.find(conflictKey(effect))
	for _, seq := range seqs {
		if in, err := t.intent(conflictQuery, t.s.conflictArgs(seq, x, effect, t.now)...); err != nil || in != nil {
			return in, err
		}
	}
	return nil, nil
}

// unknownQuery finds the intents of an organisation whose outcome is unknown, or will be: their
// process may have ended without a report.
const unknownQuery = `SELECT seq, affects, state, process FROM intents WHERE effect_kind = ?1 AND organisation = ?2 AND state = 'unknown' UNION ALL
	SELECT seq, affects, state, process FROM intents WHERE effect_kind = ?1 AND organisation = ?2 AND state IN ('prepared', 'sent') ORDER BY seq DESC`

// FindUnknown implements Ledger. It costs little, because few outcomes are unknown.
func (s *SQLite) FindUnknown(ctx context.Context, x Txn) (*Intent, error) {
	if x.EffectKind == "" || len(x.Affects) == 0 {
		return nil, nil
	}
	seq, err := findUnknown(&x, s.seal.affects(x.Organisation, x.Affects), func(query string, args []any, each func(func(...any) error) error) error {
		return s.rows(ctx, query, args, each)
	})
	if err != nil || seq == 0 {
		return nil, err
	}
	return s.readIntent(ctx, intentAtQuery, seq)
}

const intentAtQuery = "SELECT " + intentColumns + " FROM intents WHERE seq = ?"

// checkUnknown rejects a call that no person approved if the outcome of another call to one of the
// same people is unknown. FindUnknown may have looked too early.
func (t *tx) checkUnknown(x *Txn, affects string) error {
	if x.EffectKind == "" || affects == "" || x.ApprovalID != "" {
		return nil
	}
	seq, err := findUnknown(x, affects, t.rows)
	if err != nil || seq == 0 {
		return err
	}
	in, err := t.intent(intentAtQuery, seq)
	if err != nil {
		return err
	}
	return &UnknownError{*in}
}

// findUnknown returns the record of the last intent that FindUnknown finds; 0 if there is none.
// affects are the keyed hashes of x.Affects.
func findUnknown(x *Txn, affects string, rows rowsFunc) (found int64, err error) {
	var wanted map[string]bool
	err = rows(unknownQuery, []any{string(x.EffectKind), x.Organisation}, func(scan func(...any) error) error {
		var seq int64
		var others, state, owner string
		if err := scan(&seq, &others, &state, &owner); err != nil || found != 0 || state != string(Unknown) && !processEnded(owner) {
			return err
		}
		if wanted == nil {
			wanted = map[string]bool{}
			for tag := range strings.FieldsSeq(affects) {
				wanted[tag] = true
			}
		}
		for tag := range strings.FieldsSeq(others) {
			if wanted[tag] {
				found = seq
				break
			}
		}
		return nil
	})
	return found, err
}
