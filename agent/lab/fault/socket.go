//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// endpoint is ADDR:PORT, [ADDR%DEV]:PORT or a unix socket's path.
type endpoint struct {
	ip   netip.AddrPort
	path string
}

func parseEndpoint(s string) (endpoint, error) {
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "@") {
		return endpoint{path: s}, nil
	}
	ap, err := netip.ParseAddrPort(s)
	return endpoint{ip: ap}, err
}

func (e endpoint) family() int {
	switch {
	case e.path != "":
		return unix.AF_UNIX
	case e.ip.Addr().Is6():
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func (e endpoint) sockaddr() (unix.Sockaddr, error) {
	if e.path != "" {
		return &unix.SockaddrUnix{Name: e.path}, nil
	}
	if e.ip.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(e.ip.Port()), Addr: e.ip.Addr().As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(e.ip.Port()), Addr: e.ip.Addr().As16()}
	if zone := e.ip.Addr().Zone(); zone != "" {
		dev, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, err
		}
		sa.ZoneId = uint32(dev.Index)
	}
	return sa, nil
}

// socket makes a blocking socket for the endpoint.
func (e endpoint) socket(network string) (int, error) {
	kind := unix.SOCK_STREAM
	if network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(e.family(), kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

func (e endpoint) bind(fd int) error {
	sa, err := e.sockaddr()
	if err != nil {
		return err
	}
	return unix.Bind(fd, sa)
}

func (e endpoint) connect(fd int) error {
	sa, err := e.sockaddr()
	if err != nil {
		return err
	}
	for {
		if err = unix.Connect(fd, sa); err != unix.EINTR {
			return err
		}
	}
}

// name is the POSIX name of a system error, "ok" for none.
func name(err error) string {
	var no unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &no):
		return unix.ErrnoName(no)
	}
	return err.Error()
}

// oneEndpoint reads the single positional argument.
func oneEndpoint(args []string) (endpoint, error) {
	if len(args) != 1 {
		return endpoint{}, fmt.Errorf("want one address, got %q", args)
	}
	return parseEndpoint(args[0])
}
