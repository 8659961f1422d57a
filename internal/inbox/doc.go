// Package inbox is the page on which people answer what an AI asks, and the
// same as JSON. It knows nothing of MCP: questions come from the ledger, answers
// go to a policy.Desk, and what is agreed to is run by a policy.Executor, in
// this process or in the one that asked.
//
//	h := (&inbox.Inbox{Desk: desk, …}).Handler()   // serves /inbox and what is below it
//
// # Who is there
//
// Nobody sees anything without logging in (session.go): with the token of an
// approver or an admin, or with a code that `sippet-mcp inbox login` printed, or
// with which this machine's browser was opened. A code is good once. A session
// is a cookie for 30 days; what cannot be undone asks for a login that is at
// most 15 minutes old. A token that has the role agent logs nobody in: it is a
// program's, and programs ask.
//
// Who may answer what is approval.Person's to say, in one place for the page, the
// API and the terminal.
//
// # What is shown
//
// A card (approval.Card) as it was made when the question was asked. All texts
// that come from a payload have been escaped there, are escaped once more by
// html/template, and stand isolated, so that none can turn the text around it.
// Requests of one caller for one action within a minute are one card with a
// line each (view.go).
//
// # What comes back
//
// Every line of a card carries a stamp (stamp.go): a code of the session, of the
// question and of the time at which it was shown. An answer without one is not
// taken, so no other page can send it, and an answer that came sooner than the
// card can be read is marked. Beside it, requests of other origins are refused.
//
// # Live
//
// A snapshot of what waits is made once for each change, for all who look
// (snapshot.go). Browsers are told that something changed and fetch the part of
// the page that did; without JavaScript everything works with reloading.
package inbox
