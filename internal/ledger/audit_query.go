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

// Filter selects records; zero fields select all.
type Filter struct {
	// After selects records with a larger Seq. To follow the log, set it to the Seq of the last
	// record.
	After        int64
	Since, Until time.Time
	Phase        Phase
	Action       string
	Caller       string
	Outcome      schemas.Outcome
	Intent       string
	ApprovalID   string
	// Subject selects the records about one person. There are none for an erased subject.
	Subject string
	// Limit bounds the result: the oldest records, or with Last the newest. 0 means all.
	Limit int
	Last  bool
}

// Records implements Ledger.
func (s *SQLite) Records(ctx context.Context, f Filter) ([]Record, error) {
	where, args := []string{"seq > ?"}, []any{f.After}
	add := func(cond string, v any) { where, args = append(where, cond), append(args, v) }
	// Times are compared by julianday: RFC 3339 with and without fractions does not sort as text. A
	// line with an unreadable time is always selected, because a person must see it.
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
		var conditions []string
		err := s.rows(ctx, "SELECT id FROM keys WHERE tag = ?", []any{mac(s.seal.tag, f.Subject)}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			conditions, args = append(conditions, "instr(body, ?) > 0"), append(args, id)
			return err
		})
		if err != nil || len(conditions) == 0 {
			return nil, err
		}
		where = append(where, "("+strings.Join(conditions, " OR ")+")")
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

// lines reads records without opening them. Opening needs their keys, and a reader that holds one
// of the few connections while it waits for another could wait for ever.
func (s *SQLite) lines(ctx context.Context, query string, args ...any) (all []line, err error) {
	return all, s.rows(ctx, query, args, func(scan func(...any) error) error {
		var l line
		err := scan(&l.seq, &l.body)
		all = append(all, l)
		return err
	})
}

// recordAt reads one record; nil if there is none.
func (s *SQLite) recordAt(ctx context.Context, seq int64, ring *keyring) (*Record, error) {
	if seq == 0 {
		return nil, nil
	}
	found, err := s.lines(ctx, "SELECT seq, body FROM records WHERE seq = ?", seq)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	r, err := s.decode(found[0], ring)
	// A ledger that is open for reading only shows what is there.
	if err == nil && r.Fault != "" && !s.o.ReadOnly {
		err = &StoreError{Corrupt, s.path, fmt.Errorf("record %d: %s", seq, r.Fault)}
	}
	return r, err
}

// decode opens a record. A faulty line is no error; it is reported in Fault.
func (s *SQLite) decode(l line, ring *keyring) (*Record, error) {
	seq, line := l.seq, l.body
	r, err := decodeRecord(line)
	if err == nil && r.Seq != seq {
		err = fmt.Errorf("it was written as record %d", r.Seq)
	}
	if err == nil {
		ids := r.Subjects
		if r.Private, r.ErasedCount, err = ring.open(r.Sealed, r.binding()); r.Sealed != nil {
			ids = append(ids, r.Sealed.Keys...)
		}
		named := make(map[string]bool, len(ids))
		for _, id := range ids {
			if _, e := ring.get(id); e != nil && err == nil {
				err = e
			}
			if name := ring.names[id]; name != noSubject && !named[name] {
				named[name] = true
				r.SubjectNames = append(r.SubjectNames, name)
			}
		}
	}
	if err != nil {
		var storeErr *StoreError
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return nil, err // the line may be right
		case errors.As(err, &storeErr):
			if storeErr.Kind != Corrupt || storeErr.Err == nil {
				return nil, err
			}
			err = storeErr.Err // the error of a key or of a sealed part
		}
		if r == nil {
			r = &Record{}
		}
		r.Seq, r.Line, r.Private, r.Fault = seq, line, nil, err.Error()
	}
	return r, nil
}

// keyring returns a keyring for one read.
func (s *SQLite) keyring(ctx context.Context) *keyring {
	return &keyring{s: s, rows: func(query string, args []any, each func(func(...any) error) error) error {
		return s.rows(ctx, query, args, each)
	}}
}

// row reads one row outside of the writer; it reports whether there is one.
func (s *SQLite) row(ctx context.Context, query string, args []any, into ...any) (bool, error) {
	if err := s.checkReadable(); err != nil {
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
	if err := s.checkReadable(); err != nil {
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
