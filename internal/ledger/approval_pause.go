package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// New requests for an action are paused for a requester after people declined three of them within
// ten minutes, with no approval between. A pause ends five minutes after the last of these declines,
// with an approval of the action, or when a person lifts it. It follows from the requests, so it
// holds in every process and after a restart. Hanging up is never paused.
const (
	declineWindow = 10 * time.Minute
	pauseFor      = 5 * time.Minute
)

// Pause is a pause of new requests of one requester for one action.
type Pause struct {
	// Declined is the last request that was declined, as Approvals lists it.
	Declined ApprovalRequest
	Until    time.Time
}

// PausedError rejects an approval request during a pause.
type PausedError struct{ Pause }

// Is makes errors.Is(e, ErrRejected) true.
func (*PausedError) Is(target error) bool { return target == ErrRejected }

func (e *PausedError) Error() string {
	return fmt.Sprintf("several requests for %s were declined, so no more are made until %s", e.Declined.Action, e.Until.UTC().Format(time.RFC3339))
}

// streak is a run of declines of one action of one requester, without an approval or a lift between
// them. Times are microseconds since 1970, 0 for none: those of the last two declines, and the end of
// the pause.
type streak struct{ last, before, until int64 }

func (s *streak) decline(at int64) {
	if s.before != 0 && at-s.before <= declineWindow.Microseconds() {
		s.until = at + pauseFor.Microseconds()
	}
	s.last, s.before = at, s.last
}

// pauseKey identifies a pause. The requester is as in the table of requests.
type pauseKey struct{ requester, action string }

// decidedQuery reads the requests that people decided, in the order of their answers, as far as a
// pause can follow from them.
const decidedQuery = "SELECT " + approvalColumns + ` FROM approvals WHERE state IN ('approved', 'declined', 'used') AND answered > ? AND
	answered_seq > coalesce((SELECT max(seq) FROM lifts WHERE lifts.requester = approvals.requester AND lifts.action = approvals.action), 0) `

// findPauses returns the pauses that are in force now, in the order of their last declines. rows runs
// decidedQuery, or a part of it.
func findPauses(now time.Time, rows func(since int64, each func(scan func(...any) error) error) error) (all []Pause, err error) {
	type declines struct {
		streak
		latest *approvalRow
	}
	found := map[pauseKey]*declines{}
	err = rows(micros(now.Add(-declineWindow-pauseFor)), func(scan func(...any) error) error {
		row := new(approvalRow)
		if err := scan(row.fields()...); err != nil {
			return err
		}
		k := pauseKey{row.requester, row.action}
		switch {
		case row.state != Declined:
			delete(found, k)
			return nil
		case found[k] == nil:
			found[k] = &declines{}
		}
		found[k].decline(row.answered)
		found[k].latest = row
		return nil
	})
	for k, d := range found {
		if d.until > micros(now) && k.action != HangUp {
			all = append(all, Pause{d.latest.request(), fromMicros(d.until)})
		}
	}
	slices.SortFunc(all, func(a, b Pause) int {
		return cmp.Or(a.Declined.Answered.Compare(b.Declined.Answered), cmp.Compare(a.Declined.ID, b.Declined.ID))
	})
	return all, err
}

// checkPaused returns a *PausedError if the requester may not ask for the action now.
func (t *tx) checkPaused(requester, action string) error {
	all, err := findPauses(t.now, func(since int64, each func(scan func(...any) error) error) error {
		return t.rows(decidedQuery+"AND requester = ? AND action = ? ORDER BY answered_seq", []any{since, requester, action}, each)
	})
	if err == nil && len(all) > 0 {
		err = &PausedError{all[0]}
	}
	return err
}

// Pauses implements Ledger.
func (s *SQLite) Pauses(ctx context.Context) ([]Pause, error) {
	return findPauses(s.now(), func(since int64, each func(scan func(...any) error) error) error {
		return s.rows(ctx, decidedQuery+"ORDER BY answered_seq", []any{since}, each)
	})
}

// LiftPause implements Ledger.
func (s *SQLite) LiftPause(ctx context.Context, id string, by Actor) error {
	return s.write(ctx, func(t *tx) error {
		row := new(approvalRow)
		found, err := t.row("SELECT "+approvalColumns+" FROM approvals WHERE id = ?", []any{id}, row.fields()...)
		switch {
		case err != nil:
			return err
		case !found:
			return ErrNoApproval
		}
		var paused *PausedError
		if err := t.checkPaused(row.requester, row.action); err == nil {
			return ErrNoPause
		} else if !errors.As(err, &paused) {
			return err
		}
		if _, err := t.exec("INSERT OR REPLACE INTO lifts (requester, action, seq) VALUES (?, ?, ?)", row.requester, row.action, t.head.seq+1); err != nil {
			return err
		}
		r := row.record(PhaseLifted)
		r.By = by
		return t.append(r)
	})
}
