//go:build !linux

package ledger_test

import "testing"

func onSmallDisk(t *testing.T, _ int, _ func(*testing.T, disk)) {
	t.Skip("a small disk can be mounted on Linux only")
}
