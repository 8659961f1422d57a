// Sippet-mcp lets an AI work in a Sippet organisation without being trusted
// with it: 52 actions as MCP tools, every call through one gate.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/term"
)

// program is the world as a command sees it; tests make their own.
type program struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	// outTerminal and errTerminal say whether a person reads there.
	outTerminal, errTerminal bool
	// terminal opens the terminal that the program was started from, for a question; an error where there is none.
	terminal func() (io.ReadWriteCloser, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv,
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		errTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		terminal:    openTerminal}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// openTerminal opens the controlling terminal, whatever stdin and stdout are:
// an answer that is piped on can still be asked about, and a piped input cannot answer.
func openTerminal() (io.ReadWriteCloser, error) {
	if runtime.GOOS != "windows" {
		return os.OpenFile("/dev/tty", os.O_RDWR, 0)
	}
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

// console is Windows' terminal, which has a file for each direction.
type console struct{ in, out *os.File }

func (c console) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c console) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c console) Close() error                { return errors.Join(c.in.Close(), c.out.Close()) }

// run runs the command line and gives the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := newRoot(p)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(p.err, "sippet-mcp: %v\n", err)
	return 1
}

// exitCode ends the program without another word: the command has said why.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// version is what `go install` or the build recorded.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
