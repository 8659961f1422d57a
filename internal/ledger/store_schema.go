package ledger

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"
)

//go:embed schema.sql
var schemaSQL string

const (
	// applicationID marks the file as ours, in SQLite's header: "SPLG".
	applicationID = 0x53504c47
	// schemaVersion is the version of schema.sql. Versions 1 and 2 had other names for tables and
	// columns; version 3 did not know from when approvers see a request, version 4 took only a
	// payload of the very same bytes for the same call, version 5 every new key for another
	// organisation, and version 6 only an emergency stop of everything, and no pauses.
	schemaVersion = 7
)

// createSchema creates the tables in an empty file and runs initialise in the same transaction. If
// several processes start together, one creates them and the others find them. A file of another
// version is left alone.
func createSchema(ctx context.Context, conn *sql.Conn, path string, initialise func(context.Context, *sql.Conn) error) (err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	empty, err := checkSchema(ctx, conn, path)
	if err != nil {
		return err
	}
	if empty {
		if _, err := conn.ExecContext(ctx, schemaSQL); err != nil {
			return fmt.Errorf("schema.sql: %w", err)
		}
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schemaVersion)); err != nil {
			return err
		}
	}
	if err := initialise(ctx, conn); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// checkSchema reports whether the file is empty. It returns a *StoreError for a file of another
// program (Foreign), of a newer version (Newer) or of an older one (Outdated).
func checkSchema(ctx context.Context, conn *sql.Conn, path string) (empty bool, err error) {
	var id, version, tables int
	if err := conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_master)`).Scan(&id, &version, &tables); err != nil {
		return false, err
	}
	switch {
	case id == 0 && version == 0 && tables == 0:
		return true, nil
	case id != applicationID:
		return false, &StoreError{Kind: Foreign, Path: path}
	case version > schemaVersion:
		return false, &StoreError{Kind: Newer, Path: path}
	case version < schemaVersion:
		return false, &StoreError{Kind: Outdated, Path: path, Err: outdatedIntents(ctx, conn)}
	}
	return false, nil
}

// outdatedIntents lists the calls with an unknown outcome in an older file, for the error: a person
// must be able to check whether they ran. These columns were the same in all versions.
func outdatedIntents(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, action, prepared FROM intents WHERE state IN ('prepared', 'sent', 'unknown') ORDER BY seq")
	if err != nil {
		return fmt.Errorf("its calls cannot be read: %w", err)
	}
	var list []string
	err = eachRow(rows, func(scan func(...any) error) error {
		var id, action string
		var prepared int64
		err := scan(&id, &action, &prepared)
		list = append(list, fmt.Sprintf("%s %s of %s", id, action, fromMicros(prepared).Format(time.RFC3339)))
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("its calls cannot be read: %w", err)
	case len(list) == 0:
		return errors.New("all its calls have a known outcome")
	}
	return errors.New("check in Sippet whether these calls ran: " + strings.Join(list, "; "))
}

// enableWAL switches the file to write-ahead logging. SQLite does not wait for other processes
// while it switches, so this function does.
func enableWAL(ctx context.Context, conn *sql.Conn, path string) error {
	for end := time.Now().Add(busyTimeout); ; {
		var mode string
		err := conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		if err == nil && mode == "wal" {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("its journal stays in mode %s", mode)
		}
		var storeErr *StoreError
		if err = asStoreError(path, err); !errors.As(err, &storeErr) || storeErr.Kind != Locked || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
