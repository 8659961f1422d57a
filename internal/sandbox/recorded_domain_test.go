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

func attr(k Kind, name string, more ...func(*Attribute)) *Attribute {
	a := &Attribute{Name: name, Kind: k}
	for _, f := range more {
		f(a)
	}
	return a
}

func isRequired(a *Attribute) { a.Required = true }
func isPrivate(a *Attribute)  { a.Private = true }
func withDefault(v any) func(*Attribute) {
	return func(a *Attribute) { a.Default = v }
}
func oneOf(values ...string) func(*Attribute) {
	return func(a *Attribute) { a.Kind, a.Values = Enum, values }
}
func withBounds(lo, hi int64) func(*Attribute) {
	return func(a *Attribute) { a.Min, a.Max = i64(lo), i64(hi) }
}

const recordedNow = "2026-01-15T12:00:00.000000Z"

func recordedResources() map[string]*Resource {
	id := func() *Attribute { return attr(UUID, "id", isRequired) }
	list := []*Resource{
		{Name: "Contact", Attributes: []*Attribute{id(), attr(String, "fullName", isRequired), attr(String, "email"),
			attr(Time, "emailVerifiedAt"), attr(Date, "dateOfBirth"), attr(String, "phoneE164"), attr(Time, "phoneVerifiedAt"),
			attr(Enum, "whatsappReachabilityStatus", oneOf("unknown", "reachable", "unreachable"), isRequired, withDefault("unknown")),
			attr(String, "whatsappJid"), attr(Time, "whatsappReachabilityCheckedAt"), attr(String, "whatsappReachabilityError"),
			attr(Map, "metadata", withDefault(Document("{}"))), attr(Strings, "privateMetadataKeys", isRequired, withDefault(Document("[]"))),
			attr(String, "defaultLanguage"), attr(Strings, "languages", isRequired, withDefault(Document("[]"))),
			attr(Time, "deletedAt"), attr(Time, "erasedAt"), attr(Time, "insertedAt", isPrivate), attr(Time, "updatedAt", isPrivate)}},
		{Name: "EmailTemplate", Attributes: []*Attribute{id(), attr(String, "model", isRequired), attr(String, "name", isRequired, withBounds(2, 40)),
			attr(String, "subject", isRequired, func(a *Attribute) { a.Match = regexp.MustCompile(`^[A-Z]`) }),
			attr(String, "body", isRequired, func(a *Attribute) { a.NoTrim = true }), attr(Strings, "variables", isRequired, withDefault(Document("[]"))),
			attr(Bool, "active", isRequired, withDefault(true)), attr(Time, "insertedAt", isPrivate)}},
		{Name: "EmailMailbox", Unique: []string{"inboundDomain"}, Attributes: []*Attribute{id(), attr(String, "inboundDomain", isRequired),
			attr(String, "mxTarget"), attr(Bool, "listenerEnabled", isRequired, withDefault(false)),
			attr(Enum, "listenerStatus", oneOf("disabled", "starting", "running", "degraded", "failed"), isRequired, withDefault("disabled")),
			attr(String, "listenerHost"), attr(Integer, "listenerPort", isRequired, withDefault(int64(25)), withBounds(1, 65535)),
			attr(Enum, "tlsMode", oneOf("disabled", "optional", "required"), isRequired, withDefault("optional")),
			attr(Integer, "maxSessions", isRequired, withDefault(int64(20))), attr(Time, "lastInboundAt"), attr(Map, "metadata", isRequired, withDefault(Document("{}"))),
			attr(UUID, "organisationId", isRequired, isPrivate)}},
		{Name: "EmailIdentity", Attributes: []*Attribute{id(), attr(Enum, "ownerType", oneOf("organisation", "ai_agent", "user"), isRequired),
			attr(UUID, "ownerId", isRequired), attr(String, "localPart", isRequired), attr(String, "domain", isRequired), attr(String, "displayName"),
			attr(Bool, "active", isRequired, withDefault(true)), attr(Bool, "defaultOutbound", isRequired, withDefault(false)), attr(Map, "metadata", isRequired, withDefault(Document("{}"))),
			attr(UUID, "emailMailboxId"), attr(UUID, "organisationId", isRequired, isPrivate)}},
		{Name: "OperatorStatus", Unique: []string{"sipUserId"}, Attributes: []*Attribute{id(), attr(UUID, "sipUserId", isRequired), attr(String, "agentName"),
			attr(Enum, "status", oneOf("available", "on_break", "logged_out"), isRequired, withDefault("available")),
			attr(Enum, "source", oneOf("widget", "api", "system"), withDefault("api")), attr(UUID, "changedByUserId")}},
		{Name: "Call", Relations: []*Relation{{Name: "contact", Resource: "Contact", Key: "contactId"}}, Attributes: []*Attribute{id(),
			attr(Enum, "direction", oneOf("inbound", "outbound"), isRequired), attr(String, "fromNumber", isRequired), attr(String, "toNumber", isRequired),
			attr(String, "sipUsername"),
			attr(Enum, "status", oneOf("initiated", "ringing", "answered", "completed", "failed", "busy", "no_answer"), withDefault("initiated")),
			attr(String, "callUuid", isRequired), attr(String, "callSource", isRequired, withDefault("api")), attr(Time, "startedAt"), attr(Time, "answeredAt"),
			attr(Time, "mediaQualifiedAt"), attr(Time, "callerSpokeAt"), attr(Time, "endedAt"), attr(Time, "flaggedAt"),
			attr(Integer, "durationSeconds"), attr(Map, "recordingMetadata"), attr(UUID, "conversationId"), attr(UUID, "flaggedByUserId"),
			attr(UUID, "contactId"), attr(Decimal, "billingCostCents"), attr(String, "billingCostCurrency"), attr(Float, "qualityScore"),
			attr(String, "contactFullName", func(a *Attribute) {
				a.Expr = `SELECT c."fullName" FROM "Contact" c WHERE c."id" = %s."contactId"`
			}),
			attr(Map, "currentHandler", func(a *Attribute) {
				a.Compute = func(Record) any { return Document(`{"handler_type":"ai_agent","member_uuid":null}`) }
			}),
			attr(String, "outboundTrunkSource", isPrivate)}},
		{Name: "CallQueueEntry", Attributes: []*Attribute{id(), attr(String, "callUuid", isRequired), attr(String, "queueName"),
			attr(String, "callerIdNumber"), attr(String, "callerIdName"),
			attr(Enum, "state", oneOf("waiting", "answered", "completed", "abandoned")), attr(String, "agentName"),
			attr(Second, "waitStartedAt"), attr(Second, "answeredAt"), attr(Second, "completedAt"), attr(Second, "abandonedAt")}},
		{Name: "ConversationEvent", Attributes: []*Attribute{id(), attr(String, "eventType", isRequired), attr(String, "summary"), attr(Map, "payload"),
			attr(Bool, "success"), attr(Map, "tokenUsage"), attr(Time, "occurredAt"), attr(UUID, "callId")}},
		{Name: "CallClassification", Attributes: []*Attribute{id(), attr(UUID, "callId"), attr(String, "effectiveLabel"), attr(Float, "predictedConfidence")}},
		{Name: "User", Attributes: []*Attribute{id(), attr(String, "fullName"), attr(String, "email"), attr(Time, "confirmedAt"), attr(String, "sipUsername")}},
	}
	out := map[string]*Resource{}
	for _, r := range list {
		out[r.Name] = r
	}
	return out
}

// recordedDomain is the domain of the recordings, seeded from a file of rows.
func recordedDomain(t *testing.T, rowsFile string) *Domain {
	rs := recordedResources()
	order := []string{"Contact", "EmailTemplate", "EmailMailbox", "EmailIdentity", "OperatorStatus", "Call", "CallQueueEntry", "ConversationEvent", "CallClassification", "User"}
	d := &Domain{Namespace: "Sippet", Table: storeTable, NewID: func(n uint64) string { return fmt.Sprintf("00000000-0000-4000-9000-%012d", n) }}
	for _, n := range order {
		d.Resources = append(d.Resources, rs[n])
	}
	for _, x := range []struct {
		name, resource string
		page           *Paging
	}{
		{"list_contacts", "Contact", &Paging{}}, {"list_email_mailboxes", "EmailMailbox", &Paging{}},
		{"list_email_identities", "EmailIdentity", &Paging{}}, {"list_call_queue_entries", "CallQueueEntry", &Paging{}},
		{"list_email_templates", "EmailTemplate", &Paging{Default: 2, Max: 3}},
		{"list_operator_statuses", "OperatorStatus", &Paging{Default: 2, Required: true, Count: true}},
		{"list_calls", "Call", nil}, {"list_conversation_events", "ConversationEvent", nil}, {"list_call_classifications", "CallClassification", nil},
	} {
		d.Actions = append(d.Actions, &Action{Name: x.name, AshName: "read", Type: ListAction, Resource: rs[x.resource], Page: x.page})
	}
	d.Actions = append(d.Actions, recordedReadsAndWrites(rs)...)
	d.Actions = append(d.Actions, recordedGenerics(rs)...)
	raw, err := os.ReadFile(findFile(rowsFile))
	if err != nil {
		t.Fatal(err)
	}
	d.Seed = func(_ context.Context, turn *Tx) error {
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
				rec := Record{}
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
				if err := turn.Insert(rs[name], rec); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return d
}

// storedValue turns a value of the rows into the stored one.
func storedValue(k Kind, v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if k == Float {
			return v.Float64()
		}
		return v.Int64()
	case []any, map[string]any:
		return NewDocument(v), nil
	}
	return v, nil
}

var localPart = regexp.MustCompile(`^[a-z0-9._-]+$`)

func recordedReadsAndWrites(rs map[string]*Resource) []*Action {
	contactInput := []string{"fullName", "email", "emailVerifiedAt", "dateOfBirth", "phoneE164", "phoneVerifiedAt", "defaultLanguage", "languages", "metadata", "privateMetadataKeys"}
	stamp := func(name string) func(*Tx, Record, Record) error {
		return func(_ *Tx, _, next Record) error { next[name] = recordedNow; return nil }
	}
	who := func(*Tx, Record) (string, []any) { return `t."sipUsername" = ?`, []any{"ada"} }
	mailbox := []string{"inboundDomain", "mxTarget", "listenerEnabled", "listenerStatus", "listenerHost", "listenerPort", "tlsMode", "maxSessions", "lastInboundAt", "metadata", "organisationId"}
	identity := []string{"ownerType", "ownerId", "localPart", "domain", "displayName", "active", "defaultOutbound", "metadata", "emailMailboxId", "organisationId"}
	call := []string{"direction", "fromNumber", "toNumber", "sipUsername", "callUuid", "callSource", "outboundTrunkSource", "status", "conversationId", "startedAt", "answeredAt", "mediaQualifiedAt", "callerSpokeAt"}
	return []*Action{
		{Name: "get_call_queue_entry", AshName: "get", Type: GetAction, Resource: rs["CallQueueEntry"], Arguments: []*Attribute{attr(UUID, "id", isRequired)}},
		{Name: "who_am_i", AshName: "who_am_i", Type: GetAction, Resource: rs["User"], Scope: who},
		{Name: "create_contact", AshName: "create", Type: CreateAction, Resource: rs["Contact"], Accept: contactInput},
		{Name: "update_contact", AshName: "update", Type: UpdateAction, Atomic: true, Resource: rs["Contact"], Accept: contactInput},
		{Name: "archive_contact", AshName: "archive", Type: UpdateAction, Resource: rs["Contact"], Change: stamp("deletedAt")},
		{Name: "create_email_template", AshName: "create", Type: CreateAction, Resource: rs["EmailTemplate"], Accept: []string{"model", "name", "subject", "body", "variables", "active"}},
		{Name: "update_email_template", AshName: "update", Type: UpdateAction, Atomic: true, Resource: rs["EmailTemplate"], Accept: []string{"model", "name", "subject", "body", "variables", "active"}},
		{Name: "delete_email_template", AshName: "destroy", Type: DestroyAction, Resource: rs["EmailTemplate"]},
		{Name: "create_email_mailbox", AshName: "create", Type: CreateAction, Resource: rs["EmailMailbox"], Accept: mailbox},
		{Name: "update_email_mailbox", AshName: "update", Type: UpdateAction, Atomic: true, Resource: rs["EmailMailbox"], Accept: mailbox[:len(mailbox)-1]},
		{Name: "delete_email_mailbox", AshName: "destroy", Type: DestroyAction, Resource: rs["EmailMailbox"]},
		{Name: "delete_email_identity", AshName: "destroy", Type: DestroyAction, Resource: rs["EmailIdentity"]},
		{Name: "update_email_identity", AshName: "update", Type: UpdateAction, Atomic: true, Resource: rs["EmailIdentity"], Accept: identity[:len(identity)-1]},
		{Name: "create_email_identity", AshName: "create", Type: CreateAction, Resource: rs["EmailIdentity"], Accept: identity,
			Check: func(_, next Record) []*Violation {
				var out []*Violation
				add := func(field, message string) { out = append(out, Invalid(field, message, nil)) }
				if !localPart.MatchString(next.Text("localPart")) {
					add("localPart", "must be a lowercase local part")
				}
				if n := len(next.Text("domain")); n < 3 || n > 253 {
					add("domain", "must have length of between 3 and 253")
				}
				return out
			}},
		{Name: "set_operator_status", AshName: "set", Type: CreateAction, Resource: rs["OperatorStatus"], Accept: []string{"sipUserId", "status", "source"},
			UpsertOn: "sipUserId", UpsertSet: []string{"status", "source"}},
		{Name: "create_call", AshName: "create", Type: CreateAction, Resource: rs["Call"], Accept: call},
		{Name: "flag_call_for_review", AshName: "flag", Type: UpdateAction, Resource: rs["Call"], Change: stamp("flaggedAt")},
		{Name: "accept_call_queue_entry", AshName: "accept", Type: UpdateAction, Resource: rs["CallQueueEntry"],
			Check: func(old, _ Record) []*Violation {
				if old.Text("state") == "waiting" {
					return nil
				}
				return []*Violation{Invalid("state", "entry is not waiting", map[string]any{"value": "waiting"})}
			},
			Change: func(_ *Tx, _, next Record) error { next["state"] = "answered"; return nil }},
		{Name: "override_call_classification", AshName: "override", Type: UpdateAction, Resource: rs["CallClassification"], Forbidden: true,
			Arguments: []*Attribute{attr(String, "label", isRequired)}},
	}
}

func recordedGenerics(rs map[string]*Resource) []*Action {
	campaign := map[string]any{"id": "c0000000-0000-4000-8000-000000000001", "displayName": "Spring"}
	barge := &Action{Name: "barge_call", AshName: "barge", Type: MapAction, Resource: rs["Call"], Arguments: []*Attribute{attr(String, "callUuid", isRequired)}}
	barge.Run = func(_ *Tx, args Record) (any, error) {
		switch uuid := args.Text("callUuid"); uuid {
		case "missing":
			return nil, barge.NotFound("call_uuid", uuid)
		case "string-error", "atom-error":
			return nil, Errors{{Type: "unknown_error", Message: "Something went wrong", ShortMessage: "Unknown error"}}
		case "invalid-arg", "nil":
			return nil, Errors{{Code: "internal_error", ErrorID: "12345678-1234-4123-8123-123456789abc", ShortMessage: "Internal error",
				Message: "Something went wrong. Unique error id: 12345678-1234-4123-8123-123456789abc"}}
		case "forbidden":
			return nil, Errors{}
		default:
			return map[string]any{"callUuid": uuid, "status": "barged"}, nil
		}
	}
	remove := &Action{Name: "delete_contact", AshName: "delete_contact", Type: RecordAction, Resource: rs["Contact"], Arguments: []*Attribute{attr(UUID, "contactId", isRequired)}}
	remove.Run = func(t *Tx, args Record) (any, error) {
		id := args.Text("contactId")
		rec, err := t.Get(rs["Contact"], id)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			return nil, remove.NotFound("id", id)
		}
		return rec, t.Delete(rs["Contact"], id)
	}
	return []*Action{barge, remove,
		{Name: "who_am_i_generic", AshName: "who_am_i_generic", Type: RecordAction, Resource: rs["User"],
			Run: func(t *Tx, _ Record) (any, error) { return t.First(rs["User"], `t."sipUsername" = 'ada'`) }},
		{Name: "call_codec", AshName: "codec", Type: MapAction, Resource: rs["Call"], Arguments: []*Attribute{attr(String, "callUuid", isRequired)},
			Run: func(_ *Tx, args Record) (any, error) { return map[string]any{"codec": "opus"}, nil }},
		{Name: "list_campaigns", AshName: "list_campaigns", Type: MapAction, Resource: rs["Call"],
			Run: func(*Tx, Record) (any, error) {
				return map[string]any{"campaigns": []any{campaign}, "totalCount": 1}, nil
			}},
		{Name: "get_campaign", AshName: "get_campaign", Type: MapAction, Resource: rs["Call"], Arguments: []*Attribute{attr(UUID, "id", isRequired)},
			Run: func(_ *Tx, args Record) (any, error) {
				return map[string]any{"id": args["id"], "displayName": "Spring"}, nil
			}},
		{Name: "start_outbound_call", AshName: "start_outbound", Type: MapAction, Resource: rs["Call"],
			Arguments: []*Attribute{attr(UUID, "contactId"), attr(String, "phoneNumber"), attr(UUID, "aiAgentId")},
			Run: func(_ *Tx, args Record) (any, error) {
				return map[string]any{"status": "queued", "args": map[string]any(args)}, nil
			}},
		{Name: "start_bulk_outbound_call", AshName: "start_bulk", Type: MapAction, Resource: rs["Call"],
			Arguments: []*Attribute{attr(UUIDs, "contactIds"), attr(Integer, "concurrency", withBounds(1, 10))},
			Run: func(_ *Tx, args Record) (any, error) {
				d, _ := args["contactIds"].(Document)
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
