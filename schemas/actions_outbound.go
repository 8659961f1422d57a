package schemas

var outboundActions = []*Action{
	{
		Name: "start_outbound_call", Title: "Start an outbound call", Class: Outbound, Toolsets: []Toolset{OutboundCalls}, EffectKind: Ringing, starts: startsCall,
		payloadKeys: "input?", input: startOutboundCallInput{}, Targets: []string{"contactId", "phoneNumber"}, shownIn: "list_calls",
		Ask: "Ring {input.contactId|input.phoneNumber} now.", Effect: "A real phone rings, and an AI agent speaks with the person who answers; it costs money.",
		ApproveButton: "Ring this number", DeclineButton: "Don't ring",
		Description: "Ring one person now; an AI agent speaks with them. It costs money, so a person is asked first. Many people: start_bulk_outbound_call; only a record: create_call. Follow it in list_calls, stop it with end_call.",
	},
	{
		Name: "start_bulk_outbound_call", Title: "Start a bulk outbound call", Class: Outbound, Toolsets: []Toolset{OutboundCalls}, EffectKind: Ringing, starts: startsBulk,
		payloadKeys: "input?", input: startBulkOutboundCallInput{}, Targets: []string{"contactIds", "groupId"}, shownIn: "list_bulk_outbound_calls",
		Ask: "Ring many people: {input.contactIds|input.groupId}.", Effect: "Real phones ring, one after the other; each call costs money, and this API cannot stop the run.",
		ApproveButton: "Ring them", DeclineButton: "Don't ring",
		Description: "Ring many people with an AI agent. It cannot be cancelled here and each call costs money, so a person is asked first. Give contactLimit with a group. One person: start_outbound_call. Follow it in list_bulk_outbound_calls.",
	},
	{
		Name: "list_bulk_outbound_calls", Title: "List bulk outbound calls", Class: Read, Toolsets: []Toolset{OutboundCalls},
		payloadKeys: "fields, filter?, sort?, page?", Resource: bulkCallResource,
		filterExample: `{"completedAt":{"isNil":true}}`,
		Description:   "List runs of start_bulk_outbound_call with status and counts, to see how far one is. People of a run: list_bulk_outbound_call_entries; planned campaigns: list_campaigns.",
	},
	{
		Name: "list_bulk_outbound_call_entries", Title: "List bulk call entries", Class: Read, Toolsets: []Toolset{OutboundCalls},
		payloadKeys: "fields, filter?, sort?, page?", Resource: bulkEntryResource,
		filterExample: `{"bulkOutboundCallId":{"eq":"<id>"},"status":{"eq":"failed"}}`,
		Description:   "List the people of a bulk call with status and error, to see who was reached. Filter by bulkOutboundCallId from list_bulk_outbound_calls, which has the totals.",
	},
	{
		Name: "list_campaigns", Title: "List campaigns", Class: Read, Toolsets: []Toolset{OutboundCalls},
		payloadKeys: "",
		Description: "List all outbound campaigns, as a map that Sippet shapes. Gives ids for get_campaign. Bulk calls: list_bulk_outbound_calls. No tool starts or stops a campaign.",
	},
	{
		Name: "get_campaign", Title: "Get a campaign", Class: Read, Toolsets: []Toolset{OutboundCalls},
		payloadKeys: "input", input: getCampaignInput{},
		Description: "Get one campaign, a map that Sippet shapes, say to check its status. For ids, or all, use list_campaigns.",
	},
}
