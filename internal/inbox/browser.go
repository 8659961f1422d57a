package inbox

import (
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/cli/browser"
)

// Set once: a browser that was opened before may still be running when the next one is.
func init() { browser.Stdout, browser.Stderr = io.Discard, io.Discard }

// Browser returns a function that opens a URL in the person's browser; nil if there is none. env
// returns environment variables. BROWSER is a command with %s for the URL, or without it.
//
// What the browser prints is dropped: with MCP on stdio it would be read as messages.
func Browser(env func(string) string) func(url string) error {
	command := strings.Fields(env("BROWSER"))
	switch {
	case len(command) > 0:
		return func(url string) error { return startBrowser(command, url) }
	case runtime.GOOS == "darwin" || runtime.GOOS == "windows":
	case env("DISPLAY") == "" && env("WAYLAND_DISPLAY") == "":
		return nil // without a screen a browser could take over the terminal
	}
	return openDefault
}

// openDefault opens the default browser. The opener may run as long as the browser does, but it
// fails at once.
func openDefault(url string) error {
	failed := make(chan error, 1)
	go func() { failed <- browser.OpenURL(url) }()
	select {
	case err := <-failed:
		return err
	case <-time.After(2 * time.Second):
		return nil
	}
}

func startBrowser(command []string, url string) error {
	args, found := make([]string, len(command)), false
	for i, word := range command {
		args[i] = strings.ReplaceAll(word, "%s", url)
		found = found || strings.Contains(word, "%s")
	}
	if !found {
		args = append(args, url)
	}
	c := exec.Command(args[0], args[1:]...) //nolint:gosec // the command is what the person put into BROWSER
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }() // it may stay open
	return nil
}
