package rpc_test

import (
	"context"
	"fmt"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// Validate a payload, then run it.
func ExampleClient_Run() {
	sippet := rpctest.Start()
	defer sippet.Close()
	sippet.On(rpctest.Run, "end_call", rpctest.OK(`{"status":"completed"}`))

	client, err := rpc.New(rpc.Config{BaseURL: sippet.URL, Key: rpctest.Key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	request := rpc.Request{Action: "end_call", Body: []byte(`{"action":"end_call","input":{"callUuid":"c-1"}}`)}
	if fault := client.Validate(context.Background(), request); fault != nil {
		fmt.Println(fault)
		return
	}
	res, fault := client.Run(context.Background(), request)
	if fault != nil {
		fmt.Println(fault)
		return
	}
	fmt.Println(string(res.Data), res.Sent)
	for _, r := range sippet.Requests() {
		fmt.Println(r.Endpoint, string(r.Body))
	}
	// Output:
	// {"status":"completed"} true
	// validate {"action":"end_call","input":{"callUuid":"c-1"}}
	// run {"action":"end_call","input":{"callUuid":"c-1"}}
}

// A write that was sent and got no answer may have run, so it is not sent again.
func ExampleClient_Run_unknown() {
	sippet := rpctest.Start()
	defer sippet.Close()
	sippet.On(rpctest.Run, "end_call", rpctest.Reset)

	client, err := rpc.New(rpc.Config{BaseURL: sippet.URL, Key: rpctest.Key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	res, fault := client.Run(context.Background(), rpc.Request{Action: "end_call", Body: []byte(`{"action":"end_call","input":{"callUuid":"c-1"}}`)})
	fmt.Println(fault.Outcome, res.Sent, len(sippet.Requests()))
	fmt.Println(fault.Message)
	fmt.Println(fault.Next)
	// Output:
	// outcome_unknown true 1
	// it is unknown whether end_call ran: the request was sent to sippet, and the connection broke before the answer was complete
	// do not repeat it; check first whether it took effect
}
