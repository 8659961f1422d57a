//go:build unix

package main

import "os"

// openTerminal opens the controlling terminal, whatever stdin and stdout are. So a call with output
// to a pipe can still be asked about, and a pipe cannot answer.
func openTerminal() (terminal, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return tty{f}, nil
}

type tty struct{ *os.File }

func (t tty) Flush() error { return flushInput(int(t.Fd())) }
