package schemas

// Kind is the kind of value that a field holds. The reference does not state kinds: these are
// inferred from names, inputs and recorded answers. So only UUID, Bool, Time, Date and the numbers
// make a filter's value wrong.
type Kind string

// The kinds.
const (
	UUID    Kind = "uuid"
	Word    Kind = "word" // a short machine word: a status, a provider, an opaque id
	Text    Kind = "text" // any text that a person may have written
	Bool    Kind = "boolean"
	Integer Kind = "integer"
	Float   Kind = "float"
	Decimal Kind = "decimal" // a string on the wire
	Time    Kind = "time"    // ISO 8601, UTC, six digits
	Second  Kind = "second"  // ISO 8601, UTC, whole seconds
	Date    Kind = "date"    // YYYY-MM-DD
	Map     Kind = "map"
	Texts   Kind = "texts" // a list of strings
)

// Resource is a kind of record: what `fields`, `filter` and `sort` may name.
type Resource struct {
	// Name is that of the reference, such as `CallQueueEntry`.
	Name string
	// Fields are in the reference's order.
	Fields []Field
	// defaultFields are selected if the caller names none: the fields for a first look, without
	// recordings and metadata.
	defaultFields []string
	// cardFields are the fields by which a person recognises a record, the most telling first.
	cardFields []string
	// passing are the card fields that change by themselves, such as the status of a live call. An
	// approval does not depend on them.
	passing []string
	// One and Many are what a person calls a record, and several; empty where no card needs that.
	One, Many string
	// Keeps says what the records keep of a person after their contact is erased; empty where they keep
	// nothing, or no list finds them.
	Keeps string
	// TimeField is the field that orders the records in time; empty where none does.
	TimeField string
	// oldestFirst is true where a reader needs the oldest record first: transcripts, waiting
	// callers.
	oldestFirst bool
	// erasedField is the field with the time at which the person's data was erased; empty where
	// there is none.
	erasedField string

	person string // the field that names a contact; empty where none does
	byName map[string]*Field
	names  []string
}

// Field is one selectable field.
type Field struct {
	Name string
	Kind Kind
	// Values are those of an enum, where the reference states them. A newer server may have more.
	Values []string
	// Personal is true for a field that says something about a person.
	Personal bool
	// Names is the kind of person that a value names; empty where it names nobody.
	Names SubjectKind
	// Sent is true for a text that is sent to people in the organisation's name.
	Sent bool
	// Label is what a person calls the value, on the card of an erasure; empty where they need not
	// know of it. Fields may share one.
	Label string
}

// Trusted reports whether Sippet itself makes the field's content (ids, words, numbers, times), and
// not a caller, a contact or an email. A trusted field is still shown as untrusted text if its
// value does not fit its kind.
func (f *Field) Trusted() bool {
	switch f.Kind {
	case Text, Texts, Map:
		return false
	}
	return true
}

// Field returns the field of that name, or nil.
func (r *Resource) Field(name string) *Field { return r.byName[name] }

// FieldOf returns the field that a JSON key (with its quotes) names, or nil.
func (r *Resource) FieldOf(key []byte) *Field {
	if f := r.byName[string(key[1:len(key)-1])]; f != nil { // no copy
		return f
	}
	return r.byName[DecodeString(key)]
}

// Names returns the fields' names in the reference's order. They must not be changed.
func (r *Resource) Names() []string { return r.names }

func resource(name, timeField string, fields ...Field) *Resource {
	r := &Resource{Name: name, Fields: fields, TimeField: timeField, byName: map[string]*Field{}}
	for i := range r.Fields {
		f := &r.Fields[i]
		r.byName[f.Name] = f
		r.names = append(r.names, f.Name)
		if f.Names == ContactSubject {
			if r.person != "" {
				panic("schemas: " + name + ": two fields name a contact")
			}
			r.person = f.Name
		}
	}
	return r
}

func (r *Resource) sortedOldestFirst() *Resource { r.oldestFirst = true; return r }

func (r *Resource) withErased(field string) *Resource { r.erasedField = field; return r }

func (r *Resource) byDefault(names ...string) *Resource { r.defaultFields = names; return r }

func (r *Resource) called(one, many string) *Resource { r.One, r.Many = one, many; return r }

func (r *Resource) keeping(what string) *Resource { r.Keeps = what; return r }

// field makes a field of one kind; personal makes one that says something about a person.
func field(kind Kind, name string, values ...string) Field {
	return Field{Name: name, Kind: kind, Values: values}
}

func personal(kind Kind, name string) Field { return Field{Name: name, Kind: kind, Personal: true} }

// identifying sets the kind of person that the field's values name.
func (f Field) identifying(kind SubjectKind) Field { f.Names = kind; return f }

// sent marks a text that is sent to people in the organisation's name.
func (f Field) sent() Field { f.Sent = true; return f }

// as sets the label of the field.
func (f Field) as(label string) Field { f.Label = label; return f }

// labelled returns the names of the fields with a label.
func (r *Resource) labelled() (out []string) {
	for _, f := range r.Fields {
		if f.Label != "" {
			out = append(out, f.Name)
		}
	}
	return out
}

// Resources returns the resources of all actions, by name.
func Resources() map[string]*Resource {
	all := map[string]*Resource{}
	for _, a := range registry {
		if a.Resource != nil {
			all[a.Resource.Name] = a.Resource
		}
	}
	return all
}
