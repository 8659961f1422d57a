package schemas

// Kind is what a field holds. The reference does not state kinds: these are
// read from names, inputs and recorded answers, so only UUID, Bool, Time, Date
// and the numbers are trusted to refuse a filter's value.
type Kind string

// The kinds.
const (
	UUID    Kind = "uuid"
	Word    Kind = "word"    // a short machine word: a status, a provider, an opaque id
	Text    Kind = "text"    // anything that somebody may have written
	Bool    Kind = "boolean" //
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
	// Name is the reference's, such as `CallQueueEntry`.
	Name string
	// Fields are in the reference's order.
	Fields []Field
	// defaultFields are the fields selected when the caller names none: what a first look needs, without links to recordings and metadata.
	defaultFields []string
	// cardFields are the fields by which a person knows a record again, the most telling first.
	cardFields []string
	// TimeField orders the records in time; empty where nothing does.
	TimeField string
	// oldestFirst is true where the oldest come first for a reader: what was said, who has waited longest.
	oldestFirst bool
	// erasedField is the time at which the person's data was erased; empty where no erasing shows.
	erasedField string

	person string // the field that names a contact; empty where none does
	byName map[string]*Field
	names  []string
}

// Field is one selectable field.
type Field struct {
	Name string
	Kind Kind
	// Values are the enum's values where the reference states them; a newer server may know more.
	Values []string
	// Personal marks what says something about a person.
	Personal bool
	// Names says whom a value names; empty where it names nobody.
	Names SubjectKind
}

// Trusted reports whether the field's content is made by Sippet (ids, words,
// numbers, times) and not by a caller, a contact or an email. Untrusted is the
// default. A trusted field is still shown as text from outside when its value
// does not look like its kind.
func (f *Field) Trusted() bool {
	switch f.Kind {
	case Text, Texts, Map:
		return false
	}
	return true
}

// Field gives the field of that name, or nil.
func (r *Resource) Field(name string) *Field { return r.byName[name] }

// FieldOf gives the field that a JSON key (with its quotes) names, or nil.
func (r *Resource) FieldOf(key []byte) *Field {
	if f := r.byName[string(key[1:len(key)-1])]; f != nil { // no copy
		return f
	}
	return r.byName[DecodeString(key)]
}

// Names are the fields' names in the reference's order. They must not be changed.
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

// field makes a field of one kind; mine makes one that says something about a person.
func field(kind Kind, name string, values ...string) Field {
	return Field{Name: name, Kind: kind, Values: values}
}

func personal(kind Kind, name string) Field { return Field{Name: name, Kind: kind, Personal: true} }

// identifying says whom the field's values name.
func (f Field) identifying(kind SubjectKind) Field { f.Names = kind; return f }

// Resources lists every resource that an action selects from, by name.
func Resources() map[string]*Resource {
	all := map[string]*Resource{}
	for _, a := range registry {
		if a.Resource != nil {
			all[a.Resource.Name] = a.Resource
		}
	}
	return all
}
