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
	processes []*os.Process
	members   []member
}

// member is a process that listens.
type member struct {
	pid  int
	port uint16 // of its first listener
}

// firstPort is that of the first listener; the others follow.
const firstPort = 10_000

// size says how large a scene is.
type size struct {
	processes   int // that listen
	listeners   int // of each of them
	files       int // other descriptors of each
	connections int // held by other processes, connectionsEach by each
}

// connectionsEach is how many connections a process of a busy server holds;
// both ends are here.
const connectionsEach = 1000

// buildScene starts the processes; the last of them is one that listens. What it
// started is in the scene even if it fails.
func buildScene(z size) (*scene, error) {
	s := new(scene)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return s, err
	}
	defer null.Close()
	for i := range z.processes {
		if i == z.processes-1 {
			for range z.connections / connectionsEach {
				if err := s.startConnected(null); err != nil {
					return s, err
				}
			}
		}
		var sockets []int
		for j := range z.listeners {
			fd, err := listen(firstPort + i*z.listeners + j)
			if err != nil {
				return s, err
			}
			sockets = append(sockets, fd)
		}
		pid, err := s.start(null, z.files, sockets)
		if err != nil {
			return s, fmt.Errorf("start process %d: %w", i, err)
		}
		s.members = append(s.members, member{pid, uint16(firstPort + i*z.listeners)})
	}
	slices.SortFunc(s.members, func(a, b member) int { return a.pid - b.pid })
	return s, nil
}

// start starts a process that holds sockets and some other descriptors.
func (s *scene) start(null *os.File, others int, sockets []int) (pid int, err error) {
	defer func() {
		for _, fd := range sockets {
			unix.Close(fd)
		}
	}()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return 0, err
	}
	files := slices.Repeat([]uintptr{null.Fd()}, others)
	for _, fd := range sockets {
		files = append(files, uintptr(fd))
	}
	pid, err = syscall.ForkExec(sleep, []string{"sleep", "3600"}, &syscall.ProcAttr{Files: files})
	if err != nil {
		return 0, err
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return 0, err
	}
	s.processes = append(s.processes, process)
	return pid, nil
}

// startConnected starts a process that holds both ends of many connections.
func (s *scene) startConnected(null *os.File) error {
	server, err := listen(0)
	if err != nil {
		return err
	}
	defer unix.Close(server)
	address, err := unix.Getsockname(server)
	if err != nil {
		return err
	}
	var sockets []int
	for range connectionsEach {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		sockets = append(sockets, client)
		if err := unix.Connect(client, address); err != nil {
			return err
		}
		accepted, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
		if err != nil {
			return err
		}
		sockets = append(sockets, accepted)
	}
	_, err = s.start(null, 3, sockets)
	return err
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
	for _, p := range s.processes {
		_ = p.Kill()
	}
	for _, p := range s.processes {
		_, _ = p.Wait()
	}
}

// median and last are the members in the middle and at the end of the order of
// pids.
func (s *scene) median() member { return s.members[len(s.members)/2] }

func (s *scene) last() member { return s.members[len(s.members)-1] }
