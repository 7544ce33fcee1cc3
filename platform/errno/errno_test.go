package errno

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("text"), ""},
		{io.EOF, "EOF"},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "EOF"},
		{os.ErrDeadlineExceeded, "ETIMEDOUT"},
		{context.DeadlineExceeded, "ETIMEDOUT"},
		{&net.DNSError{IsTimeout: true}, "ETIMEDOUT"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", refused)}, "ECONNREFUSED"},
		{&os.PathError{Op: "connect", Err: denied}, "EACCES"},
		{syscall.Errno(0), ""},
		{syscall.Errno(54321), "ERRNO_54321"},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("Of(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestValid(t *testing.T) {
	for s, want := range map[string]bool{
		"ECONNREFUSED": true, "ERRNO_54321": true, "EOF": true, "E2BIG": true,
		"": false, "EACCES\n": false, "eacces": false, "xEACCES": false, "E\x1b[1m": false,
		"EABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH": false,
	} {
		if Valid(s) != want {
			t.Errorf("Valid(%q) is not %v", s, want)
		}
	}
}
