package sandbox

import "github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"

func (o *organisation) contactActions() map[string]func(*ash.Action) {
	return map[string]func(*ash.Action){
		"create_contact": func(a *ash.Action) {
			a.Change = func(t *ash.Tx, _, next ash.Record) error {
				next["insertedAt"], next["updatedAt"] = t.Timestamp(), t.Timestamp()
				return nil
			}
		},
		"update_contact": func(a *ash.Action) { a.Change = setUpdatedAt },
		"archive_contact": func(a *ash.Action) {
			a.Atomic = false
			a.Change = func(t *ash.Tx, old, next ash.Record) error {
				if old["deletedAt"] == nil {
					next["deletedAt"] = t.Timestamp()
				}
				return setUpdatedAt(t, old, next)
			}
		},
		"delete_contact": func(a *ash.Action) {
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) { return o.eraseContact(t, a, args.Text("contactId")) }
		},
	}
}

func setUpdatedAt(t *ash.Tx, _, next ash.Record) error {
	next["updatedAt"] = t.Timestamp()
	return nil
}

// eraseContact empties everything personal in a contact and keeps the row, so that
// what refers to it still does. Erasing twice changes nothing.
func (o *organisation) eraseContact(t *ash.Tx, a *ash.Action, id string) (any, error) {
	contacts := o.resources["Contact"]
	rec, err := t.Get(contacts, id)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, a.NotFound("id", id)
	}
	if rec["erasedAt"] != nil {
		return rec, nil
	}
	changes := ash.Record{
		"fullName": "[erased]", "email": nil, "emailVerifiedAt": nil, "dateOfBirth": nil, "phoneE164": nil, "phoneVerifiedAt": nil,
		"whatsappReachabilityStatus": "unknown", "whatsappJid": nil, "whatsappReachabilityCheckedAt": nil,
		"whatsappReachabilityError": nil, "metadata": ash.Document("{}"), "privateMetadataKeys": ash.Document("[]"),
		"defaultLanguage": nil, "languages": ash.Document("[]"), "erasedAt": t.Timestamp(), "updatedAt": t.Timestamp(),
	}
	if rec["deletedAt"] == nil {
		changes["deletedAt"] = t.Timestamp()
	}
	if err := t.Update(contacts, id, changes); err != nil {
		return nil, err
	}
	return t.Get(contacts, id)
}
