// Package errno names the reasons why system calls fail by their POSIX names,
// on every system: ECONNREFUSED is 111 on Linux, 61 on macOS and 10061 on
// Windows. It goes by number and type, never by text, which is translated.
package errno

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// EOF is what [Of] says of a connection that the other side ended in order.
const EOF = "EOF"

// Of names the cause of err: a POSIX name, or EOF. A deadline that passed is
// ETIMEDOUT, whoever set it. It is empty if err is nil or has no cause that is
// a number.
func Of(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return "ETIMEDOUT"
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return Name(number)
	}
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return "ETIMEDOUT"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return EOF
	}
	return ""
}

// Name is the POSIX name of number; ERRNO_ and the number where it has none.
func Name(number syscall.Errno) string {
	if number == 0 {
		return ""
	}
	if name := name(number); name != "" {
		return name
	}
	return "ERRNO_" + strconv.FormatUint(uint64(number), 10)
}

// Valid reports whether s has the form of what [Of] and [Name] return, for
// names that come from elsewhere.
func Valid(s string) bool {
	if s == "" || len(s) > 32 || s[0] != 'E' {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
