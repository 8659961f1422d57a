//go:build !windows

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload asks for the signal that makes a server load its policies anew.
func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
