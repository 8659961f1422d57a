package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	oskeys "github.com/zalando/go-keyring"
)

// keychainService is the service of the master key in the keychain of the operating system; the
// account is the ledger's id.
const keychainService = "sippet-mcp"

var (
	errNoKeychain    = errors.New("the keychain cannot be used")
	errNotInKeychain = errors.New("the keychain has no such key")
)

// openSealer reads the master key, or creates it for a fresh ledger. meta stores a hash of the key,
// so that a wrong key is rejected before anything is sealed under it.
func (s *SQLite) openSealer(ctx context.Context, conn *sql.Conn, fresh bool) error {
	location, raw, err := s.readMasterKey(fresh)
	missing := func(err error) error { return &StoreError{MissingKey, location, err} }
	if err != nil {
		return missing(err)
	}
	master, err := base64.StdEncoding.DecodeString(strings.TrimSpace(raw))
	if err != nil || len(master) != 32 {
		return missing(errors.New("it is not 32 bytes in base64"))
	}
	s.seal = &sealer{gcm(derive(master, "wrap")), gcm(derive(master, "common")), derive(master, "tag"), derive(master, "print"), derive(master, "head"), derive(master, "more")}
	check := hex.EncodeToString(derive(master, "check"))
	if fresh {
		_, err = conn.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ('master', ?)", check)
		return err
	}
	var stored string
	if err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'master'").Scan(&stored); err != nil {
		return err
	}
	if stored != check {
		return missing(errors.New("it is not the key of this ledger"))
	}
	return nil
}

// readMasterKey reads the master key from the configured location, else from the other one, so that
// a ledger can be moved between file and keychain. location is for a person. The key of a fresh
// ledger is created in the configured location only.
func (s *SQLite) readMasterKey(fresh bool) (location, raw string, err error) {
	path := filepath.Join(s.o.Dir, MasterKeyFile)
	fromFile := func() (string, error) {
		raw, err := os.ReadFile(path)
		if fresh && errors.Is(err, fs.ErrNotExist) {
			raw = []byte(newMasterKey() + "\n")
			err = writeNew(path, raw)
		}
		return string(raw), err
	}
	fromKeychain := func() (string, error) {
		raw, err := oskeys.Get(keychainService, s.id)
		if fresh && errors.Is(err, oskeys.ErrNotFound) {
			raw = newMasterKey()
			err = oskeys.Set(keychainService, s.id, raw)
		}
		switch {
		case errors.Is(err, oskeys.ErrNotFound):
			return "", errNotInKeychain
		case err != nil:
			return "", fmt.Errorf("%w: %w", errNoKeychain, err)
		}
		return raw, nil
	}
	first, second, other := fromFile, fromKeychain, "the keychain"
	location = path
	if s.o.Keychain {
		first, second, other, location = fromKeychain, fromFile, path, fmt.Sprintf("%s of %s", s.id, keychainService)
	}
	raw, err = first()
	if err == nil || fresh || !s.o.Keychain && !errors.Is(err, fs.ErrNotExist) {
		return location, raw, err
	}
	if raw, e := second(); e == nil {
		s.log.Warn("the ledger's key is not in the configured location; using another one", "expected", location, "found", other)
		return other, raw, nil
	}
	return location, "", err
}

// newMasterKey returns a new master key: 32 bytes in base64.
func newMasterKey() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}
