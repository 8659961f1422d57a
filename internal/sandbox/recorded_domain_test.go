package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"
)

// The definitions behind the recordings. Their extra rules are the recording's,
// not Sippet's, and live in tests only.

func i64(n int64) *int64 { return &n }

func at(k kind, name string, more ...func(*attribute)) *attribute {
	a := &attribute{Name: name, Kind: k}
	for _, f := range more {
		f(a)
	}
	return a
}

func need(a *attribute)    { a.Required = true }
func private(a *attribute) { a.Private = true }
func def(v any) func(*attribute) {
	return func(a *attribute) { a.Default = v }
}
func oneOf(values ...string) func(*attribute) {
	return func(a *attribute) { a.Kind, a.Values = enumKind, values }
}
func between(lo, hi int64) func(*attribute) {
	return func(a *attribute) { a.Min, a.Max = i64(lo), i64(hi) }
}

const recordedNow = "2026-01-15T12:00:00.000000Z"

func recordedResources() map[string]*resource {
	id := func() *attribute { return at(uuidKind, "id", need) }
	list := []*resource{
		{Name: "Contact", Attributes: []*attribute{id(), at(stringKind, "fullName", need), at(stringKind, "email"),
			at(timeKind, "emailVerifiedAt"), at(dateKind, "dateOfBirth"), at(stringKind, "phoneE164"), at(timeKind, "phoneVerifiedAt"),
			at(enumKind, "whatsappReachabilityStatus", oneOf("unknown", "reachable", "unreachable"), need, def("unknown")),
			at(stringKind, "whatsappJid"), at(timeKind, "whatsappReachabilityCheckedAt"), at(stringKind, "whatsappReachabilityError"),
			at(mapKind, "metadata", def(document("{}"))), at(stringsKind, "privateMetadataKeys", need, def(document("[]"))),
			at(stringKind, "defaultLanguage"), at(stringsKind, "languages", need, def(document("[]"))),
			at(timeKind, "deletedAt"), at(timeKind, "erasedAt"), at(timeKind, "insertedAt", private), at(timeKind, "updatedAt", private)}},
		{Name: "EmailTemplate", Attributes: []*attribute{id(), at(stringKind, "model", need), at(stringKind, "name", need, between(2, 40)),
			at(stringKind, "subject", need, func(a *attribute) { a.Match = regexp.MustCompile(`^[A-Z]`) }),
			at(stringKind, "body", need, func(a *attribute) { a.NoTrim = true }), at(stringsKind, "variables", need, def(document("[]"))),
			at(boolKind, "active", need, def(true)), at(timeKind, "insertedAt", private)}},
		{Name: "EmailMailbox", Unique: []string{"inboundDomain"}, Attributes: []*attribute{id(), at(stringKind, "inboundDomain", need),
			at(stringKind, "mxTarget"), at(boolKind, "listenerEnabled", need, def(false)),
			at(enumKind, "listenerStatus", oneOf("disabled", "starting", "running", "degraded", "failed"), need, def("disabled")),
			at(stringKind, "listenerHost"), at(intKind, "listenerPort", need, def(int64(25)), between(1, 65535)),
			at(enumKind, "tlsMode", oneOf("disabled", "optional", "required"), need, def("optional")),
			at(intKind, "maxSessions", need, def(int64(20))), at(timeKind, "lastInboundAt"), at(mapKind, "metadata", need, def(document("{}"))),
			at(uuidKind, "organisationId", need, private)}},
		{Name: "EmailIdentity", Attributes: []*attribute{id(), at(enumKind, "ownerType", oneOf("organisation", "ai_agent", "user"), need),
			at(uuidKind, "ownerId", need), at(stringKind, "localPart", need), at(stringKind, "domain", need), at(stringKind, "displayName"),
			at(boolKind, "active", need, def(true)), at(boolKind, "defaultOutbound", need, def(false)), at(mapKind, "metadata", need, def(document("{}"))),
			at(uuidKind, "emailMailboxId"), at(uuidKind, "organisationId", need, private)}},
		{Name: "OperatorStatus", Unique: []string{"sipUserId"}, Attributes: []*attribute{id(), at(uuidKind, "sipUserId", need), at(stringKind, "agentName"),
			at(enumKind, "status", oneOf("available", "on_break", "logged_out"), need, def("available")),
			at(enumKind, "source", oneOf("widget", "api", "system"), def("api")), at(uuidKind, "changedByUserId")}},
		{Name: "Call", Relations: []*relation{{Name: "contact", Resource: "Contact", Key: "contactId"}}, Attributes: []*attribute{id(),
			at(enumKind, "direction", oneOf("inbound", "outbound"), need), at(stringKind, "fromNumber", need), at(stringKind, "toNumber", need),
			at(stringKind, "sipUsername"),
			at(enumKind, "status", oneOf("initiated", "ringing", "answered", "completed", "failed", "busy", "no_answer"), def("initiated")),
			at(stringKind, "callUuid", need), at(stringKind, "callSource", need, def("api")), at(timeKind, "startedAt"), at(timeKind, "answeredAt"),
			at(timeKind, "mediaQualifiedAt"), at(timeKind, "callerSpokeAt"), at(timeKind, "endedAt"), at(timeKind, "flaggedAt"),
			at(intKind, "durationSeconds"), at(mapKind, "recordingMetadata"), at(uuidKind, "conversationId"), at(uuidKind, "flaggedByUserId"),
			at(uuidKind, "contactId"), at(decimalKind, "billingCostCents"), at(stringKind, "billingCostCurrency"), at(floatKind, "qualityScore"),
			at(stringKind, "contactFullName", func(a *attribute) {
				a.Expr = `SELECT c."fullName" FROM "Contact" c WHERE c."id" = %s."contactId"`
			}),
			at(mapKind, "currentHandler", func(a *attribute) {
				a.Compute = func(record) any { return document(`{"handler_type":"ai_agent","member_uuid":null}`) }
			}),
			at(stringKind, "outboundTrunkSource", private)}},
		{Name: "CallQueueEntry", Attributes: []*attribute{id(), at(stringKind, "callUuid", need), at(stringKind, "queueName"),
			at(stringKind, "callerIdNumber"), at(stringKind, "callerIdName"),
			at(enumKind, "state", oneOf("waiting", "answered", "completed", "abandoned")), at(stringKind, "agentName"),
			at(secondKind, "waitStartedAt"), at(secondKind, "answeredAt"), at(secondKind, "completedAt"), at(secondKind, "abandonedAt")}},
		{Name: "ConversationEvent", Attributes: []*attribute{id(), at(stringKind, "eventType", need), at(stringKind, "summary"), at(mapKind, "payload"),
			at(boolKind, "success"), at(mapKind, "tokenUsage"), at(timeKind, "occurredAt"), at(uuidKind, "callId")}},
		{Name: "CallClassification", Attributes: []*attribute{id(), at(uuidKind, "callId"), at(stringKind, "effectiveLabel"), at(floatKind, "predictedConfidence")}},
		{Name: "User", Attributes: []*attribute{id(), at(stringKind, "fullName"), at(stringKind, "email"), at(timeKind, "confirmedAt"), at(stringKind, "sipUsername")}},
	}
	out := map[string]*resource{}
	for _, r := range list {
		out[r.Name] = r
	}
	return out
}

// recordedDefinitions is the domain of the recordings, seeded from a file of rows.
func recordedDefinitions(t *testing.T, rowsFile string) *definitions {
	rs := recordedResources()
	order := []string{"Contact", "EmailTemplate", "EmailMailbox", "EmailIdentity", "OperatorStatus", "Call", "CallQueueEntry", "ConversationEvent", "CallClassification", "User"}
	d := &definitions{Namespace: "Sippet", Table: storeTable, NewID: func(n uint64) string { return fmt.Sprintf("00000000-0000-4000-9000-%012d", n) }}
	for _, n := range order {
		d.Resources = append(d.Resources, rs[n])
	}
	for _, x := range []struct {
		name, resource string
		page           *paging
	}{
		{"list_contacts", "Contact", &paging{}}, {"list_email_mailboxes", "EmailMailbox", &paging{}},
		{"list_email_identities", "EmailIdentity", &paging{}}, {"list_call_queue_entries", "CallQueueEntry", &paging{}},
		{"list_email_templates", "EmailTemplate", &paging{Default: 2, Max: 3}},
		{"list_operator_statuses", "OperatorStatus", &paging{Default: 2, Required: true, Count: true}},
		{"list_calls", "Call", nil}, {"list_conversation_events", "ConversationEvent", nil}, {"list_call_classifications", "CallClassification", nil},
	} {
		d.Actions = append(d.Actions, &action{Name: x.name, Ash: "read", Type: listAction, Resource: rs[x.resource], Page: x.page})
	}
	d.Actions = append(d.Actions, recordedReadsAndWrites(rs)...)
	d.Actions = append(d.Actions, recordedGenerics(rs)...)
	raw, err := os.ReadFile(fromRoot(rowsFile))
	if err != nil {
		t.Fatal(err)
	}
	d.Seed = func(_ context.Context, turn *turn) error {
		var rows map[string][]map[string]any
		v, ok := decodeJSON(raw)
		if !ok {
			return fmt.Errorf("%s is not JSON", rowsFile)
		}
		rows = map[string][]map[string]any{}
		for name, list := range v.(map[string]any) {
			for _, row := range list.([]any) {
				rows[name] = append(rows[name], row.(map[string]any))
			}
		}
		for _, name := range order {
			for _, row := range rows[name] {
				rec := record{}
				for k, x := range row {
					a := rs[name].Attribute(k)
					if a == nil {
						return fmt.Errorf("rows of %s: no attribute %q", name, k)
					}
					stored, err := storedValue(a.Kind, x)
					if err != nil {
						return fmt.Errorf("rows of %s: %s: %w", name, k, err)
					}
					rec[k] = stored
				}
				if err := turn.insert(rs[name], rec); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return d
}

// storedValue turns a value of the rows into the stored one.
func storedValue(k kind, v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if k == floatKind {
			return v.Float64()
		}
		return v.Int64()
	case []any, map[string]any:
		return encodeDocument(v), nil
	}
	return v, nil
}

var localPart = regexp.MustCompile(`^[a-z0-9._-]+$`)

func recordedReadsAndWrites(rs map[string]*resource) []*action {
	contactInput := []string{"fullName", "email", "emailVerifiedAt", "dateOfBirth", "phoneE164", "phoneVerifiedAt", "defaultLanguage", "languages", "metadata", "privateMetadataKeys"}
	stamp := func(name string) func(*turn, record, record) error {
		return func(_ *turn, _, next record) error { next[name] = recordedNow; return nil }
	}
	who := func(*turn, record) (string, []any) { return `t."sipUsername" = ?`, []any{"ada"} }
	mailbox := []string{"inboundDomain", "mxTarget", "listenerEnabled", "listenerStatus", "listenerHost", "listenerPort", "tlsMode", "maxSessions", "lastInboundAt", "metadata", "organisationId"}
	identity := []string{"ownerType", "ownerId", "localPart", "domain", "displayName", "active", "defaultOutbound", "metadata", "emailMailboxId", "organisationId"}
	call := []string{"direction", "fromNumber", "toNumber", "sipUsername", "callUuid", "callSource", "outboundTrunkSource", "status", "conversationId", "startedAt", "answeredAt", "mediaQualifiedAt", "callerSpokeAt"}
	return []*action{
		{Name: "get_call_queue_entry", Ash: "get", Type: getAction, Resource: rs["CallQueueEntry"], Arguments: []*attribute{at(uuidKind, "id", need)}},
		{Name: "who_am_i", Ash: "who_am_i", Type: getAction, Resource: rs["User"], Scope: who},
		{Name: "create_contact", Ash: "create", Type: createAction, Resource: rs["Contact"], Accept: contactInput},
		{Name: "update_contact", Ash: "update", Type: updateAction, Atomic: true, Resource: rs["Contact"], Accept: contactInput},
		{Name: "archive_contact", Ash: "archive", Type: updateAction, Resource: rs["Contact"], Change: stamp("deletedAt")},
		{Name: "create_email_template", Ash: "create", Type: createAction, Resource: rs["EmailTemplate"], Accept: []string{"model", "name", "subject", "body", "variables", "active"}},
		{Name: "update_email_template", Ash: "update", Type: updateAction, Atomic: true, Resource: rs["EmailTemplate"], Accept: []string{"model", "name", "subject", "body", "variables", "active"}},
		{Name: "delete_email_template", Ash: "destroy", Type: destroyAction, Resource: rs["EmailTemplate"]},
		{Name: "create_email_mailbox", Ash: "create", Type: createAction, Resource: rs["EmailMailbox"], Accept: mailbox},
		{Name: "update_email_mailbox", Ash: "update", Type: updateAction, Atomic: true, Resource: rs["EmailMailbox"], Accept: mailbox[:len(mailbox)-1]},
		{Name: "delete_email_mailbox", Ash: "destroy", Type: destroyAction, Resource: rs["EmailMailbox"]},
		{Name: "delete_email_identity", Ash: "destroy", Type: destroyAction, Resource: rs["EmailIdentity"]},
		{Name: "update_email_identity", Ash: "update", Type: updateAction, Atomic: true, Resource: rs["EmailIdentity"], Accept: identity[:len(identity)-1]},
		{Name: "create_email_identity", Ash: "create", Type: createAction, Resource: rs["EmailIdentity"], Accept: identity,
			Check: func(_, next record) []*fault {
				var out []*fault
				add := func(field, message string) { out = append(out, Invalid(field, message, nil)) }
				if !localPart.MatchString(next.text("localPart")) {
					add("localPart", "must be a lowercase local part")
				}
				if n := len(next.text("domain")); n < 3 || n > 253 {
					add("domain", "must have length of between 3 and 253")
				}
				return out
			}},
		{Name: "set_operator_status", Ash: "set", Type: createAction, Resource: rs["OperatorStatus"], Accept: []string{"sipUserId", "status", "source"},
			UpsertOn: "sipUserId", UpsertSet: []string{"status", "source"}},
		{Name: "create_call", Ash: "create", Type: createAction, Resource: rs["Call"], Accept: call},
		{Name: "flag_call_for_review", Ash: "flag", Type: updateAction, Resource: rs["Call"], Change: stamp("flaggedAt")},
		{Name: "accept_call_queue_entry", Ash: "accept", Type: updateAction, Resource: rs["CallQueueEntry"],
			Check: func(old, _ record) []*fault {
				if old.text("state") == "waiting" {
					return nil
				}
				return []*fault{Invalid("state", "entry is not waiting", map[string]any{"value": "waiting"})}
			},
			Change: func(_ *turn, _, next record) error { next["state"] = "answered"; return nil }},
		{Name: "override_call_classification", Ash: "override", Type: updateAction, Resource: rs["CallClassification"], Forbidden: true,
			Arguments: []*attribute{at(stringKind, "label", need)}},
	}
}

func recordedGenerics(rs map[string]*resource) []*action {
	campaign := map[string]any{"id": "c0000000-0000-4000-8000-000000000001", "displayName": "Spring"}
	barge := &action{Name: "barge_call", Ash: "barge", Type: mapAction, Resource: rs["Call"], Arguments: []*attribute{at(stringKind, "callUuid", need)}}
	barge.Run = func(_ *turn, args record) (any, error) {
		switch uuid := args.text("callUuid"); uuid {
		case "missing":
			return nil, barge.NotFound("call_uuid", uuid)
		case "string-error", "atom-error":
			return nil, failures{{Type: "unknown_error", Message: "Something went wrong", ShortMessage: "Unknown error"}}
		case "invalid-arg", "nil":
			return nil, failures{{Code: "internal_error", ErrorID: "12345678-1234-4123-8123-123456789abc", ShortMessage: "Internal error",
				Message: "Something went wrong. Unique error id: 12345678-1234-4123-8123-123456789abc"}}
		case "forbidden":
			return nil, failures{}
		default:
			return map[string]any{"callUuid": uuid, "status": "barged"}, nil
		}
	}
	remove := &action{Name: "delete_contact", Ash: "delete_contact", Type: recordAction, Resource: rs["Contact"], Arguments: []*attribute{at(uuidKind, "contactId", need)}}
	remove.Run = func(t *turn, args record) (any, error) {
		id := args.text("contactId")
		rec, err := t.get(rs["Contact"], id)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			return nil, remove.NotFound("id", id)
		}
		return rec, t.remove(rs["Contact"], id)
	}
	return []*action{barge, remove,
		{Name: "who_am_i_generic", Ash: "who_am_i_generic", Type: recordAction, Resource: rs["User"],
			Run: func(t *turn, _ record) (any, error) { return t.first(rs["User"], `t."sipUsername" = 'ada'`) }},
		{Name: "call_codec", Ash: "codec", Type: mapAction, Resource: rs["Call"], Arguments: []*attribute{at(stringKind, "callUuid", need)},
			Run: func(_ *turn, args record) (any, error) { return map[string]any{"codec": "opus"}, nil }},
		{Name: "list_campaigns", Ash: "list_campaigns", Type: mapAction, Resource: rs["Call"],
			Run: func(*turn, record) (any, error) {
				return map[string]any{"campaigns": []any{campaign}, "totalCount": 1}, nil
			}},
		{Name: "get_campaign", Ash: "get_campaign", Type: mapAction, Resource: rs["Call"], Arguments: []*attribute{at(uuidKind, "id", need)},
			Run: func(_ *turn, args record) (any, error) {
				return map[string]any{"id": args["id"], "displayName": "Spring"}, nil
			}},
		{Name: "start_outbound_call", Ash: "start_outbound", Type: mapAction, Resource: rs["Call"],
			Arguments: []*attribute{at(uuidKind, "contactId"), at(stringKind, "phoneNumber"), at(uuidKind, "aiAgentId")},
			Run: func(_ *turn, args record) (any, error) {
				return map[string]any{"status": "queued", "args": map[string]any(args)}, nil
			}},
		{Name: "start_bulk_outbound_call", Ash: "start_bulk", Type: mapAction, Resource: rs["Call"],
			Arguments: []*attribute{at(uuidsKind, "contactIds"), at(intKind, "concurrency", between(1, 10))},
			Run: func(_ *turn, args record) (any, error) {
				d, _ := args["contactIds"].(document)
				var ids []string
				if d != "" {
					if err := json.Unmarshal([]byte(d), &ids); err != nil {
						return nil, err
					}
				}
				return map[string]any{"status": "queued", "count": len(ids)}, nil
			}},
	}
}
