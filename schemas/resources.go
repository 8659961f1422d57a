package schemas

// The values that the reference states for fields that an input writes too.
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
	personal(Text, "fromNumber").identifying(PhoneSubject), personal(Text, "toNumber").identifying(PhoneSubject), field(Text, "sipUsername"),
	field(Word, "status", callStatuses...), field(Word, "callUuid"), field(Word, "callSource"),
	field(Time, "startedAt"), field(Time, "answeredAt"), field(Time, "mediaQualifiedAt"),
	field(Time, "callerSpokeAt"), field(Time, "endedAt"), field(Integer, "durationSeconds"),
	field(Word, "recordingStatus"), personal(Text, "recordingUri"), field(Time, "recordingUploadedAt"),
	field(Text, "recordingError"), personal(Map, "recordingMetadata"), field(UUID, "conversationId"),
	field(Time, "flaggedAt"), field(UUID, "flaggedByUserId"), personal(Map, "currentHandler"),
	field(Word, "currentHandlerType"), field(Word, "currentHandlerId"), personal(Text, "currentHandlerName"),
	field(Word, "currentOperatorMemberUuid"), personal(Text, "currentOperatorName"),
	field(UUID, "currentAiAgentId"), field(Text, "currentAiAgentName"), field(UUID, "contactId").identifying(ContactSubject),
	personal(Text, "contactFullName"), field(Decimal, "billingCostCents"), field(Word, "billingCostCurrency"),
	field(Decimal, "platformAiBillingCostCents"), field(Integer, "platformAiInputTokens"),
	field(Integer, "platformAiOutputTokens"), field(Integer, "platformAiTotalTokens"),
).byDefault("id", "callUuid", "direction", "status", "fromNumber", "toNumber", "startedAt", "endedAt",
	"durationSeconds", "contactId", "contactFullName", "currentHandlerType", "currentHandlerName", "flaggedAt", "conversationId").shownOnCard("fromNumber", "toNumber", "contactFullName", "status", "startedAt").changing("status").
	called("call", "calls").keeping("numbers, recordings, transcripts, summaries")

var callParticipantResource = resource("CallParticipant", "joinedAt",
	field(UUID, "id"), field(Word, "memberUuid"), field(Word, "role"), field(Time, "joinedAt"),
	field(Time, "leftAt"), field(UUID, "callId"), field(UUID, "organisationId"),
).byDefault("id", "callId", "role", "memberUuid", "joinedAt", "leftAt")

var callTranscriptResource = resource("CallTranscript", "occurredAt",
	field(UUID, "id"), personal(Text, "content"), field(Text, "speaker"), field(Word, "source"),
	field(Word, "itemId"), field(Integer, "contentIndex"), field(Time, "occurredAt"), field(UUID, "callId"),
).byDefault("id", "callId", "occurredAt", "speaker", "content").sortedOldestFirst()

var callClassificationResource = resource("CallClassification", "insertedAt",
	field(UUID, "id"), field(UUID, "callId"), field(Word, "status"), field(Text, "predictedLabel"),
	field(Float, "predictedConfidence"), field(Text, "effectiveLabel"), field(Word, "effectiveSource"),
	field(Word, "provider"), field(Word, "model"), field(Word, "taxonomyVersion"), field(Word, "promptVersion"),
	personal(Text, "classificationSummary"), personal(Text, "outcomeReason"), personal(Text, "nextAction"),
	field(Map, "tokenUsage"), field(Word, "providerResponseId"), field(Text, "lastError"),
	field(Time, "classifiedAt"), field(Time, "overriddenAt"), field(UUID, "overriddenByUserId"),
	field(Time, "insertedAt"), field(Time, "updatedAt"),
).byDefault("id", "callId", "status", "effectiveLabel", "effectiveSource", "predictedLabel", "predictedConfidence",
	"classificationSummary", "outcomeReason", "nextAction", "classifiedAt").shownOnCard("effectiveLabel", "classificationSummary", "classifiedAt")

var callAuditEventResource = resource("CallAiAuditEvent", "occurredAt",
	field(UUID, "id"), field(Word, "eventType"), field(Word, "toolName"), field(Word, "toolCallId"),
	personal(Text, "toolArgumentsRaw"), personal(Map, "toolArguments"), personal(Text, "toolOutput"), field(Text, "error"),
	field(Bool, "success"), field(Word, "stateId"), field(Text, "stateLabel"), field(Integer, "stepIndex"),
	field(Integer, "totalSteps"), field(Float, "progressPercent"), field(Map, "tokenUsage"),
	field(Integer, "inputTokens"), field(Integer, "outputTokens"), field(Integer, "totalTokens"),
	field(Integer, "inputTextTokens"), field(Integer, "inputAudioTokens"), field(Integer, "inputImageTokens"),
	field(Integer, "inputCachedTokens"), field(Integer, "inputCachedTextTokens"), field(Integer, "inputCachedAudioTokens"),
	field(Integer, "inputCachedImageTokens"), field(Integer, "outputTextTokens"), field(Integer, "outputAudioTokens"),
	field(Integer, "outputImageTokens"), field(Word, "model"), personal(Map, "payload"), field(Word, "callUuid"),
	field(Word, "roomId"), field(Word, "agentId"), field(Time, "occurredAt"), field(UUID, "callId"),
	field(UUID, "organisationId"),
).byDefault("id", "callId", "occurredAt", "eventType", "toolName", "success", "error", "stateLabel", "stepIndex", "totalSteps")

var queueEntryResource = resource("CallQueueEntry", "waitStartedAt",
	field(UUID, "id"), field(Word, "callUuid"), field(Text, "queueName"), personal(Text, "callerIdNumber").identifying(PhoneSubject),
	personal(Text, "callerIdName"), field(Word, "state"), personal(Text, "agentName"), field(Second, "waitStartedAt"),
	field(Second, "answeredAt"), field(Second, "completedAt"), field(Second, "abandonedAt"),
).byDefault("id", "callUuid", "queueName", "state", "callerIdNumber", "callerIdName", "agentName", "waitStartedAt", "answeredAt").sortedOldestFirst().shownOnCard("callerIdName", "callerIdNumber", "queueName", "waitStartedAt").
	called("queue entry", "queue entries").keeping("numbers, caller names")

var bulkCallResource = resource("BulkOutboundCall", "insertedAt",
	field(UUID, "id"), field(Word, "status"), field(Word, "targetType"), field(Integer, "contactLimit"),
	field(Integer, "concurrency"), field(Integer, "totalCount"), field(Integer, "startedCount"),
	field(Integer, "completedCount"), field(Integer, "failedCount"), field(Time, "startedAt"),
	field(Time, "completedAt"), field(UUID, "aiAgentId"), field(UUID, "initiatedByUserId"),
	field(UUID, "contactGroupId"), field(Time, "insertedAt"), field(Time, "updatedAt"),
).byDefault("id", "status", "targetType", "totalCount", "startedCount", "completedCount", "failedCount",
	"concurrency", "startedAt", "completedAt", "aiAgentId", "contactGroupId")

var bulkEntryResource = resource("BulkOutboundCallEntry", "insertedAt",
	field(UUID, "id"), field(Integer, "position"), field(Word, "status"), field(Word, "callUuid"),
	field(Text, "errorMessage"), field(Time, "startedAt"), field(Time, "completedAt"),
	field(UUID, "bulkOutboundCallId"), field(UUID, "contactId").identifying(ContactSubject), field(UUID, "callId"),
	field(Time, "insertedAt"), field(Time, "updatedAt"),
).byDefault("id", "bulkOutboundCallId", "position", "status", "contactId", "callId", "callUuid", "errorMessage", "startedAt", "completedAt")

var conversationResource = resource("Conversation", "insertedAt",
	field(UUID, "id"), field(Word, "status"), field(Date, "sessionDate"), field(Word, "timezone"),
	field(Time, "startedAt"), field(Time, "lastActivityAt"), field(Time, "endedAt"), personal(Text, "workingSummary"),
	personal(Map, "runtimeState"), personal(Map, "runtimeMemory"), field(Text, "outcome"), personal(Text, "summary"),
	field(Word, "channel"), field(Word, "mode"), field(Word, "transport"), field(Text, "sessionScopeKey"),
	field(Word, "publicId"), personal(Map, "metadata"), field(UUID, "aiAgentId"), field(UUID, "contactId").identifying(ContactSubject),
	field(UUID, "communicationThreadId"), field(Time, "insertedAt"), field(Time, "updatedAt"),
).byDefault("id", "status", "channel", "startedAt", "lastActivityAt", "endedAt", "outcome", "summary", "aiAgentId", "contactId").
	called("conversation", "conversations").keeping("messages, summaries")

var conversationEventResource = resource("ConversationEvent", "occurredAt",
	field(UUID, "id"), field(Word, "eventType"), field(Word, "source"), personal(Text, "summary"),
	personal(Map, "metadata"), personal(Map, "payload"), field(Word, "callUuid"), field(Word, "roomId"),
	field(Word, "actorType"), field(Word, "actorId"), field(Text, "speaker"), field(Word, "toolName"),
	field(Word, "toolCallId"), field(Bool, "success"), field(Text, "error"), field(Word, "stateId"),
	field(Text, "stateLabel"), field(Map, "tokenUsage"), field(Word, "model"), field(Time, "occurredAt"),
	field(UUID, "callId"), field(UUID, "conversationId"), field(Word, "agentId"),
).byDefault("id", "conversationId", "occurredAt", "eventType", "speaker", "summary", "toolName", "success", "error")

var contactResource = resource("Contact", "",
	field(UUID, "id").identifying(ContactSubject), personal(Text, "fullName").as("name"), personal(Text, "email").identifying(EmailSubject).as("email"), field(Time, "emailVerifiedAt"),
	personal(Date, "dateOfBirth").as("birthday"), personal(Text, "phoneE164").identifying(PhoneSubject).as("number"), field(Time, "phoneVerifiedAt"),
	field(Word, "whatsappReachabilityStatus"), personal(Text, "whatsappJid").as("WhatsApp"), field(Time, "whatsappReachabilityCheckedAt"),
	field(Text, "whatsappReachabilityError"), personal(Map, "metadata").as("metadata"), field(Texts, "privateMetadataKeys"),
	field(Word, "defaultLanguage").as("languages"), field(Texts, "languages").as("languages"), field(Time, "deletedAt"), field(Time, "erasedAt"),
).byDefault("id", "fullName", "email", "phoneE164", "defaultLanguage", "deletedAt", "erasedAt").withErased("erasedAt").shownOnCard("fullName", "phoneE164", "email")

var messageResource = resource("CommunicationMessage", "occurredAt",
	field(UUID, "id"), field(Word, "channel"), field(Word, "direction"), field(Word, "status"), personal(Text, "body"),
	personal(Text, "subject"), personal(Text, "fromAddress").identifying(EmailSubject), personal(Text, "toAddress").identifying(EmailSubject), field(Word, "provider"),
	field(Text, "providerMessageId"), field(Text, "error"), field(Time, "occurredAt"), personal(Map, "metadata"),
	field(UUID, "conversationId"), field(UUID, "threadId"), field(UUID, "contactId").identifying(ContactSubject),
).byDefault("id", "status", "subject", "fromAddress", "toAddress", "occurredAt", "threadId", "contactId", "conversationId")

var emailClassificationResource = resource("EmailClassification", "insertedAt",
	field(UUID, "id"), field(UUID, "communicationMessageId"), field(Word, "status"), field(Text, "predictedLabel"),
	field(Float, "predictedConfidence"), field(Text, "effectiveLabel"), field(Word, "effectiveSource"),
	field(Word, "provider"), field(Word, "model"), field(Word, "taxonomyVersion"), field(Word, "promptVersion"),
	field(Map, "tokenUsage"), field(Decimal, "estimatedCost"), field(Word, "providerResponseId"),
	field(Text, "lastError"), field(Time, "classifiedAt"), field(Time, "overriddenAt"),
	field(UUID, "overriddenByUserId"), field(Time, "insertedAt"), field(Time, "updatedAt"),
).byDefault("id", "communicationMessageId", "status", "effectiveLabel", "effectiveSource", "predictedLabel", "predictedConfidence", "classifiedAt")

var mailboxResource = resource("EmailMailbox", "",
	field(UUID, "id"), field(Text, "inboundDomain"), field(Text, "mxTarget"), field(Bool, "listenerEnabled"),
	field(Word, "listenerStatus", listenerStatuses...), field(Text, "listenerHost"), field(Integer, "listenerPort"),
	field(Word, "tlsMode", tlsModes...), field(Integer, "maxSessions"), field(Time, "lastInboundAt"), field(Map, "metadata"),
).byDefault("id", "inboundDomain", "listenerEnabled", "listenerStatus", "tlsMode", "lastInboundAt").shownOnCard("inboundDomain", "listenerStatus", "lastInboundAt").changing("listenerStatus", "lastInboundAt")

var templateResource = resource("EmailTemplate", "",
	field(UUID, "id"), field(Text, "model"), field(Text, "name"), field(Text, "subject").sent(), field(Text, "body").sent(),
	field(Texts, "variables"), field(Bool, "active"),
).byDefault("id", "model", "name", "subject", "variables", "active").shownOnCard("name", "subject")

var identityResource = resource("EmailIdentity", "",
	field(UUID, "id"), field(Word, "ownerType", ownerTypes...), field(UUID, "ownerId"), field(Text, "localPart"),
	field(Text, "domain"), personal(Text, "displayName"), field(Bool, "active"), field(Bool, "defaultOutbound"),
	field(Map, "metadata"), field(UUID, "emailMailboxId"),
).byDefault("id", "ownerType", "ownerId", "localPart", "domain", "displayName", "active", "defaultOutbound", "emailMailboxId").shownOnCard("displayName", "localPart", "domain")

var userResource = resource("User", "",
	field(UUID, "id"), personal(Text, "fullName"), personal(Text, "email"), field(Time, "confirmedAt"), field(Text, "sipUsername"),
).byDefault("id", "fullName", "email", "confirmedAt", "sipUsername").shownOnCard("fullName", "email").called("operator", "operators")

var operatorStatusResource = resource("OperatorStatus", "",
	field(UUID, "id"), field(UUID, "sipUserId"), personal(Text, "agentName"), field(Word, "status", operatorStates...),
	field(Word, "source", operatorSources...), field(UUID, "changedByUserId"),
).byDefault("id", "agentName", "sipUserId", "status", "source").shownOnCard("agentName", "status").changing("status")

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
).byDefault("id", "name", "published", "realtimeProvider", "realtimeModel", "voice", "tone", "languages").shownOnCard("name", "published").called("agent", "agents")
