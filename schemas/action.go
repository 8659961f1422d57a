package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Class says what an action can do to the world. Policies set a default per class.
type Class string

const (
	// Read looks and changes nothing.
	Read Class = "read"
	// Write changes a record that this API can set back.
	Write Class = "write"
	// Outbound reaches a person or a live call.
	Outbound Class = "outbound"
	// Destructive does what this API cannot undo.
	Destructive Class = "destructive"
	// Credential issues a token that acts for somebody.
	Credential Class = "credential"
)

// Classes lists them from the mildest to the gravest.
var Classes = []Class{Read, Write, Outbound, Destructive, Credential}

// Toolset is a group of actions that makes sense alone.
type Toolset string

// The toolsets. An action's first one is its home.
const (
	Calls         Toolset = "calls"
	Queue         Toolset = "queue"
	OutboundCalls Toolset = "outbound"
	Conversations Toolset = "conversations"
	Contacts      Toolset = "contacts"
	Email         Toolset = "email"
	Operators     Toolset = "operators"
	Agents        Toolset = "agents"
)

// Toolsets lists them in the order in which they are documented.
var Toolsets = []Toolset{Calls, Queue, OutboundCalls, Conversations, Contacts, Email, Operators, Agents}

// Action is one public action of Sippet's org API.
type Action struct {
	// Name is the action's key on the wire and the tool's name, such as `list_contacts`.
	Name string
	// Title is for menus and cards, such as `List contacts`.
	Title string
	// Description is written for a model that has never seen Sippet.
	Description string
	// Toolsets are the groups it belongs to; the first is its home.
	Toolsets []Toolset
	// Class is what it can do to the world.
	Class Class
	// payloadKeys are the payload's keys as the reference writes them, such as `fields, filter?, sort?, page?`.
	payloadKeys string
	// Targets are the input keys of which exactly one must be given; empty where the reference's own rules are enough.
	Targets []string
	// Resource is what `fields` selects from; nil where the action answers a map or nothing.
	Resource *Resource
	// defaultFields are selected when the caller names none; empty where there is no Resource.
	defaultFields []string
	// filterExample is a filter that works, shown with the list's schema.
	filterExample string
	// LiveCall marks actions on a call that is going on: they get 10 seconds, not 30.
	LiveCall bool
	// Idempotent is true where running the same payload twice leaves what once leaves.
	Idempotent bool
	// Overwrites is true where a write replaces what this API does not keep.
	Overwrites bool
	// creates is true where the call makes a new record of Resource, so that the answer's id is a new one.
	creates bool
	// erases is true where the data of the call's subjects is gone once it has succeeded.
	erases bool
	// recordKey is the input key, and the resource's field, that names the record to change where no identity does.
	recordKey string
	// alsoSets are the fields that a write changes beside those that its input names.
	alsoSets []string
	// undo says how a write is put back, or why it cannot be; nil for all else.
	undo *undo
	// shownIn names the list in which the effect can be seen, where the resource does not tell.
	shownIn string
	// Ask is the sentence on the card that a person says yes to; `{input.callUuid}` is filled from the payload. Empty for reads.
	Ask string
	// Effect says who notices and what cannot be taken back, for the card. Empty for reads.
	Effect string

	input    any             // a zero value of the typed input; nil where the action takes none
	inputs   []Input         // what the typed input declares
	required map[string]bool // payload key → required by the reference
	list     *Action         // the list in which the record that it changes can be read; nil where it changes none
	schema   json.RawMessage
	check    *node
}

// Key reports whether the payload has the key, and whether the reference requires it.
func (a *Action) Key(name string) (has, required bool) {
	required, has = a.required[name]
	return has, required
}

// List reports whether the action answers many records.
func (a *Action) List() bool { return a.hasKey("filter") }

// Paged reports whether upstream can answer the list page by page.
func (a *Action) Paged() bool { return a.hasKey("page") }

func (a *Action) hasKey(k string) bool { _, ok := a.required[k]; return ok }

// In reports whether the action belongs to the toolset.
func (a *Action) In(t Toolset) bool { return slices.Contains(a.Toolsets, t) }

// Deadline is how long one request may take, retries included.
func (a *Action) Deadline() time.Duration {
	if a.LiveCall {
		return 10 * time.Second
	}
	return 30 * time.Second
}

// ApprovalValidFor is how long a question about the action waits for a person in the inbox: a live call is over soon, and what
// is erased can wait for whoever is asked.
func (a *Action) ApprovalValidFor() time.Duration {
	switch {
	case a.LiveCall:
		return 5 * time.Minute
	case a.Class == Destructive:
		return 24 * time.Hour
	}
	return 15 * time.Minute
}

// InputSchema is the tool's JSON Schema, compact. It must not be changed.
func (a *Action) InputSchema() json.RawMessage { return a.schema }

// Inputs returns the keys that the action's input takes, in the order of its schema;
// nil where the action takes no input. The slice must not be changed.
func (a *Action) Inputs() []Input { return a.inputs }

// inputKey returns the input key of that name, or nil.
func (a *Action) inputKey(name string) *Input {
	for i := range a.inputs {
		if a.inputs[i].Name == name {
			return &a.inputs[i]
		}
	}
	return nil
}

var (
	registry = slices.Concat(callActions, queueActions, outboundActions, conversationActions,
		contactActions, emailActions, operatorActions, agentActions)
	byName = map[string]*Action{}
)

func init() {
	for _, a := range registry {
		a.required = map[string]bool{}
		for k := range strings.SplitSeq(a.payloadKeys, ",") {
			if k = strings.TrimSpace(k); k != "" {
				name, optional := strings.CutSuffix(k, "?")
				a.required[name] = !optional
			}
		}
		if a.Resource != nil && a.defaultFields == nil {
			a.defaultFields = a.Resource.defaultFields
		}
		byName[a.Name] = a
	}
	for _, r := range Resources() {
		if r.person != "" && r.person != "id" {
			contactKeys[r.person] = true
		}
	}
	for _, a := range registry {
		a.build()
	}
}

// Actions gives all 52, toolset by toolset. The slice and its entries must not be changed.
func Actions() []*Action { return registry }

// Find gives the action of that name. An unknown name is an [InvalidArguments] error that offers the nearest.
func Find(name string) (*Action, *Error) {
	if a, ok := byName[name]; ok {
		return a, nil
	}
	e := &Error{Outcome: InvalidArguments, Message: "unknown action " + quote(name), Next: "list the actions with `sippet-mcp actions`"}
	if n := Nearest(name, slices.Sorted(maps.Keys(byName))); n != "" {
		e.Message += ", did you mean " + n + "?"
	}
	return nil, e
}
