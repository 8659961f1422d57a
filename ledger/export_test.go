package ledger

import (
	"context"
	"fmt"
	"testing"
)

// LimitPages makes the database full at so many pages, as a disk would.
func LimitPages(t testing.TB, s *SQLite, n int) {
	t.Helper()
	err := s.write(context.Background(), func(t *tx) error {
		_, err := t.exec(fmt.Sprintf("PRAGMA max_page_count = %d", n))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// HoldNotes keeps the writer busy until the function it gives is called.
func HoldNotes(s *SQLite) (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	go s.write(context.Background(), func(*tx) error { close(held); <-free; return nil })
	<-held
	return func() { close(free) }
}
