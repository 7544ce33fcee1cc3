//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
)

// installed is a copy of the program, as an installation makes one; remove it
// afterwards. The linker writes a program in pieces, so that its pages lie apart in
// the kernel's cache: what was just linked takes a millisecond longer to start.
func installed(program string) (path string, err error) {
	from, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.CreateTemp("", "portwhy-bench-")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = to.Chmod(0o755)
	}
	if closed := to.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(to.Name())
		return "", fmt.Errorf("copying the program: %w", err)
	}
	return to.Name(), nil
}
