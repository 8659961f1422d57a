// Package schemas says what an action is.
//
// Sippet's org API has 52 public actions behind two endpoints. Each has one
// entry here (the files named after the toolsets), and everything that the
// rest of the program knows about an action is derived from that entry: its
// tool, its JSON Schema, the check of its arguments, the card that a person
// sees, the sandbox's resources, the reference in docs/.
//
// # From arguments to a payload
//
// [Action.Check] is the one strict checker. It takes the arguments of a tool
// call as they came and gives a [Payload]: the one canonical encoding of the
// request body, whose bytes are hashed, validated, granted and run. Nothing
// else in the program encodes a request. Wrong arguments come back as an
// [Error] that names faults by their paths, with the nearest valid name.
//
// # For the record
//
// An entry also says what a call leaves behind: [Payload.Subjects] and
// [Payload.Returned] give the persons whom a call and its answer concern,
// [Payload.Before] and [Payload.Replaced] what an update replaces, and
// [Reverse] the call that puts it back, or why there is none. They read labels
// of fields and entries, so that a new action says it in its entry.
//
// # Where the facts come from
//
// Names, inputs and selectable fields are those of the published reference;
// testdata/actions.json holds them as data and a test compares. The kinds of
// fields (a time, a uuid, a word) are ours: the reference does not state them.
// So the checker refuses what cannot be right and leaves the rest to Sippet.
package schemas
