package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Filter chooses records; zero fields choose all.
type Filter struct {
	// After chooses records with a larger Seq: give the last one seen to follow the chain.
	After        int64
	Since, Until time.Time
	Phase        Phase
	Action       string
	Caller       string
	Outcome      schemas.Outcome
	Intent       string
	ApprovalID   string
	// Subject chooses what concerns one person: what was read and changed. Of an erased subject nothing is found.
	Subject string
	// Limit is the most records to give, the oldest of those chosen; with Last the newest. 0: all.
	Limit int
	Last  bool
}

// Records implements Ledger.
func (s *SQLite) Records(ctx context.Context, f Filter) ([]Record, error) {
	where, args := []string{"seq > ?"}, []any{f.After}
	add := func(cond string, v any) { where, args = append(where, cond), append(args, v) }
	// Times are compared by julianday: RFC 3339 with and without fractions does not sort as text. A line of which the time
	// cannot be read is of any time: it is what somebody must see.
	if !f.Since.IsZero() {
		add("CASE WHEN json_valid(body) THEN coalesce(julianday(body->>'time') >= julianday(?), 1) ELSE 1 END", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		add("CASE WHEN json_valid(body) THEN coalesce(julianday(body->>'time') < julianday(?), 1) ELSE 1 END", f.Until.UTC().Format(time.RFC3339Nano))
	}
	for _, c := range []struct{ key, value string }{{"$.phase", string(f.Phase)}, {"$.action", f.Action}, {"$.caller.name", f.Caller},
		{"$.outcome", string(f.Outcome)}, {"$.intent", f.Intent}, {"$.approval", f.ApprovalID}} {
		if c.value != "" {
			add("CASE WHEN json_valid(body) THEN body->>'"+c.key+"' = ? END", c.value)
		}
	}
	if f.Subject != "" {
		var named []string
		err := s.rows(ctx, "SELECT id FROM keys WHERE tag = ?", []any{mac(s.seal.tag, f.Subject)}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			named, args = append(named, "instr(body, ?) > 0"), append(args, id)
			return err
		})
		if err != nil || len(named) == 0 {
			return nil, err
		}
		where = append(where, "("+strings.Join(named, " OR ")+")")
	}
	order, limit := "", -1
	if f.Limit > 0 {
		limit = f.Limit
	}
	if f.Last {
		order = " DESC"
	}
	query := fmt.Sprintf("SELECT seq, body FROM records WHERE %s ORDER BY seq%s LIMIT %d", strings.Join(where, " AND "), order, limit)
	lines, err := s.lines(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	ring := s.keyring(ctx)
	all := make([]Record, 0, len(lines))
	for _, l := range lines {
		r, err := s.decode(l, ring)
		if err != nil {
			return nil, err
		}
		all = append(all, *r)
	}
	if f.Last {
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
	}
	return all, nil
}

// line is a record as it is stored.
type line struct {
	seq  int64
	body []byte
}

// lines reads records without opening them: that asks for their keys, and whoever asks while holding one of the few
// connections waits for another that nobody gives back.
func (s *SQLite) lines(ctx context.Context, query string, args ...any) (all []line, err error) {
	return all, s.rows(ctx, query, args, func(scan func(...any) error) error {
		var l line
		err := scan(&l.seq, &l.body)
		all = append(all, l)
		return err
	})
}

// recordAt reads one record; nil where it is not there.
func (s *SQLite) recordAt(ctx context.Context, seq int64, ring *keyring) (*Record, error) {
	if seq == 0 {
		return nil, nil
	}
	found, err := s.lines(ctx, "SELECT seq, body FROM records WHERE seq = ?", seq)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	r, err := s.decode(found[0], ring)
	// Whoever only looks sees what is there.
	if err == nil && r.Fault != "" && !s.o.ReadOnly {
		err = &StoreError{Corrupt, s.path, fmt.Errorf("record %d: %s", seq, r.Fault)}
	}
	return r, err
}

// decode opens a record. What is wrong with its line is no error, but its Fault.
func (s *SQLite) decode(l line, ring *keyring) (*Record, error) {
	seq, line := l.seq, l.body
	r, err := decodeRecord(line)
	if err == nil && r.Seq != seq {
		err = fmt.Errorf("it says that it is record %d", r.Seq)
	}
	if err == nil {
		ids := r.Subjects
		if r.Private, err = ring.open(r.Sealed, r.binding()); r.Sealed != nil {
			ids = append(ids, r.Sealed.Keys...)
		}
		named := make(map[string]bool, len(ids))
		for _, id := range ids {
			if _, e := ring.get(id); e != nil && err == nil {
				err = e
			}
			if name := ring.names[id]; name != allRows && !named[name] {
				named[name] = true
				r.SubjectNames = append(r.SubjectNames, name)
			}
		}
	}
	if err != nil {
		var t *StoreError
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return nil, err // the reader has gone; the line may be as good as any
		case errors.As(err, &t):
			if t.Kind != Corrupt || t.Err == nil {
				return nil, err
			}
			err = t.Err // of one of its keys, or of what is sealed under them
		}
		if r == nil {
			r = &Record{}
		}
		r.Seq, r.Line, r.Private, r.Fault = seq, line, nil, err.Error()
	}
	return r, nil
}

// keyring opens what is sealed, for one reading.
func (s *SQLite) keyring(ctx context.Context) *keyring {
	return &keyring{s: s, rows: func(query string, args []any, each func(func(...any) error) error) error {
		return s.rows(ctx, query, args, each)
	}}
}

// row reads one row outside of the writer; it reports whether there was one.
func (s *SQLite) row(ctx context.Context, query string, args []any, into ...any) (bool, error) {
	if err := s.readable(); err != nil {
		return false, err
	}
	err := s.db.QueryRowContext(ctx, query, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, asStoreError(s.path, err)
}

// rows reads all rows of a query outside of the writer.
func (s *SQLite) rows(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	if err := s.readable(); err != nil {
		return err
	}
	r, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return asStoreError(s.path, err)
	}
	return asStoreError(s.path, eachRow(r, each))
}

func eachRow(r *sql.Rows, each func(scan func(...any) error) error) error {
	defer r.Close()
	for r.Next() {
		if err := each(r.Scan); err != nil {
			return err
		}
	}
	return r.Err()
}
