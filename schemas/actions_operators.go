package schemas

var operatorActions = []*Action{
	{
		Name: "who_am_i", Title: "Who am I", Class: Read, Toolsets: []Toolset{Operators, Calls},
		payloadKeys: "fields", Resource: userResource,
		Description: "Get the Sippet user of the API key, who takes its calls, and see that the key works. Other operators: list_operator_statuses.",
	},
	{
		Name: "list_operator_statuses", Title: "List operator statuses", Class: Read, Toolsets: []Toolset{Operators, Queue},
		payloadKeys: "fields, filter?, sort?, page?", Resource: operatorStatusResource,
		filterExample: `{"status":{"eq":"available"}}`,
		Description:   "List human operators and whether each is available, say before transfer_call_to_queue. Gives sipUserId for set_operator_status. AI agents: list_ai_agents.",
	},
	{
		Name: "set_operator_status", Title: "Set an operator's status", Class: Write, Toolsets: []Toolset{Operators}, Idempotent: true,
		payloadKeys: "input, fields?", input: setOperatorStatusInput{}, Resource: operatorStatusResource,
		Ask: "Set operator {input.sipUserId} to {input.status}.", Effect: "Decides whether waiting callers are put through to them.",
		ApproveButton: "Set this status", DeclineButton: "Keep the old status",
		recordKey: "sipUserId", alsoSets: []string{"status", "source"}, undo: &undo{set: "set_operator_status"},
		Description: "Set whether a human operator gets waiting callers. Takes sipUserId from list_operator_statuses, not its id; note the old status to undo it. Without status it becomes available. A call they are on goes on: see end_call.",
	},
	{
		Name: "issue_operator_access_token", Title: "Issue an operator token", Class: Credential, Toolsets: []Toolset{Operators},
		payloadKeys: "input", input: issueTokenInput{},
		Ask: "Issue a token that acts as the operator {input.operatorEmail}.", Effect: "Anybody with the token can do all that this operator can.",
		ApproveButton: "Issue this token", DeclineButton: "Don't issue",
		Description: "Issue a token that can do all an operator can. Denied, or another person approves and alone sees it, never you. This key's user: who_am_i; live audio: issue_operator_media_access.",
	},
	{
		Name: "issue_operator_media_access", Title: "Issue call audio access", Class: Credential, Toolsets: []Toolset{Operators},
		payloadKeys: "input", input: issueMediaInput{},
		Ask: "Issue access to the live audio of call {input.callUuid}.", Effect: "Anybody with it can hear the call.",
		ApproveButton: "Issue this access", DeclineButton: "Don't issue",
		Description: "Issue access to a call's live audio. Denied, or another person approves and alone gets it, never you. To join use barge_call; to read it, list_call_transcripts.",
	},
}
