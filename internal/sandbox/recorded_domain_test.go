package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// This file defines the domain of the backend that the recordings are from. It has constraints that
// Sippet does not have.

func i64(n int64) *int64 { return &n }

func attr(k ash.Kind, name string, more ...func(*ash.Attribute)) *ash.Attribute {
	a := &ash.Attribute{Name: name, Kind: k}
	for _, f := range more {
		f(a)
	}
	return a
}

func isRequired(a *ash.Attribute) { a.Required = true }
func isPrivate(a *ash.Attribute)  { a.Private = true }
func withDefault(v any) func(*ash.Attribute) {
	return func(a *ash.Attribute) { a.Default = v }
}
func oneOf(values ...string) func(*ash.Attribute) {
	return func(a *ash.Attribute) { a.Kind, a.Values = ash.Enum, values }
}
func withBounds(lo, hi int64) func(*ash.Attribute) {
	return func(a *ash.Attribute) { a.Min, a.Max = i64(lo), i64(hi) }
}

const recordedNow = "2026-01-15T12:00:00.000000Z"

func recordedResources() map[string]*ash.Resource {
	id := func() *ash.Attribute { return attr(ash.UUID, "id", isRequired) }
	list := []*ash.Resource{
		{Name: "Contact", Attributes: []*ash.Attribute{id(), attr(ash.String, "fullName", isRequired), attr(ash.String, "email"),
			attr(ash.Time, "emailVerifiedAt"), attr(ash.Date, "dateOfBirth"), attr(ash.String, "phoneE164"), attr(ash.Time, "phoneVerifiedAt"),
			attr(ash.Enum, "whatsappReachabilityStatus", oneOf("unknown", "reachable", "unreachable"), isRequired, withDefault("unknown")),
			attr(ash.String, "whatsappJid"), attr(ash.Time, "whatsappReachabilityCheckedAt"), attr(ash.String, "whatsappReachabilityError"),
			attr(ash.Map, "metadata", withDefault(ash.Document("{}"))), attr(ash.Strings, "privateMetadataKeys", isRequired, withDefault(ash.Document("[]"))),
			attr(ash.String, "defaultLanguage"), attr(ash.Strings, "languages", isRequired, withDefault(ash.Document("[]"))),
			attr(ash.Time, "deletedAt"), attr(ash.Time, "erasedAt"), attr(ash.Time, "insertedAt", isPrivate), attr(ash.Time, "updatedAt", isPrivate)}},
		{Name: "EmailTemplate", Attributes: []*ash.Attribute{id(), attr(ash.String, "model", isRequired), attr(ash.String, "name", isRequired, withBounds(2, 40)),
			attr(ash.String, "subject", isRequired, func(a *ash.Attribute) { a.Match = regexp.MustCompile(`^[A-Z]`) }),
			attr(ash.String, "body", isRequired, func(a *ash.Attribute) { a.NoTrim = true }), attr(ash.Strings, "variables", isRequired, withDefault(ash.Document("[]"))),
			attr(ash.Bool, "active", isRequired, withDefault(true)), attr(ash.Time, "insertedAt", isPrivate)}},
		{Name: "EmailMailbox", Unique: []string{"inboundDomain"}, Attributes: []*ash.Attribute{id(), attr(ash.String, "inboundDomain", isRequired),
			attr(ash.String, "mxTarget"), attr(ash.Bool, "listenerEnabled", isRequired, withDefault(false)),
			attr(ash.Enum, "listenerStatus", oneOf("disabled", "starting", "running", "degraded", "failed"), isRequired, withDefault("disabled")),
			attr(ash.String, "listenerHost"), attr(ash.Integer, "listenerPort", isRequired, withDefault(int64(25)), withBounds(1, 65535)),
			attr(ash.Enum, "tlsMode", oneOf("disabled", "optional", "required"), isRequired, withDefault("optional")),
			attr(ash.Integer, "maxSessions", isRequired, withDefault(int64(20))), attr(ash.Time, "lastInboundAt"), attr(ash.Map, "metadata", isRequired, withDefault(ash.Document("{}"))),
			attr(ash.UUID, "organisationId", isRequired, isPrivate)}},
		{Name: "EmailIdentity", Attributes: []*ash.Attribute{id(), attr(ash.Enum, "ownerType", oneOf("organisation", "ai_agent", "user"), isRequired),
			attr(ash.UUID, "ownerId", isRequired), attr(ash.String, "localPart", isRequired), attr(ash.String, "domain", isRequired), attr(ash.String, "displayName"),
			attr(ash.Bool, "active", isRequired, withDefault(true)), attr(ash.Bool, "defaultOutbound", isRequired, withDefault(false)), attr(ash.Map, "metadata", isRequired, withDefault(ash.Document("{}"))),
			attr(ash.UUID, "emailMailboxId"), attr(ash.UUID, "organisationId", isRequired, isPrivate)}},
		{Name: "OperatorStatus", Unique: []string{"sipUserId"}, Attributes: []*ash.Attribute{id(), attr(ash.UUID, "sipUserId", isRequired), attr(ash.String, "agentName"),
			attr(ash.Enum, "status", oneOf("available", "on_break", "logged_out"), isRequired, withDefault("available")),
			attr(ash.Enum, "source", oneOf("widget", "api", "system"), withDefault("api")), attr(ash.UUID, "changedByUserId")}},
		{Name: "Call", Relations: []*ash.Relation{{Name: "contact", Resource: "Contact", Key: "contactId"}}, Attributes: []*ash.Attribute{id(),
			attr(ash.Enum, "direction", oneOf("inbound", "outbound"), isRequired), attr(ash.String, "fromNumber", isRequired), attr(ash.String, "toNumber", isRequired),
			attr(ash.String, "sipUsername"),
			attr(ash.Enum, "status", oneOf("initiated", "ringing", "answered", "completed", "failed", "busy", "no_answer"), withDefault("initiated")),
			attr(ash.String, "callUuid", isRequired), attr(ash.String, "callSource", isRequired, withDefault("api")), attr(ash.Time, "startedAt"), attr(ash.Time, "answeredAt"),
			attr(ash.Time, "mediaQualifiedAt"), attr(ash.Time, "callerSpokeAt"), attr(ash.Time, "endedAt"), attr(ash.Time, "flaggedAt"),
			attr(ash.Integer, "durationSeconds"), attr(ash.Map, "recordingMetadata"), attr(ash.UUID, "conversationId"), attr(ash.UUID, "flaggedByUserId"),
			attr(ash.UUID, "contactId"), attr(ash.Decimal, "billingCostCents"), attr(ash.String, "billingCostCurrency"), attr(ash.Float, "qualityScore"),
			attr(ash.String, "contactFullName", func(a *ash.Attribute) {
				a.Expr = `SELECT c."fullName" FROM "Contact" c WHERE c."id" = %s."contactId"`
			}),
			attr(ash.Map, "currentHandler", func(a *ash.Attribute) {
				a.Compute = func(ash.Record) any { return ash.Document(`{"handler_type":"ai_agent","member_uuid":null}`) }
			}),
			attr(ash.String, "outboundTrunkSource", isPrivate)}},
		{Name: "CallQueueEntry", Attributes: []*ash.Attribute{id(), attr(ash.String, "callUuid", isRequired), attr(ash.String, "queueName"),
			attr(ash.String, "callerIdNumber"), attr(ash.String, "callerIdName"),
			attr(ash.Enum, "state", oneOf("waiting", "answered", "completed", "abandoned")), attr(ash.String, "agentName"),
			attr(ash.Second, "waitStartedAt"), attr(ash.Second, "answeredAt"), attr(ash.Second, "completedAt"), attr(ash.Second, "abandonedAt")}},
		{Name: "ConversationEvent", Attributes: []*ash.Attribute{id(), attr(ash.String, "eventType", isRequired), attr(ash.String, "summary"), attr(ash.Map, "payload"),
			attr(ash.Bool, "success"), attr(ash.Map, "tokenUsage"), attr(ash.Time, "occurredAt"), attr(ash.UUID, "callId")}},
		{Name: "CallClassification", Attributes: []*ash.Attribute{id(), attr(ash.UUID, "callId"), attr(ash.String, "effectiveLabel"), attr(ash.Float, "predictedConfidence")}},
		{Name: "User", Attributes: []*ash.Attribute{id(), attr(ash.String, "fullName"), attr(ash.String, "email"), attr(ash.Time, "confirmedAt"), attr(ash.String, "sipUsername")}},
	}
	out := map[string]*ash.Resource{}
	for _, r := range list {
		out[r.Name] = r
	}
	return out
}

// recordedDomain returns the domain of the recordings, seeded from a file of rows.
func recordedDomain(t *testing.T, rowsFile string) *ash.Domain {
	rs := recordedResources()
	order := []string{"Contact", "EmailTemplate", "EmailMailbox", "EmailIdentity", "OperatorStatus", "Call", "CallQueueEntry", "ConversationEvent", "CallClassification", "User"}
	d := &ash.Domain{Namespace: "Sippet", Table: storeTable, NewID: func(n uint64) string { return fmt.Sprintf("00000000-0000-4000-9000-%012d", n) }}
	for _, n := range order {
		d.Resources = append(d.Resources, rs[n])
	}
	for _, x := range []struct {
		name, resource string
		page           *ash.Paging
	}{
		{"list_contacts", "Contact", &ash.Paging{}}, {"list_email_mailboxes", "EmailMailbox", &ash.Paging{}},
		{"list_email_identities", "EmailIdentity", &ash.Paging{}}, {"list_call_queue_entries", "CallQueueEntry", &ash.Paging{}},
		{"list_email_templates", "EmailTemplate", &ash.Paging{Default: 2, Max: 3}},
		{"list_operator_statuses", "OperatorStatus", &ash.Paging{Default: 2, Required: true, Count: true}},
		{"list_calls", "Call", nil}, {"list_conversation_events", "ConversationEvent", nil}, {"list_call_classifications", "CallClassification", nil},
	} {
		d.Actions = append(d.Actions, &ash.Action{Name: x.name, AshName: "read", Type: ash.ListAction, Resource: rs[x.resource], Page: x.page})
	}
	d.Actions = append(d.Actions, recordedResourceActions(rs)...)
	d.Actions = append(d.Actions, recordedGenericActions(rs)...)
	raw, err := os.ReadFile(findFile(rowsFile))
	if err != nil {
		t.Fatal(err)
	}
	d.Seed = func(_ context.Context, turn *ash.Tx) error {
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
				rec := ash.Record{}
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

// storedValue returns the stored value for a value in the file of rows.
func storedValue(k ash.Kind, v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if k == ash.Float {
			return v.Float64()
		}
		return v.Int64()
	case []any, map[string]any:
		return ash.NewDocument(v), nil
	}
	return v, nil
}

var localPart = regexp.MustCompile(`^[a-z0-9._-]+$`)

func recordedResourceActions(rs map[string]*ash.Resource) []*ash.Action {
	contactInput := []string{"fullName", "email", "emailVerifiedAt", "dateOfBirth", "phoneE164", "phoneVerifiedAt", "defaultLanguage", "languages", "metadata", "privateMetadataKeys"}
	stamp := func(name string) func(*ash.Tx, ash.Record, ash.Record) error {
		return func(_ *ash.Tx, _, next ash.Record) error { next[name] = recordedNow; return nil }
	}
	who := func(*ash.Tx, ash.Record) (string, []any) { return `t."sipUsername" = ?`, []any{"ada"} }
	mailbox := []string{"inboundDomain", "mxTarget", "listenerEnabled", "listenerStatus", "listenerHost", "listenerPort", "tlsMode", "maxSessions", "lastInboundAt", "metadata", "organisationId"}
	identity := []string{"ownerType", "ownerId", "localPart", "domain", "displayName", "active", "defaultOutbound", "metadata", "emailMailboxId", "organisationId"}
	call := []string{"direction", "fromNumber", "toNumber", "sipUsername", "callUuid", "callSource", "outboundTrunkSource", "status", "conversationId", "startedAt", "answeredAt", "mediaQualifiedAt", "callerSpokeAt"}
	return []*ash.Action{
		{Name: "get_call_queue_entry", AshName: "get", Type: ash.GetAction, Resource: rs["CallQueueEntry"], Arguments: []*ash.Attribute{attr(ash.UUID, "id", isRequired)}},
		{Name: "who_am_i", AshName: "who_am_i", Type: ash.GetAction, Resource: rs["User"], Scope: who},
		{Name: "create_contact", AshName: "create", Type: ash.CreateAction, Resource: rs["Contact"], Accept: contactInput},
		{Name: "update_contact", AshName: "update", Type: ash.UpdateAction, Atomic: true, Resource: rs["Contact"], Accept: contactInput},
		{Name: "archive_contact", AshName: "archive", Type: ash.UpdateAction, Resource: rs["Contact"], Change: stamp("deletedAt")},
		{Name: "create_email_template", AshName: "create", Type: ash.CreateAction, Resource: rs["EmailTemplate"], Accept: []string{"model", "name", "subject", "body", "variables", "active"}},
		{Name: "update_email_template", AshName: "update", Type: ash.UpdateAction, Atomic: true, Resource: rs["EmailTemplate"], Accept: []string{"model", "name", "subject", "body", "variables", "active"}},
		{Name: "delete_email_template", AshName: "destroy", Type: ash.DestroyAction, Resource: rs["EmailTemplate"]},
		{Name: "create_email_mailbox", AshName: "create", Type: ash.CreateAction, Resource: rs["EmailMailbox"], Accept: mailbox},
		{Name: "update_email_mailbox", AshName: "update", Type: ash.UpdateAction, Atomic: true, Resource: rs["EmailMailbox"], Accept: mailbox[:len(mailbox)-1]},
		{Name: "delete_email_mailbox", AshName: "destroy", Type: ash.DestroyAction, Resource: rs["EmailMailbox"]},
		{Name: "delete_email_identity", AshName: "destroy", Type: ash.DestroyAction, Resource: rs["EmailIdentity"]},
		{Name: "update_email_identity", AshName: "update", Type: ash.UpdateAction, Atomic: true, Resource: rs["EmailIdentity"], Accept: identity[:len(identity)-1]},
		{Name: "create_email_identity", AshName: "create", Type: ash.CreateAction, Resource: rs["EmailIdentity"], Accept: identity,
			Check: func(_, next ash.Record) []*ash.Violation {
				var out []*ash.Violation
				add := func(field, message string) { out = append(out, ash.NewViolation(field, message, nil)) }
				if !localPart.MatchString(next.Text("localPart")) {
					add("localPart", "must be a lowercase local part")
				}
				if n := len(next.Text("domain")); n < 3 || n > 253 {
					add("domain", "must have length of between 3 and 253")
				}
				return out
			}},
		{Name: "set_operator_status", AshName: "set", Type: ash.CreateAction, Resource: rs["OperatorStatus"], Accept: []string{"sipUserId", "status", "source"},
			UpsertOn: "sipUserId", UpsertSet: []string{"status", "source"}},
		{Name: "create_call", AshName: "create", Type: ash.CreateAction, Resource: rs["Call"], Accept: call},
		{Name: "flag_call_for_review", AshName: "flag", Type: ash.UpdateAction, Resource: rs["Call"], Change: stamp("flaggedAt")},
		{Name: "accept_call_queue_entry", AshName: "accept", Type: ash.UpdateAction, Resource: rs["CallQueueEntry"],
			Check: func(old, _ ash.Record) []*ash.Violation {
				if old.Text("state") == "waiting" {
					return nil
				}
				return []*ash.Violation{ash.NewViolation("state", "entry is not waiting", map[string]any{"value": "waiting"})}
			},
			Change: func(_ *ash.Tx, _, next ash.Record) error { next["state"] = "answered"; return nil }},
		{Name: "override_call_classification", AshName: "override", Type: ash.UpdateAction, Resource: rs["CallClassification"], Forbidden: true,
			Arguments: []*ash.Attribute{attr(ash.String, "label", isRequired)}},
	}
}

func recordedGenericActions(rs map[string]*ash.Resource) []*ash.Action {
	campaign := map[string]any{"id": "c0000000-0000-4000-8000-000000000001", "displayName": "Spring"}
	barge := &ash.Action{Name: "barge_call", AshName: "barge", Type: ash.MapAction, Resource: rs["Call"], Arguments: []*ash.Attribute{attr(ash.String, "callUuid", isRequired)}}
	barge.Run = func(_ *ash.Tx, args ash.Record) (any, error) {
		switch uuid := args.Text("callUuid"); uuid {
		case "missing":
			return nil, barge.NotFound("call_uuid", uuid)
		case "string-error", "atom-error":
			return nil, ash.Errors{{Type: "unknown_error", Message: "Something went wrong", ShortMessage: "Unknown error"}}
		case "invalid-arg", "nil":
			return nil, ash.Errors{{Code: "internal_error", ErrorID: "12345678-1234-4123-8123-123456789abc", ShortMessage: "Internal error",
				Message: "Something went wrong. Unique error id: 12345678-1234-4123-8123-123456789abc"}}
		case "forbidden":
			return nil, ash.Errors{}
		default:
			return map[string]any{"callUuid": uuid, "status": "barged"}, nil
		}
	}
	remove := &ash.Action{Name: "delete_contact", AshName: "delete_contact", Type: ash.RecordAction, Resource: rs["Contact"], Arguments: []*ash.Attribute{attr(ash.UUID, "contactId", isRequired)}}
	remove.Run = func(t *ash.Tx, args ash.Record) (any, error) {
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
	return []*ash.Action{barge, remove,
		{Name: "who_am_i_generic", AshName: "who_am_i_generic", Type: ash.RecordAction, Resource: rs["User"],
			Run: func(t *ash.Tx, _ ash.Record) (any, error) { return t.First(rs["User"], `t."sipUsername" = 'ada'`) }},
		{Name: "call_codec", AshName: "codec", Type: ash.MapAction, Resource: rs["Call"], Arguments: []*ash.Attribute{attr(ash.String, "callUuid", isRequired)},
			Run: func(_ *ash.Tx, args ash.Record) (any, error) { return map[string]any{"codec": "opus"}, nil }},
		{Name: "list_campaigns", AshName: "list_campaigns", Type: ash.MapAction, Resource: rs["Call"],
			Run: func(*ash.Tx, ash.Record) (any, error) {
				return map[string]any{"campaigns": []any{campaign}, "totalCount": 1}, nil
			}},
		{Name: "get_campaign", AshName: "get_campaign", Type: ash.MapAction, Resource: rs["Call"], Arguments: []*ash.Attribute{attr(ash.UUID, "id", isRequired)},
			Run: func(_ *ash.Tx, args ash.Record) (any, error) {
				return map[string]any{"id": args["id"], "displayName": "Spring"}, nil
			}},
		{Name: "start_outbound_call", AshName: "start_outbound", Type: ash.MapAction, Resource: rs["Call"],
			Arguments: []*ash.Attribute{attr(ash.UUID, "contactId"), attr(ash.String, "phoneNumber"), attr(ash.UUID, "aiAgentId")},
			Run: func(_ *ash.Tx, args ash.Record) (any, error) {
				return map[string]any{"status": "queued", "args": map[string]any(args)}, nil
			}},
		{Name: "start_bulk_outbound_call", AshName: "start_bulk", Type: ash.MapAction, Resource: rs["Call"],
			Arguments: []*ash.Attribute{attr(ash.UUIDs, "contactIds"), attr(ash.Integer, "concurrency", withBounds(1, 10))},
			Run: func(_ *ash.Tx, args ash.Record) (any, error) {
				d, _ := args["contactIds"].(ash.Document)
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
