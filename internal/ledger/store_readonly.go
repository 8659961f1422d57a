package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// errForReading is the cause where something is to be written to a ledger that was opened with Options.ReadOnly.
var errForReading = errors.New("it was opened for reading only")

// errGone is the cause where the file is missing and its checkpoints are there: an empty one in its place would say that
// nothing ever happened.
var errGone = errors.New("it is gone, but its checkpoints are there: put it back from a backup, or begin with an empty folder")

// vanished reports a ledger that is gone.
func vanished(dir string) error {
	for _, want := range []struct {
		name string
		here bool
	}{{File, false}, {CheckpointFile, true}, {File, false}} { // again, for another process may make both meanwhile
		if _, err := os.Stat(filepath.Join(dir, want.name)); (err == nil) != want.here {
			return nil
		}
	}
	return &StoreError{Broken, filepath.Join(dir, File), errGone}
}

// uri is the name of the file as SQLite takes it, with parameters behind it.
func uri(path, parameters string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?" + parameters
}

// openForReading opens what is there, and changes nothing of it.
func (s *SQLite) openForReading(ctx context.Context) (err error) {
	if err := vanished(s.o.Dir); err != nil {
		return err
	}
	if s.file, err = os.Stat(s.path); err != nil {
		return err
	}
	busy := fmt.Sprintf("&_pragma=busy_timeout(%d)", busyTimeout.Milliseconds())
	err = s.read(ctx, uri(s.path, "mode=ro"+busy))
	// A file with a write-ahead log needs -wal and -shm, which SQLite makes even to read. Where it may not make them and
	// there is no log, nobody is writing, and the file alone is all.
	var q *sqlite.Error
	if !errors.As(err, &q) || q.Code()&0xff != 14 && q.Code()&0xff != 8 {
		return err
	}
	if s.logged() {
		return &StoreError{Broken, s.path, fmt.Errorf("what was written last is in %s-wal, which can be read only where this user may write the folder: make a copy of the folder that they may write (%w)", s.path, err)}
	}
	s.unlogged = true
	return s.read(ctx, uri(s.path, "mode=ro&immutable=1"+busy))
}

// logged reports whether there is a write-ahead log with something in it.
func (s *SQLite) logged() bool {
	f, err := os.Stat(s.path + "-wal")
	return err == nil && f.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// read opens the file by that name, and its keys.
func (s *SQLite) read(ctx context.Context, name string) error {
	if s.db != nil {
		s.db.Close()
	}
	var err error
	if s.db, err = sql.Open("sqlite", name); err != nil {
		return err
	}
	s.db.SetMaxIdleConns(4)
	s.db.SetMaxOpenConns(4)
	c, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := checkSchema(ctx, c, s.path); err != nil {
		return err
	}
	err = c.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'id'").Scan(&s.id)
	if errors.Is(err, sql.ErrNoRows) {
		return &StoreError{Corrupt, s.path, errors.New("it has no name")}
	}
	if err != nil {
		return err
	}
	return s.openSealer(ctx, c, false)
}

// readable refuses to read a file that was opened as one that nobody writes, once somebody does.
func (s *SQLite) readable() error {
	if s.unlogged && s.logged() {
		return &StoreError{Broken, s.path, errors.New("another process has begun to write it since it was opened: run this again")}
	}
	return nil
}
