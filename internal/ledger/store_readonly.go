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

// errReadOnly is the cause if a method must write to a ledger that is open for reading only.
var errReadOnly = errors.New("it is open for reading only")

// errMissing is the cause if the file is missing but its checkpoints exist. A new file would say
// that nothing ever happened.
var errMissing = errors.New("it is missing, but its checkpoints exist: restore it from a backup, or start with an empty state directory")

// checkMissing reports a missing ledger.
func checkMissing(dir string) error {
	for _, want := range []struct {
		name   string
		exists bool
	}{{File, false}, {CheckpointFile, true}, {File, false}} { // twice, because another process may create both meanwhile
		if _, err := os.Stat(filepath.Join(dir, want.name)); (err == nil) != want.exists {
			return nil
		}
	}
	return &StoreError{Broken, filepath.Join(dir, File), errMissing}
}

// uri returns the path as SQLite accepts it, with parameters.
func uri(path, parameters string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?" + parameters
}

// openReadOnly opens an existing ledger and changes nothing.
func (s *SQLite) openReadOnly(ctx context.Context) (err error) {
	if err := s.checkPermission(); err != nil {
		return err
	}
	if err := checkMissing(s.o.Dir); err != nil {
		return err
	}
	if s.file, err = os.Stat(s.path); err != nil {
		return err
	}
	busy := fmt.Sprintf("&_pragma=busy_timeout(%d)", busyTimeout.Milliseconds())
	err = s.openFile(ctx, uri(s.path, "mode=ro"+busy))
	// SQLite creates -wal and -shm even to read a file with a write-ahead log. If it may not create
	// them and there is no log, nobody is writing, and the file alone is complete.
	var q *sqlite.Error
	if !errors.As(err, &q) || q.Code()&0xff != 14 && q.Code()&0xff != 8 && q.Code() != noSharedMemory {
		return err
	}
	if s.hasLog() {
		return &StoreError{Broken, s.path, fmt.Errorf("the last changes are in %s-wal, which can only be read if this user may write "+
			"the directory: copy the directory to one that they may write (%w)", s.path, err)}
	}
	s.immutable = true
	return s.openFile(ctx, uri(s.path, "mode=ro&immutable=1"+busy))
}

// hasLog reports whether there is a write-ahead log that is not empty.
func (s *SQLite) hasLog() bool {
	f, err := os.Stat(s.path + "-wal")
	return err == nil && f.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// openFile opens the file by this name, and its keys.
func (s *SQLite) openFile(ctx context.Context, name string) error {
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
		return &StoreError{Corrupt, s.path, errors.New("it has no id")}
	}
	if err != nil {
		return err
	}
	return s.openSealer(ctx, c, false)
}

// checkReadable rejects a read if the file was opened as immutable and another process writes it
// now.
func (s *SQLite) checkReadable() error {
	if s.immutable && s.hasLog() {
		return &StoreError{Broken, s.path, errors.New("another process has begun to write it: run this again")}
	}
	return nil
}
