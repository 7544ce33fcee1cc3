package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// writeUnnamed writes a file that has no name until it is whole, so that
// nothing is left of one that is not, whatever ends the program: O_TMPFILE of
// open(2). It reports false where the file system can't do that.
func writeUnnamed(path string, content []byte) (done bool, err error) {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false, nil
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return true, fmt.Errorf("writing: %w", reason(err))
	}
	if err := f.Sync(); err != nil {
		return true, fmt.Errorf("writing: %w", reason(err))
	}
	err = unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	switch {
	case errors.Is(err, unix.EEXIST):
		return true, errExists
	case err != nil:
		return false, nil // no /proc, or no hard links
	}
	return true, nil
}
