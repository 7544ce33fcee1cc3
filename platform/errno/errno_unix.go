//go:build unix

package errno

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// name looks the number up in this system's errno.h. ENOTSUP and EOPNOTSUPP
// are one number on Linux; sockets say the latter (POSIX, connect(2)).
func name(number syscall.Errno) string {
	if number == syscall.EOPNOTSUPP {
		return "EOPNOTSUPP"
	}
	return unix.ErrnoName(number)
}
