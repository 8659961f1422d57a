package ledger_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func TestKeychain(t *testing.T) {
	keyring.MockInit()
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, ledger.MasterKeyFile)
	o := ledger.Options{Dir: dir, Keychain: true}
	l := open(t, o)
	in := commit(t, l, call("a"))
	settle(t, l, in, ledger.Succeeded)
	l.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the key is in a file")
	}
	id := l.ID()
	key, err := keyring.Get(ledger.KeychainService, id)
	if err != nil {
		t.Fatal(err)
	}
	readable := func(what string, o ledger.Options, wantLog string) {
		t.Helper()
		var log bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		l := open(t, o)
		defer l.Close()
		if got, err := l.Intent(t.Context(), in.ID); err != nil || got.Payload == nil {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		if (wantLog == "") != (log.Len() == 0) || !strings.Contains(log.String(), wantLog) {
			t.Errorf("%s: the log says %q", what, log.String())
		}
	}
	file := ledger.Options{Dir: dir}
	readable("from the keychain", o, "")
	readable("configured in a file", file, "the keychain")

	if err := keyring.Delete(ledger.KeychainService, id); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.Open(t.Context(), o)
	wantStoreError(t, "in neither location", err, ledger.MissingKey)
	if !strings.Contains(err.Error(), "the keychain has no key") || !strings.Contains(err.Error(), id) {
		t.Errorf("error: %q", err)
	}
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	readable("moved to a file", file, "")
	readable("configured in the keychain", o, ledger.MasterKeyFile)

	if err := keyring.Set(ledger.KeychainService, id, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.Open(t.Context(), o)
	wantStoreError(t, "another key", err, ledger.MissingKey)

	keyring.MockInitWithError(errors.New("no D-Bus here"))
	readable("the keychain cannot be used, the file can", o, ledger.MasterKeyFile)
	os.Remove(path)
	_, err = ledger.Open(t.Context(), o)
	wantStoreError(t, "no keychain", err, ledger.MissingKey)
	if !strings.Contains(err.Error(), "cannot be used") || !strings.Contains(err.Error(), "no D-Bus here") {
		t.Errorf("error: %q", err)
	}
	// A new ledger does not fall back to a file.
	fresh := filepath.Join(t.TempDir(), "state")
	_, err = ledger.Open(t.Context(), ledger.Options{Dir: fresh, Keychain: true})
	wantStoreError(t, "a new one", err, ledger.MissingKey)
	if _, err := os.Stat(filepath.Join(fresh, ledger.MasterKeyFile)); err == nil {
		t.Error("the key is in a file")
	}
	keyring.MockInit()
	commit(t, open(t, ledger.Options{Dir: fresh, Keychain: true}), call("a"))
}
