package schemas

// The typed inputs, one for each action that takes `input`. No value of them is ever made. They are
// reflected once, into the JSON Schemas that tools show and the checker enforces, and into the list
// that Inputs returns. A field without `omitempty` is required. A jsonschema_description is there
// where the name does not say enough. A `names` tag is on values that name a person. A contact's
// own email and number have none, because they are erased with the contact. A `refers` tag is on ids
// of records that the card describes, with the list that has them; `where` says of which other key and
// value that is true.

type (
	getCampaignInput struct {
		ID uuidText `json:"id" jsonschema_description:"From list_campaigns"`
	}
	getCallQueueEntryInput struct {
		ID uuidText `json:"id" jsonschema_description:"From list_call_queue_entries"`
	}
	callUUIDInput struct {
		CallUUID nonEmpty `json:"callUuid" jsonschema_description:"From list_calls; not its id"`
	}
	leaveCallInput struct {
		CallUUID nonEmpty `json:"callUuid" jsonschema_description:"From list_calls; not its id"`
		Reason   string   `json:"reason,omitempty" jsonschema_description:"Recorded by Sippet"`
	}
	createCallInput struct {
		Direction           callDirection         `json:"direction"`
		FromNumber          nonEmpty              `json:"fromNumber" names:"phone"`
		ToNumber            nonEmpty              `json:"toNumber" names:"phone"`
		SipUsername         nullable[string]      `json:"sipUsername,omitempty"`
		CallUUID            nonEmpty              `json:"callUuid" jsonschema_description:"That system's unique id"`
		CallSource          string                `json:"callSource,omitempty"`
		OutboundTrunkSource nullable[trunkSource] `json:"outboundTrunkSource,omitempty"`
		Status              nullable[callStatus]  `json:"status,omitempty"`
		ConversationID      nullable[uuidText]    `json:"conversationId,omitempty"`
		StartedAt           nullable[instant]     `json:"startedAt,omitempty"`
		AnsweredAt          nullable[instant]     `json:"answeredAt,omitempty"`
		MediaQualifiedAt    nullable[instant]     `json:"mediaQualifiedAt,omitempty"`
		CallerSpokeAt       nullable[instant]     `json:"callerSpokeAt,omitempty"`
	}
	overrideCallClassificationInput struct {
		Label nonEmpty `json:"label" jsonschema_description:"As in effectiveLabel of other calls"`
	}

	startOutboundCallInput struct {
		ContactID   uuidText `json:"contactId,omitempty" names:"contact" jsonschema_description:"From list_contacts"`
		PhoneNumber e164     `json:"phoneNumber,omitempty" names:"phone" jsonschema_description:"Such as +442079460123"`
		AiAgentID   uuidText `json:"aiAgentId,omitempty" refers:"list_ai_agents" jsonschema_description:"From list_ai_agents"`
	}
	startBulkOutboundCallInput struct {
		ContactIDs        []uuidText     `json:"contactIds,omitempty" names:"contact" jsonschema:"minItems=1,uniqueItems=true" jsonschema_description:"From list_contacts"`
		GroupID           uuidText       `json:"groupId,omitempty" jsonschema_description:"No tool lists groups"`
		AiAgentID         uuidText       `json:"aiAgentId,omitempty" refers:"list_ai_agents" jsonschema_description:"From list_ai_agents"`
		Concurrency       positiveInt    `json:"concurrency,omitempty" jsonschema_description:"Calls at a time"`
		ContactLimit      positiveInt    `json:"contactLimit,omitempty" jsonschema_description:"Most people to ring"`
		ContactRangeStart nonNegativeInt `json:"contactRangeStart,omitempty" jsonschema_description:"First position"`
		ContactRangeEnd   nonNegativeInt `json:"contactRangeEnd,omitempty" jsonschema_description:"Last position"`
	}

	createContactInput struct {
		FullName nonEmpty `json:"fullName"`
		contactInput
		Metadata nullable[map[string]any] `json:"metadata,omitempty"`
	}
	updateContactInput struct {
		FullName nonEmpty `json:"fullName,omitempty"`
		contactInput
		Metadata nullable[map[string]any] `json:"metadata,omitempty" jsonschema_description:"Replaces it whole"`
	}
	contactInput struct {
		Email               nullable[string]  `json:"email,omitempty"`
		EmailVerifiedAt     nullable[instant] `json:"emailVerifiedAt,omitempty"`
		DateOfBirth         nullable[day]     `json:"dateOfBirth,omitempty"`
		PhoneE164           nullable[e164]    `json:"phoneE164,omitempty"`
		PhoneVerifiedAt     nullable[instant] `json:"phoneVerifiedAt,omitempty"`
		DefaultLanguage     nullable[string]  `json:"defaultLanguage,omitempty"`
		Languages           []string          `json:"languages,omitempty"`
		PrivateMetadataKeys []string          `json:"privateMetadataKeys,omitempty" jsonschema_description:"Keys in metadata"`
	}
	deleteContactInput struct {
		ContactID uuidText `json:"contactId" names:"contact" jsonschema_description:"From list_contacts"`
	}

	createMailboxInput struct {
		InboundDomain nonEmpty `json:"inboundDomain"`
		mailboxInput
		OrganisationID uuidText `json:"organisationId" jsonschema_description:"A field of list_call_participants"`
	}
	updateMailboxInput struct {
		InboundDomain nonEmpty `json:"inboundDomain,omitempty"`
		mailboxInput
	}
	mailboxInput struct {
		MxTarget        nullable[string]  `json:"mxTarget,omitempty"`
		ListenerEnabled bool              `json:"listenerEnabled,omitempty"`
		ListenerStatus  listenerStatus    `json:"listenerStatus,omitempty" jsonschema_description:"Leave to Sippet"`
		ListenerHost    nullable[string]  `json:"listenerHost,omitempty"`
		ListenerPort    positiveInt       `json:"listenerPort,omitempty"`
		TLSMode         tlsMode           `json:"tlsMode,omitempty"`
		MaxSessions     positiveInt       `json:"maxSessions,omitempty"`
		LastInboundAt   nullable[instant] `json:"lastInboundAt,omitempty"`
		Metadata        map[string]any    `json:"metadata,omitempty"`
	}
	importInboundEmailInput struct {
		RecipientAddress  nonEmpty       `json:"recipientAddress" jsonschema_description:"Our address"`
		RawMime           nonEmpty       `json:"rawMime,omitempty" names:"sender" jsonschema_description:"RFC 5322 text"`
		StructuredPayload map[string]any `json:"structuredPayload,omitempty" names:"sender" jsonschema_description:"Passed on as it is"`
		ReceivedAt        instant        `json:"receivedAt,omitempty"`
	}
	createTemplateInput struct {
		Model     nonEmpty `json:"model"`
		Name      nonEmpty `json:"name"`
		Subject   nonEmpty `json:"subject"`
		Body      nonEmpty `json:"body"`
		Variables []string `json:"variables,omitempty"`
		Active    bool     `json:"active,omitempty"`
	}
	updateTemplateInput struct {
		Model     nonEmpty `json:"model,omitempty"`
		Name      nonEmpty `json:"name,omitempty"`
		Subject   nonEmpty `json:"subject,omitempty"`
		Body      nonEmpty `json:"body,omitempty"`
		Variables []string `json:"variables,omitempty"`
		Active    bool     `json:"active,omitempty"`
	}
	createIdentityInput struct {
		OwnerType      ownerType          `json:"ownerType"`
		OwnerID        uuidText           `json:"ownerId" refers:"list_ai_agents" where:"ownerType=ai_agent" jsonschema_description:"Id of that owner"`
		LocalPart      nonEmpty           `json:"localPart"`
		Domain         nonEmpty           `json:"domain"`
		DisplayName    nullable[string]   `json:"displayName,omitempty"`
		Active         bool               `json:"active,omitempty"`
		DefaultOut     bool               `json:"defaultOutbound,omitempty"`
		Metadata       map[string]any     `json:"metadata,omitempty"`
		EmailMailboxID nullable[uuidText] `json:"emailMailboxId,omitempty"`
		OrganisationID uuidText           `json:"organisationId" jsonschema_description:"A field of list_call_participants"`
	}
	updateIdentityInput struct {
		OwnerType      ownerType          `json:"ownerType,omitempty"`
		OwnerID        uuidText           `json:"ownerId,omitempty" refers:"list_ai_agents" where:"ownerType=ai_agent"`
		LocalPart      nonEmpty           `json:"localPart,omitempty"`
		Domain         nonEmpty           `json:"domain,omitempty"`
		DisplayName    nullable[string]   `json:"displayName,omitempty"`
		Active         bool               `json:"active,omitempty"`
		DefaultOut     bool               `json:"defaultOutbound,omitempty"`
		Metadata       map[string]any     `json:"metadata,omitempty"`
		EmailMailboxID nullable[uuidText] `json:"emailMailboxId,omitempty"`
	}

	setOperatorStatusInput struct {
		SipUserID uuidText                 `json:"sipUserId" jsonschema_description:"From list_operator_statuses"`
		Status    operatorState            `json:"status,omitempty"`
		Source    nullable[operatorSource] `json:"source,omitempty"`
	}
	issueTokenInput struct {
		OperatorEmail nonEmpty `json:"operatorEmail" names:"email"`
	}
	issueMediaInput struct {
		CallUUID nonEmpty `json:"callUuid" jsonschema_description:"From list_calls; not its id"`
	}
)
