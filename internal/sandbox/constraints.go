package sandbox

import (
	"fmt"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// internalResources returns the resources that no action returns. The real backend must have
// similar ones.
func internalResources() []*ash.Resource {
	id := func() *ash.Attribute { return &ash.Attribute{Name: "id", Kind: ash.UUID, Required: true} }
	column := func(k ash.Kind, name string) *ash.Attribute { return &ash.Attribute{Name: name, Kind: k} }
	return []*ash.Resource{
		{Name: "Campaign", Attributes: []*ash.Attribute{id(), column(ash.Map, "details")}},
		{Name: "ContactGroupMember", Indexes: [][]string{{"groupId", "position"}}, Attributes: []*ash.Attribute{id(),
			column(ash.UUID, "groupId"), column(ash.UUID, "contactId"), column(ash.Integer, "position")}},
		// The tasks that are to run later: see agenda.go.
		{Name: "Agenda", Indexes: [][]string{{"at"}, {"subject"}}, Attributes: []*ash.Attribute{id(),
			column(ash.Time, "at"), column(ash.String, "what"), column(ash.UUID, "subject"), column(ash.Integer, "step")}},
	}
}

// constraints set what the reference does not state about a resource: defaults, constraints,
// private attributes, calculations and indexes. docs/sandbox.md lists them as assumptions.
var constraints = map[string]func(*ash.Resource){
	"Contact": func(r *ash.Resource) {
		setDefault(r, "metadata", ash.Document("{}"))
		setDefault(r, "privateMetadataKeys", ash.Document("[]"))
		setDefault(r, "languages", ash.Document("[]"))
		setEnum(r, "whatsappReachabilityStatus", "unknown", "reachable", "unreachable")
		setDefault(r, "whatsappReachabilityStatus", "unknown")
		addPrivate(r, ash.Time, "insertedAt", "updatedAt")
		r.Indexes = [][]string{{"fullName", "id"}, {"email"}, {"phoneE164"}}
	},
	"Call": func(r *ash.Resource) {
		setDefault(r, "status", "initiated")
		setDefault(r, "callSource", "api")
		r.Unique = []string{"callUuid"}
		field(r, "contactFullName").Expr = `SELECT c."fullName" FROM "Contact" c WHERE c."id" = %s."contactId"`
		handler := field(r, "currentHandler")
		handler.Needs = []string{"currentHandlerType", "currentHandlerId", "currentHandlerName", "currentOperatorMemberUuid"}
		handler.Compute = currentHandler
		addPrivate(r, ash.UUID, "bulkEntryId")
		addPrivate(r, ash.String, "script")
		r.Indexes = [][]string{{"startedAt", "id"}, {"status"}, {"contactId"}, {"conversationId"}}
	},
	"CallParticipant":    withIndexes([]string{"callId"}, []string{"joinedAt", "id"}),
	"CallTranscript":     withIndexes([]string{"callId", "occurredAt"}, []string{"occurredAt", "id"}),
	"CallAiAuditEvent":   withIndexes([]string{"callId"}, []string{"occurredAt", "id"}),
	"ConversationEvent":  withIndexes([]string{"conversationId"}, []string{"callId"}, []string{"occurredAt", "id"}),
	"CallClassification": withIndexes([]string{"callId"}, []string{"insertedAt", "id"}),
	"Conversation":       withIndexes([]string{"contactId"}, []string{"startedAt", "id"}, []string{"insertedAt", "id"}),
	"CallQueueEntry": func(r *ash.Resource) {
		setEnum(r, "state", "waiting", "answered", "completed", "abandoned")
		r.Indexes = [][]string{{"callUuid"}, {"state"}, {"waitStartedAt", "id"}}
	},
	"BulkOutboundCallEntry": withIndexes([]string{"bulkOutboundCallId", "position"}, []string{"callId"}),
	"CommunicationMessage":  withIndexes([]string{"contactId"}, []string{"threadId"}),
	"EmailMailbox": func(r *ash.Resource) {
		setDefault(r, "listenerEnabled", false)
		setDefault(r, "listenerStatus", "disabled")
		setDefault(r, "listenerPort", int64(25))
		setDefault(r, "tlsMode", "optional")
		setDefault(r, "maxSessions", int64(20))
		setDefault(r, "metadata", ash.Document("{}"))
		setBounds(r, "listenerPort", 1, 65535)
		r.Unique = []string{"inboundDomain"}
	},
	"EmailTemplate": func(r *ash.Resource) {
		setDefault(r, "variables", ash.Document("[]"))
		setDefault(r, "active", true)
		field(r, "body").NoTrim = true
	},
	"EmailIdentity": func(r *ash.Resource) {
		setDefault(r, "active", true)
		setDefault(r, "defaultOutbound", false)
		setDefault(r, "metadata", ash.Document("{}"))
	},
	"OperatorStatus": func(r *ash.Resource) {
		setDefault(r, "status", "available")
		setDefault(r, "source", "api")
		r.Unique = []string{"sipUserId"}
	},
	"User": func(r *ash.Resource) { addPrivate(r, ash.UUID, "sipUserId") },
}

func withIndexes(sets ...[]string) func(*ash.Resource) {
	return func(r *ash.Resource) { r.Indexes = sets }
}

// field returns the attribute with this name, which must exist.
func field(r *ash.Resource, name string) *ash.Attribute {
	a := r.Attribute(name)
	if a == nil {
		panic(fmt.Sprintf("sandbox: %s has no field %q, but constraints set it", r.Name, name))
	}
	return a
}

func setDefault(r *ash.Resource, name string, v any) { field(r, name).Default = v }

// setEnum makes an enum of a field for which the reference lists no values.
func setEnum(r *ash.Resource, name string, values ...string) {
	a := field(r, name)
	a.Kind, a.Values = ash.Enum, values
}

func setBounds(r *ash.Resource, name string, lo, hi int64) {
	a := field(r, name)
	a.Min, a.Max = &lo, &hi
}

func addPrivate(r *ash.Resource, k ash.Kind, names ...string) {
	for _, n := range names {
		r.Attributes = append(r.Attributes, &ash.Attribute{Name: n, Kind: k, Private: true})
	}
}

// currentHandler computes Call.currentHandler. Its keys are in snake_case, as recorded.
func currentHandler(rec ash.Record) any {
	if rec["currentHandlerType"] == nil {
		return nil
	}
	return ash.NewDocument(map[string]any{"handler_type": rec["currentHandlerType"], "handler_id": rec["currentHandlerId"],
		"name": rec["currentHandlerName"], "member_uuid": rec["currentOperatorMemberUuid"]})
}
