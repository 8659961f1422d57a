package sandbox

func (o *organisation) contactActions() map[string]func(*action) {
	return map[string]func(*action){
		"create_contact": func(a *action) {
			a.Change = func(t *turn, _, next record) error {
				next["insertedAt"], next["updatedAt"] = t.stamp(), t.stamp()
				return nil
			}
		},
		"update_contact": func(a *action) { a.Change = touch },
		"archive_contact": func(a *action) {
			a.Atomic = false
			a.Change = func(t *turn, old, next record) error {
				if old["deletedAt"] == nil {
					next["deletedAt"] = t.stamp()
				}
				return touch(t, old, next)
			}
		},
		"delete_contact": func(a *action) {
			a.Run = func(t *turn, args record) (any, error) { return o.erase(t, a, args.text("contactId")) }
		},
	}
}

func touch(t *turn, _, next record) error {
	next["updatedAt"] = t.stamp()
	return nil
}

// erase empties everything personal in a contact and keeps the row, so that
// what refers to it still does. Erasing twice changes nothing.
func (o *organisation) erase(t *turn, a *action, id string) (any, error) {
	contacts := o.r["Contact"]
	rec, err := t.get(contacts, id)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, a.NotFound("id", id)
	}
	if rec["erasedAt"] != nil {
		return rec, nil
	}
	changes := record{
		"fullName": "[erased]", "email": nil, "emailVerifiedAt": nil, "dateOfBirth": nil, "phoneE164": nil, "phoneVerifiedAt": nil,
		"whatsappReachabilityStatus": "unknown", "whatsappJid": nil, "whatsappReachabilityCheckedAt": nil,
		"whatsappReachabilityError": nil, "metadata": document("{}"), "privateMetadataKeys": document("[]"),
		"defaultLanguage": nil, "languages": document("[]"), "erasedAt": t.stamp(), "updatedAt": t.stamp(),
	}
	if rec["deletedAt"] == nil {
		changes["deletedAt"] = t.stamp()
	}
	if err := t.update(contacts, id, changes); err != nil {
		return nil, err
	}
	return t.get(contacts, id)
}
