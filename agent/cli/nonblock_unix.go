//go:build unix

package cli

import "syscall"

// nonblock keeps open(2) from waiting for a FIFO's writer.
const nonblock = syscall.O_NONBLOCK
