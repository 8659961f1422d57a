// Package recipients resolves who a call would reach, before the policy decides about the call:
//
//	set, fault := recipients.Resolve(ctx, payload, read)
//
// A [Set] lists each contact or number with its country and kind. Rules read it, and an approval
// card shows it. Resolve returns nil, nil for an action that reaches nobody.
//
// The registry says which actions reach somebody: those of class outbound with a target that names a
// contact or a number, or that is an email. A target is one of four things:
//
//	a number    is looked up in the built-in numbering plans. Nothing is read.
//	contacts    are read by id, at most 250 at a time. Each must be returned exactly once,
//	            be neither archived nor erased, and have a number that exists.
//	a group     cannot be read: no action of Sippet lists its members.
//	            The call must state how many members it may ring.
//	an email    is handed in as if it had arrived. An answer goes to the addresses of From and
//	            Reply-To. Contacts are searched for each; an address of none is a stranger's.
//
// read runs a list. The gate supplies it, so that only the gate calls Sippet.
//
// One recipient that cannot be rung rejects the whole call. Nobody is dropped silently, and an
// approval covers everybody who is rung.
//
// [FromArguments] returns what the arguments alone tell, and [FromText] parses recipients that a
// person wrote. Neither reads anything: they serve explanations, not calls.
//
// # Digest
//
// [Set].Digest identifies the recipients by contact and number. It is recorded with an approval
// request and compared before the call runs, since a contact's number may change in between.
//
// # Numbers
//
// A number must be in E.164: `+` and digits, without a national prefix such as the British 0. Its
// country's numbering plan must contain it. Sippet dials the text as it is stored, so nothing is
// corrected. [Kind] is the sort of number. Emergency numbers are recognised in every form in which
// they may be stored; the policy decides whether they are ever rung. Ranges that regulators reserve
// for films and examples count as the numbers that they imitate.
//
// Everything that Sippet returns is untrusted text. A page that does not match the request is an
// error and never a smaller set.
package recipients
