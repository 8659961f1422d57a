package main

import "os"

// notifyReload does nothing: Windows has no such signal, and changed files are noticed anyway.
func notifyReload(chan<- os.Signal) {}
