//go:build !windows

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload sends SIGHUP to c: a request to load the policies again.
func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
