//go:build unix

package ledger_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func TestWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	open(t, ledger.Options{Dir: dir}).Close()
	if err := os.Chmod(filepath.Join(dir, ledger.File), 0o400); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		_, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
		wantStoreError(t, "read-only", err, ledger.ReadOnly)
		return
	}
	// Permissions do not apply to root, so another user tries.
	for _, p := range []string{dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, ledger.File), 0o444); err != nil {
		t.Fatal(err)
	}
	c := childCommand(t, dir, "open")
	self, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	c.Path = filepath.Join(t.TempDir(), "self") // other users may have no access to its directory
	if err := os.WriteFile(c.Path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(c.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	if !strings.Contains(string(out), "cannot be written") {
		t.Errorf("another user got %s, %v", out, err)
	}
}
