package ledger

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// checkPermission rejects a state directory that every user of this machine may write: they could
// replace its files, and a sticky bit does not keep them from adding some. It warns of one that a
// group may write. Windows has no such bits.
func (s *SQLite) checkPermission() error {
	info, err := os.Stat(s.o.Dir)
	if err != nil || runtime.GOOS == "windows" {
		return err
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o002 != 0:
		return &StoreError{Broken, s.path, fmt.Errorf("every user of this machine can write its directory: run `chmod o-w %s`", shellWord(s.o.Dir))}
	case mode&0o020 != 0:
		s.log.Warn("a group of users can write the state directory, and with it approve anything; unless that is intended, run the command",
			"directory", s.o.Dir, "command", "chmod g-w "+shellWord(s.o.Dir))
	}
	return nil
}

// shellWord returns a path as one word of a shell command.
func shellWord(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
