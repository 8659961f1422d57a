package schemas

import "encoding/json"

// Safe says which calls of an action are in the safe direction: they only end or flag something, so
// they wait for nobody. Only a deny of the policy stops them.
type Safe string

const (
	// SafeAlways is every call of the action.
	SafeAlways Safe = "always"
	// SafeOnOwnCall is a call about a live call that the same caller's work started.
	SafeOnOwnCall Safe = "own call"
)

// starts is what a successful call of an action starts.
type starts int

const (
	startsCall starts = iota + 1
	startsBulk
)

// startedKeys are the keys of Sippet's answer that name what was started. Newer servers do not
// rewrite the keys of maps.
var startedKeys = map[starts][]string{
	startsCall: {"callUuid", "call_uuid"},
	startsBulk: {"bulkOutboundCallId", "bulk_outbound_call_id", "id"},
}

// Starters returns the names of the actions that start calls.
func Starters() (names []string) {
	for _, a := range registry {
		if a.starts != 0 {
			names = append(names, a.Name)
		}
	}
	return names
}

// Started returns what a successful call started, by Sippet's answer: the callUuid of a call, or the
// id of a bulk call. Both are empty if it started neither, or the answer does not say.
func (a *Action) Started(answer json.RawMessage) (callUUID, bulk string) {
	var values map[string]any
	if a.starts == 0 || json.Unmarshal(answer, &values) != nil {
		return "", ""
	}
	for _, k := range startedKeys[a.starts] {
		if id, _ := values[k].(string); id != "" {
			if a.starts == startsCall {
				return id, ""
			}
			return "", id
		}
	}
	return "", ""
}

// LiveCallUUID returns the callUuid of the live call that the call is about; empty without one.
func (p *Payload) LiveCallUUID() string {
	in, _ := p.Args["input"].(map[string]any)
	id, _ := in["callUuid"].(string)
	if !p.Action.LiveCall {
		return ""
	}
	return id
}

// BulkRead returns the read of the bulk calls that rang a live call.
func BulkRead(callUUID string) *Payload {
	return byName["list_bulk_outbound_call_entries"].read([]string{"callUuid", "bulkOutboundCallId"}, map[string]any{"callUuid": map[string]any{"eq": callUUID}}, 10)
}

// BulksOf returns the ids of the bulk calls in the answer to BulkRead.
func BulksOf(callUUID string, answer json.RawMessage) (ids []string) {
	ok := eachRow(answer, func(row []byte) {
		var values map[string]any
		if json.Unmarshal(row, &values) == nil && values["callUuid"] == callUUID {
			id, _ := values["bulkOutboundCallId"].(string)
			ids = append(ids, id)
		}
	})
	if !ok {
		return nil
	}
	return ids
}
