//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// Reading commands work in a state directory that this user may not write; others say what to do.
func TestAuditReadOnlyState(t *testing.T) {
	dir, _, _ := filledLedger(t)
	must(t, os.Chmod(filepath.Join(dir, ledger.File), 0o444))
	for _, name := range []string{ledger.MasterKeyFile, ledger.SigningKeyFile, ledger.VerifyKeyFile, ledger.CheckpointFile} {
		must(t, os.Chmod(filepath.Join(dir, name), 0o444))
	}
	must(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	self, err := os.Executable()
	must(t, err)
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 {
		// Permissions do not bind root, so another user runs a copy of the program.
		for _, p := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
			must(t, os.Chmod(p, 0o755))
		}
		raw, err := os.ReadFile(self)
		must(t, err)
		self = filepath.Join(t.TempDir(), "self")
		must(t, os.WriteFile(self, raw, 0o755))
		must(t, os.Chmod(filepath.Dir(self), 0o755))
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"audit", "list"}, 0, `"phase":"requested"`},
		{[]string{"audit", "verify"}, 0, `"ok":true`},
		{[]string{"audit", "export"}, 0, `"phase":"requested"`},
		{[]string{"audit", "intents"}, 0, `"state":"unknown"`},
		{[]string{"stop"}, 1, "NOTHING IS STOPPED: the ledger "},
		{[]string{"resume"}, 1, "cannot be written: allow this user to write it and its directory\n"},
	} {
		cmd := exec.Cmd{Path: self, SysProcAttr: as, Env: []string{"HOME=/"}}
		cmd.Args = append(append([]string{"sippet-mcp"}, c.args...), "--state-dir", dir)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) ||
			c.code != 0 && !strings.Contains(string(out), "cannot be written: allow this user to write it and its directory\n") {
			t.Errorf("%v: exit code %d: %s", c.args, code, out)
		}
	}
}
