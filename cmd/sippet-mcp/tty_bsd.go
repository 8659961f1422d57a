//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// fread is FREAD of <sys/fcntl.h>: the input's side of TIOCFLUSH.
const fread = 1

func flushInput(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, fread) }
