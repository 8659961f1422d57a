package ledger

import (
	"context"
	"database/sql"
)

// replayedPause is what the log says about the requests of one requester for one action.
type replayedPause struct {
	streak
	lifted int64 // the record; 0 if there is none
}

// pause returns the entry of the request that a record answers, or is one.
func (p *replay) pause(requester Actor, action string) *replayedPause {
	k := pauseKey{requester.column(), action}
	if p.pauses[k] == nil {
		p.pauses[k] = &replayedPause{}
	}
	return p.pauses[k]
}

// checkLifts compares the table of lifts with the log.
func (v *verifier) checkLifts(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT requester, action, seq FROM lifts")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var k pauseKey
		var seq int64
		if err := scan(&k.requester, &k.action, &seq); err != nil {
			return err
		}
		if p := v.replay.pauses[k]; p == nil || p.lifted != seq {
			v.add(WrongApproval, seq, "", "the requests for %s of %s may be made again, but no record says so", k.action, parseActor(k.requester))
		} else {
			p.lifted = 0
		}
		return nil
	})
	for k, p := range v.replay.pauses {
		if p.lifted != 0 {
			v.add(WrongApproval, p.lifted, "", "record %d lets %s ask for %s again, but its row is missing", p.lifted, parseActor(k.requester), k.action)
		}
	}
	return err
}
