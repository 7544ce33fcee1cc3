//go:build unix

package errno

import (
	"syscall"
	"testing"
)

const (
	refused = syscall.ECONNREFUSED
	denied  = syscall.EACCES
)

// EAGAIN and EOPNOTSUPP each share their number with another name.
func TestSharedNumbers(t *testing.T) {
	for number, want := range map[syscall.Errno]string{
		syscall.EWOULDBLOCK: "EAGAIN",
		syscall.EOPNOTSUPP:  "EOPNOTSUPP", syscall.EPERM: "EPERM",
	} {
		if got := Name(number); got != want {
			t.Errorf("Name(%d) = %q, want %q", int(number), got, want)
		}
	}
}
