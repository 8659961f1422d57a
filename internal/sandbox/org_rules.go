package sandbox

import "fmt"

// orgHidden are resources of our own: the backend must have the like, but no
// action shows them.
func orgHidden() []*resource {
	id := func() *attribute { return &attribute{Name: "id", Kind: uuidKind, Required: true} }
	column := func(k kind, name string) *attribute { return &attribute{Name: name, Kind: k} }
	return []*resource{
		{Name: "Campaign", Attributes: []*attribute{id(), column(mapKind, "details")}},
		{Name: "ContactGroupMember", Indexes: [][]string{{"groupId", "position"}}, Attributes: []*attribute{id(),
			column(uuidKind, "groupId"), column(uuidKind, "contactId"), column(intKind, "position")}},
		// What is still to happen: see agenda.go.
		{Name: "Agenda", Indexes: [][]string{{"at"}, {"subject"}}, Attributes: []*attribute{id(),
			column(timeKind, "at"), column(stringKind, "what"), column(uuidKind, "subject"), column(intKind, "step")}},
	}
}

// orgRules are what the reference does not say of its resources: defaults,
// constraints, private attributes, calculations, and the indexes that lists
// live on. docs/sandbox.md lists them as assumptions.
var orgRules = map[string]func(*resource){
	"Contact": func(r *resource) {
		setDefault(r, "metadata", document("{}"))
		setDefault(r, "privateMetadataKeys", document("[]"))
		setDefault(r, "languages", document("[]"))
		setEnum(r, "whatsappReachabilityStatus", "unknown", "reachable", "unreachable")
		setDefault(r, "whatsappReachabilityStatus", "unknown")
		addPrivate(r, timeKind, "insertedAt", "updatedAt")
		r.Indexes = [][]string{{"fullName", "id"}, {"email"}, {"phoneE164"}}
	},
	"Call": func(r *resource) {
		setDefault(r, "status", "initiated")
		setDefault(r, "callSource", "api")
		r.Unique = []string{"callUuid"}
		field(r, "contactFullName").Expr = `SELECT c."fullName" FROM "Contact" c WHERE c."id" = %s."contactId"`
		handler := field(r, "currentHandler")
		handler.Needs = []string{"currentHandlerType", "currentHandlerId", "currentHandlerName", "currentOperatorMemberUuid"}
		handler.Compute = currentHandler
		addPrivate(r, uuidKind, "bulkEntryId")
		addPrivate(r, stringKind, "script")
		r.Indexes = [][]string{{"startedAt", "id"}, {"status"}, {"contactId"}, {"conversationId"}}
	},
	"CallParticipant":    index([]string{"callId"}, []string{"joinedAt", "id"}),
	"CallTranscript":     index([]string{"callId", "occurredAt"}, []string{"occurredAt", "id"}),
	"CallAiAuditEvent":   index([]string{"callId"}, []string{"occurredAt", "id"}),
	"ConversationEvent":  index([]string{"conversationId"}, []string{"callId"}, []string{"occurredAt", "id"}),
	"CallClassification": index([]string{"callId"}, []string{"insertedAt", "id"}),
	"Conversation":       index([]string{"contactId"}, []string{"startedAt", "id"}, []string{"insertedAt", "id"}),
	"CallQueueEntry": func(r *resource) {
		setEnum(r, "state", "waiting", "answered", "completed", "abandoned")
		r.Indexes = [][]string{{"callUuid"}, {"state"}, {"waitStartedAt", "id"}}
	},
	"BulkOutboundCallEntry": index([]string{"bulkOutboundCallId", "position"}, []string{"callId"}),
	"CommunicationMessage":  index([]string{"contactId"}, []string{"threadId"}),
	"EmailMailbox": func(r *resource) {
		setDefault(r, "listenerEnabled", false)
		setDefault(r, "listenerStatus", "disabled")
		setDefault(r, "listenerPort", int64(25))
		setDefault(r, "tlsMode", "optional")
		setDefault(r, "maxSessions", int64(20))
		setDefault(r, "metadata", document("{}"))
		setBounds(r, "listenerPort", 1, 65535)
		r.Unique = []string{"inboundDomain"}
	},
	"EmailTemplate": func(r *resource) {
		setDefault(r, "variables", document("[]"))
		setDefault(r, "active", true)
		field(r, "body").NoTrim = true
	},
	"EmailIdentity": func(r *resource) {
		setDefault(r, "active", true)
		setDefault(r, "defaultOutbound", false)
		setDefault(r, "metadata", document("{}"))
	},
	"OperatorStatus": func(r *resource) {
		setDefault(r, "status", "available")
		setDefault(r, "source", "api")
		r.Unique = []string{"sipUserId"}
	},
	"User": func(r *resource) { addPrivate(r, uuidKind, "sipUserId") },
}

func index(sets ...[]string) func(*resource) { return func(r *resource) { r.Indexes = sets } }

func field(r *resource, name string) *attribute {
	a := r.Attribute(name)
	if a == nil {
		panic(fmt.Sprintf("sandbox: %s has no field %q: the registry and orgRules disagree", r.Name, name))
	}
	return a
}

func setDefault(r *resource, name string, v any) { field(r, name).Default = v }

// enum makes a field whose values the reference does not list an enum.
func setEnum(r *resource, name string, values ...string) {
	a := field(r, name)
	a.Kind, a.Values = enumKind, values
}

func setBounds(r *resource, name string, lo, hi int64) {
	a := field(r, name)
	a.Min, a.Max = &lo, &hi
}

func addPrivate(r *resource, k kind, names ...string) {
	for _, n := range names {
		r.Attributes = append(r.Attributes, &attribute{Name: n, Kind: k, Private: true})
	}
}

// currentHandler shows who has the call as one map; its keys are snake_case,
// as recorded.
func currentHandler(rec record) any {
	if rec["currentHandlerType"] == nil {
		return nil
	}
	return encodeDocument(map[string]any{"handler_type": rec["currentHandlerType"], "handler_id": rec["currentHandlerId"],
		"name": rec["currentHandlerName"], "member_uuid": rec["currentOperatorMemberUuid"]})
}
