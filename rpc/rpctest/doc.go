// Package rpctest is a recording stand-in for Sippet's two endpoints, for tests and benchmarks.
//
//	up := rpctest.New(t)
//	client, _ := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpctest.Key})
//	…
//	for _, r := range up.Requests() { … r.Endpoint, r.Action, r.Body … }
//
// It writes down every request in the order in which they were whole, with its
// exact bytes, and answers something well-formed for every action of the
// registry: two records in a page or a plain list, one where a filter names it,
// a record with the fields asked for, a map, or {}. It judges nothing: no filter, no id, no permission.
//
// [Server.On] makes it answer otherwise, for one endpoint and one action:
//
//	up.On(rpctest.Run, "delete_contact", rpctest.Status(503, "<html>"))
//	up.On(rpctest.Validate, "", rpctest.Refuse("required", "is required"))
//	up.On(rpctest.Run, "list_calls", rpctest.InTurn(rpctest.Hang, rpctest.OK(`[]`)))
//	up.On(rpctest.Run, "list_contacts", rpctest.NewTable("insertedAt", rows...).Answer)
//
// It is not the sandbox: that one behaves as an organisation does, this one as a test says.
package rpctest
