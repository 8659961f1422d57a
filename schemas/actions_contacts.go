package schemas

var contactActions = []*Action{
	{
		Name: "list_contacts", Title: "List contacts", Class: Read, Toolsets: []Toolset{Contacts, OutboundCalls, Conversations},
		payloadKeys: "fields, filter?, sort?, page?", Resource: contactResource,
		filterExample: `{"fullName":{"ilike":"%ada%"}}`,
		Description:   "List people the organisation knows, to find a contact's id before ringing, changing or erasing. Leave out archived ones with {\"deletedAt\":{\"isNil\":true}}. What they said: list_conversations.",
	},
	{
		Name: "create_contact", Title: "Create a contact", Class: Write, Toolsets: []Toolset{Contacts}, EffectKind: ContactChange,
		payloadKeys: "input, fields?", input: createContactInput{}, Resource: contactResource,
		Ask: "Add the contact {input.fullName}.", Effect: "The contact can be rung and written to from then on; archive_contact retires it.",
		ApproveButton: "Add this contact", DeclineButton: "Don't add",
		creates: true, undo: &undo{never: "a new contact can only be archived with archive_contact or erased with delete_contact, and both are final"},
		Description: "Add a person to the contacts. Doubles are not merged: look in list_contacts first, and use update_contact if they are there. Leave *VerifiedAt out: a person sets it later, with update_contact.",
	},
	{
		Name: "update_contact", Title: "Update a contact", Class: Write, Toolsets: []Toolset{Contacts}, Idempotent: true, Overwrites: true, EffectKind: ContactChange,
		payloadKeys: "identity, input, fields?", input: updateContactInput{}, Resource: contactResource,
		Ask: "Change the contact {identity}.", Effect: "Number, email, birthday and verification decide who is rung later and how callers prove who they are.",
		ApproveButton: "Change this contact", DeclineButton: "Don't change",
		undo:        &undo{set: "update_contact"},
		Description: "Change fields of a contact; the rest stays, old values are lost. Phone, email, birthday and *VerifiedAt decide who is rung and who callers are: never set them on a caller's word alone. To retire one: archive_contact.",
	},
	{
		Name: "archive_contact", Title: "Archive a contact", Class: Destructive, Toolsets: []Toolset{Contacts}, Idempotent: true, EffectKind: ContactChange,
		payloadKeys: "identity, fields?", Resource: contactResource,
		Ask: "Archive the contact {identity}.", Effect: "The contact's data is kept, but this API cannot restore the contact.",
		ApproveButton: "Archive this contact", DeclineButton: "Don't archive",
		Description: "Retire a contact no longer wanted: data stays, but no tool takes it back, so a person is asked first. To erase personal data use delete_contact; to correct it, update_contact.",
	},
	{
		Name: "delete_contact", Title: "Erase a contact", Class: Destructive, Toolsets: []Toolset{Contacts}, Idempotent: true, EffectKind: ContactChange,
		payloadKeys: "input, fields", input: deleteContactInput{}, Resource: contactResource,
		Ask: "Erase the contact {input.contactId} for good.", Effect: "Name, number, email and all other personal data of the contact are gone; nobody can restore them.",
		ApproveButton: "Erase this record", DeclineButton: "Don't erase",
		erases:      true,
		Description: "Erase a contact's personal data for good, as a privacy request demands. Nobody can undo it, so a person is asked first. To keep the data use archive_contact; never to tidy up.",
	},
}
