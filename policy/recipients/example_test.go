package recipients_test

import (
	"context"
	"fmt"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// A call to a bare number needs no read.
func ExampleResolve() {
	action, fault := schemas.Find("start_outbound_call")
	if fault != nil {
		fmt.Println(fault)
		return
	}
	call, fault := action.Check([]byte(`{"input":{"phoneNumber":"+442079460123"}}`), schemas.Limits{})
	if fault != nil {
		fmt.Println(fault)
		return
	}
	set, fault := recipients.Resolve(context.Background(), call, nil)
	if fault != nil {
		fmt.Println(fault)
		return
	}
	fmt.Println(set.Summary())
	fmt.Println(set.Lines(1)[0])
	// Output:
	// 1 number in GB
	// +44 20 7946 0123 (GB, fixed line)
}

func ExampleFromText() {
	for _, text := range []string{"26", "+442079460123,+33142685300", `[{"name":"Ada","number":"+449098790123"}]`, "02079460123,1"} {
		set, known, err := recipients.FromText(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(set.Overview(known).Summary)
	}
	// Output:
	// 26 recipients, as stated
	// 2 people in FR and GB
	// 1 number in GB; 1 premium rate number
	// the number "02079460123" is not in E.164, such as +442079460123
}
