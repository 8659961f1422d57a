package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// organisation is Sippet's set of definitions, and what its actions share.
type organisation struct {
	seed  uint64
	scale int // how many contacts and calls more are seeded
	id    string
	// r are the resources by name: those of the reference, and a few of our own
	// that no action shows (see orgHidden).
	r map[string]*resource
	// behaviours are what actions do beyond reading and writing, by action name.
	behaviours map[string]func(*action)
}

// newOrganisation builds the definitions from the registry of actions.
func newOrganisation(seed uint64) *organisation {
	o := &organisation{seed: seed, r: map[string]*resource{}}
	o.id = o.named("organisation")
	for name, r := range schemas.Resources() {
		o.r[name] = fromReference(r)
	}
	for _, r := range orgHidden() {
		o.r[r.Name] = r
	}
	o.behaviours = map[string]func(*action){}
	for _, part := range []map[string]func(*action){o.contactActions(), o.callActions(), o.queueActions(),
		o.outboundActions(), o.emailActions(), o.operatorActions()} {
		for name, f := range part {
			o.behaviours[name] = f
		}
	}
	return o
}

// definitions gives what the engine runs.
func (o *organisation) definitions() *definitions {
	d := &definitions{Namespace: "Sippet", Table: storeTable, Facts: map[string]int64{"seed": int64(o.seed)}, NewID: func(n uint64) string { return o.named("new", fmt.Sprint(n)) }, Seed: o.plant, Tick: o.tick}
	for _, a := range schemas.Actions() {
		d.Actions = append(d.Actions, o.action(a))
	}
	for _, name := range slices.Sorted(maps.Keys(o.r)) {
		finish := orgRules[name]
		if finish != nil {
			finish(o.r[name])
		}
		d.Resources = append(d.Resources, o.r[name])
	}
	return d
}

// named makes the id of something that has a name: the same in every sandbox
// of the same seed, whatever happened before.
func (o *organisation) named(parts ...string) string {
	h := sha256.New()
	binary.Write(h, binary.BigEndian, o.seed)
	h.Write([]byte(strings.Join(parts, "\x00")))
	id := uuid.UUID(h.Sum(nil)[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// random gives the numbers that belong to a name.
func (o *organisation) random(parts ...string) *rand.Rand {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return rand.New(rand.NewPCG(o.seed, binary.BigEndian.Uint64(h[:])))
}

var kinds = map[schemas.Kind]kind{
	schemas.UUID: uuidKind, schemas.Word: stringKind, schemas.Text: stringKind, schemas.Bool: boolKind,
	schemas.Integer: intKind, schemas.Float: floatKind, schemas.Decimal: decimalKind, schemas.Time: timeKind,
	schemas.Second: secondKind, schemas.Date: dateKind, schemas.Map: mapKind, schemas.Texts: stringsKind,
}

// fromReference makes a resource of the reference's fields.
func fromReference(from *schemas.Resource) *resource {
	r := &resource{Name: from.Name}
	for _, f := range from.Fields {
		a := &attribute{Name: f.Name, Kind: kinds[f.Kind], Values: f.Values, Required: f.Name == "id"}
		if len(f.Values) > 0 {
			a.Kind = enumKind
		}
		r.Attributes = append(r.Attributes, a)
	}
	return r
}

// inputProperty is what of an input key's JSON Schema is needed to cast it.
type inputProperty struct {
	Type   json.RawMessage `json:"type"` // a name, or names
	Format string          `json:"format"`
	Enum   []*string       `json:"enum"`
	Items  *inputProperty  `json:"items"`
}

func (p *inputProperty) nullable() bool { return strings.Contains(string(p.Type), `"null"`) }

func (p *inputProperty) attribute(name string) *attribute {
	a := &attribute{Name: name}
	for _, v := range p.Enum {
		if v != nil {
			a.Values = append(a.Values, *v)
		}
	}
	is := func(t string) bool { return strings.Contains(string(p.Type), `"`+t+`"`) }
	switch {
	case len(a.Values) > 0:
		a.Kind = enumKind
	case p.Format == "uuid":
		a.Kind = uuidKind
	case p.Format == "date-time":
		a.Kind = timeKind
	case p.Format == "date":
		a.Kind = dateKind
	case is("integer"):
		a.Kind = intKind
	case is("number"):
		a.Kind = floatKind
	case is("boolean"):
		a.Kind = boolKind
	case is("object"):
		a.Kind = mapKind
	case is("array"):
		a.Kind = stringsKind
		if p.Items != nil && p.Items.Format == "uuid" {
			a.Kind = uuidsKind
		}
	}
	return a
}

// inputOf reads the action's input out of its tool's schema.
func inputOf(a *schemas.Action) (properties map[string]*inputProperty, needed []string) {
	var s struct {
		Properties struct {
			Input struct {
				Properties map[string]*inputProperty `json:"properties"`
				Required   []string                  `json:"required"`
			} `json:"input"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(a.InputSchema(), &s); err != nil {
		panic("sandbox: the schema of " + a.Name + " is not what it was: " + err.Error())
	}
	return s.Properties.Input.Properties, s.Properties.Input.Required
}

// action makes the definition of one action: its type and input from the
// registry, its behaviour from ours.
func (o *organisation) action(from *schemas.Action) *action {
	a := &action{Name: from.Name, Ash: from.Name}
	if from.Resource != nil {
		a.Resource = o.r[from.Resource.Name]
	}
	verb, noun, _ := strings.Cut(from.Name, "_")
	hasIdentity, _ := from.Key("identity")
	switch {
	case from.List():
		a.Type, a.Ash = listAction, "read"
		if from.Paged() {
			a.Page = &paging{}
		}
	case hasIdentity && verb == "delete":
		a.Type, a.Ash = destroyAction, "destroy"
		if create, err := schemas.Find("create_" + noun); err == nil {
			a.Resource = o.r[create.Resource.Name]
		}
	case hasIdentity:
		a.Type, a.Atomic = updateAction, true
		if verb == "update" {
			a.Ash = verb
		}
	case a.Resource == nil:
		a.Type = mapAction
	case verb == "create":
		a.Type, a.Ash = createAction, verb
	case verb == "get":
		a.Type, a.Ash = getAction, "read"
	default:
		a.Type = recordAction
	}
	if f := o.behaviours[from.Name]; f != nil {
		f(a)
	}
	o.takeInput(a, from)
	return a
}

// takeInput says what input an action takes. Creates and updates set the
// attributes of that name; other keys, and those of other actions, are arguments.
func (o *organisation) takeInput(a *action, from *schemas.Action) {
	properties, needed := inputOf(from)
	required := map[string]bool{}
	for _, n := range needed {
		required[n] = true
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p := properties[name]
		if a.Type != createAction && !(a.Type == updateAction && strings.HasPrefix(a.Name, "update_")) {
			x := p.attribute(name)
			x.Required = required[name]
			a.Arguments = append(a.Arguments, x)
			continue
		}
		own := a.Resource.Attribute(name)
		if own == nil { // writable, and not selectable
			own = p.attribute(name)
			own.Private = true
			a.Resource.Attributes = append(a.Resource.Attributes, own)
		}
		// What input may not set to null is never null.
		own.Required = own.Required || !p.nullable()
		a.Accept = append(a.Accept, name)
	}
}

// plant seeds the organisation (see seed.go).
func (o *organisation) plant(_ context.Context, t *turn) error { return newPlanter(o, t).plant() }
