package schemas_test

import (
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Find an action, and turn the arguments of a tool call into the payload that is sent.
func ExampleAction_Check() {
	action, fault := schemas.Find("update_contact")
	if fault != nil {
		fmt.Println(fault)
		return
	}
	payload, fault := action.Check([]byte(`{
		"identity": "C0000000-0000-4000-8000-000000000001",
		"input": {"fullName": "Ada Lovelace"},
		"fields": ["id", "fullName"],
		"reason": "she told us her name"
	}`), schemas.Limits{Now: time.Now()})
	if fault != nil {
		fmt.Println(fault)
		return
	}
	fmt.Println(string(payload.Body))
	fmt.Println(payload.Reason)
	fmt.Println(payload.Subjects())
	// Output:
	// {"action":"update_contact","fields":["id","fullName"],"identity":"c0000000-0000-4000-8000-000000000001","input":{"fullName":"Ada Lovelace"}}
	// she told us her name
	// [contact:c0000000-0000-4000-8000-000000000001]
}

// Wrong arguments are an error that lists each fault with its path.
func ExampleAction_Check_faults() {
	action, _ := schemas.Find("list_contacts")
	_, fault := action.Check([]byte(`{
		"filter": {"fulName": {"eq": "Ada"}, "phoneE164": {"equals": "+442079460123"}, "deletedAt": {"eq": null}},
		"limit": 5
	}`), schemas.Limits{Now: time.Now()})
	fmt.Println(fault.Outcome)
	for _, d := range fault.Details {
		fmt.Printf("%s: %s\n", d.Path, d.Message)
	}
	fmt.Println(fault.Next)

	// The faults of meaning, such as those in a filter, come once the shape is right.
	_, fault = action.Check([]byte(`{
		"filter": {"fulName": {"eq": "Ada"}, "phoneE164": {"equals": "+442079460123"}, "deletedAt": {"eq": null}},
		"page": {"limit": 5}
	}`), schemas.Limits{Now: time.Now()})
	for _, d := range fault.Details {
		fmt.Printf("%s: %s\n", d.Path, d.Message)
	}
	// Output:
	// invalid_arguments
	// limit: unknown name "limit"; it goes into page.limit
	// nothing was sent; correct the arguments and call again. list_contacts takes fields, filter, sort, page
	// filter.deletedAt.eq: null never matches: write {"deletedAt":{"isNil":true}}
	// filter.fulName: unknown field "fulName", did you mean fullName?
	// filter.phoneE164.equals: unknown operator "equals", valid: eq, notEq, in, contains, like, ilike, isNil
}

// Every action says which keys its input takes.
func ExampleAction_Inputs() {
	action, _ := schemas.Find("start_outbound_call")
	for _, in := range action.Inputs() {
		fmt.Printf("%s %s %s required=%t names=%s\n", in.Name, in.Type, in.Format, in.Required, in.Names)
	}
	// Output:
	// contactId string uuid required=false names=contact
	// phoneNumber string  required=false names=phone
	// aiAgentId string uuid required=false names=
}

// A person is named in any usual spelling.
func ExampleParseSubject() {
	for _, text := range []string{"0044/20/79460123", "+44 (0)20 7946-0123", "Ada@Example.com", "020 7946 0123"} {
		subject, err := schemas.ParseSubject(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(subject)
	}
	// Output:
	// phone:+442079460123
	// phone:+442079460123
	// email:ada@example.com
	// the phone number "020 7946 0123" has no country code: give it with one, such as +442079460123
}
