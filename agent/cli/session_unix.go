//go:build unix

package cli

import "syscall"

// ownSession keeps a process alive when its terminal is gone.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
