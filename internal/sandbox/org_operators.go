package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// keyHolder is the user behind the API key.
func (o *organisation) keyHolder() string { return o.idOf("user", "nadia") }

func (o *organisation) operatorActions() map[string]func(*Action) {
	return map[string]func(*Action){
		"who_am_i": func(a *Action) {
			a.Type = GetAction
			a.Scope = func(*Tx, Record) (string, []any) { return `t."id" = ?`, []any{o.keyHolder()} }
		},
		"set_operator_status": func(a *Action) {
			a.Type, a.UpsertOn, a.UpsertSet = CreateAction, "sipUserId", []string{"status", "source"}
			a.Change = func(_ *Tx, _, next Record) error {
				next["changedByUserId"] = o.keyHolder()
				return nil
			}
		},
		"issue_operator_access_token": func(a *Action) {
			a.Resource = o.resources["User"]
			a.Run = func(t *Tx, args Record) (any, error) {
				email := strings.ToLower(args.Text("operatorEmail"))
				user, err := t.First(o.resources["User"], `lower(t."email") = ?`, email)
				if err != nil {
					return nil, err
				}
				if user == nil {
					return nil, a.NotFound("email", email)
				}
				return map[string]any{"accessToken": o.fakeToken("operator", user.Text("id"), t.Timestamp()), "tokenType": "Bearer",
					"expiresAt": t.Now.Add(15 * time.Minute).Format(TimeLayout),
					"operator":  map[string]any{"id": user["id"], "email": user["email"], "sipUsername": user["sipUsername"]}}, nil
			}
		},
		"issue_operator_media_access": func(a *Action) {
			a.Resource = o.resources["Call"]
			a.Run = func(t *Tx, args Record) (any, error) {
				call, err := o.findLiveCall(t, a, args)
				if err != nil {
					return nil, err
				}
				return map[string]any{"callUuid": call["callUuid"], "roomId": "room-" + call.Text("callUuid"),
					"mediaUrl":    "wss://media.sandbox.invalid/rooms/" + call.Text("callUuid"),
					"accessToken": o.fakeToken("media", call.Text("id"), t.Timestamp()),
					"expiresAt":   t.Now.Add(5 * time.Minute).Format(TimeLayout)}, nil
			}
		},
	}
}

// fakeToken says in its own text that it opens nothing.
func (o *organisation) fakeToken(parts ...string) string {
	h := sha256.Sum256([]byte(o.id + strings.Join(parts, "\x00")))
	return "sandbox-not-a-real-token-" + hex.EncodeToString(h[:12])
}
