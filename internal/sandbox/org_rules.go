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
		r.set("metadata", document("{}"))
		r.set("privateMetadataKeys", document("[]"))
		r.set("languages", document("[]"))
		r.enum("whatsappReachabilityStatus", "unknown", "reachable", "unreachable")
		r.set("whatsappReachabilityStatus", "unknown")
		r.hide(timeKind, "insertedAt", "updatedAt")
		r.Indexes = [][]string{{"fullName", "id"}, {"email"}, {"phoneE164"}}
	},
	"Call": func(r *resource) {
		r.set("status", "initiated")
		r.set("callSource", "api")
		r.Unique = []string{"callUuid"}
		r.own("contactFullName").Expr = `SELECT c."fullName" FROM "Contact" c WHERE c."id" = %s."contactId"`
		handler := r.own("currentHandler")
		handler.Needs = []string{"currentHandlerType", "currentHandlerId", "currentHandlerName", "currentOperatorMemberUuid"}
		handler.Compute = currentHandler
		r.hide(uuidKind, "bulkEntryId")
		r.hide(stringKind, "script")
		r.Indexes = [][]string{{"startedAt", "id"}, {"status"}, {"contactId"}, {"conversationId"}}
	},
	"CallParticipant":    index([]string{"callId"}, []string{"joinedAt", "id"}),
	"CallTranscript":     index([]string{"callId", "occurredAt"}, []string{"occurredAt", "id"}),
	"CallAiAuditEvent":   index([]string{"callId"}, []string{"occurredAt", "id"}),
	"ConversationEvent":  index([]string{"conversationId"}, []string{"callId"}, []string{"occurredAt", "id"}),
	"CallClassification": index([]string{"callId"}, []string{"insertedAt", "id"}),
	"Conversation":       index([]string{"contactId"}, []string{"startedAt", "id"}, []string{"insertedAt", "id"}),
	"CallQueueEntry": func(r *resource) {
		r.enum("state", "waiting", "answered", "completed", "abandoned")
		r.Indexes = [][]string{{"callUuid"}, {"state"}, {"waitStartedAt", "id"}}
	},
	"BulkOutboundCallEntry": index([]string{"bulkOutboundCallId", "position"}, []string{"callId"}),
	"CommunicationMessage":  index([]string{"contactId"}, []string{"threadId"}),
	"EmailMailbox": func(r *resource) {
		r.set("listenerEnabled", false)
		r.set("listenerStatus", "disabled")
		r.set("listenerPort", int64(25))
		r.set("tlsMode", "optional")
		r.set("maxSessions", int64(20))
		r.set("metadata", document("{}"))
		r.bounds("listenerPort", 1, 65535)
		r.Unique = []string{"inboundDomain"}
	},
	"EmailTemplate": func(r *resource) {
		r.set("variables", document("[]"))
		r.set("active", true)
		r.own("body").NoTrim = true
	},
	"EmailIdentity": func(r *resource) {
		r.set("active", true)
		r.set("defaultOutbound", false)
		r.set("metadata", document("{}"))
	},
	"OperatorStatus": func(r *resource) {
		r.set("status", "available")
		r.set("source", "api")
		r.Unique = []string{"sipUserId"}
	},
	"User": func(r *resource) { r.hide(uuidKind, "sipUserId") },
}

func index(sets ...[]string) func(*resource) { return func(r *resource) { r.Indexes = sets } }

func (r *resource) own(name string) *attribute {
	a := findAttribute(r, name)
	if a == nil {
		panic(fmt.Sprintf("sandbox: %s has no field %q: the registry and orgRules disagree", r.Name, name))
	}
	return a
}

func (r *resource) set(name string, v any) { r.own(name).Default = v }

// enum makes a field whose values the reference does not list an enum.
func (r *resource) enum(name string, values ...string) {
	a := r.own(name)
	a.Kind, a.Values = enumKind, values
}

func (r *resource) bounds(name string, lo, hi int64) {
	a := r.own(name)
	a.Min, a.Max = &lo, &hi
}

func (r *resource) hide(k kind, names ...string) {
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
