// Package ash serves resources over RPC as a backend made with Ash and AshTypescript does.
//
// Describe resources and actions in a [Domain], open an [Engine] on it, and call [Engine.Run] or
// [Engine.Validate] with the decoded body of a request. Both return the body of the response.
// Filters, sorting, paging, field selection, type casts and errors are those of Ash, down to the
// messages. The engine contains no resource and no action of its own.
//
// # How a request is answered
//
//   - Engine.parse finds the action, checks the field selection and the shapes of input and page.
//   - request.castInput casts the input, each value by the kind and constraints of its attribute.
//   - Each action type has a method that runs in one SQLite transaction: list and get in read.go,
//     create, update, destroy and generic in write.go. request.validate is that of validation.
//   - A renderer writes the selected fields as JSON.
//
// Each of the first three can fail. The backend reports the same mistake in different words,
// depending on the action type and on whether it runs or validates. Casting therefore returns
// violations, and the methods of the action types convert each [Violation] to an [Error].
package ash

import (
	"context"
	"regexp"
	"slices"
)

// Domain describes what an engine serves.
type Domain struct {
	Namespace string // the module of the resources in messages, such as Library in Library.Book
	// Table names the table in which the engine keeps its own numbers. A database that has
	// tables, but not this one, belongs to another program, and Open returns an error.
	Table     string
	Resources []*Resource
	Actions   []*Action
	// Facts are numbers to store when a database is created. ReadFact reads them.
	Facts map[string]int64
	// Seed fills a new database. It may be nil.
	Seed func(ctx context.Context, t *Tx) error
	// NewID returns the n-th id.
	NewID func(n uint64) string
	// BeforeRun runs in the transaction of each run, before its action. It may be nil.
	BeforeRun func(t *Tx) error
}

// Kind is the type of an attribute. It decides how a value is cast, stored and compared.
type Kind int

// The kinds. An enum is an atom in the backend.
const (
	String Kind = iota
	UUID        // lower case, with dashes
	Enum        // one of Attribute.Values
	Bool
	Integer
	Float
	Decimal // a string in JSON, compared as a number
	Time    // in UTC, as TimeLayout
	Second  // in UTC, as SecondLayout
	Date    // as DateLayout
	Map     // a JSON object; its keys are stored as they are
	Strings // an array of strings
	UUIDs   // an array of UUIDs
)

func (k Kind) isArray() bool { return k == Strings || k == UUIDs }

// Attribute is one field of a resource, or one argument of an action.
type Attribute struct {
	Name     string // camelCase, as in JSON
	Kind     Kind
	Values   []string // of an Enum
	Required bool     // not null
	Default  any      // the stored value if a create does not set the attribute
	Private  bool     // not selectable, filterable or sortable
	NoTrim   bool     // keep white space around a string

	// Min and Max limit an Integer, or the length of a String in characters; nil is no limit.
	Min, Max *int64
	Match    *regexp.Regexp // a String must match; nil is no pattern

	// Expr makes the attribute a calculation: an SQL expression, with %s for the alias of the
	// resource's table.
	Expr string
	// Compute makes the attribute a calculation in Go over the attributes that Needs names. It can
	// be selected, but not filtered or sorted by.
	Compute func(Record) any
	Needs   []string
}

func (a *Attribute) isStored() bool { return a.Expr == "" && a.Compute == nil }

// Relation is a belongs_to: the attribute Key holds the id of a record of Resource.
type Relation struct {
	Name, Resource, Key string
}

// Resource is a type of record. Each has a table of its name.
type Resource struct {
	Name       string
	Attributes []*Attribute // one of them is "id"
	Relations  []*Relation
	Unique     []string   // attributes with values that no two records share
	Indexes    [][]string // the columns of each further index

	namespace string
	byName    map[string]*Attribute
	relByName map[string]*Relation
}

// module returns the resource's name in messages.
func (r *Resource) module() string { return r.namespace + "." + r.Name }

// Attribute returns the attribute with this name, or nil.
func (r *Resource) Attribute(name string) *Attribute {
	i := slices.IndexFunc(r.Attributes, func(a *Attribute) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return r.Attributes[i]
}

// publicAttribute returns the attribute that clients may name, in camelCase or snake_case, or nil.
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

// ActionType decides which parts of a request are read and what is returned.
type ActionType int

// The action types. The last two are Ash's generic actions, which call Action.Run.
const (
	ListAction ActionType = iota
	GetAction
	CreateAction
	UpdateAction
	DestroyAction
	RecordAction // returns a record of Action.Resource
	MapAction    // returns a map
)

// Paging says how a list action pages.
type Paging struct {
	Default  int  // the limit if the request has none; 0 returns everything as a plain array
	Max      int  // the largest page; 0 is Ash's default of 250
	Required bool // return a page even if the request does not ask for one
	Count    bool // count unless the request asks not to
}

// Action is one RPC action.
type Action struct {
	Name     string // as requests name it
	AshName  string // as messages name it
	Type     ActionType
	Resource *Resource
	Page     *Paging // of a list; nil accepts no page and returns a plain array

	Accept    []string     // attributes that the input may set
	Arguments []*Attribute // all other input

	// UpsertOn makes a create an upsert: if a record has the same value of this attribute, the
	// create updates the attributes in UpsertSet there instead.
	UpsertOn  string
	UpsertSet []string

	// Atomic is true for an update that the backend makes in one statement. Other updates read the
	// record first, and return a different error if the identity is not a UUID.
	Atomic    bool
	Forbidden bool // return forbidden to everybody

	// Check returns what the state of the record, or the input as a whole, violates. The record
	// next has the input applied, but not Change. On create, old is nil.
	Check func(old, next Record) []*Violation
	// Change sets attributes of next that the input does not, on create and update.
	Change func(t *Tx, old, next Record) error
	// After runs when the record has been written. On create old is nil, on destroy next is.
	After func(t *Tx, old, next Record) error
	// Scope selects the record of a get: an SQL condition over the alias t, and its parameters.
	// Without it the condition is the id in the input.
	Scope func(t *Tx, args Record) (string, []any)
	// Run performs a generic action. A RecordAction returns a Record.
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

// inputAttribute returns the definition of an input key, or nil.
func (a *Action) inputAttribute(name string) *Attribute {
	if x := a.argByName[name]; x != nil {
		return x
	}
	if a.accepts[name] {
		return a.Resource.byName[name]
	}
	return nil
}
