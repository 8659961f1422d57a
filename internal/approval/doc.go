// Package approval holds what a person needs to answer an approval request: the card that they
// read, the rule who may answer, and the record of their answer.
//
//	card := approval.NewCard(approval.Call{Payload: p, Needs: "confirm", …}) // shown to a person
//	results := approvals.Answer(ctx, ids, person, approval.Reply{Approve: true})
//
// # Requests
//
// A request is a [ledger.ApprovalRequest]: it is pending until a person approves or declines it, it
// is revoked or it expires. An approval is used once, by the commit of its call. Package policy
// creates requests and runs approved calls; this package runs nothing.
//
// # Cards
//
// A [Card] is data. [NewCard] builds it from the registry, the payload, the recipients and the
// ledger: title, facts, changes, recipients, warnings, costs, who asks and why. [Card.Short] is its
// text in a client's dialogue, [Card.Long] on a terminal, and the inbox has a template of it. Its
// deed says in two lines all that the call does and what is odd about it, because some clients show
// no more. The model's reason comes last and is marked. Every value is escaped, so that no text can
// imitate another part of the card. [ReadCard] reads a stored one.
//
// # Persons
//
// [Person.CheckAnswer] is the one rule who may answer: a confirm is answered by the requester or an
// approver, an approve by another person with the role approver. Programs (role agent) and the
// token of the request answer nothing. [Approvals] applies the rule to answers from the inbox, its
// API and the terminal.
//
// # Programs that end
//
// The program that made a request runs its call. After it has ended, [EndsWithProgram] says whether
// the request ends too (orphan.go). A [Stamps] proves what was shown to whom, and when.
package approval
