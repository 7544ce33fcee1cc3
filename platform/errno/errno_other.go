//go:build !unix && !windows

package errno

import "syscall"

// name knows no number here.
func name(syscall.Errno) string { return "" }
