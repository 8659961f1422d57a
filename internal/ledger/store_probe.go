package ledger

import (
	"context"
	"errors"
	"time"
)

// probeEvery is how soon after a failed write the ledger tries again by itself.
const probeEvery = time.Second

// StoreError implements Ledger.
func (s *SQLite) StoreError() error {
	if s.o.ReadOnly {
		return &StoreError{ReadOnly, s.path, errForReading}
	}
	if t := s.storeError.Load(); t != nil {
		return t
	}
	return nil
}

// classify remembers how an attempt to write went: of the transaction, or of a change in it that the store could not take.
func (s *SQLite) classify(err error, ops []*op) {
	var t *StoreError
	if !errors.As(err, &t) {
		for _, o := range ops {
			if errors.As(o.err, &t) {
				break
			}
		}
	}
	s.storeError.Store(t)
}

// probe writes something small where the last attempt failed: else nobody would notice that the store is well again
// until a call came, and calls may be refused as long as it is not.
func (s *SQLite) probe() {
	if s.storeError.Load() == nil {
		return
	}
	// The outcome is what met remembers.
	_ = s.write(context.Background(), func(t *tx) error {
		_, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', ?)", t.now.Format(time.RFC3339Nano))
		return err
	})
}
