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

// KeychainService is the name that the master key has in the keychain of the operating system; the account is the ledger's id.
const KeychainService = "sippet-mcp"

var (
	errNoKeychain    = errors.New("the keychain cannot be used")
	errNotInKeychain = errors.New("the keychain has no such key")
)

// openSealer reads the master key, or makes it where the ledger is fresh. A
// fingerprint of it is kept in the ledger, so that another key is noticed
// before anything is sealed under it.
func (s *SQLite) openSealer(ctx context.Context, conn *sql.Conn, fresh bool) error {
	place, raw, err := s.findMaster(fresh)
	missing := func(err error) error { return &StoreError{MissingKey, place, err} }
	if err != nil {
		return missing(err)
	}
	master, err := base64.StdEncoding.DecodeString(strings.TrimSpace(raw))
	if err != nil || len(master) != 32 {
		return missing(errors.New("it is not 32 bytes in base64"))
	}
	s.seal = &sealer{gcm(derive(master, "wrap")), derive(master, "tag"), derive(master, "print"), derive(master, "head"), derive(master, "more")}
	check := hex.EncodeToString(derive(master, "check"))
	if fresh {
		_, err = conn.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ('master', ?)", check)
		return err
	}
	var known string
	if err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'master'").Scan(&known); err != nil {
		return err
	}
	if known != check {
		return missing(errors.New("it is not the key that this ledger was written with"))
	}
	return nil
}

// findMaster looks for the master key where the options say, and then in the other place: so a ledger can be moved
// between file and keychain. place is for a person. A fresh ledger's key is made where the options say and nowhere else.
func (s *SQLite) findMaster(fresh bool) (place, raw string, err error) {
	path := filepath.Join(s.o.Dir, MasterKeyFile)
	inFile := func() (string, error) {
		raw, err := os.ReadFile(path)
		if fresh && errors.Is(err, fs.ErrNotExist) {
			raw = []byte(newMaster() + "\n")
			err = writeNew(path, raw)
		}
		return string(raw), err
	}
	inChain := func() (string, error) {
		raw, err := oskeys.Get(KeychainService, s.id)
		if fresh && errors.Is(err, oskeys.ErrNotFound) {
			raw = newMaster()
			err = oskeys.Set(KeychainService, s.id, raw)
		}
		switch {
		case errors.Is(err, oskeys.ErrNotFound):
			return "", errNotInKeychain
		case err != nil:
			return "", fmt.Errorf("%w: %w", errNoKeychain, err)
		}
		return raw, nil
	}
	first, second, other := inFile, inChain, "the keychain"
	place = path
	if s.o.Keychain {
		first, second, other, place = inChain, inFile, path, fmt.Sprintf("%s of %s", s.id, KeychainService)
	}
	raw, err = first()
	if err == nil || fresh || !s.o.Keychain && !errors.Is(err, fs.ErrNotExist) {
		return place, raw, err
	}
	if raw, e := second(); e == nil {
		s.log.Warn("the key of the ledger is not where it is looked for first, but elsewhere; it is used", "expected", place, "found", other)
		return other, raw, nil
	}
	return place, "", err
}

// newMaster makes a master key: 32 bytes in base64.
func newMaster() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}
