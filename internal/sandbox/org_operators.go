package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// keyHolder is the user behind the API key.
func (o *organisation) keyHolder() string { return o.named("user", "nadia") }

func (o *organisation) operatorActions() map[string]func(*action) {
	return map[string]func(*action){
		"who_am_i": func(a *action) {
			a.Type = getAction
			a.Scope = func(*turn, record) (string, []any) { return `t."id" = ?`, []any{o.keyHolder()} }
		},
		"set_operator_status": func(a *action) {
			a.Type, a.UpsertOn, a.UpsertSet = createAction, "sipUserId", []string{"status", "source"}
			a.Change = func(_ *turn, _, next record) error {
				next["changedByUserId"] = o.keyHolder()
				return nil
			}
		},
		"issue_operator_access_token": func(a *action) {
			a.Resource = o.r["User"]
			a.Run = func(t *turn, args record) (any, error) {
				email := strings.ToLower(args.text("operatorEmail"))
				user, err := t.first(o.r["User"], `lower(t."email") = ?`, email)
				if err != nil {
					return nil, err
				}
				if user == nil {
					return nil, a.NotFound("email", email)
				}
				return map[string]any{"accessToken": o.fakeToken("operator", user.text("id"), t.stamp()), "tokenType": "Bearer",
					"expiresAt": t.now.Add(15 * time.Minute).Format(timeLayout),
					"operator":  map[string]any{"id": user["id"], "email": user["email"], "sipUsername": user["sipUsername"]}}, nil
			}
		},
		"issue_operator_media_access": func(a *action) {
			a.Resource = o.r["Call"]
			a.Run = func(t *turn, args record) (any, error) {
				call, err := o.liveCall(t, a, args)
				if err != nil {
					return nil, err
				}
				return map[string]any{"callUuid": call["callUuid"], "roomId": "room-" + call.text("callUuid"),
					"mediaUrl":    "wss://media.sandbox.invalid/rooms/" + call.text("callUuid"),
					"accessToken": o.fakeToken("media", call.text("id"), t.stamp()),
					"expiresAt":   t.now.Add(5 * time.Minute).Format(timeLayout)}, nil
			}
		},
	}
}

// fakeToken says in its own text that it opens nothing.
func (o *organisation) fakeToken(parts ...string) string {
	h := sha256.Sum256([]byte(o.id + strings.Join(parts, "\x00")))
	return "sandbox-not-a-real-token-" + hex.EncodeToString(h[:12])
}
