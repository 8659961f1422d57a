// Package reach finds out whom an outbound call would ring, before anything is decided about it.
package reach

// Destination is one person or number that a call would ring.
type Destination struct {
	// Contact is the contact's id; empty where a bare number is rung.
	Contact string `json:"contact,omitempty"`
	// Name is the contact's full name, as Sippet has it: text from outside.
	Name string `json:"name,omitempty"`
	// Number is in E.164; empty where the contact has none.
	Number string `json:"number,omitempty"`
	// Country is the number's, ISO 3166-1 alpha-2 such as GB; empty where the number belongs to none.
	Country string `json:"country,omitempty"`
	// Kind is the sort of number: one of Kinds.
	Kind Kind `json:"kind,omitempty"`
}

// Kind is a sort of number.
type Kind string

// Set is all that one call would ring.
type Set struct {
	// List are the destinations; empty where they are the members of a group, which nobody can read.
	List []Destination `json:"list,omitempty"`
	// Group is the group's id where List is not known.
	Group string `json:"group,omitempty"`
	// Count is how many are rung: len(List), or the most that a call to a group can reach.
	Count int `json:"count"`
	// Digest stands for all of the above: it changes when anybody's number does.
	Digest string `json:"digest"`
}
