package ash

import (
	"context"
	"regexp"
	"slices"
)

// Kind is what an attribute holds, and so how it is cast, stored and compared.
type Kind int

const (
	String  Kind = iota
	UUID         // lower case, with dashes
	Enum         // one of attribute.Values; an atom in the backend
	Bool         //
	Integer      //
	Float        //
	Decimal      // a string on the wire, a number in comparisons
	Time         // UTC, six digits
	Second       // UTC, whole seconds
	Date         //
	Map          // JSON object, keys untouched
	Strings      // array of strings
	UUIDs        // array of uuids
)

func (k Kind) isArray() bool { return k == Strings || k == UUIDs }

// Attribute is one field of a resource, or one argument of an action.
type Attribute struct {
	Name     string // as on the wire: camelCase
	Kind     Kind
	Values   []string // of an enum
	Required bool     // null is refused
	Default  any      // stored where a create leaves the key out
	Private  bool     // not selectable, filterable or sortable
	NoTrim   bool     // keeps white space around a string

	// Constraints: bounds of a number, or of a string's length.
	Min, Max *int64
	Match    *regexp.Regexp // a string must match

	// Expr makes the attribute a calculation in SQL; %s is the table's alias.
	Expr string
	// Compute makes it a calculation in Go over the attributes in Needs. Such
	// a one can be selected, but not filtered or sorted by.
	Compute func(Record) any
	Needs   []string
}

func (a *Attribute) isStored() bool { return a.Expr == "" && a.Compute == nil }

// Relation is a belongs_to: Key holds the id of a Resource.
type Relation struct {
	Name, Resource, Key string
}

// Resource is a kind of record with its table.
type Resource struct {
	Name       string // such as Contact
	Attributes []*Attribute
	Relations  []*Relation
	Unique     []string   // attributes of which no two records share a value
	Indexes    [][]string // columns worth an index of their own

	namespace string
	byName    map[string]*Attribute
	relByName map[string]*Relation
}

// module is the resource's name in messages.
func (r *Resource) module() string { return r.namespace + "." + r.Name }

// Attribute gives the attribute of that name, or nil.
func (r *Resource) Attribute(name string) *Attribute {
	i := slices.IndexFunc(r.Attributes, func(a *Attribute) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return r.Attributes[i]
}

// publicAttribute gives the attribute that clients know under a name, in either spelling.
func (r *Resource) publicAttribute(name string) *Attribute {
	if a := r.byName[wireName(name)]; a != nil && !a.Private {
		return a
	}
	return nil
}

func (r *Resource) index(namespace string) {
	r.namespace = namespace
	r.byName, r.relByName = map[string]*Attribute{}, map[string]*Relation{}
	for _, a := range r.Attributes {
		r.byName[a.Name] = a
	}
	for _, rel := range r.Relations {
		r.relByName[rel.Name] = rel
	}
}

// ActionType decides what of a payload is read and how it is answered.
type ActionType int

const (
	ListAction ActionType = iota
	GetAction
	CreateAction
	UpdateAction
	DestroyAction
	RecordAction // generic, answers a record of Resource
	MapAction    // generic, answers a map
)

// Paging says how a list can be paged.
type Paging struct {
	Default  int  // limit where none is given; 0 is none
	Max      int  // 0 is Ash's own 250
	Required bool // never answers a plain array
	Count    bool // counts unless told not to
}

// Action is one RPC action.
type Action struct {
	Name     string // on the wire
	AshName  string // the backend's name for it, shown in error messages
	Type     ActionType
	Resource *Resource
	Page     *Paging // lists only; nil answers plain arrays and refuses `page`

	Accept    []string     // attributes that input may set
	Arguments []*Attribute // other input

	// UpsertOn names the attribute on which a create updates the record that
	// is there already; UpsertSet what it then updates.
	UpsertOn  string
	UpsertSet []string

	// Atomic updates are one statement in the backend, the others read the
	// record first: they fail differently on an id that is no uuid.
	Atomic    bool
	Forbidden bool // a policy refuses everybody

	// Check refuses a change for the state that the record is in, or for its
	// input taken together. It sees the record as it would become, before
	// Change; old is nil on create.
	Check func(old, next Record) []*Violation
	// Change fills what input does not: on create and update, inside the transaction.
	Change func(t *Tx, old, next Record) error
	// After runs once the record is written.
	After func(t *Tx, old, next Record) error
	// Scope narrows a get to one record: SQL over the alias t, with arguments.
	Scope func(t *Tx, args Record) (string, []any)
	// Run is a generic action: a record for RecordAction, else a map.
	Run func(t *Tx, args Record) (any, error)

	argByName map[string]*Attribute
	accepts   map[string]bool
}

func (a *Action) index() {
	a.argByName, a.accepts = map[string]*Attribute{}, map[string]bool{}
	for _, x := range a.Arguments {
		a.argByName[x.Name] = x
	}
	for _, n := range a.Accept {
		a.accepts[n] = true
	}
}

// inputAttribute gives the definition of an input key, or nil.
func (a *Action) inputAttribute(name string) *Attribute {
	if x := a.argByName[name]; x != nil {
		return x
	}
	if a.accepts[name] {
		return a.Resource.byName[name]
	}
	return nil
}

// Domain are everything that the engine is generic over.
type Domain struct {
	// Namespace is the module of the resources in messages, such as Library in Library.Book.
	Namespace string
	// Table is the name of the table in which the engine keeps numbers of its own.
	// A database without it is of another program, and is refused.
	Table     string
	Resources []*Resource
	Actions   []*Action
	// Facts are kept in the store when it is seeded.
	Facts map[string]int64
	// Seed fills an empty store.
	Seed func(ctx context.Context, t *Tx) error
	// NewID makes the n-th id.
	NewID func(n uint64) string
	// BeforeRun brings the organisation up to the turn's time before a request is
	// answered; nil where nothing happens by itself.
	BeforeRun func(t *Tx) error
}
