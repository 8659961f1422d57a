// Sippet-mcp gives AI assistants controlled access to a Sippet organisation. Start a server for a
// desktop client, or for HTTP clients:
//
//	sippet-mcp stdio --sandbox
//	sippet-mcp http --sandbox
//
// Each subcommand is a file with its options and a run function. They connect the packages and
// print; what a call means is decided in package policy.
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

// program is the environment of a command; tests make their own.
type program struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	// outTerminal and errTerminal are true if out and err are terminals.
	outTerminal, errTerminal bool
	// terminal opens the controlling terminal, to ask a person. An error if there is none.
	terminal func() (terminal, error)
}

// terminal is used to ask a person.
type terminal interface {
	io.ReadWriteCloser
	// Flush drops what was typed before the question was shown, because it cannot answer it.
	Flush() error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the program at once.
	context.AfterFunc(ctx, stop)
	// The heap is small: less frequent garbage collection costs about 10 MiB and saves a fifth of a
	// call's processor time.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv,
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		errTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		terminal:    openTerminal}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// run runs a command line and returns its exit code.
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

// exitCode ends the program without a message, because the command has printed one.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// version returns the version that the build recorded.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
