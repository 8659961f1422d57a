package ledger

import (
	"context"
	"strings"
)

// GrantFilter chooses questions; zero fields choose all.
type GrantFilter struct {
	// ID chooses one.
	ID string
	// Open chooses those that somebody may still answer, and yeses that can still be used; Ended all others.
	Open, Ended bool
	// State chooses those in it.
	State State
	// Inbox chooses those that wait, or waited, in the inbox.
	Inbox bool
	// Person chooses those of one person.
	Person string
	// Limit is the most to give; 0: all. Open ones come oldest first, others with the latest change first.
	Limit int
}

// Grants implements Ledger.
func (s *SQLite) Grants(ctx context.Context, f GrantFilter) ([]Grant, error) {
	where, args := []string{"1"}, []any{}
	now := micros(s.now())
	if f.Open {
		where, args = append(where, "state IN ('pending', 'granted') AND expires > ?"), append(args, now)
	}
	if f.Ended {
		where, args = append(where, "NOT (state IN ('pending', 'granted') AND expires > ?)"), append(args, now)
	}
	if f.ID != "" {
		where, args = append(where, "id = ?"), append(args, f.ID)
	}
	if f.State != "" {
		where, args = append(where, "state = ?"), append(args, string(f.State))
	}
	if f.Inbox {
		where = append(where, "inbox = 1")
	}
	if f.Person != "" {
		where, args = append(where, "person = ?"), append(args, f.Person)
	}
	order, limit := "last_seq DESC", -1
	if f.Open {
		order = "seq"
	}
	if f.Limit > 0 {
		limit = f.Limit
	}
	var all []Grant
	err := s.eachGrant(ctx, strings.Join(where, " AND ")+" ORDER BY "+order+" LIMIT ?", append(args, limit), func(g *grantRow) { all = append(all, g.grant()) })
	return all, err
}

func (s *SQLite) eachGrant(ctx context.Context, where string, args []any, each func(*grantRow)) error {
	return s.rows(ctx, "SELECT "+grantColumns+" FROM grants WHERE "+where, args, func(scan func(...any) error) error {
		g := new(grantRow)
		if err := scan(g.into()...); err != nil {
			return err
		}
		each(g)
		return nil
	})
}

// Grant implements Ledger.
func (s *SQLite) Grant(ctx context.Context, id string) (Grant, error) {
	return s.oneGrant(ctx, "id = ?", id)
}

// Asked implements Ledger.
func (s *SQLite) Asked(ctx context.Context, want Grant) (Grant, error) {
	return s.oneGrant(ctx, "print = ? AND principal = ? AND credential = ? AND action = ? ORDER BY seq DESC LIMIT 1",
		s.seal.fingerprint(want.Upstream, want.Hash), want.Principal, want.Credential, want.Action)
}

// oneGrant reads one question with what is sealed of it.
func (s *SQLite) oneGrant(ctx context.Context, where string, args ...any) (Grant, error) {
	var row *grantRow
	if err := s.eachGrant(ctx, where, args, func(g *grantRow) { row = g }); err != nil {
		return Grant{}, err
	}
	if row == nil {
		return Grant{}, ErrNoGrant
	}
	g, ring := row.grant(), s.keyring(ctx)
	asked, err := s.recordAt(ctx, row.seq, ring)
	if err != nil {
		return Grant{}, err
	}
	if asked != nil {
		g.Request, g.Client, g.Why, g.Rules, g.Subjects = asked.Request, asked.Client, asked.Why, asked.Rules, asked.People
		if p := asked.Private; p != nil {
			g.Payload, g.Card, g.Hash = p.Payload, p.Card, p.Hash
		}
	}
	answered, err := s.recordAt(ctx, row.answeredSeq, ring)
	if err != nil {
		return Grant{}, err
	}
	if answered != nil && answered.Private != nil {
		g.Note, g.Fault = answered.Private.Note, answered.Private.Fault
	}
	return g, nil
}

// Told implements Ledger.
func (s *SQLite) Told(ctx context.Context, id string) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec("UPDATE grants SET told = 1 WHERE id = ? AND told = 0", id)
		return err
	})
}

// Changed implements Ledger.
func (s *SQLite) Changed(ctx context.Context, since int64) (ids []string, err error) {
	return ids, s.rows(ctx, "SELECT id FROM grants WHERE inbox = 1 AND last_seq > ?", []any{since}, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
}

// Version implements Ledger.
func (s *SQLite) Version(ctx context.Context) (int64, error) {
	var v int64
	_, err := s.row(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'questions'", nil, &v)
	return v, err
}
