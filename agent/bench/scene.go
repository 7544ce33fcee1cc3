//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// scene is a set of processes that hold listeners. They are sleep(1), because
// it needs little memory; their sockets are made here and inherited.
type scene struct {
	members []member
}

type member struct {
	process *os.Process
	port    uint16 // of its first listener
}

// firstPort is that of the first listener; the others follow.
const firstPort = 10_000

// buildScene starts n processes. What it started is in the scene even if it
// fails.
func buildScene(n, listeners, others int) (*scene, error) {
	s := new(scene)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return s, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return s, err
	}
	defer null.Close()
	for i := range n {
		files := slices.Repeat([]uintptr{null.Fd()}, others)
		port := firstPort + i*listeners
		for j := range listeners {
			fd, err := listen(port + j)
			if err != nil {
				return s, err
			}
			files = append(files, uintptr(fd))
		}
		pid, err := syscall.ForkExec(sleep, []string{"sleep", "3600"}, &syscall.ProcAttr{Files: files})
		for _, fd := range files[others:] {
			unix.Close(int(fd))
		}
		if err != nil {
			return s, fmt.Errorf("start process %d: %w", i, err)
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			return s, err
		}
		s.members = append(s.members, member{process, uint16(port)})
	}
	slices.SortFunc(s.members, func(a, b member) int { return a.process.Pid - b.process.Pid })
	return s, nil
}

func listen(port int) (int, error) {
	if port > 1<<16-1 {
		return -1, fmt.Errorf("too many listeners: no port %d", port)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	any4 := netip.IPv4Unspecified().As4()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: any4}); err != nil {
		return -1, fmt.Errorf("bind port %d: %w", port, err)
	}
	return fd, unix.Listen(fd, 16)
}

// end ends the processes of the scene, by their ids, and waits for them.
func (s *scene) end() {
	for _, m := range s.members {
		_ = m.process.Kill()
	}
	for _, m := range s.members {
		_, _ = m.process.Wait()
	}
}

// median and last are the members in the middle and at the end of the order of
// pids.
func (s *scene) median() member { return s.members[len(s.members)/2] }

func (s *scene) last() member { return s.members[len(s.members)-1] }
