package sandbox

import (
	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// abandonTask is the task of a caller who hangs up after waiting too long in the queue.
const abandonTask = "abandon"

func (o *organisation) queueActions() map[string]func(*ash.Action) {
	return map[string]func(*ash.Action){
		"accept_call_queue_entry": func(a *ash.Action) {
			a.Atomic = false
			a.Check = func(old, _ ash.Record) []*ash.Violation {
				if old == nil || old.Text("state") == "waiting" {
					return nil
				}
				return []*ash.Violation{ash.NewViolation("state", "entry is not waiting", map[string]any{"value": "waiting"})}
			}
			a.Change = func(t *ash.Tx, _, next ash.Record) error {
				user, err := t.Get(o.resources["User"], o.keyHolder())
				if err != nil {
					return err
				}
				next["state"], next["answeredAt"], next["agentName"] = "answered", t.Now.Format(ash.SecondLayout), user["fullName"]
				return nil
			}
			a.After = func(t *ash.Tx, _, next ash.Record) error {
				if err := o.cancel(t, next.Text("id")); err != nil {
					return err
				}
				call, err := t.First(o.resources["Call"], `t."callUuid" = ?`, next.Text("callUuid"))
				if err != nil || call == nil {
					return err
				}
				return o.assignToOperator(t, call)
			}
		},
		"transfer_call_to_queue": func(a *ash.Action) {
			a.Resource = o.resources["Call"]
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) {
				call, err := o.findLiveCall(t, a, args)
				if err != nil {
					return nil, err
				}
				entry, err := t.First(o.resources["CallQueueEntry"], `t."callUuid" = ? AND t."state" = 'waiting'`, call.Text("callUuid"))
				if err != nil {
					return nil, err
				}
				if entry == nil {
					if entry, err = o.enqueue(t, call); err != nil {
						return nil, err
					}
				}
				return map[string]any{"callUuid": call["callUuid"], "status": "queued", "queueEntryId": entry["id"], "queueName": entry["queueName"]}, nil
			}
		},
	}
}

// enqueue adds the caller of a live call to the queue, and removes the handlers of the call.
func (o *organisation) enqueue(t *ash.Tx, call ash.Record) (ash.Record, error) {
	number, name := call["fromNumber"], call["contactFullName"]
	if call.Text("direction") == "outbound" {
		number = call["toNumber"]
	}
	entry := ash.Record{"callUuid": call["callUuid"], "queueName": "reception", "callerIdNumber": number, "callerIdName": name,
		"state": "waiting", "waitStartedAt": t.Now.Format(ash.SecondLayout)}
	if err := t.Insert(o.resources["CallQueueEntry"], entry); err != nil {
		return nil, err
	}
	if err := o.removeHandlers(t, call); err != nil {
		return nil, err
	}
	if err := o.setHandler(t, call, "queue", "reception"); err != nil {
		return nil, err
	}
	if err := o.logEvent(t, call, "transferred_to_queue", "Caller transferred to the queue reception"); err != nil {
		return nil, err
	}
	return entry, o.schedule(t, abandonTask, entry.Text("id"), 0, queueWait)
}

// closeQueueEntries closes the queue entries of a call that ends.
func (o *organisation) closeQueueEntries(t *ash.Tx, call ash.Record) error {
	entries, err := t.All(o.resources["CallQueueEntry"], `t."callUuid" = ? AND t."state" IN ('waiting', 'answered')`, call.Text("callUuid"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		changes := ash.Record{"state": "completed", "completedAt": t.Now.Format(ash.SecondLayout)}
		if e.Text("state") == "waiting" {
			changes = ash.Record{"state": "abandoned", "abandonedAt": t.Now.Format(ash.SecondLayout)}
		}
		if err := t.Update(o.resources["CallQueueEntry"], e.Text("id"), changes); err != nil {
			return err
		}
		if err := o.cancel(t, e.Text("id")); err != nil {
			return err
		}
	}
	return nil
}

// abandonEntry ends the call of a caller who has waited too long.
func (o *organisation) abandonEntry(t *ash.Tx, entryID string) error {
	entry, err := t.Get(o.resources["CallQueueEntry"], entryID)
	if err != nil || entry == nil || entry.Text("state") != "waiting" {
		return err
	}
	call, err := t.First(o.resources["Call"], `t."callUuid" = ?`, entry.Text("callUuid"))
	if err != nil {
		return err
	}
	if call != nil && isLive(call) {
		return o.endCall(t, call, "completed") // which abandons the entry
	}
	return t.Update(o.resources["CallQueueEntry"], entryID, ash.Record{"state": "abandoned", "abandonedAt": t.Now.Format(ash.SecondLayout)})
}
