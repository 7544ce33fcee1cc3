//go:build !unix

package cli

import "syscall"

// ownSession has no counterpart here, and fixes are not applied.
func ownSession() *syscall.SysProcAttr { return nil }
