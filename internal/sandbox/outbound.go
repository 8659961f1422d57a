package sandbox

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// The AI agents of calls and emails that name none.
const (
	defaultAgent = "Molly"
	emailAgent   = "Iris"
)

var phonePattern = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)

func (o *organisation) outboundActions() map[string]func(*ash.Action) {
	return map[string]func(*ash.Action){
		"start_outbound_call": func(a *ash.Action) {
			a.Resource = o.resources["Call"]
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) { return o.startCall(t, a, args) }
		},
		"start_bulk_outbound_call": func(a *ash.Action) {
			a.Resource = o.resources["BulkOutboundCall"]
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) { return o.startBulk(t, a, args) }
		},
		"list_campaigns": func(a *ash.Action) {
			a.Resource = o.resources["Campaign"]
			a.Run = func(t *ash.Tx, _ ash.Record) (any, error) {
				recs, err := t.All(o.resources["Campaign"], `TRUE ORDER BY t."seq"`)
				list := []any{}
				for _, rec := range recs {
					list = append(list, campaignJSON(rec))
				}
				return map[string]any{"campaigns": list, "totalCount": len(list)}, err
			}
		},
		"get_campaign": func(a *ash.Action) {
			a.Resource = o.resources["Campaign"]
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) {
				rec, err := t.Get(o.resources["Campaign"], args.Text("id"))
				if err != nil {
					return nil, err
				}
				if rec == nil {
					return nil, a.NotFound("id", args.Text("id"))
				}
				return campaignJSON(rec), nil
			}
		},
	}
}

// campaignJSON returns a campaign, which is stored as JSON.
func campaignJSON(rec ash.Record) any { return json.RawMessage(rec["details"].(ash.Document)) }

// findAgent returns the AI agent that an action names, or the default one.
func (o *organisation) findAgent(t *ash.Tx, a *ash.Action, args ash.Record) (ash.Record, error) {
	id := args.Text("aiAgentId")
	if id == "" {
		id = o.idOf("agent", defaultAgent)
	}
	rec, err := t.Get(o.resources["AiAgent"], id)
	if err == nil && rec == nil {
		err = a.NotFound("id", id)
	}
	return rec, err
}

// contactNumber returns the number of a contact who may be called.
func contactNumber(contact ash.Record) (string, error) {
	switch {
	case contact["erasedAt"] != nil:
		return "", ash.InvalidAttribute("contactId", "contact is erased")
	case contact["deletedAt"] != nil:
		return "", ash.InvalidAttribute("contactId", "contact is archived")
	case contact["phoneE164"] == nil:
		return "", ash.InvalidAttribute("contactId", "contact has no phone number")
	}
	return contact.Text("phoneE164"), nil
}

func checkNumber(number string) error {
	if why := blockedNumbers[number]; why != "" {
		return ash.InvalidAttribute("phoneNumber", why)
	}
	if !phonePattern.MatchString(number) {
		return ash.InvalidAttribute("phoneNumber", "is not a valid E.164 number")
	}
	return nil
}

func (o *organisation) startCall(t *ash.Tx, a *ash.Action, args ash.Record) (any, error) {
	contact, number, err := o.resolveTarget(t, a, args)
	if err != nil {
		return nil, err
	}
	if err := checkNumber(number); err != nil {
		return nil, err
	}
	aiAgent, err := o.findAgent(t, a, args)
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

// resolveTarget returns the contact and the number of an outbound call. For a number alone, the
// contact is the one that has it, or nil.
func (o *organisation) resolveTarget(t *ash.Tx, a *ash.Action, args ash.Record) (contact ash.Record, number string, err error) {
	number = strings.TrimSpace(args.Text("phoneNumber"))
	if id := args.Text("contactId"); id != "" {
		contact, err = t.Get(o.resources["Contact"], id)
		if err != nil {
			return nil, "", err
		}
		if contact == nil {
			return nil, "", a.NotFound("id", id)
		}
		own, err := contactNumber(contact)
		if err != nil {
			return nil, "", err
		}
		if number == "" {
			number = own
		}
		return contact, number, nil
	}
	if number == "" {
		return nil, "", ash.InvalidAttribute("contactId", "contactId or phoneNumber is required")
	}
	contact, err = t.First(o.resources["Contact"], `t."phoneE164" = ? AND t."deletedAt" IS NULL`, number)
	return contact, number, err
}

// startBulk creates a bulk call and its entries, and starts the first calls.
func (o *organisation) startBulk(t *ash.Tx, a *ash.Action, args ash.Record) (any, error) {
	aiAgent, err := o.findAgent(t, a, args)
	if err != nil {
		return nil, err
	}
	ids, err := o.bulkContacts(t, args)
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
		return nil, ash.InvalidAttribute("contactIds", "no contact to call")
	}
	bulk := ash.Record{"status": "running", "targetType": "contacts", "contactLimit": args["contactLimit"],
		"concurrency": number("concurrency", 2), "totalCount": int64(len(ids)), "startedCount": int64(0), "completedCount": int64(0),
		"failedCount": int64(0), "startedAt": t.Timestamp(), "aiAgentId": aiAgent["id"], "initiatedByUserId": o.keyHolder(),
		"contactGroupId": args["groupId"], "insertedAt": t.Timestamp(), "updatedAt": t.Timestamp()}
	if args["groupId"] != nil {
		bulk["targetType"] = "group"
	}
	if err := t.Insert(o.resources["BulkOutboundCall"], bulk); err != nil {
		return nil, err
	}
	for i, id := range ids {
		entry := ash.Record{"position": int64(i + 1), "status": "pending", "bulkOutboundCallId": bulk["id"], "contactId": id,
			"insertedAt": t.Timestamp(), "updatedAt": t.Timestamp()}
		if err := t.Insert(o.resources["BulkOutboundCallEntry"], entry); err != nil {
			return nil, err
		}
	}
	if err := o.startEntries(t, bulk.Text("id")); err != nil {
		return nil, err
	}
	return map[string]any{"id": bulk["id"], "bulkOutboundCallId": bulk["id"], "status": "running", "totalCount": len(ids),
		"concurrency": bulk["concurrency"], "aiAgentId": aiAgent["id"]}, nil
}

// bulkContacts returns the ids of the contacts of a bulk call. Positions in a group count from 1,
// and a range includes both ends.
func (o *organisation) bulkContacts(t *ash.Tx, args ash.Record) ([]string, error) {
	var ids []string
	if d, ok := args["contactIds"].(ash.Document); ok {
		if err := json.Unmarshal([]byte(d), &ids); err != nil {
			return nil, err
		}
		for _, id := range ids {
			if n, err := t.Count(o.resources["Contact"], `t."id" = ?`, id); err != nil || n == 0 {
				if err == nil {
					err = ash.InvalidAttribute("contactIds", "contact "+id+" does not exist")
				}
				return nil, err
			}
		}
		return ids, nil
	}
	group := args.Text("groupId")
	if group == "" {
		return nil, ash.InvalidAttribute("contactIds", "contactIds or groupId is required")
	}
	members, err := t.All(o.resources["ContactGroupMember"], `t."groupId" = ? ORDER BY t."position"`, group)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, ash.InvalidAttribute("groupId", "contact group does not exist")
	}
	from, hasFrom := args["contactRangeStart"].(int64)
	to, hasTo := args["contactRangeEnd"].(int64)
	for _, m := range members {
		at := m["position"].(int64)
		if (!hasFrom || at >= from) && (!hasTo || at <= to) {
			ids = append(ids, m.Text("contactId"))
		}
	}
	return ids, nil
}

// startEntries starts pending entries of a bulk call up to its concurrency, and completes the bulk
// call when none is left.
func (o *organisation) startEntries(t *ash.Tx, id string) error {
	entries, bulks := o.resources["BulkOutboundCallEntry"], o.resources["BulkOutboundCall"]
	bulk, err := t.Get(bulks, id)
	if err != nil || bulk == nil || bulk.Text("status") != "running" {
		return err
	}
	aiAgent, err := t.Get(o.resources["AiAgent"], bulk.Text("aiAgentId"))
	if err != nil || aiAgent == nil {
		return err
	}
	for {
		calling, err := t.Count(entries, `t."bulkOutboundCallId" = ? AND t."status" = 'calling'`, id)
		if err != nil {
			return err
		}
		if most, _ := bulk["concurrency"].(int64); calling >= most {
			return nil
		}
		entry, err := t.First(entries, `t."bulkOutboundCallId" = ? AND t."status" = 'pending'`, id)
		if err != nil {
			return err
		}
		if entry == nil {
			if calling > 0 {
				return nil
			}
			return t.Update(bulks, id, ash.Record{"status": "completed", "completedAt": t.Timestamp(), "updatedAt": t.Timestamp()})
		}
		if err := o.startEntry(t, bulk, entry, aiAgent); err != nil {
			return err
		}
	}
}

func (o *organisation) startEntry(t *ash.Tx, bulk, entry, aiAgent ash.Record) error {
	contact, err := t.Get(o.resources["Contact"], entry.Text("contactId"))
	if err != nil {
		return err
	}
	number := ""
	if contact == nil {
		err = ash.InvalidAttribute("contactId", "contact does not exist")
	} else if number, err = contactNumber(contact); err == nil {
		err = checkNumber(number)
	}
	if errs, ok := err.(ash.Errors); ok {
		if err := o.incrementBulk(t, bulk.Text("id"), "failedCount"); err != nil {
			return err
		}
		return t.Update(o.resources["BulkOutboundCallEntry"], entry.Text("id"), ash.Record{"status": "failed", "errorMessage": errs[0].Message,
			"completedAt": t.Timestamp(), "updatedAt": t.Timestamp()})
	}
	if err != nil {
		return err
	}
	call, err := o.dial(t, contact, number, aiAgent, entry["id"])
	if err != nil {
		return err
	}
	if err := o.incrementBulk(t, bulk.Text("id"), "startedCount"); err != nil {
		return err
	}
	return t.Update(o.resources["BulkOutboundCallEntry"], entry.Text("id"), ash.Record{"status": "calling", "callUuid": call["callUuid"], "callId": call["id"],
		"startedAt": t.Timestamp(), "updatedAt": t.Timestamp()})
}

func (o *organisation) incrementBulk(t *ash.Tx, id, counter string) error {
	return t.Exec(`UPDATE "BulkOutboundCall" SET "`+counter+`" = "`+counter+`" + 1, "updatedAt" = ? WHERE "id" = ?`, t.Timestamp(), id)
}

// settleEntry closes the bulk entry of a call that ended, and starts the next entries.
func (o *organisation) settleEntry(t *ash.Tx, call ash.Record, status string) error {
	id := call.Text("bulkEntryId")
	if id == "" {
		return nil
	}
	entry, err := t.Get(o.resources["BulkOutboundCallEntry"], id)
	if err != nil || entry == nil {
		return err
	}
	bulk := entry.Text("bulkOutboundCallId")
	changes, counter := ash.Record{"status": "completed", "completedAt": t.Timestamp(), "updatedAt": t.Timestamp()}, "completedCount"
	if status != "completed" {
		changes["status"], changes["errorMessage"], counter = "failed", "Call ended as "+status, "failedCount"
	}
	if err := t.Update(o.resources["BulkOutboundCallEntry"], id, changes); err != nil {
		return err
	}
	if err := o.incrementBulk(t, bulk, counter); err != nil {
		return err
	}
	return o.startEntries(t, bulk)
}
