package sandbox

// queuePatience is the happening of a caller in the queue who gives up.
const queuePatience = "abandon"

func (o *organisation) queueActions() map[string]func(*action) {
	return map[string]func(*action){
		"accept_call_queue_entry": func(a *action) {
			a.Atomic = false
			a.Check = func(old, _ record) []*fault {
				if old == nil || old.text("state") == "waiting" {
					return nil
				}
				return []*fault{Invalid("state", "entry is not waiting", map[string]any{"value": "waiting"})}
			}
			a.Change = func(t *turn, _, next record) error {
				user, err := t.get(o.r["User"], o.keyHolder())
				if err != nil {
					return err
				}
				next["state"], next["answeredAt"], next["agentName"] = "answered", t.now.Format(secondLayout), user["fullName"]
				return nil
			}
			a.After = func(t *turn, _, next record) error {
				if err := o.cancel(t, next.text("id")); err != nil {
					return err
				}
				call, err := t.first(o.r["Call"], `t."callUuid" = ?`, next.text("callUuid"))
				if err != nil || call == nil {
					return err
				}
				return o.handToOperator(t, call)
			}
		},
		"transfer_call_to_queue": func(a *action) {
			a.Resource = o.r["Call"]
			a.Run = func(t *turn, args record) (any, error) {
				call, err := o.liveCall(t, a, args)
				if err != nil {
					return nil, err
				}
				entry, err := t.first(o.r["CallQueueEntry"], `t."callUuid" = ? AND t."state" = 'waiting'`, call.text("callUuid"))
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

// enqueue puts the caller of a live call into the queue; whoever had the call
// leaves it.
func (o *organisation) enqueue(t *turn, call record) (record, error) {
	number, name := call["fromNumber"], call["contactFullName"]
	if call.text("direction") == "outbound" {
		number = call["toNumber"]
	}
	entry := record{"callUuid": call["callUuid"], "queueName": "reception", "callerIdNumber": number, "callerIdName": name,
		"state": "waiting", "waitStartedAt": t.now.Format(secondLayout)}
	if err := t.insert(o.r["CallQueueEntry"], entry); err != nil {
		return nil, err
	}
	if err := o.handlersLeave(t, call); err != nil {
		return nil, err
	}
	if err := o.quiet(t, call, "queue", "reception"); err != nil {
		return nil, err
	}
	if err := o.note(t, call, "transferred_to_queue", "Caller put into the queue reception"); err != nil {
		return nil, err
	}
	return entry, o.schedule(t, queuePatience, entry.text("id"), 0, queueWait)
}

// settleQueue ends the call's entries when the call does.
func (o *organisation) settleQueue(t *turn, call record) error {
	entries, err := t.all(o.r["CallQueueEntry"], `t."callUuid" = ? AND t."state" IN ('waiting', 'answered')`, call.text("callUuid"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		changes := record{"state": "completed", "completedAt": t.now.Format(secondLayout)}
		if e.text("state") == "waiting" {
			changes = record{"state": "abandoned", "abandonedAt": t.now.Format(secondLayout)}
		}
		if err := t.update(o.r["CallQueueEntry"], e.text("id"), changes); err != nil {
			return err
		}
		if err := o.cancel(t, e.text("id")); err != nil {
			return err
		}
	}
	return nil
}

// giveUp is a caller who has waited long enough.
func (o *organisation) giveUp(t *turn, entryID string) error {
	entry, err := t.get(o.r["CallQueueEntry"], entryID)
	if err != nil || entry == nil || entry.text("state") != "waiting" {
		return err
	}
	call, err := t.first(o.r["Call"], `t."callUuid" = ?`, entry.text("callUuid"))
	if err != nil {
		return err
	}
	if call != nil && live(call) {
		return o.hangUp(t, call, "completed") // which abandons the entry
	}
	return t.update(o.r["CallQueueEntry"], entryID, record{"state": "abandoned", "abandonedAt": t.now.Format(secondLayout)})
}
