package main

import (
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/cli/browser"
)

// Once, for a browser that was opened before may still be running when the next is.
func init() { browser.Stdout, browser.Stderr = io.Discard, io.Discard }

// canOpen reports whether there is a browser to be opened: on a machine without a screen one would take over a terminal.
func canOpen(env func(string) string) bool {
	switch runtime.GOOS {
	case "darwin", "windows":
		return true
	}
	return env("BROWSER") != "" || env("DISPLAY") != "" || env("WAYLAND_DISPLAY") != ""
}

// openURL opens the person's browser, the one that BROWSER names where that is set: a command, in which %s stands for the
// address. What it prints is dropped, for on stdio that would be taken for the protocol.
func openURL(env func(string) string, url string) error {
	command := strings.Fields(env("BROWSER"))
	if len(command) == 0 {
		// What opens it may stay as long as the browser does; what fails does so at once.
		failed := make(chan error, 1)
		go func() { failed <- browser.OpenURL(url) }()
		select {
		case err := <-failed:
			return err
		case <-time.After(2 * time.Second):
			return nil
		}
	}
	placed := false
	for i, word := range command {
		if strings.Contains(word, "%s") {
			command[i], placed = strings.ReplaceAll(word, "%s", url), true
		}
	}
	if !placed {
		command = append(command, url)
	}
	c := exec.Command(command[0], command[1:]...)
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }() // it may stay open as long as the person likes
	return nil
}
