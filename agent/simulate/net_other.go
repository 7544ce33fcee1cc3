//go:build !linux

package simulate

import (
	"context"
	"errors"
	"net/netip"
	"os"
)

// Net can't be made here.
type Net struct{}

var errLinux = errors.New("network namespaces are Linux's")

// Privileged is always true: rights would not help.
func Privileged() bool { return true }

// Again has nothing to run in.
func Again(context.Context, *os.File) (int, error) { return 0, errLinux }

// New fails.
func New([]Host) (*Net, error) { return nil, errLinux }

// Path is never asked.
func (*Net) Path(string) string { return "" }

// Listen fails.
func (*Net) Listen(string, string, netip.Addr, uint16) error { return errLinux }

// Load fails.
func (*Net) Load(context.Context, string, string, []byte) error { return errLinux }

// Close does nothing.
func (*Net) Close() error { return nil }
