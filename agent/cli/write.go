package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

var (
	errExists  = errors.New("is there already; --force replaces it")
	errSymlink = errors.New("is a symbolic link; name the file itself")

	errInterrupted = errors.New("interrupted")
)

// mayWrite tells early what writePrivate would refuse.
func mayWrite(path string, force bool) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dir, err := os.Stat(filepath.Dir(path)); err != nil {
			return fmt.Errorf("its directory: %w", reason(err))
		} else if !dir.IsDir() {
			return fmt.Errorf("%s is no directory", filepath.Dir(path))
		}
		return nil
	case err != nil:
		return reason(err)
	case st.Mode()&fs.ModeSymlink != 0:
		return errSymlink
	case !st.Mode().IsRegular():
		return errNotPlain
	case !force:
		return errExists
	}
	return nil
}

// writePrivate makes a file that only its owner may read, all of it or nothing.
// It never writes through a link, and replaces a file only if forced: the
// content is written to a file without a name, or beside path under a new one,
// and then linked or renamed, neither of which follows a link in the last part
// of path. An interruption leaves nothing behind.
func writePrivate(path string, content []byte, force bool) error {
	return writeAs(path, content, force, private)
}

// private is the mode of a file that only its owner may read.
const private fs.FileMode = 0o600

// writeAs is [writePrivate] with another mode.
func writeAs(path string, content []byte, force bool, mode fs.FileMode) error {
	if err := mayWrite(path, force); err != nil {
		return err
	}
	if !force && mode == private {
		if done, err := writeUnnamed(path, content); done {
			return err
		}
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	// CreateTemp takes a name that nobody else has, with mode 0600.
	f, err := os.CreateTemp(filepath.Dir(path), ".portwhy-*")
	if err != nil {
		return reason(err)
	}
	temporary := f.Name()
	defer os.Remove(temporary)
	if mode != private {
		if err := f.Chmod(mode); err != nil {
			f.Close()
			return reason(err)
		}
	}
	if err := fill(f, content); err != nil {
		return err
	}
	select {
	case <-interrupted:
		return errInterrupted
	default:
	}
	if force {
		return reason(os.Rename(temporary, path))
	}
	err = os.Link(temporary, path)
	if errors.Is(err, fs.ErrExist) {
		return errExists
	}
	if err != nil {
		// A file system without hard links.
		return writeNew(path, content, mode)
	}
	return nil
}

// fill writes a file, to the disk, and closes it.
func fill(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("writing: %w", reason(err))
	}
	return nil
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return reason(err)
	}
	if err := fill(f, content); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}
