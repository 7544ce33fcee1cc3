//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// smallFile bounds files of /proc and /sys whose size is known to be small.
const smallFile = 64 << 10

// readSmall reads a small file without os.File, whose poller would cost as
// much again.
func readSmall(path string) ([]byte, error) { return readAt(unix.AT_FDCWD, path, smallFile) }

// readAt reads at most limit bytes of a file; what is beyond is left out.
func readAt(dir int, name string, limit int) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, min(limit, 1<<10))
	for {
		if len(b) == cap(b) {
			if len(b) >= limit {
				return b, nil
			}
			b = append(b, 0)[:len(b)]
		}
		n, err := unix.Read(fd, b[len(b):min(cap(b), limit)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		if n == 0 {
			return b, nil
		}
		b = b[:len(b)+n]
	}
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, limit))
}

// procDir is open on the directory of one process. All that is read through it
// is of that process: after its end there are only errors, whoever has its pid.
type procDir struct {
	fd  int
	pid int
	// buffer holds what read read last.
	buffer []byte
}

// openProc opens /proc/PID. The error is [host.ErrNotFound] if there is no
// such process. The buffer is used to read its files.
func openProc(pid int, buffer []byte) (procDir, error) {
	path := "/proc/" + strconv.Itoa(pid)
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return procDir{}, gone(pid, &fs.PathError{Op: "open", Path: path, Err: err})
	}
	return procDir{fd, pid, buffer}, nil
}

// gone says of a process that ended that it is not found, and keeps other errors.
func gone(pid int, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", pid, host.ErrNotFound)
	}
	return fmt.Errorf("process %d: %w", pid, err)
}

func (d procDir) close() { unix.Close(d.fd) }

// procBuffer is enough for the files of most processes.
const procBuffer = 8 << 10

// read reads a file that the kernel writes as a whole, so that an answer which
// leaves room is all of it. It is valid until the next read.
func (d *procDir) read(name string, limit int) ([]byte, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	for used := 0; ; {
		if len(d.buffer)-used < 512 {
			d.buffer = append(d.buffer, make([]byte, max(procBuffer, len(d.buffer)))...)
		}
		room := d.buffer[used:min(len(d.buffer), max(limit, used))]
		n, err := unix.Read(fd, room)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		used += n
		if n < len(room) || n == 0 || used >= limit {
			return d.buffer[:used], nil
		}
	}
}

// link reads a link, empty if that is not allowed.
func (d procDir) link(name string) string {
	b := make([]byte, 4096)
	n, err := unix.Readlinkat(d.fd, name, b)
	if err != nil {
		return ""
	}
	return host.Clean(b[:n], 4096)
}

// namespace is the inode of one of the process's namespaces, 0 if it may not
// be seen. The link reads net:[4026531833].
func (d procDir) namespace(kind string) uint64 {
	var b [64]byte
	n, err := unix.Readlinkat(d.fd, "ns/"+kind, b[:])
	if err != nil {
		return 0
	}
	return bracketed(b[:n])
}

// bracketed reads the number in net:[4026531833], 0 if there is none.
func bracketed(b []byte) uint64 {
	_, rest, ok := bytes.Cut(b, []byte(":["))
	if !ok {
		return 0
	}
	digits, _, ok := bytes.Cut(rest, []byte("]"))
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// descriptors counts the process's open descriptors, -1 if that is not allowed.
func (d procDir) descriptors() int {
	fd, err := unix.Openat(d.fd, "fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	defer unix.Close(fd)
	list, err := numbersIn(fd, "fd")
	if err != nil {
		return -1
	}
	return len(list)
}

// parseNumbers reads numbers between white space, as in cgroup.procs, and
// leaves out what is none.
func parseNumbers(b []byte) []int {
	var list []int
	for _, f := range bytes.Fields(b) {
		if n, err := strconv.ParseInt(string(f), 10, 32); err == nil && n > 0 {
			list = append(list, int(n))
		}
	}
	return list
}

func nativeBytes(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }
