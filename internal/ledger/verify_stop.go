package ledger

import (
	"context"
	"database/sql"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// replayedStop is an emergency stop as the log describes it.
type replayedStop struct {
	EmergencyStop
	ended bool
}

// applyStop begins or ends a stop. A stop of a scope that is stopped already is no other one, but
// revokes approvals too.
func (p *replay) applyStop(r *Record) {
	scope := StopScope{Kind: StopKind(r.Scope), Person: r.Person}
	for _, request := range p.approvals {
		open := request.state == string(Pending) || request.state == string(Approved)
		if r.Phase == PhaseStopped && open && request.expires > micros(r.Time) && scope.Concerns(request.requester, request.kind) {
			request.state = string(Revoked)
		}
	}
	for i := range p.stops {
		if s := &p.stops[i]; !s.ended && s.Same(scope) {
			s.ended = r.Phase == PhaseResumed
			return
		}
	}
	if r.Phase == PhaseStopped {
		p.stops = append(p.stops, replayedStop{EmergencyStop: EmergencyStop{StopScope: scope, At: r.Time, By: r.By, Note: r.Note, seq: r.Seq}})
	}
}

// checkStopped reports an intent that was prepared during a stop that covers it.
func (p *replay) checkStopped(v *verifier, r *Record) {
	if r.Safe || r.Action == HangUp || r.Class == schemas.Read && r.ApprovalID == "" {
		return
	}
	for _, s := range p.stops {
		if !s.ended && s.Concerns(r.Caller, r.EffectKind) {
			v.add(WrongStop, r.Seq, r.Intent, "intent %s was prepared during an emergency stop of %s", r.Intent, s.StopScope)
			return
		}
	}
}

// stoppedSince reports whether a stop that covers the intent began after it, or is in force.
func (p *replay) stoppedSince(in *replayedIntent) bool {
	for i, s := range p.stops {
		if (i >= in.stops || !s.ended) && s.Concerns(in.caller, schemas.EffectKind(in.kind)) {
			return true
		}
	}
	return false
}

// checkStops compares the emergency stops in force with the log.
func (v *verifier) checkStops(ctx context.Context, conn *sql.Conn) error {
	table, err := readStops(func(query string, args []any, each func(func(...any) error) error) error {
		rows, err := conn.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		return eachRow(rows, each)
	})
	if err != nil {
		return err
	}
	inForce := map[int64]EmergencyStop{}
	for _, s := range v.replay.stops {
		if !s.ended {
			inForce[s.seq] = s.EmergencyStop
		}
	}
	for _, s := range table {
		want, found := inForce[s.seq]
		delete(inForce, s.seq)
		if !found || s.StopScope != want.StopScope || !s.At.Equal(want.At) || s.By != want.By || s.Note != want.Note {
			v.add(WrongStop, s.seq, "", "the emergency stop of %s differs from its record", s.StopScope)
		}
	}
	for seq, s := range inForce {
		v.add(WrongStop, seq, "", "the emergency stop of %s has a record, but is not in force", s.StopScope)
	}
	return nil
}
