package schemas

var conversationActions = []*Action{
	{
		Name: "list_conversations", Title: "List conversations", Class: Read, Toolsets: []Toolset{Conversations},
		payloadKeys: "fields, filter?, sort?, page?", Resource: conversationResource,
		filterExample: `{"contactId":{"eq":"<id>"}}`,
		Description:   "List conversations of every channel (calls, email, WhatsApp, chat) with summary and outcome, say one contact's history. Phone details: list_calls; steps inside one: list_conversation_events.",
	},
	{
		Name: "list_conversation_events", Title: "List conversation events", Class: Read, Toolsets: []Toolset{Conversations},
		payloadKeys: "fields, filter?, sort?", Resource: conversationEventResource,
		filterExample: `{"conversationId":{"eq":"<id>"}}`,
		Description:   "List steps inside conversations: who spoke or acted, tool uses, states, errors. A call's words: list_call_transcripts; AI steps: list_call_ai_audit_events. No pages: filter by conversationId, callId or occurredAt; unfiltered, the last 24 hours.",
	},
}
