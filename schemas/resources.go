package schemas

// The values that the reference states for fields which an input also writes.
var (
	callDirections   = []string{"inbound", "outbound"}
	callStatuses     = []string{"initiated", "ringing", "answered", "completed", "failed", "busy", "no_answer"}
	trunkSources     = []string{"default_sippet_trunk", "custom_gateway"}
	operatorStates   = []string{"available", "on_break", "logged_out"}
	operatorSources  = []string{"widget", "api", "system"}
	listenerStatuses = []string{"disabled", "starting", "running", "degraded", "failed"}
	tlsModes         = []string{"disabled", "optional", "required"}
	ownerTypes       = []string{"organisation", "ai_agent", "user"}
)

var callResource = resource("Call", "startedAt",
	field(UUID, "id"), field(Word, "direction", callDirections...),
	mine(Text, "fromNumber").naming(PhoneSubject), mine(Text, "toNumber").naming(PhoneSubject), field(Text, "sipUsername"),
	field(Word, "status", callStatuses...), field(Word, "callUuid"), field(Word, "callSource"),
	field(Time, "startedAt"), field(Time, "answeredAt"), field(Time, "mediaQualifiedAt"),
	field(Time, "callerSpokeAt"), field(Time, "endedAt"), field(Integer, "durationSeconds"),
	field(Word, "recordingStatus"), mine(Text, "recordingUri"), field(Time, "recordingUploadedAt"),
	field(Text, "recordingError"), mine(Map, "recordingMetadata"), field(UUID, "conversationId"),
	field(Time, "flaggedAt"), field(UUID, "flaggedByUserId"), mine(Map, "currentHandler"),
	field(Word, "currentHandlerType"), field(Word, "currentHandlerId"), mine(Text, "currentHandlerName"),
	field(Word, "currentOperatorMemberUuid"), mine(Text, "currentOperatorName"),
	field(UUID, "currentAiAgentId"), field(Text, "currentAiAgentName"), field(UUID, "contactId").naming(ContactSubject),
	mine(Text, "contactFullName"), field(Decimal, "billingCostCents"), field(Word, "billingCostCurrency"),
	field(Decimal, "platformAiBillingCostCents"), field(Integer, "platformAiInputTokens"),
	field(Integer, "platformAiOutputTokens"), field(Integer, "platformAiTotalTokens"),
).first("id", "callUuid", "direction", "status", "fromNumber", "toNumber", "startedAt", "endedAt",
	"durationSeconds", "contactId", "contactFullName", "currentHandlerType", "currentHandlerName", "flaggedAt", "conversationId").onCard("fromNumber", "toNumber", "contactFullName", "status", "startedAt")

var callParticipantResource = resource("CallParticipant", "joinedAt",
	field(UUID, "id"), field(Word, "memberUuid"), field(Word, "role"), field(Time, "joinedAt"),
	field(Time, "leftAt"), field(UUID, "callId"), field(UUID, "organisationId"),
).first("id", "callId", "role", "memberUuid", "joinedAt", "leftAt")

var callTranscriptResource = resource("CallTranscript", "occurredAt",
	field(UUID, "id"), mine(Text, "content"), field(Text, "speaker"), field(Word, "source"),
	field(Word, "itemId"), field(Integer, "contentIndex"), field(Time, "occurredAt"), field(UUID, "callId"),
).first("id", "callId", "occurredAt", "speaker", "content").inOrder()

var callClassificationResource = resource("CallClassification", "insertedAt",
	field(UUID, "id"), field(UUID, "callId"), field(Word, "status"), field(Text, "predictedLabel"),
	field(Float, "predictedConfidence"), field(Text, "effectiveLabel"), field(Word, "effectiveSource"),
	field(Word, "provider"), field(Word, "model"), field(Word, "taxonomyVersion"), field(Word, "promptVersion"),
	mine(Text, "classificationSummary"), mine(Text, "outcomeReason"), mine(Text, "nextAction"),
	field(Map, "tokenUsage"), field(Word, "providerResponseId"), field(Text, "lastError"),
	field(Time, "classifiedAt"), field(Time, "overriddenAt"), field(UUID, "overriddenByUserId"),
	field(Time, "insertedAt"), field(Time, "updatedAt"),
).first("id", "callId", "status", "effectiveLabel", "effectiveSource", "predictedLabel", "predictedConfidence",
	"classificationSummary", "outcomeReason", "nextAction", "classifiedAt").onCard("effectiveLabel", "classificationSummary", "classifiedAt")

var callAuditEventResource = resource("CallAiAuditEvent", "occurredAt",
	field(UUID, "id"), field(Word, "eventType"), field(Word, "toolName"), field(Word, "toolCallId"),
	mine(Text, "toolArgumentsRaw"), mine(Map, "toolArguments"), mine(Text, "toolOutput"), field(Text, "error"),
	field(Bool, "success"), field(Word, "stateId"), field(Text, "stateLabel"), field(Integer, "stepIndex"),
	field(Integer, "totalSteps"), field(Float, "progressPercent"), field(Map, "tokenUsage"),
	field(Integer, "inputTokens"), field(Integer, "outputTokens"), field(Integer, "totalTokens"),
	field(Integer, "inputTextTokens"), field(Integer, "inputAudioTokens"), field(Integer, "inputImageTokens"),
	field(Integer, "inputCachedTokens"), field(Integer, "inputCachedTextTokens"), field(Integer, "inputCachedAudioTokens"),
	field(Integer, "inputCachedImageTokens"), field(Integer, "outputTextTokens"), field(Integer, "outputAudioTokens"),
	field(Integer, "outputImageTokens"), field(Word, "model"), mine(Map, "payload"), field(Word, "callUuid"),
	field(Word, "roomId"), field(Word, "agentId"), field(Time, "occurredAt"), field(UUID, "callId"),
	field(UUID, "organisationId"),
).first("id", "callId", "occurredAt", "eventType", "toolName", "success", "error", "stateLabel", "stepIndex", "totalSteps")

var queueEntryResource = resource("CallQueueEntry", "waitStartedAt",
	field(UUID, "id"), field(Word, "callUuid"), field(Text, "queueName"), mine(Text, "callerIdNumber").naming(PhoneSubject),
	mine(Text, "callerIdName"), field(Word, "state"), mine(Text, "agentName"), field(Second, "waitStartedAt"),
	field(Second, "answeredAt"), field(Second, "completedAt"), field(Second, "abandonedAt"),
).first("id", "callUuid", "queueName", "state", "callerIdNumber", "callerIdName", "agentName", "waitStartedAt", "answeredAt").inOrder().onCard("callerIdName", "callerIdNumber", "queueName", "waitStartedAt")

var bulkCallResource = resource("BulkOutboundCall", "insertedAt",
	field(UUID, "id"), field(Word, "status"), field(Word, "targetType"), field(Integer, "contactLimit"),
	field(Integer, "concurrency"), field(Integer, "totalCount"), field(Integer, "startedCount"),
	field(Integer, "completedCount"), field(Integer, "failedCount"), field(Time, "startedAt"),
	field(Time, "completedAt"), field(UUID, "aiAgentId"), field(UUID, "initiatedByUserId"),
	field(UUID, "contactGroupId"), field(Time, "insertedAt"), field(Time, "updatedAt"),
).first("id", "status", "targetType", "totalCount", "startedCount", "completedCount", "failedCount",
	"concurrency", "startedAt", "completedAt", "aiAgentId", "contactGroupId")

var bulkEntryResource = resource("BulkOutboundCallEntry", "insertedAt",
	field(UUID, "id"), field(Integer, "position"), field(Word, "status"), field(Word, "callUuid"),
	field(Text, "errorMessage"), field(Time, "startedAt"), field(Time, "completedAt"),
	field(UUID, "bulkOutboundCallId"), field(UUID, "contactId").naming(ContactSubject), field(UUID, "callId"),
	field(Time, "insertedAt"), field(Time, "updatedAt"),
).first("id", "bulkOutboundCallId", "position", "status", "contactId", "callId", "callUuid", "errorMessage", "startedAt", "completedAt")

var conversationResource = resource("Conversation", "insertedAt",
	field(UUID, "id"), field(Word, "status"), field(Date, "sessionDate"), field(Word, "timezone"),
	field(Time, "startedAt"), field(Time, "lastActivityAt"), field(Time, "endedAt"), mine(Text, "workingSummary"),
	mine(Map, "runtimeState"), mine(Map, "runtimeMemory"), field(Text, "outcome"), mine(Text, "summary"),
	field(Word, "channel"), field(Word, "mode"), field(Word, "transport"), field(Text, "sessionScopeKey"),
	field(Word, "publicId"), mine(Map, "metadata"), field(UUID, "aiAgentId"), field(UUID, "contactId").naming(ContactSubject),
	field(UUID, "communicationThreadId"), field(Time, "insertedAt"), field(Time, "updatedAt"),
).first("id", "status", "channel", "startedAt", "lastActivityAt", "endedAt", "outcome", "summary", "aiAgentId", "contactId")

var conversationEventResource = resource("ConversationEvent", "occurredAt",
	field(UUID, "id"), field(Word, "eventType"), field(Word, "source"), mine(Text, "summary"),
	mine(Map, "metadata"), mine(Map, "payload"), field(Word, "callUuid"), field(Word, "roomId"),
	field(Word, "actorType"), field(Word, "actorId"), field(Text, "speaker"), field(Word, "toolName"),
	field(Word, "toolCallId"), field(Bool, "success"), field(Text, "error"), field(Word, "stateId"),
	field(Text, "stateLabel"), field(Map, "tokenUsage"), field(Word, "model"), field(Time, "occurredAt"),
	field(UUID, "callId"), field(UUID, "conversationId"), field(Word, "agentId"),
).first("id", "conversationId", "occurredAt", "eventType", "speaker", "summary", "toolName", "success", "error")

var contactResource = resource("Contact", "",
	field(UUID, "id").naming(ContactSubject), mine(Text, "fullName"), mine(Text, "email").naming(EmailSubject), field(Time, "emailVerifiedAt"),
	mine(Date, "dateOfBirth"), mine(Text, "phoneE164").naming(PhoneSubject), field(Time, "phoneVerifiedAt"),
	field(Word, "whatsappReachabilityStatus"), mine(Text, "whatsappJid"), field(Time, "whatsappReachabilityCheckedAt"),
	field(Text, "whatsappReachabilityError"), mine(Map, "metadata"), field(Texts, "privateMetadataKeys"),
	field(Word, "defaultLanguage"), field(Texts, "languages"), field(Time, "deletedAt"), field(Time, "erasedAt"),
).first("id", "fullName", "email", "phoneE164", "defaultLanguage", "deletedAt", "erasedAt").erased("erasedAt").onCard("fullName", "phoneE164", "email")

var messageResource = resource("CommunicationMessage", "occurredAt",
	field(UUID, "id"), field(Word, "channel"), field(Word, "direction"), field(Word, "status"), mine(Text, "body"),
	mine(Text, "subject"), mine(Text, "fromAddress").naming(EmailSubject), mine(Text, "toAddress").naming(EmailSubject), field(Word, "provider"),
	field(Text, "providerMessageId"), field(Text, "error"), field(Time, "occurredAt"), mine(Map, "metadata"),
	field(UUID, "conversationId"), field(UUID, "threadId"), field(UUID, "contactId").naming(ContactSubject),
).first("id", "status", "subject", "fromAddress", "toAddress", "occurredAt", "threadId", "contactId", "conversationId")

var emailClassificationResource = resource("EmailClassification", "insertedAt",
	field(UUID, "id"), field(UUID, "communicationMessageId"), field(Word, "status"), field(Text, "predictedLabel"),
	field(Float, "predictedConfidence"), field(Text, "effectiveLabel"), field(Word, "effectiveSource"),
	field(Word, "provider"), field(Word, "model"), field(Word, "taxonomyVersion"), field(Word, "promptVersion"),
	field(Map, "tokenUsage"), field(Decimal, "estimatedCost"), field(Word, "providerResponseId"),
	field(Text, "lastError"), field(Time, "classifiedAt"), field(Time, "overriddenAt"),
	field(UUID, "overriddenByUserId"), field(Time, "insertedAt"), field(Time, "updatedAt"),
).first("id", "communicationMessageId", "status", "effectiveLabel", "effectiveSource", "predictedLabel", "predictedConfidence", "classifiedAt")

var mailboxResource = resource("EmailMailbox", "",
	field(UUID, "id"), field(Text, "inboundDomain"), field(Text, "mxTarget"), field(Bool, "listenerEnabled"),
	field(Word, "listenerStatus", listenerStatuses...), field(Text, "listenerHost"), field(Integer, "listenerPort"),
	field(Word, "tlsMode", tlsModes...), field(Integer, "maxSessions"), field(Time, "lastInboundAt"), field(Map, "metadata"),
).first("id", "inboundDomain", "listenerEnabled", "listenerStatus", "tlsMode", "lastInboundAt").onCard("inboundDomain", "listenerStatus", "lastInboundAt")

var templateResource = resource("EmailTemplate", "",
	field(UUID, "id"), field(Text, "model"), field(Text, "name"), field(Text, "subject"), field(Text, "body"),
	field(Texts, "variables"), field(Bool, "active"),
).first("id", "model", "name", "subject", "variables", "active").onCard("name", "subject")

var identityResource = resource("EmailIdentity", "",
	field(UUID, "id"), field(Word, "ownerType", ownerTypes...), field(UUID, "ownerId"), field(Text, "localPart"),
	field(Text, "domain"), mine(Text, "displayName"), field(Bool, "active"), field(Bool, "defaultOutbound"),
	field(Map, "metadata"), field(UUID, "emailMailboxId"),
).first("id", "ownerType", "ownerId", "localPart", "domain", "displayName", "active", "defaultOutbound", "emailMailboxId").onCard("displayName", "localPart", "domain")

var userResource = resource("User", "",
	field(UUID, "id"), mine(Text, "fullName"), mine(Text, "email"), field(Time, "confirmedAt"), field(Text, "sipUsername"),
).first("id", "fullName", "email", "confirmedAt", "sipUsername")

var operatorStatusResource = resource("OperatorStatus", "",
	field(UUID, "id"), field(UUID, "sipUserId"), mine(Text, "agentName"), field(Word, "status", operatorStates...),
	field(Word, "source", operatorSources...), field(UUID, "changedByUserId"),
).first("id", "agentName", "sipUserId", "status", "source").onCard("agentName", "status")

var aiAgentResource = resource("AiAgent", "",
	field(UUID, "id"), field(Text, "name"), field(Word, "realtimeProvider"), field(Word, "realtimeModel"),
	field(Word, "callerNameVerificationMode"), field(Texts, "identityVerificationFactors"),
	field(Bool, "inactivityEnabled"), field(Integer, "inactivityFirstReminderMs"), field(Integer, "inactivityFollowUpMs"),
	field(Bool, "inactivityCallEnabled"), field(Integer, "inactivityCallFirstReminderMs"), field(Integer, "inactivityCallFollowUpMs"),
	field(Bool, "inactivityEmailEnabled"), field(Integer, "inactivityEmailFirstReminderMs"), field(Integer, "inactivityEmailFollowUpMs"),
	field(Bool, "inactivityWhatsappEnabled"), field(Integer, "inactivityWhatsappFirstReminderMs"), field(Integer, "inactivityWhatsappFollowUpMs"),
	field(Bool, "inactivityDiscordEnabled"), field(Integer, "inactivityDiscordFirstReminderMs"), field(Integer, "inactivityDiscordFollowUpMs"),
	field(Bool, "inactivityCallAutoEndEnabled"), field(Text, "inactivityCallAutoEndMessage"),
	field(Bool, "inactivityWhatsappAutoEndEnabled"), field(Text, "inactivityWhatsappAutoEndMessage"),
	field(Bool, "contactMemoryEnabled"), field(Word, "contactMemoryWriteMode"), field(Integer, "contactMemoryMaxResults"),
	field(Word, "scriptOpeningMode"), field(Word, "voice"), field(Text, "tone"), field(Texts, "languages"),
	field(Map, "workflow"), field(Text, "scriptComposition"), field(Text, "scriptExamples"),
	field(Bool, "promptSecurityMiddlewareEnabled"), field(Integer, "promptSecurityTimeoutMs"), field(Text, "systemPrompt"),
	field(Text, "safetyGuardrails"), field(Texts, "enabledToolIds"), field(Map, "toolSettings"), field(Bool, "published"),
).first("id", "name", "published", "realtimeProvider", "realtimeModel", "voice", "tone", "languages")
