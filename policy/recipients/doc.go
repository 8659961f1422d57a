// Package reach finds out whom a call would ring, before anything is decided
// about it. A rule about numbers must not be passed by a contact's id, and a
// person who is asked must see who is meant, so both look at the same thing:
// a [Set] of recipients.
//
//	set, fault := reach.Of(ctx, payload, read)
//
// gives nil, nil for an action that rings nobody. Which actions ring is read
// from the registry: those of class outbound of which one target names a
// contact or a number. read runs a list; it is the gate that lends it, so that
// nothing but the gate runs anything.
//
// A target is one of three things:
//
//	a number     is looked up in the numbering plans that are built in: no read
//	contacts     are read by id, at most 250 at a time; each must come back
//	             exactly once, be neither archived nor erased, and have a
//	             number that exists
//	a group      cannot be read: nothing in Sippet's API lists its members. All
//	             that is known is how many it can be, so the call must say
//
// One destination that cannot be rung refuses the whole call: nobody is left
// out in silence, and a person who says yes says it to all that are rung.
//
// [Set].Digest stands for who is rung, by contact and number. It is taken when
// somebody is asked and compared before the call runs: between the two a
// contact's number may have been changed, and then the yes was to another.
//
// # Numbers
//
// A number is refused unless it is in E.164 (`+` and digits, no prefix such as
// the British 0) and its country's plan knows it. What Sippet would dial is
// the text that it has, so nothing is corrected on the way. [Kind] says what
// sort it is; emergency numbers are recognised in every way in which they could
// be stored, and whether they are ever rung is the policy's to say. Ranges
// that regulators keep free for films and examples count as what they imitate.
//
// Everything that comes from Sippet is text from outside. A page that is not
// what was asked for is an error and never a smaller set.
package recipients
