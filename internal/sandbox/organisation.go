package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// organisation builds Sippet's domain. Its methods are what the actions do.
type organisation struct {
	seed  uint64
	scale int    // number of additional contacts and calls to seed
	id    string // the organisation's id
	// resources are those of the reference and internalResources, by name.
	resources map[string]*ash.Resource
	// behaviours complete the definitions of actions, by name.
	behaviours map[string]func(*ash.Action)
}

func newOrganisation(seed uint64) *organisation {
	o := &organisation{seed: seed, resources: map[string]*ash.Resource{}}
	o.id = o.idOf("organisation")
	for name, r := range schemas.Resources() {
		o.resources[name] = newResource(r)
	}
	for _, r := range internalResources() {
		o.resources[r.Name] = r
	}
	o.behaviours = map[string]func(*ash.Action){}
	for _, part := range []map[string]func(*ash.Action){o.contactActions(), o.callActions(), o.queueActions(),
		o.outboundActions(), o.emailActions(), o.operatorActions()} {
		for name, f := range part {
			o.behaviours[name] = f
		}
	}
	return o
}

// domain returns the domain for the engine.
func (o *organisation) domain() *ash.Domain {
	d := &ash.Domain{
		Namespace: "Sippet",
		Table:     storeTable,
		Facts:     map[string]int64{"seed": int64(o.seed)},
		NewID:     func(n uint64) string { return o.idOf("new", fmt.Sprint(n)) },
		Seed:      func(_ context.Context, t *ash.Tx) error { return newSeeder(o, t).insertAll() },
		BeforeRun: o.runDue,
	}
	for _, a := range schemas.Actions() {
		d.Actions = append(d.Actions, o.newAction(a))
	}
	for _, name := range slices.Sorted(maps.Keys(o.resources)) {
		if constrain := constraints[name]; constrain != nil {
			constrain(o.resources[name])
		}
		d.Resources = append(d.Resources, o.resources[name])
	}
	return d
}

// idOf returns the id of the record with this name. It depends on nothing but the name and the
// seed.
func (o *organisation) idOf(parts ...string) string {
	h := sha256.New()
	binary.Write(h, binary.BigEndian, o.seed)
	h.Write([]byte(strings.Join(parts, "\x00")))
	id := uuid.UUID(h.Sum(nil)[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// random returns a source of numbers that depends on nothing but the name and the seed.
func (o *organisation) random(parts ...string) *rand.Rand {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return rand.New(rand.NewPCG(o.seed, binary.BigEndian.Uint64(h[:])))
}

var attributeKinds = map[schemas.Kind]ash.Kind{
	schemas.UUID: ash.UUID, schemas.Word: ash.String, schemas.Text: ash.String, schemas.Bool: ash.Bool,
	schemas.Integer: ash.Integer, schemas.Float: ash.Float, schemas.Decimal: ash.Decimal, schemas.Time: ash.Time,
	schemas.Second: ash.Second, schemas.Date: ash.Date, schemas.Map: ash.Map, schemas.Texts: ash.Strings,
}

// newResource returns a resource with the fields of the reference.
func newResource(from *schemas.Resource) *ash.Resource {
	r := &ash.Resource{Name: from.Name}
	for _, f := range from.Fields {
		a := &ash.Attribute{Name: f.Name, Kind: attributeKinds[f.Kind], Values: f.Values, Required: f.Name == "id"}
		if len(f.Values) > 0 {
			a.Kind = ash.Enum
		}
		r.Attributes = append(r.Attributes, a)
	}
	return r
}

// newInputAttribute returns the attribute for an input key.
func newInputAttribute(in schemas.Input) *ash.Attribute {
	a := &ash.Attribute{Name: in.Name, Values: in.Values}
	switch {
	case len(in.Values) > 0:
		a.Kind = ash.Enum
	case in.Type == "array" && in.Format == "uuid":
		a.Kind = ash.UUIDs
	case in.Type == "array":
		a.Kind = ash.Strings
	case in.Format == "uuid":
		a.Kind = ash.UUID
	case in.Format == "date-time":
		a.Kind = ash.Time
	case in.Format == "date":
		a.Kind = ash.Date
	case in.Type == "integer":
		a.Kind = ash.Integer
	case in.Type == "number":
		a.Kind = ash.Float
	case in.Type == "boolean":
		a.Kind = ash.Bool
	case in.Type == "object":
		a.Kind = ash.Map
	}
	return a
}

// newAction returns the definition of an action: its type and input follow from the registry, its
// behaviour from behaviours.
func (o *organisation) newAction(from *schemas.Action) *ash.Action {
	a := &ash.Action{Name: from.Name, AshName: from.Name}
	if from.Resource != nil {
		a.Resource = o.resources[from.Resource.Name]
	}
	verb, noun, _ := strings.Cut(from.Name, "_")
	hasIdentity, _ := from.Key("identity")
	switch {
	case from.List():
		a.Type, a.AshName = ash.ListAction, "read"
		if from.Paged() {
			a.Page = &ash.Paging{}
		}
	case hasIdentity && verb == "delete":
		a.Type, a.AshName = ash.DestroyAction, "destroy"
		if create, err := schemas.Find("create_" + noun); err == nil {
			a.Resource = o.resources[create.Resource.Name]
		}
	case hasIdentity:
		a.Type, a.Atomic = ash.UpdateAction, true
		if verb == "update" {
			a.AshName = verb
		}
	case a.Resource == nil:
		a.Type = ash.MapAction
	case verb == "create":
		a.Type, a.AshName = ash.CreateAction, verb
	case verb == "get":
		a.Type, a.AshName = ash.GetAction, "read"
	default:
		a.Type = ash.RecordAction
	}
	if f := o.behaviours[from.Name]; f != nil {
		f(a)
	}
	o.setInput(a, from)
	return a
}

// setInput sets the input of an action. Input of a create, or of an update named update_…, sets the
// attributes of the same name. The input of all other actions is arguments.
func (o *organisation) setInput(a *ash.Action, from *schemas.Action) {
	for _, in := range sortedInputs(from) {
		if a.Type != ash.CreateAction && !(a.Type == ash.UpdateAction && strings.HasPrefix(a.Name, "update_")) {
			x := newInputAttribute(in)
			x.Required = in.Required
			a.Arguments = append(a.Arguments, x)
			continue
		}
		own := a.Resource.Attribute(in.Name)
		if own == nil { // writable, but not selectable
			own = newInputAttribute(in)
			own.Private = true
			a.Resource.Attributes = append(a.Resource.Attributes, own)
		}
		own.Required = own.Required || !in.Nullable
		a.Accept = append(a.Accept, in.Name)
	}
}

// sortedInputs returns the action's input keys by name.
func sortedInputs(a *schemas.Action) []schemas.Input {
	return slices.SortedFunc(slices.Values(a.Inputs()), func(a, b schemas.Input) int { return strings.Compare(a.Name, b.Name) })
}
