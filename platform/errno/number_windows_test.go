//go:build windows

package errno

import "golang.org/x/sys/windows"

const (
	refused = windows.WSAECONNREFUSED
	denied  = windows.WSAEACCES
)
