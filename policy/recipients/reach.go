package recipients

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// Max is the most recipients that one call may have.
const Max = 10_000

// Recipient is one person or number that a call would ring.
type Recipient struct {
	// Contact is the contact's id in lower case; empty where a bare number is rung.
	Contact string `json:"contact,omitempty"`
	// Name is the contact's full name, as Sippet has it but for its length: text from outside.
	Name string `json:"name,omitempty"`
	// Number is in E.164, never empty; an emergency number is as Sippet has it, such as 112.
	Number string `json:"number,omitempty"`
	// Country is the number's, ISO 3166-1 alpha-2 such as GB; empty where the number belongs to none.
	Country string `json:"country,omitempty"`
	// Kind is the sort of number: one of Kinds.
	Kind Kind `json:"kind,omitempty"`
}

// Set is all that one call would ring.
type Set struct {
	// List are the recipients in the call's order; empty where they are the members of a group, which nobody can read.
	List []Recipient `json:"list,omitempty"`
	// Group is the group's id where List is not known.
	Group string `json:"group,omitempty"`
	// Count is the most that are rung: of List, or of the group.
	Count int `json:"count"`
	// Digest stands for who is rung: it changes when anybody's number does, and not with their order or names.
	Digest string `json:"digest"`
}

// seal computes the digest of a set that is complete.
func (s *Set) seal() *Set {
	sorted := slices.SortedFunc(slices.Values(s.List), func(a, b Recipient) int {
		if c := strings.Compare(a.Contact, b.Contact); c != 0 {
			return c
		}
		return strings.Compare(a.Number, b.Number)
	})
	h := sha256.New()
	part(h, "sippet-mcp reach v1")
	part(h, s.Group)
	part(h, fmt.Sprint(s.Count))
	for _, d := range sorted {
		part(h, d.Contact)
		part(h, d.Number)
	}
	s.Digest = hex.EncodeToString(h.Sum(nil))
	return s
}

// part writes a text so that where it ends is part of what is hashed.
func part(h hash.Hash, s string) {
	fmt.Fprintf(h, "%d:%s,", len(s), s)
}
