package schemas

var agentActions = []*Action{
	{
		Name: "list_ai_agents", Title: "List AI agents", Class: Read, Toolsets: []Toolset{Agents, OutboundCalls},
		payloadKeys: "fields, filter?, sort?, page?", Resource: aiAgentResource,
		filterExample: `{"published":{"eq":true}}`,
		Description:   "List AI agents, say for the aiAgentId of start_outbound_call; prompts and workflows only on request. What they did: list_call_ai_audit_events; humans: list_operator_statuses. No tool changes one.",
	},
}
