package ledger

import (
	"os"
	"syscall"
)

// allocate makes a file longer by size bytes, which it does not write; not all file systems can.
func allocate(f *os.File, from, size int64) error {
	return syscall.Fallocate(int(f.Fd()), 0, from, size)
}
