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
	terminal func() (terminal, error)
}

// terminal is where a person is asked.
type terminal interface {
	io.ReadWriteCloser
	// Flush drops what was typed before the question was shown: it cannot be an answer to it.
	Flush() error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the program at once.
	context.AfterFunc(ctx, stop)
	// A call leaves little behind and the heap is small: collecting garbage less often costs some ten MiB and saves a
	// fifth of the processor time of a call.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv,
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		errTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		terminal:    openTerminal}
	os.Exit(p.run(ctx, os.Args[1:]))
}

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
