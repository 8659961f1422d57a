package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks the file as ours, in SQLite's header: "SPLG".
const applicationID = 0x53504c47

// migrate brings the file to the newest schema and runs first in the same
// transaction, so that of several processes that start together one does it
// and the others find it done. It never goes back: a file of a newer program
// is left alone.
func migrate(ctx context.Context, conn *sql.Conn, path string, first func(context.Context, *sql.Conn) error) (err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	version, err := schemaOf(ctx, conn, path, len(files))
	if err != nil {
		return err
	}
	for i, name := range files {
		if i < version {
			continue
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if version < len(files) {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(files))); err != nil {
			return err
		}
	}
	if err := first(ctx, conn); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// schemaOf reads which of the newest migrations the file has, 0 where it is empty.
func schemaOf(ctx context.Context, conn *sql.Conn, path string, newest int) (version int, err error) {
	var id, tables int
	if err := conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_master)`).Scan(&id, &version, &tables); err != nil {
		return 0, err
	}
	switch {
	case id != applicationID && (id != 0 || version != 0 || tables != 0):
		return 0, &StoreError{Kind: Foreign, Path: path}
	case version > newest:
		return 0, &StoreError{Kind: Newer, Path: path}
	}
	return version, nil
}

// schema reports whether the file lacks migrations.
func schema(ctx context.Context, conn *sql.Conn, path string) (behind bool, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return false, err
	}
	version, err := schemaOf(ctx, conn, path, len(files))
	return version < len(files), err
}

// wal switches the file to write-ahead logging. SQLite does not wait for other
// processes while it switches, so we do.
func wal(ctx context.Context, conn *sql.Conn, path string) error {
	for end := time.Now().Add(busyTimeout); ; {
		var mode string
		err := conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		if err == nil && mode == "wal" {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("its journal stays in mode %s", mode)
		}
		var t *StoreError
		if err = asStoreError(path, err); !errors.As(err, &t) || t.Kind != Locked || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
