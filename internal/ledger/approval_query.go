package ledger

import (
	"context"
	"strings"
)

// ApprovalFilter chooses questions; zero fields choose all.
type ApprovalFilter struct {
	// ID chooses one.
	ID string
	// Open chooses those that somebody may still answer, and yeses that can still be used; Ended all others.
	Open, Ended bool
	// State chooses those in it.
	State ApprovalState
	// Inbox chooses those that wait, or waited, in the inbox.
	Inbox bool
	// Person chooses those of one person.
	Person string
	// Limit is the most to give; 0: all. Open ones come oldest first, others with the latest change first.
	Limit int
}

// Approvals implements Ledger.
func (s *SQLite) Approvals(ctx context.Context, f ApprovalFilter) ([]ApprovalRequest, error) {
	where, args := []string{"1"}, []any{}
	now := micros(s.now())
	if f.Open {
		where, args = append(where, "state IN ('pending', 'approved') AND expires > ?"), append(args, now)
	}
	if f.Ended {
		where, args = append(where, "NOT (state IN ('pending', 'approved') AND expires > ?)"), append(args, now)
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
	var all []ApprovalRequest
	err := s.eachApproval(ctx, strings.Join(where, " AND ")+" ORDER BY "+order+" LIMIT ?", append(args, limit), func(g *approvalRow) { all = append(all, g.approval()) })
	return all, err
}

func (s *SQLite) eachApproval(ctx context.Context, where string, args []any, each func(*approvalRow)) error {
	return s.rows(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE "+where, args, func(scan func(...any) error) error {
		g := new(approvalRow)
		if err := scan(g.fields()...); err != nil {
			return err
		}
		each(g)
		return nil
	})
}

// Approval implements Ledger.
func (s *SQLite) Approval(ctx context.Context, id string) (ApprovalRequest, error) {
	return s.oneApproval(ctx, "id = ?", id)
}

// LatestApproval implements Ledger.
func (s *SQLite) LatestApproval(ctx context.Context, want ApprovalRequest) (ApprovalRequest, error) {
	return s.oneApproval(ctx, "fingerprint = ? AND requester = ? AND credential = ? AND action = ? ORDER BY seq DESC LIMIT 1",
		s.seal.fingerprint(want.Organisation, want.Hash), want.Requester.column(), want.Credential, want.Action)
}

// oneApproval reads one question with what is sealed of it.
func (s *SQLite) oneApproval(ctx context.Context, where string, args ...any) (ApprovalRequest, error) {
	var row *approvalRow
	if err := s.eachApproval(ctx, where, args, func(g *approvalRow) { row = g }); err != nil {
		return ApprovalRequest{}, err
	}
	if row == nil {
		return ApprovalRequest{}, ErrNoApproval
	}
	g, ring := row.approval(), s.keyring(ctx)
	asked, err := s.recordAt(ctx, row.seq, ring)
	if err != nil {
		return ApprovalRequest{}, err
	}
	if asked != nil {
		g.Request, g.Client, g.Why, g.Rules, g.Subjects = asked.Request, asked.Client, asked.Why, asked.Rules, asked.SubjectNames
		if p := asked.Private; p != nil {
			g.Payload, g.Card, g.Hash = p.Payload, p.Card, p.Hash
		}
	}
	answered, err := s.recordAt(ctx, row.answeredSeq, ring)
	if err != nil {
		return ApprovalRequest{}, err
	}
	if answered != nil && answered.Private != nil {
		g.Note, g.Fault = answered.Private.Note, answered.Private.Fault
	}
	return g, nil
}

// MarkReported implements Ledger.
func (s *SQLite) MarkReported(ctx context.Context, id string) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec("UPDATE approvals SET reported = 1 WHERE id = ? AND reported = 0", id)
		return err
	})
}

// ApprovalsChanged implements Ledger.
func (s *SQLite) ApprovalsChanged(ctx context.Context, since int64) (ids []string, err error) {
	return ids, s.rows(ctx, "SELECT id FROM approvals WHERE inbox = 1 AND last_seq > ?", []any{since}, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
}

// ApprovalsVersion implements Ledger.
func (s *SQLite) ApprovalsVersion(ctx context.Context) (int64, error) {
	var v int64
	_, err := s.row(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'approvals'", nil, &v)
	return v, err
}
