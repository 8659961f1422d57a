package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// keyHolder is the user behind the API key.
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

// fakeToken says in its own text that it opens nothing.
func (o *organisation) fakeToken(parts ...string) string {
	h := sha256.Sum256([]byte(o.id + strings.Join(parts, "\x00")))
	return "sandbox-not-a-real-token-" + hex.EncodeToString(h[:12])
}
