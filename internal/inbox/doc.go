// Package inbox serves the page on which people approve or decline requests, and the same as a JSON
// API.
//
//	box := &inbox.Inbox{Approvals: approvals, Ledger: store, …}
//	host := inbox.NewHost(inbox.HostOptions{Inbox: box, …})   // the fixed port of this machine
//	h.Inbox = box.Handler()                                   // or: part of a server of its own
//
// It knows nothing of MCP. Requests come from the ledger, answers go to [approval.Approvals], and a
// policy.Executor of this process or of the one that asked runs what was approved.
//
// # Login
//
// Nothing is shown without a login (session.go): with the token of an approver or admin, with a
// code that `sippet-mcp inbox login` printed, or with a code in the URL with which this machine's
// browser was opened. A code works once. A session is a cookie: for 30 days with
// TLS, for 12 hours without. An approval of what cannot be undone needs a login within the last 15
// minutes. A token with the role agent cannot log
// in: it is a program's.
//
// [approval.Person] decides who may answer, for the page, the API and the terminal.
//
// # Cards
//
// A page shows the card (approval.Card) that was built with the request. All texts from a payload
// were escaped then. html/template escapes them again, and each stands isolated, so that it cannot
// change the direction of its surroundings. Requests of one caller for one action within a minute
// share a card, with a line each (view.go).
//
// # Answers
//
// Each line of a card has a stamp (stamp.go): a code of the session, of the request and of the time
// at which the line was shown. An answer without a stamp is rejected, so no other page can send
// one. An answer that was faster than anybody can read is marked. Requests of other origins are
// rejected as well.
//
// # Live pages
//
// One snapshot for each change serves all readers (snapshot.go). Browsers get an event for each
// change and then fetch the changed part of the page. Without JavaScript the same works by
// reloading.
//
// # Host
//
// Beside a client on stdio there is no server. There a [Host] serves the inbox on a port of this
// machine that stays the same for a state directory. It is served by one of the processes that use
// the directory. If that process ends, another one continues, or a program of somebody else takes
// the port. So the listener must prove that it has the directory's secret (owner.go): to a process
// before it sends a login code there, and to a page before it sends its cookie.
package inbox
