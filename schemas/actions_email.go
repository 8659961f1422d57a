package schemas

var emailActions = []*Action{
	{
		Name: "list_email_mailboxes", Title: "List email mailboxes", Class: Read, Toolsets: []Toolset{Email},
		Keys: "fields, filter?, sort?, page?", Resource: mailboxResource,
		FilterExample: `{"listenerStatus":{"eq":"failed"}}`,
		Description:   "List mailboxes that receive email, with listener status, say to see why no mail arrives. Addresses that send: list_email_identities.",
	},
	{
		Name: "create_email_mailbox", Title: "Create an email mailbox", Class: Write, Toolsets: []Toolset{Email},
		Keys: "input, fields?", Input: createMailboxInput{}, Resource: mailboxResource,
		Ask: "Add a mailbox for {input.inboundDomain}.", Effect: "Mail to the domain is received and AI agents may answer it.",
		Description: "Add a mailbox that receives a domain's email; AI agents may answer what arrives. Look in list_email_mailboxes first; change one with update_email_mailbox. To send: create_email_identity.",
	},
	{
		Name: "update_email_mailbox", Title: "Update an email mailbox", Class: Write, Toolsets: []Toolset{Email}, Repeatable: true, Overwrites: true,
		Keys: "identity, input, fields?", Input: updateMailboxInput{}, Resource: mailboxResource,
		Ask: "Change the mailbox {identity}.", Effect: "A wrong domain, listener or TLS mode stops inbound mail.",
		Description: "Change a mailbox; the rest stays, old values are lost. A wrong value stops inbound mail at once, so read list_email_mailboxes first. To pause it set listenerEnabled false, not delete_email_mailbox.",
	},
	{
		Name: "delete_email_mailbox", Title: "Delete an email mailbox", Class: Destructive, Toolsets: []Toolset{Email}, Repeatable: true,
		Keys: "identity",
		Ask:  "Delete the mailbox {identity}.", Effect: "Mail to its domain is no longer received; its settings cannot be brought back.",
		Description: "Delete a mailbox for good: its domain's mail is no longer received. A person is asked first. To pause it use update_email_mailbox with listenerEnabled false. A sender: delete_email_identity.",
	},
	{
		Name: "list_email_templates", Title: "List email templates", Class: Read, Toolsets: []Toolset{Email},
		Keys: "fields, filter?, sort?, page?", Resource: templateResource,
		FilterExample: `{"active":{"eq":true}}`,
		Description:   "List templates of emails to customers; name the field body to read one, say before update_email_template. Addresses that send them: list_email_identities.",
	},
	{
		Name: "create_email_template", Title: "Create an email template", Class: Write, Toolsets: []Toolset{Email},
		Keys: "input, fields?", Input: createTemplateInput{}, Resource: templateResource,
		Ask: "Add the email template {input.name}.", Effect: "While it is active, customers can get emails made from it.",
		Description: "Add a template for emails to customers; nothing is sent. It is used while active: set active false if somebody should look first. Copy model and placeholders of list_email_templates; change one by update_email_template.",
	},
	{
		Name: "update_email_template", Title: "Update an email template", Class: Write, Toolsets: []Toolset{Email}, Repeatable: true, Overwrites: true,
		Keys: "identity, input, fields?", Input: updateTemplateInput{}, Resource: templateResource,
		Ask: "Change the email template {identity}.", Effect: "Every later customer who gets this email reads the new text.",
		Description: "Change an email template; the rest stays, old text is lost: read its body in list_email_templates first. Every later customer reads it. To stop its use set active false, not delete_email_template.",
	},
	{
		Name: "delete_email_template", Title: "Delete an email template", Class: Destructive, Toolsets: []Toolset{Email}, Repeatable: true,
		Keys: "identity",
		Ask:  "Delete the email template {identity}.", Effect: "Its text is gone, and emails that need it are no longer made.",
		Description: "Delete an email template for good; emails that need it are no longer made. A person is asked first. To keep the text use update_email_template with active false.",
	},
	{
		Name: "list_email_identities", Title: "List email identities", Class: Read, Toolsets: []Toolset{Email},
		Keys: "fields, filter?, sort?, page?", Resource: identityResource,
		FilterExample: `{"defaultOutbound":{"eq":true}}`,
		Description:   "List sender addresses of the organisation, its AI agents and users, say to see the default one. Mailboxes that receive: list_email_mailboxes.",
	},
	{
		Name: "create_email_identity", Title: "Create an email identity", Class: Write, Toolsets: []Toolset{Email},
		Keys: "input, fields?", Input: createIdentityInput{}, Resource: identityResource,
		Ask: "Add the sender address {input.localPart}@{input.domain}.", Effect: "Its owner can send email as this address.",
		Description: "Add an address to send from; nothing is sent. With defaultOutbound, customers see it as the usual sender. Look in list_email_identities first; change one with update_email_identity. To receive: create_email_mailbox.",
	},
	{
		Name: "update_email_identity", Title: "Update an email identity", Class: Write, Toolsets: []Toolset{Email}, Repeatable: true, Overwrites: true,
		Keys: "identity, input, fields?", Input: updateIdentityInput{}, Resource: identityResource,
		Ask: "Change the email identity {identity}.", Effect: "Later emails go out under the changed address, name or owner.",
		Description: "Change a sender address; the rest stays, old values are lost: read list_email_identities first. Later emails go out under it. To stop its use set active false, not delete_email_identity.",
	},
	{
		Name: "delete_email_identity", Title: "Delete an email identity", Class: Destructive, Toolsets: []Toolset{Email}, Repeatable: true,
		Keys: "identity",
		Ask:  "Delete the email identity {identity}.", Effect: "Nobody can send as this address any more; its settings cannot be brought back.",
		Description: "Delete a sender address for good; nobody can send as it. A person is asked first. To keep it use update_email_identity with active false.",
	},
	{
		Name: "import_inbound_email", Title: "Import an inbound email", Class: Outbound, Toolsets: []Toolset{Email},
		Keys: "input, fields", Input: importInboundEmailInput{}, Targets: []string{"rawMime", "structuredPayload"}, Resource: messageResource, Shows: "list_email_classifications",
		Ask: "Hand in an email to {input.recipientAddress} as if it had just arrived.", Effect: "An AI agent may answer its sender.",
		Description: "Hand in an email as if it had just arrived, say one that a failed mailbox missed. An AI agent may answer its sender, so a person is asked first. Never hand one in twice. What arrived: list_email_classifications.",
	},
	{
		Name: "list_email_classifications", Title: "List email classifications", Class: Read, Toolsets: []Toolset{Email},
		Keys: "fields, filter?, sort?", Resource: emailClassificationResource,
		FilterExample: `{"effectiveLabel":{"eq":"complaint"}}`,
		Description:   "List what incoming emails were about, as labels. Their text cannot be read here; threads: list_conversations, calls: list_call_classifications. No pages: filter by insertedAt; unfiltered, the last 24 hours.",
	},
}
