package ledger

import (
	"encoding/json"
	"fmt"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// quotas bound the pending requests of one requester by class, so that those of one class never keep
// another from being asked for: together they are the bound of a requester. Each is more than a
// person can answer with care.
var quotas = map[schemas.Class]int{schemas.Write: 50, schemas.Outbound: 50, schemas.Destructive: 50, schemas.Read: 20, schemas.Credential: 10}

// maxPendingTotal bounds the pending requests of all requesters. One requester cannot reach it, and
// the inbox and the count for each new request stay small.
const maxPendingTotal = 2000

// MaxPending returns how many requests for an action, and for those that are counted with it, a
// requester may have pending.
func MaxPending(action string) int { return quotas[classOf(action)] }

// classOf returns the class of an action; Write, the mildest that changes something, if it is
// unknown.
func classOf(action string) schemas.Class {
	if a, err := schemas.Find(action); err == nil {
		return a.Class
	}
	return schemas.Write
}

// countedWith returns the actions that share a quota, as JSON: those of one class, but hanging up
// alone, because no other requests may prevent it.
func countedWith(action string) string {
	all := []string{action}
	for _, a := range schemas.Actions() {
		if action != HangUp && a.Name != HangUp && a.Class == classOf(action) {
			all = append(all, a.Name)
		}
	}
	raw, _ := json.Marshal(all) // strings always marshal
	return string(raw)
}

// PendingError rejects an approval request because too many are pending.
type PendingError struct {
	// Action is what was asked for, Pending how many requests are counted with it.
	Action  string
	Pending int
	// Requester is true if the requester has too many of this kind, false if all requesters together
	// have too many.
	Requester bool
}

// Is makes errors.Is(e, ErrRejected) true.
func (*PendingError) Is(target error) bool { return target == ErrRejected }

func (e *PendingError) Error() string {
	switch {
	case !e.Requester:
		return fmt.Sprintf("%d approval requests of all callers are pending, which is the most that there may be", e.Pending)
	case e.Action == HangUp:
		return fmt.Sprintf("%d approval requests of this caller to hang up are pending, which is the most that there may be", e.Pending)
	}
	return fmt.Sprintf("%d approval requests of this caller for actions of the class %s are pending, which is the most that there may be", e.Pending, classOf(e.Action))
}

// checkPending returns a *PendingError if the requester cannot make another request for the action.
func (t *tx) checkPending(requester, action string) error {
	var all, own int
	if _, err := t.row(`SELECT count(*), count(iif(requester = ? AND action IN (SELECT value FROM json_each(?)), 1, NULL)) FROM approvals
		WHERE state IN ('pending', 'approved') AND expires > ? AND state = 'pending' AND (action = ?) = ?`,
		[]any{requester, countedWith(action), micros(t.now), HangUp, action == HangUp}, &all, &own); err != nil {
		return err
	}
	switch {
	case own >= MaxPending(action):
		return &PendingError{Action: action, Pending: own, Requester: true}
	case all >= maxPendingTotal:
		return &PendingError{Action: action, Pending: all}
	}
	return nil
}
