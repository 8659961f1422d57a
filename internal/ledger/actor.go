package ledger

import "encoding/json"

// Actor is who did something, and through which channel.
type Actor struct {
	// Name is the person's or program's name, such as `ada`; empty for nobody.
	Name string `json:"name,omitempty"`
	// Via is the channel: `stdio`, `http`, `terminal`, `inbox`, `api`, `client` and what the client
	// calls itself (an elicitation), or `token` and a token's id; empty if there is only one.
	Via string `json:"via,omitempty"`
}

// String returns the actor for people: `ada, via inbox`.
func (a Actor) String() string {
	if a.Via == "" {
		return a.Name
	}
	return a.Name + ", via " + a.Via
}

// clipped bounds both texts, as records hold them.
func (a Actor) clipped() Actor { return Actor{clip(a.Name), clip(a.Via)} }

// column returns the actor as a table holds it: canonical JSON, `{}` for the zero Actor.
func (a Actor) column() string {
	raw, err := json.Marshal(a.clipped())
	if err != nil {
		return "{}" // strings always marshal
	}
	return string(raw)
}

// parseActor reads what column wrote. Anything else is a changed row, which Verify reports; it
// names nobody.
func parseActor(text string) (a Actor) {
	if text != "" && json.Unmarshal([]byte(text), &a) != nil {
		return Actor{}
	}
	return a
}
