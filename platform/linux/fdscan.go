//go:build linux

package linux

import (
	"encoding/binary"
	"io/fs"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// fdScanner reads which sockets processes hold. It is the hot path of every
// question for an owner: the time is the kernel's, in one readlink for each
// descriptor, so nothing is allocated per descriptor. Each goroutine has its own.
type fdScanner struct {
	wanted *inodeSet // nil: all sockets
	found  []heldSocket
	// describe, if set, tells of a holder what can be read beside its
	// descriptors; described is what it told.
	describe  func(dir *procDir) (host.Process, error)
	described []host.Process
	buffer    []byte
	// unreadable counts processes that the caller may not look into.
	unreadable int
	path       [32]byte
	entries    [32 << 10]byte
	link       [64]byte // socket:[4294967295] is far shorter; longer links are no sockets
}

// The calls of the scan tell Go's scheduler nothing: none of them waits for
// anything, and there are so many that telling is a tenth of their cost.

func rawOpenDir(path []byte) (int, unix.Errno) {
	at := unix.AT_FDCWD
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(&path[0])),
		unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_LARGEFILE, 0, 0, 0)
	return int(fd), errno
}

func rawGetdents(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

func rawReadlink(dir int, name, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])),
		uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0)
	return int(n), errno
}

func rawClose(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

type heldSocket struct {
	inode uint64
	pid   int
	fd    int
	start uint64
}

// process scans the descriptors of one process. A process that ended or that
// may not be read is no error; running out of descriptors here is.
//
// The directory of a process stays that process's: once it ended, reading
// through it fails, even if another process has its pid (fs/proc/base.c,
// get_proc_task). So the start time that is read through it can't be another's.
func (s *fdScanner) process(pid int) error {
	path := append(strconv.AppendInt(append(s.path[:0], "/proc/"...), int64(pid), 10), "/fd\x00"...)
	dir, errno := rawOpenDir(path)
	if errno != 0 {
		return s.unopened(pid, errno)
	}
	defer rawClose(dir)
	first := len(s.found)
	denied := false
	for {
		n, errno := rawGetdents(dir, s.entries[:])
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || n <= 0 {
			denied = denied || errno == unix.EACCES || errno == unix.EPERM
			break
		}
		denied = s.readEntries(dir, pid, s.entries[:n]) || denied
	}
	if denied {
		s.unreadable++
	}
	if len(s.found) == first {
		return nil
	}
	start, err := s.started(dir, pid)
	if err != nil {
		s.found = s.found[:first] // it ended
		return nil
	}
	for i := first; i < len(s.found); i++ {
		s.found[i].start = start
	}
	return nil
}

// started is when the process began whose descriptors dir lists.
func (s *fdScanner) started(dir, pid int) (uint64, error) {
	if s.describe == nil {
		return startTicksAt(dir, "../stat")
	}
	d := procDir{fd: dir, pid: pid, buffer: s.buffer}
	p, err := s.describe(&d)
	s.buffer = d.buffer
	if err != nil {
		return 0, err
	}
	s.described = append(s.described, p)
	return p.StartTicks, nil
}

// unopened tells what it means that descriptors can't be listed.
func (s *fdScanner) unopened(pid int, errno unix.Errno) error {
	switch errno {
	case unix.EACCES, unix.EPERM:
		// Kernel threads have no descriptors to hide.
		if b, err := readSmall("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil {
			if st, err := parseStat(b); err == nil && st.kernelThread {
				return nil
			}
		}
		s.unreadable++
	case unix.ENOENT, unix.ESRCH, unix.ENOTDIR:
	default:
		return &fs.PathError{Op: "open", Path: "/proc/" + strconv.Itoa(pid) + "/fd", Err: errno}
	}
	return nil
}

// readEntries reads the links of one getdents64(2) answer: inode and offset (8
// bytes each), record length (2), type (1), name ending in a null byte.
func (s *fdScanner) readEntries(dir, pid int, b []byte) (denied bool) {
	const nameOffset = 19
	for len(b) > nameOffset {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size <= nameOffset || size > len(b) {
			return denied
		}
		name := b[nameOffset:size]
		b = b[size:]
		fd, ok := leadingNumber(name)
		if !ok {
			continue // . and ..
		}
		// The name is in the buffer as the kernel wants it, so it is not copied.
		n, errno := rawReadlink(dir, name, s.link[:])
		if errno != 0 {
			denied = denied || errno == unix.EACCES || errno == unix.EPERM
			continue
		}
		inode, ok := socketInode(s.link[:n])
		if !ok {
			continue
		}
		if s.wanted != nil && !s.wanted.has(inode) {
			continue
		}
		s.found = append(s.found, heldSocket{inode: inode, pid: pid, fd: fd})
	}
	return denied
}

// leadingNumber reads the digits before a null byte.
func leadingNumber(b []byte) (n int, ok bool) {
	for i, c := range b {
		switch {
		case c == 0:
			return n, i > 0
		case c < '0' || c > '9' || n > 1<<30:
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return 0, false
}

// socketInode reads a link like socket:[2417].
func socketInode(link []byte) (inode uint64, ok bool) {
	const prefix = "socket:["
	if len(link) < len(prefix)+2 || string(link[:len(prefix)]) != prefix || link[len(link)-1] != ']' {
		return 0, false
	}
	for _, c := range link[len(prefix) : len(link)-1] {
		if c < '0' || c > '9' || inode > 1<<59 {
			return 0, false
		}
		inode = inode*10 + uint64(c-'0')
	}
	return inode, true
}

// startTicksAt reads the start time of the process whose stat file this is.
func startTicksAt(dir int, name string) (uint64, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var b [statMax]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return 0, err
	}
	st, err := parseStat(b[:n])
	return st.start, err
}

// pids lists the processes that can be seen, in order.
func pids() ([]int, error) {
	dir, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/proc", Err: err}
	}
	defer unix.Close(dir)
	return numbersIn(dir, "/proc")
}

// numbersIn lists the entries of a directory whose names are numbers; proc
// lists them in ascending order.
func numbersIn(dir int, path string) ([]int, error) {
	var list []int
	b := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(dir, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return list, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n <= 0 {
			return list, nil
		}
		for rest := b[:n]; len(rest) > 19; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			if size <= 19 || size > len(rest) {
				break
			}
			if number, ok := leadingNumber(rest[19:size]); ok {
				list = append(list, number)
			}
			rest = rest[size:]
		}
	}
}
