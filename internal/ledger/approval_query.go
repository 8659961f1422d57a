package ledger

import (
	"context"
	"strings"
)

// ApprovalFilter selects requests; zero fields select all.
type ApprovalFilter struct {
	// ID selects one request.
	ID string
	// Open selects pending requests and unused approvals that have not expired, Ended all others.
	Open, Ended bool
	// State selects the requests in this state.
	State ApprovalState
	// Person selects the requests of one person.
	Person string
	// Limit bounds the result; 0 for all. Open requests are sorted oldest first, others by their
	// last change, latest first.
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
	query := strings.Join(where, " AND ") + " ORDER BY " + order + " LIMIT ?"
	err := s.eachApproval(ctx, query, append(args, limit), func(row *approvalRow) { all = append(all, row.request()) })
	return all, err
}

func (s *SQLite) eachApproval(ctx context.Context, where string, args []any, each func(*approvalRow)) error {
	return s.rows(ctx, "SELECT "+approvalColumns+" FROM approvals WHERE "+where, args, func(scan func(...any) error) error {
		row := new(approvalRow)
		if err := scan(row.fields()...); err != nil {
			return err
		}
		each(row)
		return nil
	})
}

// Approval implements Ledger.
func (s *SQLite) Approval(ctx context.Context, id string) (ApprovalRequest, error) {
	return s.readApproval(ctx, "id = ?", id)
}

// LatestApproval implements Ledger.
func (s *SQLite) LatestApproval(ctx context.Context, want ApprovalRequest) (ApprovalRequest, error) {
	effect := want.effect
	if effect == "" {
		effect = s.seal.effect(want.Organisation, want.EffectKey)
	}
	return s.readApproval(ctx, "effect = ? AND requester = ? AND credential = ? AND action = ? ORDER BY seq DESC LIMIT 1",
		effect, want.Requester.column(), want.Credential, want.Action)
}

// readApproval reads one request with its sealed parts.
func (s *SQLite) readApproval(ctx context.Context, where string, args ...any) (ApprovalRequest, error) {
	var row *approvalRow
	if err := s.eachApproval(ctx, where, args, func(r *approvalRow) { row = r }); err != nil {
		return ApprovalRequest{}, err
	}
	if row == nil {
		return ApprovalRequest{}, ErrNoApproval
	}
	request, ring := row.request(), s.keyring(ctx)
	requested, err := s.recordAt(ctx, row.seq, ring)
	if err != nil {
		return ApprovalRequest{}, err
	}
	if requested != nil {
		request.Request, request.Client, request.Why = requested.Request, requested.Client, requested.Why
		request.Rules, request.Subjects = requested.Rules, requested.SubjectNames
		request.Erased = requested.ErasedCount
		if p := requested.Private; p != nil {
			request.Card = p.Card
			if request.Erased == 0 {
				request.Payload, request.Hash = p.Payload, p.Hash
			}
		}
	}
	answered, err := s.recordAt(ctx, row.answeredSeq, ring)
	if err != nil {
		return ApprovalRequest{}, err
	}
	if answered != nil && answered.Private != nil {
		request.Note, request.Fault = answered.Private.Note, answered.Private.Fault
	}
	return request, nil
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
	return ids, s.rows(ctx, "SELECT id FROM approvals WHERE last_seq > ?", []any{since}, func(scan func(...any) error) error {
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
