//go:build unix

package ledger_test

import (
	"bytes"
	"log/slog"
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

// TestWritableDirectory: a state directory that every user may write is not opened, with or without
// a sticky bit. One that a group may write is opened with a warning. Both name the command that
// mends it.
func TestWritableDirectory(t *testing.T) {
	for _, c := range []struct {
		name, sub       string
		mode            os.FileMode
		refused, warned string
	}{
		{name: "its owner", mode: 0o700},
		{name: "others read", mode: 0o755},
		{name: "a group", mode: 0o770, warned: "chmod g-w DIR"},
		{name: "a group and sticky", mode: 0o775 | os.ModeSticky, warned: "chmod g-w DIR"},
		{name: "everybody", mode: 0o777, refused: "chmod o-w DIR"},
		{name: "everybody and sticky", mode: 0o777 | os.ModeSticky, refused: "chmod o-w DIR"},
		{name: "others but no group", mode: 0o702, refused: "chmod o-w DIR"},
		{name: "a name to quote", sub: "it's mine", mode: 0o777, refused: "chmod o-w 'DIR/it'\\''s mine'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			parent := filepath.Join(dir, "state")
			dir = filepath.Join(parent, c.sub)
			open(t, ledger.Options{Dir: dir}).Close()
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
			for _, readOnly := range []bool{false, true} {
				var log bytes.Buffer
				s, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, ReadOnly: readOnly, Log: slog.New(slog.NewTextHandler(&log, nil))})
				if err == nil {
					err = s.Close()
				}
				refused, warned := strings.ReplaceAll(c.refused, "DIR", parent), strings.ReplaceAll(c.warned, "DIR", parent)
				if refused == "" && err != nil || refused != "" && (err == nil || !ledger.IsStoreError(err) || !strings.Contains(err.Error(), "run `"+refused+"`")) {
					t.Errorf("read-only %t: %v, want %q", readOnly, err, refused)
				}
				if warned == "" && log.Len() > 0 || !strings.Contains(log.String(), warned) {
					t.Errorf("read-only %t: the log has %q, want %q", readOnly, log.String(), warned)
				}
			}
		})
	}
}
