package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

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

// eraseContact removes everything personal from a contact. The record remains, because others refer
// to it. Erasing it again changes nothing.
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

// keyHolder returns the id of the user to whom the API key belongs.
func (o *organisation) keyHolder() string { return o.idOf("user", "nadia") }

func (o *organisation) operatorActions() map[string]func(*ash.Action) {
	return map[string]func(*ash.Action){
		"who_am_i": func(a *ash.Action) {
			a.Type = ash.GetAction
			a.Scope = func(*ash.Tx, ash.Record) (string, []any) { return `t."id" = ?`, []any{o.keyHolder()} }
		},
		"set_operator_status": func(a *ash.Action) {
			a.Type, a.UpsertOn, a.UpsertSet = ash.CreateAction, "sipUserId", []string{"status", "source"}
			a.Change = func(_ *ash.Tx, _, next ash.Record) error {
				next["changedByUserId"] = o.keyHolder()
				return nil
			}
		},
		"issue_operator_access_token": func(a *ash.Action) {
			a.Resource = o.resources["User"]
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) {
				email := strings.ToLower(args.Text("operatorEmail"))
				user, err := t.First(o.resources["User"], `lower(t."email") = ?`, email)
				if err != nil {
					return nil, err
				}
				if user == nil {
					return nil, a.NotFound("email", email)
				}
				return map[string]any{"accessToken": o.fakeToken("operator", user.Text("id"), t.Timestamp()), "tokenType": "Bearer",
					"expiresAt": t.Now.Add(15 * time.Minute).Format(ash.TimeLayout),
					"operator":  map[string]any{"id": user["id"], "email": user["email"], "sipUsername": user["sipUsername"]}}, nil
			}
		},
		"issue_operator_media_access": func(a *ash.Action) {
			a.Resource = o.resources["Call"]
			a.Run = func(t *ash.Tx, args ash.Record) (any, error) {
				call, err := o.findLiveCall(t, a, args)
				if err != nil {
					return nil, err
				}
				return map[string]any{"callUuid": call["callUuid"], "roomId": "room-" + call.Text("callUuid"),
					"mediaUrl":    "wss://media.sandbox.invalid/rooms/" + call.Text("callUuid"),
					"accessToken": o.fakeToken("media", call.Text("id"), t.Timestamp()),
					"expiresAt":   t.Now.Add(5 * time.Minute).Format(ash.TimeLayout)}, nil
			}
		},
	}
}

// fakeToken returns a token that says itself that it is not one.
func (o *organisation) fakeToken(parts ...string) string {
	h := sha256.Sum256([]byte(o.id + strings.Join(parts, "\x00")))
	return "sandbox-not-a-real-token-" + hex.EncodeToString(h[:12])
}
