package schemas

// The typed inputs, one for each action that takes `input`. They are never
// filled: they are reflected, once, into the JSON Schemas that tools show and
// the checker enforces. A field without `omitempty` is required; a
// jsonschema_description is given where the name does not say enough. A `names`
// tag says that a value names a person; a contact's own email and number have
// none, since they belong to the contact and go with it.

type (
	getCampaignInput struct {
		ID ID `json:"id" jsonschema_description:"From list_campaigns"`
	}
	getCallQueueEntryInput struct {
		ID ID `json:"id" jsonschema_description:"From list_call_queue_entries"`
	}
	callUUIDInput struct {
		CallUUID Key `json:"callUuid" jsonschema_description:"From list_calls; not its id"`
	}
	leaveCallInput struct {
		CallUUID Key    `json:"callUuid" jsonschema_description:"From list_calls; not its id"`
		Reason   string `json:"reason,omitempty" jsonschema_description:"Recorded by Sippet"`
	}
	createCallInput struct {
		Direction           CallDirection     `json:"direction"`
		FromNumber          Key               `json:"fromNumber" names:"phone"`
		ToNumber            Key               `json:"toNumber" names:"phone"`
		SipUsername         Null[string]      `json:"sipUsername,omitempty"`
		CallUUID            Key               `json:"callUuid" jsonschema_description:"That system's unique id"`
		CallSource          string            `json:"callSource,omitempty"`
		OutboundTrunkSource Null[TrunkSource] `json:"outboundTrunkSource,omitempty"`
		Status              Null[CallStatus]  `json:"status,omitempty"`
		ConversationID      Null[ID]          `json:"conversationId,omitempty"`
		StartedAt           Null[Instant]     `json:"startedAt,omitempty"`
		AnsweredAt          Null[Instant]     `json:"answeredAt,omitempty"`
		MediaQualifiedAt    Null[Instant]     `json:"mediaQualifiedAt,omitempty"`
		CallerSpokeAt       Null[Instant]     `json:"callerSpokeAt,omitempty"`
	}
	overrideCallClassificationInput struct {
		Label Key `json:"label" jsonschema_description:"As in effectiveLabel of other calls"`
	}

	startOutboundCallInput struct {
		ContactID   ID    `json:"contactId,omitempty" names:"contact" jsonschema_description:"From list_contacts"`
		PhoneNumber Phone `json:"phoneNumber,omitempty" names:"phone" jsonschema_description:"Such as +442079460123"`
		AiAgentID   ID    `json:"aiAgentId,omitempty" jsonschema_description:"From list_ai_agents"`
	}
	startBulkOutboundCallInput struct {
		ContactIDs        []ID  `json:"contactIds,omitempty" names:"contact" jsonschema:"minItems=1,uniqueItems=true" jsonschema_description:"From list_contacts"`
		GroupID           ID    `json:"groupId,omitempty" jsonschema_description:"No tool lists groups"`
		AiAgentID         ID    `json:"aiAgentId,omitempty" jsonschema_description:"From list_ai_agents"`
		Concurrency       Count `json:"concurrency,omitempty" jsonschema_description:"Calls at a time"`
		ContactLimit      Count `json:"contactLimit,omitempty" jsonschema_description:"Most people to ring"`
		ContactRangeStart Index `json:"contactRangeStart,omitempty" jsonschema_description:"First position"`
		ContactRangeEnd   Index `json:"contactRangeEnd,omitempty" jsonschema_description:"Last position"`
	}

	createContactInput struct {
		FullName Key `json:"fullName"`
		contactInput
		Metadata Null[map[string]any] `json:"metadata,omitempty"`
	}
	updateContactInput struct {
		FullName Key `json:"fullName,omitempty"`
		contactInput
		Metadata Null[map[string]any] `json:"metadata,omitempty" jsonschema_description:"Replaces it whole"`
	}
	contactInput struct {
		Email               Null[string]  `json:"email,omitempty"`
		EmailVerifiedAt     Null[Instant] `json:"emailVerifiedAt,omitempty"`
		DateOfBirth         Null[Day]     `json:"dateOfBirth,omitempty"`
		PhoneE164           Null[Phone]   `json:"phoneE164,omitempty"`
		PhoneVerifiedAt     Null[Instant] `json:"phoneVerifiedAt,omitempty"`
		DefaultLanguage     Null[string]  `json:"defaultLanguage,omitempty"`
		Languages           []string      `json:"languages,omitempty"`
		PrivateMetadataKeys []string      `json:"privateMetadataKeys,omitempty" jsonschema_description:"Keys in metadata"`
	}
	deleteContactInput struct {
		ContactID ID `json:"contactId" names:"contact" jsonschema_description:"From list_contacts"`
	}

	createMailboxInput struct {
		InboundDomain Key `json:"inboundDomain"`
		mailboxInput
		OrganisationID ID `json:"organisationId" jsonschema_description:"A field of list_call_participants"`
	}
	updateMailboxInput struct {
		InboundDomain Key `json:"inboundDomain,omitempty"`
		mailboxInput
	}
	mailboxInput struct {
		MxTarget        Null[string]   `json:"mxTarget,omitempty"`
		ListenerEnabled bool           `json:"listenerEnabled,omitempty"`
		ListenerStatus  ListenerStatus `json:"listenerStatus,omitempty" jsonschema_description:"Leave to Sippet"`
		ListenerHost    Null[string]   `json:"listenerHost,omitempty"`
		ListenerPort    Count          `json:"listenerPort,omitempty"`
		TLSMode         TLSMode        `json:"tlsMode,omitempty"`
		MaxSessions     Count          `json:"maxSessions,omitempty"`
		LastInboundAt   Null[Instant]  `json:"lastInboundAt,omitempty"`
		Metadata        map[string]any `json:"metadata,omitempty"`
	}
	importInboundEmailInput struct {
		RecipientAddress  Key            `json:"recipientAddress" jsonschema_description:"Our address"`
		RawMime           Key            `json:"rawMime,omitempty" names:"sender" jsonschema_description:"RFC 5322 text"`
		StructuredPayload map[string]any `json:"structuredPayload,omitempty" jsonschema_description:"Passed on as it is"`
		ReceivedAt        Instant        `json:"receivedAt,omitempty"`
	}
	createTemplateInput struct {
		Model     Key      `json:"model"`
		Name      Key      `json:"name"`
		Subject   Key      `json:"subject"`
		Body      Key      `json:"body"`
		Variables []string `json:"variables,omitempty"`
		Active    bool     `json:"active,omitempty"`
	}
	updateTemplateInput struct {
		Model     Key      `json:"model,omitempty"`
		Name      Key      `json:"name,omitempty"`
		Subject   Key      `json:"subject,omitempty"`
		Body      Key      `json:"body,omitempty"`
		Variables []string `json:"variables,omitempty"`
		Active    bool     `json:"active,omitempty"`
	}
	createIdentityInput struct {
		OwnerType      OwnerType      `json:"ownerType"`
		OwnerID        ID             `json:"ownerId" jsonschema_description:"Id of that owner"`
		LocalPart      Key            `json:"localPart"`
		Domain         Key            `json:"domain"`
		DisplayName    Null[string]   `json:"displayName,omitempty"`
		Active         bool           `json:"active,omitempty"`
		DefaultOut     bool           `json:"defaultOutbound,omitempty"`
		Metadata       map[string]any `json:"metadata,omitempty"`
		EmailMailboxID Null[ID]       `json:"emailMailboxId,omitempty"`
		OrganisationID ID             `json:"organisationId" jsonschema_description:"A field of list_call_participants"`
	}
	updateIdentityInput struct {
		OwnerType      OwnerType      `json:"ownerType,omitempty"`
		OwnerID        ID             `json:"ownerId,omitempty"`
		LocalPart      Key            `json:"localPart,omitempty"`
		Domain         Key            `json:"domain,omitempty"`
		DisplayName    Null[string]   `json:"displayName,omitempty"`
		Active         bool           `json:"active,omitempty"`
		DefaultOut     bool           `json:"defaultOutbound,omitempty"`
		Metadata       map[string]any `json:"metadata,omitempty"`
		EmailMailboxID Null[ID]       `json:"emailMailboxId,omitempty"`
	}

	setOperatorStatusInput struct {
		SipUserID ID                   `json:"sipUserId" jsonschema_description:"From list_operator_statuses"`
		Status    OperatorState        `json:"status,omitempty"`
		Source    Null[OperatorSource] `json:"source,omitempty"`
	}
	issueTokenInput struct {
		OperatorEmail Key `json:"operatorEmail" names:"email"`
	}
	issueMediaInput struct {
		CallUUID Key `json:"callUuid" jsonschema_description:"From list_calls; not its id"`
	}
)
