package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Class says what an action can change. Policies set a default decision for each class.
type Class string

const (
	// Read changes nothing.
	Read Class = "read"
	// Write changes a record, and this API can change it back.
	Write Class = "write"
	// Outbound reaches a person or a live call.
	Outbound Class = "outbound"
	// Destructive changes what this API cannot restore.
	Destructive Class = "destructive"
	// Credential issues a token that acts for a person.
	Credential Class = "credential"
)

// Classes lists all classes, from the mildest to the gravest.
var Classes = []Class{Read, Write, Outbound, Destructive, Credential}

// Toolset is a group of actions that is useful without the others.
type Toolset string

// The toolsets.
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

// Toolsets lists all toolsets, in the order of the documentation.
var Toolsets = []Toolset{Calls, Queue, OutboundCalls, Conversations, Contacts, Email, Operators, Agents}

// Action is one public action of Sippet's org API.
type Action struct {
	// Name is the action's key on the wire and the tool's name, such as `list_contacts`.
	Name string
	// Title is the name in menus and on cards, such as `List contacts`.
	Title string
	// Description is for a model that does not know Sippet.
	Description string
	// Toolsets are the groups that it belongs to; it is documented in the first.
	Toolsets []Toolset
	// Class is what it can change.
	Class Class
	// payloadKeys lists the payload's keys as the reference does, such as `fields, filter?, sort?,
	// page?`.
	payloadKeys string
	// Targets are input keys; exactly one of them must be given. Empty where the schema says
	// enough.
	Targets []string
	// Resource is the kind of record that the action returns; nil where it returns a map or
	// nothing.
	Resource *Resource
	// defaultFields are selected if the caller names none; empty where there is no Resource.
	defaultFields []string
	// filterExample is a filter that works, for the list's schema.
	filterExample string
	// LiveCall marks an action on a call in progress: its deadline is 10 seconds, not 30.
	LiveCall bool
	// Idempotent is true if a second run of the same payload changes nothing more.
	Idempotent bool
	// Safe says which calls of it are in the safe direction; empty for none.
	Safe Safe
	// EffectKind is what the action does to people; empty where it reaches none.
	EffectKind EffectKind
	// Overwrites is true for a write that replaces values which this API does not keep.
	Overwrites bool
	// creates is true if the call creates a record of Resource, which the answer's id names.
	creates bool
	// starts is what a successful call starts; 0 if that is no call.
	starts starts
	// erases is true if a successful call erases the data of its subjects.
	erases bool
	// forOperator is true if a call acts for the operator of the key, who is not in the arguments.
	forOperator bool
	// recordKey is the input key, and the resource's field, that names the record to change; empty
	// where identity does.
	recordKey string
	// alsoSets are the fields that a write changes in addition to those in its input.
	alsoSets []string
	// undo says how a write is reversed, or why it cannot be; nil for all other classes.
	undo *undo
	// shownIn names the list that shows the effect; empty where it is the list of the resource.
	shownIn string
	// Ask is the sentence on the card that a person approves; `{input.callUuid}` is filled from the
	// payload. Empty for reads.
	Ask string
	// Effect is the sentence on the card that says who notices and what cannot be reversed. Empty
	// for reads.
	Effect string
	// ApproveButton and DeclineButton are the texts of the buttons on a card, such as `Hang up` and
	// `Don't hang up`: at most 24 characters, and never a value of the call. All reads have the same.
	ApproveButton, DeclineButton string

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

// List reports whether the action returns a list of records.
func (a *Action) List() bool { return a.hasKey("filter") }

// Paged reports whether the list takes page.
func (a *Action) Paged() bool { return a.hasKey("page") }

func (a *Action) hasKey(k string) bool { _, ok := a.required[k]; return ok }

// In reports whether the action belongs to the toolset.
func (a *Action) In(t Toolset) bool { return slices.Contains(a.Toolsets, t) }

// Creates reports whether the action creates a record, which the id in its answer names.
func (a *Action) Creates() bool { return a.creates }

// Deadline returns the time limit of one request, retries included.
func (a *Action) Deadline() time.Duration {
	if a.LiveCall {
		return 10 * time.Second
	}
	return 30 * time.Second
}

// Repeats reports whether a second run of the same payload does something more that a caller who only
// sends a call again does not mean: a second record, call or message. A live call is another one by
// then.
func (a *Action) Repeats() bool { return a.Class != Read && !a.Idempotent && !a.LiveCall }

// ApprovalLifetime returns how long an approval request for the action stays open, where most stay
// open for the usual time. It is at most five minutes for a live call, which ends soon, and at least
// a day for what cannot be restored.
func (a *Action) ApprovalLifetime(usual time.Duration) time.Duration {
	switch {
	case a.LiveCall:
		return min(usual, 5*time.Minute)
	case a.Class == Destructive:
		return max(usual, 24*time.Hour)
	}
	return usual
}

// InputSchema returns the tool's JSON Schema, compact. It must not be changed.
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
		if a.Class == Read {
			a.ApproveButton, a.DeclineButton = "Read it", "Don't read"
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

// Actions returns all actions, toolset by toolset. The slice and its entries must not be changed.
func Actions() []*Action { return registry }

// Find returns the action of that name. For an unknown name it returns an [InvalidArguments] error
// with the nearest name.
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

// Buttons returns the texts of the buttons that approve and decline the action of that name. For an
// unknown name, such as that of an old request, they are `Approve` and `Decline`.
func Buttons(action string) (approve, decline string) {
	if a, ok := byName[action]; ok {
		return a.ApproveButton, a.DeclineButton
	}
	return "Approve", "Decline"
}
