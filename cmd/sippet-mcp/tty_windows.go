package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// openTerminal opens the console, whatever stdin and stdout are.
func openTerminal() (terminal, error) {
	in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		in.Close()
		return nil, err
	}
	return console{in, out}, nil
}

// console is the terminal of Windows, which has a file for each direction.
type console struct{ in, out *os.File }

func (c console) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c console) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c console) Close() error                { return errors.Join(c.in.Close(), c.out.Close()) }
func (c console) Flush() error                { return windows.FlushConsoleInputBuffer(windows.Handle(c.in.Fd())) }
