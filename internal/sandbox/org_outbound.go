package sandbox

import (
	"encoding/json"
	"regexp"
	"strings"
)

// The agents that have a call or an email where nobody says who should.
const (
	defaultAgent = "Molly"
	emailAgent   = "Iris"
)

var phonePattern = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)

func (o *organisation) outboundActions() map[string]func(*action) {
	return map[string]func(*action){
		"start_outbound_call": func(a *action) {
			a.Resource = o.r["Call"]
			a.Run = func(t *turn, args record) (any, error) { return o.startCall(t, a, args) }
		},
		"start_bulk_outbound_call": func(a *action) {
			a.Resource = o.r["BulkOutboundCall"]
			a.Run = func(t *turn, args record) (any, error) { return o.startBulk(t, a, args) }
		},
		"list_campaigns": func(a *action) {
			a.Resource = o.r["Campaign"]
			a.Run = func(t *turn, _ record) (any, error) {
				recs, err := t.all(o.r["Campaign"], `TRUE ORDER BY t."seq"`)
				list := []any{}
				for _, rec := range recs {
					list = append(list, campaign(rec))
				}
				return map[string]any{"campaigns": list, "totalCount": len(list)}, err
			}
		},
		"get_campaign": func(a *action) {
			a.Resource = o.r["Campaign"]
			a.Run = func(t *turn, args record) (any, error) {
				rec, err := t.get(o.r["Campaign"], args.text("id"))
				if err != nil {
					return nil, err
				}
				if rec == nil {
					return nil, a.NotFound("id", args.text("id"))
				}
				return campaign(rec), nil
			}
		},
	}
}

// campaign shows a campaign, which is stored as it is shown.
func campaign(rec record) any { return json.RawMessage(rec["details"].(document)) }

// agentFor finds the AI agent that an action names, else the default one.
func (o *organisation) agentFor(t *turn, a *action, args record) (record, error) {
	id := args.text("aiAgentId")
	if id == "" {
		id = o.named("agent", defaultAgent)
	}
	rec, err := t.get(o.r["AiAgent"], id)
	if err == nil && rec == nil {
		err = a.NotFound("id", id)
	}
	return rec, err
}

// callable gives the number on which a contact may be rung.
func callable(contact record) (string, error) {
	switch {
	case contact["erasedAt"] != nil:
		return "", InvalidAttribute("contactId", "contact is erased")
	case contact["deletedAt"] != nil:
		return "", InvalidAttribute("contactId", "contact is archived")
	case contact["phoneE164"] == nil:
		return "", InvalidAttribute("contactId", "contact has no phone number")
	}
	return contact.text("phoneE164"), nil
}

func dialable(number string) error {
	if why := refusedNumbers[number]; why != "" {
		return InvalidAttribute("phoneNumber", why)
	}
	if !phonePattern.MatchString(number) {
		return InvalidAttribute("phoneNumber", "is not a valid E.164 number")
	}
	return nil
}

func (o *organisation) startCall(t *turn, a *action, args record) (any, error) {
	contact, number, err := o.target(t, a, args)
	if err != nil {
		return nil, err
	}
	if err := dialable(number); err != nil {
		return nil, err
	}
	aiAgent, err := o.agentFor(t, a, args)
	if err != nil {
		return nil, err
	}
	call, err := o.dial(t, contact, number, aiAgent, nil)
	if err != nil {
		return nil, err
	}
	return map[string]any{"callId": call["id"], "callUuid": call["callUuid"], "status": call["status"], "toNumber": number,
		"contactId": call["contactId"], "aiAgentId": aiAgent["id"], "conversationId": call["conversationId"]}, nil
}

// target finds whom a call is for. A bare number that a contact has is that contact's.
func (o *organisation) target(t *turn, a *action, args record) (contact record, number string, err error) {
	number = strings.TrimSpace(args.text("phoneNumber"))
	if id := args.text("contactId"); id != "" {
		contact, err = t.get(o.r["Contact"], id)
		if err != nil {
			return nil, "", err
		}
		if contact == nil {
			return nil, "", a.NotFound("id", id)
		}
		own, err := callable(contact)
		if err != nil {
			return nil, "", err
		}
		if number == "" {
			number = own
		}
		return contact, number, nil
	}
	if number == "" {
		return nil, "", InvalidAttribute("contactId", "contactId or phoneNumber is needed")
	}
	contact, err = t.first(o.r["Contact"], `t."phoneE164" = ? AND t."deletedAt" IS NULL`, number)
	return contact, number, err
}

// startBulk makes a bulk call and its entries, and begins to ring.
func (o *organisation) startBulk(t *turn, a *action, args record) (any, error) {
	aiAgent, err := o.agentFor(t, a, args)
	if err != nil {
		return nil, err
	}
	ids, err := o.bulkTargets(t, args)
	if err != nil {
		return nil, err
	}
	number := func(name string, otherwise int64) int64 {
		if n, ok := args[name].(int64); ok && n > 0 {
			return n
		}
		return otherwise
	}
	if limit := number("contactLimit", int64(len(ids))); limit < int64(len(ids)) {
		ids = ids[:limit]
	}
	if len(ids) == 0 {
		return nil, InvalidAttribute("contactIds", "there is nobody to call")
	}
	bulk := record{"status": "running", "targetType": "contacts", "contactLimit": args["contactLimit"],
		"concurrency": number("concurrency", 2), "totalCount": int64(len(ids)), "startedCount": int64(0), "completedCount": int64(0),
		"failedCount": int64(0), "startedAt": t.stamp(), "aiAgentId": aiAgent["id"], "initiatedByUserId": o.keyHolder(),
		"contactGroupId": args["groupId"], "insertedAt": t.stamp(), "updatedAt": t.stamp()}
	if args["groupId"] != nil {
		bulk["targetType"] = "group"
	}
	if err := t.insert(o.r["BulkOutboundCall"], bulk); err != nil {
		return nil, err
	}
	for i, id := range ids {
		entry := record{"position": int64(i + 1), "status": "pending", "bulkOutboundCallId": bulk["id"], "contactId": id,
			"insertedAt": t.stamp(), "updatedAt": t.stamp()}
		if err := t.insert(o.r["BulkOutboundCallEntry"], entry); err != nil {
			return nil, err
		}
	}
	if err := o.pump(t, bulk.text("id")); err != nil {
		return nil, err
	}
	return map[string]any{"id": bulk["id"], "bulkOutboundCallId": bulk["id"], "status": "running", "totalCount": len(ids),
		"concurrency": bulk["concurrency"], "aiAgentId": aiAgent["id"]}, nil
}

// bulkTargets gives the contacts that a bulk call is for. Positions in a group
// count from 1, and a range includes both its ends.
func (o *organisation) bulkTargets(t *turn, args record) ([]string, error) {
	var ids []string
	if d, ok := args["contactIds"].(document); ok {
		if err := json.Unmarshal([]byte(d), &ids); err != nil {
			return nil, err
		}
		for _, id := range ids {
			if n, err := t.count(o.r["Contact"], `t."id" = ?`, id); err != nil || n == 0 {
				if err == nil {
					err = InvalidAttribute("contactIds", "contact "+id+" does not exist")
				}
				return nil, err
			}
		}
		return ids, nil
	}
	group := args.text("groupId")
	if group == "" {
		return nil, InvalidAttribute("contactIds", "contactIds or groupId is needed")
	}
	members, err := t.all(o.r["ContactGroupMember"], `t."groupId" = ? ORDER BY t."position"`, group)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, InvalidAttribute("groupId", "contact group does not exist")
	}
	from, hasFrom := args["contactRangeStart"].(int64)
	to, hasTo := args["contactRangeEnd"].(int64)
	for _, m := range members {
		at := m["position"].(int64)
		if (!hasFrom || at >= from) && (!hasTo || at <= to) {
			ids = append(ids, m.text("contactId"))
		}
	}
	return ids, nil
}

// pump starts as many of a bulk call's entries as its concurrency lets, and
// closes it when none is left.
func (o *organisation) pump(t *turn, id string) error {
	entries, bulks := o.r["BulkOutboundCallEntry"], o.r["BulkOutboundCall"]
	bulk, err := t.get(bulks, id)
	if err != nil || bulk == nil || bulk.text("status") != "running" {
		return err
	}
	aiAgent, err := t.get(o.r["AiAgent"], bulk.text("aiAgentId"))
	if err != nil || aiAgent == nil {
		return err
	}
	for {
		calling, err := t.count(entries, `t."bulkOutboundCallId" = ? AND t."status" = 'calling'`, id)
		if err != nil {
			return err
		}
		if most, _ := bulk["concurrency"].(int64); calling >= most {
			return nil
		}
		entry, err := t.first(entries, `t."bulkOutboundCallId" = ? AND t."status" = 'pending'`, id)
		if err != nil {
			return err
		}
		if entry == nil {
			if calling > 0 {
				return nil
			}
			return t.update(bulks, id, record{"status": "completed", "completedAt": t.stamp(), "updatedAt": t.stamp()})
		}
		if err := o.startEntry(t, bulk, entry, aiAgent); err != nil {
			return err
		}
	}
}

func (o *organisation) startEntry(t *turn, bulk, entry, aiAgent record) error {
	contact, err := t.get(o.r["Contact"], entry.text("contactId"))
	if err != nil {
		return err
	}
	number := ""
	if contact == nil {
		err = InvalidAttribute("contactId", "contact does not exist")
	} else if number, err = callable(contact); err == nil {
		err = dialable(number)
	}
	if refused, ok := err.(failures); ok {
		if err := o.bulkCount(t, bulk.text("id"), "failedCount"); err != nil {
			return err
		}
		return t.update(o.r["BulkOutboundCallEntry"], entry.text("id"), record{"status": "failed", "errorMessage": refused[0].Message,
			"completedAt": t.stamp(), "updatedAt": t.stamp()})
	}
	if err != nil {
		return err
	}
	call, err := o.dial(t, contact, number, aiAgent, entry["id"])
	if err != nil {
		return err
	}
	if err := o.bulkCount(t, bulk.text("id"), "startedCount"); err != nil {
		return err
	}
	return t.update(o.r["BulkOutboundCallEntry"], entry.text("id"), record{"status": "calling", "callUuid": call["callUuid"], "callId": call["id"],
		"startedAt": t.stamp(), "updatedAt": t.stamp()})
}

func (o *organisation) bulkCount(t *turn, id, counter string) error {
	return t.exec(`UPDATE "BulkOutboundCall" SET "`+counter+`" = "`+counter+`" + 1, "updatedAt" = ? WHERE "id" = ?`, t.stamp(), id)
}

// bulkCallEnded settles the entry that a call was made for, and starts the next.
func (o *organisation) bulkCallEnded(t *turn, call record, status string) error {
	id := call.text("bulkEntryId")
	if id == "" {
		return nil
	}
	entry, err := t.get(o.r["BulkOutboundCallEntry"], id)
	if err != nil || entry == nil {
		return err
	}
	bulk := entry.text("bulkOutboundCallId")
	changes, counter := record{"status": "completed", "completedAt": t.stamp(), "updatedAt": t.stamp()}, "completedCount"
	if status != "completed" {
		changes["status"], changes["errorMessage"], counter = "failed", "Call ended as "+status, "failedCount"
	}
	if err := t.update(o.r["BulkOutboundCallEntry"], id, changes); err != nil {
		return err
	}
	if err := o.bulkCount(t, bulk, counter); err != nil {
		return err
	}
	return o.pump(t, bulk)
}
