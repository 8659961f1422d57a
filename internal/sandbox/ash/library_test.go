package ash

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// now is the time of every test, and of what the library was seeded with.
var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// bookID returns the id of the n-th record that a library makes.
func bookID(n uint64) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// library is a small domain: authors and their books.
func library() *Domain {
	author := &Resource{Name: "Author", Attributes: []*Attribute{{Name: "id", Kind: UUID, Required: true},
		{Name: "fullName", Kind: String, Required: true}}}
	book := &Resource{Name: "Book", Unique: []string{"isbn"},
		Relations: []*Relation{{Name: "author", Resource: "Author", Key: "authorId"}},
		Attributes: []*Attribute{
			{Name: "id", Kind: UUID, Required: true},
			{Name: "title", Kind: String, Required: true},
			{Name: "isbn", Kind: String},
			{Name: "pageCount", Kind: Integer, Min: new(int64(1))},
			{Name: "state", Kind: Enum, Values: []string{"available", "lent"}, Required: true, Default: "available"},
			{Name: "details", Kind: Map},
			{Name: "authorId", Kind: UUID},
			{Name: "insertedAt", Kind: Time, Private: true},
			{Name: "authorName", Kind: String, Expr: `SELECT a."fullName" FROM "Author" a WHERE a."id" = %s."authorId"`},
		}}
	accept := []string{"title", "isbn", "pageCount", "state", "details", "authorId"}
	lend := &Action{Name: "lend_book", AshName: "lend", Type: RecordAction, Resource: book,
		Arguments: []*Attribute{{Name: "isbn", Kind: String, Required: true}}}
	lend.Run = func(t *Tx, args Record) (any, error) {
		found, err := t.First(book, `t."isbn" = ?`, args["isbn"])
		switch {
		case err != nil:
			return nil, err
		case found == nil:
			return nil, lend.NotFound("isbn", args.Text("isbn"))
		case found["state"] == "lent":
			return nil, InvalidAttribute("isbn", "is lent already")
		}
		if err := t.Update(book, found.Text("id"), Record{"state": "lent"}); err != nil {
			return nil, err
		}
		return t.Get(book, found.Text("id"))
	}
	return &Domain{Namespace: "Library", Table: "library", NewID: bookID, Resources: []*Resource{author, book}, Seed: func(_ context.Context, t *Tx) error {
		herbert := Record{"fullName": "Mary Herbert"}
		if err := t.Insert(author, herbert); err != nil {
			return err
		}
		for _, rec := range []Record{
			{"title": "Alder", "isbn": "1", "pageCount": int64(120), "state": "available", "authorId": herbert["id"], "details": Document(`{"shelf":"A"}`)},
			{"title": "Birch", "isbn": "2", "pageCount": int64(80), "state": "lent", "authorId": herbert["id"]},
			{"title": "Cedar", "isbn": "3", "state": "available"},
		} {
			rec["insertedAt"] = t.Timestamp()
			if err := t.Insert(book, rec); err != nil {
				return err
			}
		}
		return nil
	}, Actions: []*Action{
		{Name: "list_books", AshName: "read", Type: ListAction, Resource: book, Page: &Paging{}},
		{Name: "get_book", AshName: "read", Type: GetAction, Resource: book, Arguments: []*Attribute{{Name: "id", Kind: UUID, Required: true}}},
		{Name: "create_book", AshName: "create", Type: CreateAction, Resource: book, Accept: accept},
		{Name: "update_book", AshName: "update", Type: UpdateAction, Atomic: true, Resource: book, Accept: accept},
		{Name: "delete_book", AshName: "destroy", Type: DestroyAction, Resource: book},
		lend,
	}}
}

func openLibrary(t *testing.T) *Engine {
	t.Helper()
	e, err := Open(t.Context(), library(), "", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}
