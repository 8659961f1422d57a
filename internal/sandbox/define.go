package sandbox

import (
	"context"
	"regexp"
	"slices"
)

// kind is what an attribute holds, and so how it is cast, stored and compared.
type kind int

const (
	stringKind  kind = iota
	uuidKind         // lower case, with dashes
	enumKind         // one of attribute.Values; an atom in the backend
	boolKind         //
	intKind          //
	floatKind        //
	decimalKind      // a string on the wire, a number in comparisons
	timeKind         // UTC, six digits
	secondKind       // UTC, whole seconds
	dateKind         //
	mapKind          // JSON object, keys untouched
	stringsKind      // array of strings
	uuidsKind        // array of uuids
)

func (k kind) array() bool { return k == stringsKind || k == uuidsKind }

// attribute is one field of a resource, or one argument of an action.
type attribute struct {
	Name     string // as on the wire: camelCase
	Kind     kind
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
	Compute func(record) any
	Needs   []string
}

func (a *attribute) stored() bool { return a.Expr == "" && a.Compute == nil }

// relation is a belongs_to: Key holds the id of a Resource.
type relation struct {
	Name, Resource, Key string
}

// resource is a kind of record with its table.
type resource struct {
	Name       string // such as Contact
	Attributes []*attribute
	Relations  []*relation
	Unique     []string   // attributes of which no two records share a value
	Indexes    [][]string // columns worth an index of their own

	namespace string
	byName    map[string]*attribute
	relByName map[string]*relation
}

// module is the resource's name in messages.
func (r *resource) module() string { return r.namespace + "." + r.Name }

// Attribute gives the attribute of that name, or nil.
func (r *resource) Attribute(name string) *attribute {
	i := slices.IndexFunc(r.Attributes, func(a *attribute) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return r.Attributes[i]
}

// public gives the attribute that clients know under a name, in either spelling.
func (r *resource) public(name string) *attribute {
	if a := r.byName[wireName(name)]; a != nil && !a.Private {
		return a
	}
	return nil
}

func (r *resource) init(namespace string) {
	r.namespace = namespace
	r.byName, r.relByName = map[string]*attribute{}, map[string]*relation{}
	for _, a := range r.Attributes {
		r.byName[a.Name] = a
	}
	for _, rel := range r.Relations {
		r.relByName[rel.Name] = rel
	}
}

// actionType decides what of a payload is read and how it is answered.
type actionType int

const (
	listAction actionType = iota
	getAction
	createAction
	updateAction
	destroyAction
	recordAction // generic, answers a record of Resource
	mapAction    // generic, answers a map
)

// paging says how a list can be paged.
type paging struct {
	Default  int  // limit where none is given; 0 is none
	Max      int  // 0 is Ash's own 250
	Required bool // never answers a plain array
	Count    bool // counts unless told not to
}

// action is one RPC action.
type action struct {
	Name     string // on the wire
	Ash      string // the backend's name for it, shown in error messages
	Type     actionType
	Resource *resource
	Page     *paging // lists only; nil answers plain arrays and refuses `page`

	Accept    []string     // attributes that input may set
	Arguments []*attribute // other input

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
	Check func(old, next record) []*fault
	// Change fills what input does not: on create and update, inside the transaction.
	Change func(t *turn, old, next record) error
	// After runs once the record is written.
	After func(t *turn, old, next record) error
	// Scope narrows a get to one record: SQL over the alias t, with arguments.
	Scope func(t *turn, args record) (string, []any)
	// Run is a generic action: a record for recordAction, else a map.
	Run func(t *turn, args record) (any, error)

	argByName map[string]*attribute
	accepts   map[string]bool
}

func (a *action) init() {
	a.argByName, a.accepts = map[string]*attribute{}, map[string]bool{}
	for _, x := range a.Arguments {
		a.argByName[x.Name] = x
	}
	for _, n := range a.Accept {
		a.accepts[n] = true
	}
}

// input gives the definition of an input key, or nil.
func (a *action) input(name string) *attribute {
	if x := a.argByName[name]; x != nil {
		return x
	}
	if a.accepts[name] {
		return a.Resource.byName[name]
	}
	return nil
}

// definitions are everything that the engine is generic over.
type definitions struct {
	// Namespace is the module of the resources in messages, such as Library in Library.Book.
	Namespace string
	// Table is the name of the table in which the engine keeps numbers of its own.
	// A database without it is of another program, and is refused.
	Table     string
	Resources []*resource
	Actions   []*action
	// Facts are kept in the store when it is seeded.
	Facts map[string]int64
	// Seed fills an empty store.
	Seed func(ctx context.Context, t *turn) error
	// NewID makes the n-th id.
	NewID func(n uint64) string
	// Tick brings the organisation up to the turn's time before a request is
	// answered; nil where nothing happens by itself.
	Tick func(t *turn) error
}
