//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fdScanner reads which sockets processes hold. It is the hot path of every
// question for an owner: the time is the kernel's, in one readlink for each
// descriptor, so nothing is allocated per descriptor. Each goroutine has its own.
type fdScanner struct {
	wanted map[uint64]struct{} // nil: all sockets
	found  []heldSocket
	// unreadable counts processes that the caller may not look into.
	unreadable int
	entries    [32 << 10]byte
	link       [64]byte // socket:[4294967295] is far shorter; longer links are no sockets
}

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
	path := append(strconv.AppendInt(append(make([]byte, 0, 32), "/proc/"...), int64(pid), 10), "/fd"...)
	dir, err := unix.Open(string(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return s.unopened(pid, "open descriptors of process "+strconv.Itoa(pid), err)
	}
	defer unix.Close(dir)
	first := len(s.found)
	denied := false
	for {
		n, err := unix.ReadDirent(dir, s.entries[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			denied = denied || errors.Is(err, fs.ErrPermission)
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
	start, err := startTicksAt(dir, "../stat")
	if err != nil {
		s.found = s.found[:first] // it ended
		return nil
	}
	for i := first; i < len(s.found); i++ {
		s.found[i].start = start
	}
	return nil
}

func (s *fdScanner) unopened(pid int, what string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		// Kernel threads have no descriptors to hide.
		if b, err := readSmall("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil {
			if st, err := parseStat(b); err == nil && st.kernelThread {
				return nil
			}
		}
		s.unreadable++
	case err == unix.ENOENT, err == unix.ESRCH, err == unix.ENOTDIR:
	default:
		return &fs.PathError{Op: what, Path: "/proc", Err: err}
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
		n, _, errno := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])),
			uintptr(unsafe.Pointer(&s.link[0])), uintptr(len(s.link)), 0, 0)
		if errno != 0 {
			denied = denied || errno == unix.EACCES || errno == unix.EPERM
			continue
		}
		inode, ok := socketInode(s.link[:n])
		if !ok {
			continue
		}
		if s.wanted != nil {
			if _, ok := s.wanted[inode]; !ok {
				continue
			}
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
