package ash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// decodeRequest decodes a request as Run takes it.
func decodeRequest(t *testing.T, body string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var req map[string]any
	if err := d.Decode(&req); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return req
}

var errorID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// TestRun sends requests one after the other to one library.
func TestRun(t *testing.T) {
	e := openLibrary(t)
	for _, x := range []struct{ name, request, want string }{
		{"List", `{"action":"list_books","fields":["title",{"author":["fullName"]}],"sort":"-title"}`,
			`{"data":[{"author":null,"title":"Cedar"},{"author":{"fullName":"Mary Herbert"},"title":"Birch"},{"author":{"fullName":"Mary Herbert"},"title":"Alder"}],"success":true}`},
		{"Filter", `{"action":"list_books","fields":["title"],"filter":{"author":{"fullName":{"contains":"Herbert"}},"pageCount":{"greaterThan":100}}}`,
			`{"data":[{"title":"Alder"}],"success":true}`},
		{"Page", `{"action":"list_books","fields":["authorName"],"sort":"title","page":{"limit":1,"offset":1,"count":true}}`,
			`{"data":{"count":3,"hasMore":true,"limit":1,"offset":1,"results":[{"authorName":"Mary Herbert"}],"type":"offset"},"success":true}`},
		{"Get", `{"action":"get_book","fields":["details"],"input":{"id":"` + bookID(2) + `"}}`, `{"data":{"details":{"shelf":"A"}},"success":true}`},
		{"Create", `{"action":"create_book","fields":["id","title","state"],"input":{"title":" Damson ","isbn":"4"}}`,
			`{"data":{"id":"` + bookID(5) + `","state":"available","title":"Damson"},"success":true}`},
		{"CreateWithoutTitle", `{"action":"create_book","input":{"pageCount":0}}`,
			`{"errors":[{"fields":["pageCount"],"message":"must be greater than or equal to %{min}","path":[],"shortMessage":"Invalid attribute","type":"invalid_attribute","vars":{"field":"pageCount","min":1}},` +
				`{"fields":["title"],"message":"Bread Crumbs:\n  \u003e Error returned from: Library.Book.create\n\n\nattribute title is required","path":[],"shortMessage":"Required field","type":"required","vars":{"field":"title"}}],"success":false}`},
		{"CreateDuplicate", `{"action":"create_book","input":{"title":"Alder again","isbn":"1"}}`,
			`{"errors":[{"fields":["isbn"],"message":"has already been taken","path":[],"shortMessage":"Invalid changes","type":"invalid_changes","vars":{}}],"success":false}`},
		{"Update", `{"action":"update_book","identity":"` + bookID(4) + `","fields":["pageCount"],"input":{"page_count":"64"}}`, `{"data":{"pageCount":64},"success":true}`},
		{"Lend", `{"action":"lend_book","fields":["state"],"input":{"isbn":"4"}}`, `{"data":{"state":"lent"},"success":true}`},
		{"LendAgain", `{"action":"lend_book","fields":["state"],"input":{"isbn":"4"}}`,
			`{"errors":[{"fields":["isbn"],"message":"is lent already","path":[],"shortMessage":"Invalid attribute","type":"invalid_attribute","vars":{"field":"isbn"}}],"success":false}`},
		{"LendUnknown", `{"action":"lend_book","fields":["state"],"input":{"isbn":"9"}}`,
			`{"errors":[{"fields":[],"message":"Bread Crumbs:\n  \u003e Error returned from: Library.Book.lend\n\n\nrecord with isbn: \"9\" not found","path":[],"shortMessage":"Not found","type":"not_found","vars":{}}],"success":false}`},
		{"Destroy", `{"action":"delete_book","identity":"` + bookID(5) + `"}`, `{"data":{},"success":true}`},
		{"BadSort", `{"action":"list_books","fields":["id"],"sort":"nope"}`,
			`{"errors":[{"code":"internal_error","errorId":"<id>","fields":[],"message":"Something went wrong. Unique error id: <id>","path":["sort"],"shortMessage":"Internal error","vars":{}}],"success":false}`},
	} {
		t.Run(x.name, func(t *testing.T) {
			body, err := e.Run(t.Context(), decodeRequest(t, x.request))
			if err != nil {
				t.Fatal(err)
			}
			got := string(body)
			if strings.Contains(got, "errorId") {
				got = errorID.ReplaceAllString(got, "<id>")
			}
			if got != x.want {
				t.Errorf("got  %s\nwant %s", got, x.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	e := openLibrary(t)
	before, err := e.Changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		`{"action":"create_book","input":{"title":"Elm"}}`:               `{"success":true}`,
		`{"action":"create_book","input":{"title":"Elm","isbn":"1"}}`:    `{"success":true}`, // uniqueness is not checked
		`{"action":"create_book","input":{"title":"Elm","nope":1}}`:      `{"success":true}`, // nor are unknown keys
		`{"action":"create_book","input":{"title":""}}`:                  `{"errors":[{"fields":["title"],"message":"is required","path":["title"],"shortMessage":"Invalid attribute","type":"invalid_attribute","vars":{"field":"title"}}],"success":false}`,
		`{"action":"update_book","identity":"` + bookID(9) + `"}`:        `{"errors":[{"fields":[],"message":"record with id: \"` + bookID(9) + `\" not found","path":[],"shortMessage":"Not found","type":"not_found","vars":{}}],"success":false}`,
		`{"action":"list_books","filter":{"nope":1},"fields":["title"]}`: `{"success":true}`,
	} {
		body, err := e.Validate(t.Context(), decodeRequest(t, request))
		if err != nil || string(body) != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", request, err, body, want)
		}
	}
	if after, err := e.Changes(t.Context()); err != nil || after != before {
		t.Errorf("validation wrote %d rows: %v", after-before, err)
	}
}

func TestCrash(t *testing.T) {
	e := openLibrary(t)
	for _, request := range []string{`{"action":{}}`, `{"action":"list_books","fields":["id"],"sort":1}`, `{"action":"list_books","fields":["id"],"filter":{"or":[]}}`} {
		if body, err := e.Run(t.Context(), decodeRequest(t, request)); err != ErrCrash {
			t.Errorf("%s: %s, error %v, want ErrCrash", request, body, err)
		}
	}
}

// A comparison with null is neither true nor false: no row passes it, and none
// passes its negation.
func TestCompareWithNull(t *testing.T) {
	e := openLibrary(t)
	for _, op := range []string{"eq", "notEq", "in", "greaterThan", "lessThanOrEqual", "isNil", "contains", "like", "ilike"} {
		filter := `{"isbn":{"` + op + `":null}}`
		for _, f := range []string{filter, `{"not":[` + filter + `]}`} {
			body, err := e.Run(t.Context(), decodeRequest(t, `{"action":"list_books","fields":["id"],"filter":`+f+`}`))
			if err != nil || !bytes.Equal(body, []byte(`{"data":[],"success":true}`)) {
				t.Errorf("%s: %s, %v", f, body, err)
			}
		}
	}
}

func TestCursor(t *testing.T) {
	e := openLibrary(t)
	cursor, err := e.Cursor("list_books", "-title", []any{"Cedar", bookID(4)})
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Run(t.Context(), decodeRequest(t, `{"action":"list_books","fields":["title"],"sort":"-title","page":{"limit":1,"after":"`+cursor+`"}}`))
	if err != nil || !strings.Contains(string(body), `"results":[{"title":"Birch"}]`) {
		t.Errorf("after Cedar: %s, %v", body, err)
	}
	for _, x := range []struct {
		action, sort string
		values       []any
	}{{"create_book", "", []any{"x"}}, {"nope", "", nil}, {"list_books", "nope", []any{1, "x"}}, {"list_books", "title", []any{"x"}}} {
		if _, err := e.Cursor(x.action, x.sort, x.values); err == nil {
			t.Errorf("%+v: no error", x)
		}
	}
}

func Example() {
	author := &Resource{Name: "Author", Attributes: []*Attribute{{Name: "id", Kind: UUID, Required: true}, {Name: "fullName", Kind: String, Required: true}}}
	e, err := Open(context.Background(), &Domain{
		Namespace: "Library",
		Table:     "library",
		NewID:     bookID,
		Resources: []*Resource{author},
		Actions:   []*Action{{Name: "create_author", AshName: "create", Type: CreateAction, Resource: author, Accept: []string{"fullName"}}},
	}, "", time.Now)
	if err != nil {
		panic(err)
	}
	defer e.Close()
	body, err := e.Run(context.Background(), map[string]any{"action": "create_author", "fields": []any{"fullName"}, "input": map[string]any{"fullName": "Mary Herbert"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(body))
	// Output:
	// {"data":{"fullName":"Mary Herbert"},"success":true}
}
