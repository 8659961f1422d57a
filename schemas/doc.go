// Package schemas describes the actions of Sippet's org API and checks the
// arguments of calls.
//
// To find an action and check a call of it:
//
//	action, fault := schemas.Find("list_contacts")
//	payload, fault := action.Check(arguments, schemas.Limits{Now: time.Now()})
//
// [Find] returns one of the 52 public actions. [Action.Check] returns the
// [Payload]: the one canonical encoding of the request body. These bytes are
// hashed, validated, approved and run; no other package encodes a request.
// Wrong arguments are an [Error] that lists each fault with its path and the
// nearest valid name.
//
// # Entries
//
// Each action has one entry, in the file of its toolset. Everything that the
// program knows about the action is derived from it: the tool and its JSON
// Schema, the check, the approval card, the sandbox's resources and the
// reference in docs/. [Action.Inputs] lists the keys that its input takes.
//
// # What a call leaves behind
//
// Package ledger files calls by person. [Payload.Subjects] and
// [Payload.Returned] return the persons that a call and its answer name, and
// [ParseSubject] reads what an operator types. [Payload.BeforeRead] and
// [Payload.Replaced] return the values that an update replaces, and [Reverse]
// the call that restores them.
//
// # Sources
//
// Names, inputs and selectable fields are those of the published reference:
// testdata/actions.json holds them as data, and a test compares. The kinds of
// fields (time, uuid, word) are inferred, because the reference does not state
// them. So the checker rejects only what cannot be right.
package schemas
