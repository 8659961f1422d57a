package ledger_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// onSmallDisk runs a test with a disk of that size, in the memory of this machine. It runs in a
// process of its own, which may mount the disk; the end of the process takes it away.
func onSmallDisk(t *testing.T, size int, test func(*testing.T, disk)) {
	t.Helper()
	const inside = "SIPPET_LEDGER_SMALL_DISK"
	dir := os.Getenv(inside)
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), inside+"="+t.TempDir())
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
		out, err := c.CombinedOutput()
		if c.Process == nil {
			t.Skipf("this machine lets nobody mount a disk: %v", err)
		}
		if t.Logf("%s", out); err != nil {
			t.FailNow()
		}
		return
	}
	d := disk{filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "mode=700,size="+strconv.Itoa(size)); err != nil {
		t.Skipf("this machine lets nobody mount a disk: %v", err)
	}
	test(t, d)
}
