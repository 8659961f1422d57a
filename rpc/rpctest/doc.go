// Package rpctest is a server in place of Sippet's two endpoints, for tests. It records requests.
//
//	up := rpctest.New(t)
//	client, _ := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpctest.Key})
//	…
//	for _, r := range up.Requests() { … r.Endpoint, r.Action, r.Body … }
//
// It records the exact bytes of every request, in the order in which they were complete. Its usual
// answer to every action of the registry is well-formed: two records in a page or a list, one record
// if a filter names it, a record with the fields asked for, a map, or {}. It checks nothing: no
// filter, no id, no permission.
//
// [Server.On] sets another answer, for one endpoint and one action:
//
//	up.On(rpctest.Run, "delete_contact", rpctest.Status(503, "<html>"))
//	up.On(rpctest.Validate, "", rpctest.Refuse("required", "is required"))
//	up.On(rpctest.Run, "list_calls", rpctest.InTurn(rpctest.Hang, rpctest.OK(`[]`)))
//	up.On(rpctest.Run, "list_contacts", rpctest.NewTable("insertedAt", rows...).Answer)
//
// The sandbox, in contrast, behaves as an organisation does.
package rpctest
