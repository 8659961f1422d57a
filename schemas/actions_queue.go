package schemas

var queueActions = []*Action{
	{
		Name: "list_call_queue_entries", Title: "List call queue entries", Class: Read, Toolsets: []Toolset{Queue},
		payloadKeys: "fields, filter?, sort?, page?", Resource: queueEntryResource,
		filterExample: `{"state":{"eq":"waiting"}}`,
		Description:   "List callers who wait or waited for an operator; longest first with sort waitStartedAt. Gives ids for accept_call_queue_entry; recheck one with get_call_queue_entry. Calls with an AI agent: list_calls.",
	},
	{
		Name: "get_call_queue_entry", Title: "Get a call queue entry", Class: Read, Toolsets: []Toolset{Queue},
		payloadKeys: "input, fields", input: getCallQueueEntryInput{}, Resource: queueEntryResource,
		Description: "Get one queue entry by its id, say to see whether the caller still waits just before accept_call_queue_entry. To find entries use list_call_queue_entries.",
	},
	{
		Name: "accept_call_queue_entry", Title: "Accept a waiting caller", Class: Outbound, Toolsets: []Toolset{Queue}, LiveCall: true, forOperator: true,
		payloadKeys: "identity, fields?", Resource: queueEntryResource,
		Ask: "Connect the waiting caller of queue entry {identity} to the operator.", Effect: "The caller is put through at once.",
		ApproveButton: "Connect the caller", DeclineButton: "Don't connect",
		Description: "Connect a waiting caller to this account's operator, at once. A person is asked first. Takes the entry's id, not callUuid. See with get_call_queue_entry that they still wait. For a call that somebody handles use barge_call.",
	},
	{
		Name: "transfer_call_to_queue", Title: "Transfer a call to the queue", Class: Outbound, Toolsets: []Toolset{Queue, Calls}, LiveCall: true,
		payloadKeys: "input", input: callUUIDInput{}, shownIn: "list_call_queue_entries",
		Ask: "Put the caller of the live call {input.callUuid} into the queue for an operator.", Effect: "The caller hears the change and waits until an operator takes the call.",
		ApproveButton: "Move to the queue", DeclineButton: "Don't move",
		Description: "Put the caller of a live call into the queue for a human; they hear it and wait. A person is asked first. For this account's operator use barge_call; who is free: list_operator_statuses.",
	},
}
