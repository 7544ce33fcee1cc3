//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runExec changes what the flags say and becomes the command, on one thread.
func runExec(fs *flag.FlagSet, args []string) error {
	pidFile := fs.String("pidfile", "", "write the own pid there")
	netns := fs.String("netns", "", "file of a network namespace to enter")
	cgroup := fs.String("cgroup", "", "directory of a control group to enter, made if need be")
	uid := fs.Int("uid", -1, "become this user, without any group or capability")
	noFile := fs.Uint64("nofile", 0, "RLIMIT_NOFILE")
	seccomp := fs.String("seccomp", "", "errno that socket(2) gives")
	families := fs.String("families", "2,10", "address families that -seccomp concerns")
	landlock := fs.String("landlock", "", "tcp: deny TCP bind and connect by Landlock")
	argv0 := fs.String("argv0", "", "argument 0, with Go's escapes")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return errors.New("no command")
	}
	runtime.LockOSThread()
	if *pidFile != "" {
		if err := os.WriteFile(*pidFile, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return err
		}
	}
	if *cgroup != "" {
		if err := os.MkdirAll(*cgroup, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(*cgroup, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("entering cgroup: %w", err)
		}
	}
	if *netns != "" {
		if err := enterNetNS(*netns); err != nil {
			return err
		}
	}
	if *noFile > 0 {
		if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: *noFile, Max: *noFile}); err != nil {
			return fmt.Errorf("RLIMIT_NOFILE: %w", err)
		}
	}
	path, err := exec.LookPath(fs.Arg(0))
	if err != nil {
		return err
	}
	if *uid >= 0 {
		if err := become(*uid); err != nil {
			return err
		}
	}
	if *seccomp != "" {
		if err := denySocket(*seccomp, *families); err != nil {
			return err
		}
	}
	if *landlock == "tcp" {
		if err := landlockTCP(); err != nil {
			return err
		}
	}
	argv := fs.Args()
	if *argv0 != "" {
		if argv[0], err = strconv.Unquote(`"` + *argv0 + `"`); err != nil {
			return err
		}
	}
	return syscall.Exec(path, argv, os.Environ())
}

func enterNetNS(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering %s: %w", path, err)
	}
	return nil
}

// become drops to a user that has nothing but its uid.
func become(uid int) error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setgid(uid); err != nil {
		return fmt.Errorf("setgid: %w", err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("setuid: %w", err)
	}
	return nil
}

// denySocket makes socket(2) fail for some families, as RestrictAddressFamilies=
// does (systemd.exec(5)).
func denySocket(errno, families string) error {
	no := errnoOf(errno)
	if no == 0 {
		return fmt.Errorf("unknown errno %q", errno)
	}
	var list []uint32
	for f := range strings.SplitSeq(families, ",") {
		n, err := strconv.ParseUint(f, 10, 8)
		if err != nil {
			return err
		}
		list = append(list, uint32(n))
	}
	const nrOffset, arg0Offset = 0, 16 // struct seccomp_data, little endian
	ld := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	prog := []unix.SockFilter{ld(nrOffset),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: uint8(len(list) + 1)},
		ld(arg0Offset)}
	for i, f := range list {
		prog = append(prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: f, Jt: uint8(len(list) - i)})
	}
	prog = append(prog, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(no)})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}

func errnoOf(name string) unix.Errno {
	for no := unix.Errno(1); no < 134; no++ {
		if unix.ErrnoName(no) == name {
			return no
		}
	}
	return 0
}

// landlockTCP handles both TCP rights and grants none (Documentation/userspace-api/landlock.rst).
func landlockTCP() error {
	attr := struct{ fs, net uint64 }{net: unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("landlock ruleset: %w", errno)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("landlock restrict: %w", errno)
	}
	return nil
}
