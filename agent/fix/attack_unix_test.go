//go:build unix

package fix

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who runs portwhy as root from a shell of another's making gets the system's
// commands, and these an environment of their own.
func TestRunIgnoresTheCallersEnvironment(t *testing.T) {
	evil, found := t.TempDir(), filepath.Join(t.TempDir(), "found")
	script := fmt.Sprintf("#!/bin/sh\n: > %s\n", found)
	for _, name := range []string{"true", "nft", "grep"} {
		if err := os.WriteFile(filepath.Join(evil, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", evil+":"+os.Getenv("PATH"))
	for _, name := range []string{"LD_PRELOAD", "LD_LIBRARY_PATH", "IFS", "BASH_ENV", "XTABLES_LIBDIR", "DOCKER_HOST", "SYSTEMD_EDITOR"} {
		t.Setenv(name, evil)
	}
	t.Chdir(evil)
	if err := Run(context.Background(), []string{"true"}, nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(found); err == nil {
		t.Error("a command of the caller's PATH or directory ran")
	}
	// It fails if it prints nothing, and says what it printed if it fails.
	if err := Run(context.Background(), []string{"grep", "-z", "-q", "-v", "-e", "^PATH=/usr/sbin:", "-e", "^LC_ALL=C$", "/proc/self/environ"}, nil); err == nil {
		t.Error("a command has more of an environment than PATH and LC_ALL")
	}
	if err := Run(context.Background(), []string{"grep", "-z", "-q", "-e", "^LC_ALL=C$", "/proc/self/environ"}, nil); err != nil {
		t.Errorf("its environment can't be read, so that proves nothing: %v", err)
	}
}

// The entries of a journal are commands that root runs: it takes no directory that
// somebody else could write to.
func TestJournalOfOthersIsRefused(t *testing.T) {
	mine := t.TempDir()
	link, open := filepath.Join(t.TempDir(), "link"), t.TempDir()
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	list := []string{link, open}
	if os.Geteuid() == 0 {
		theirs := t.TempDir()
		if err := os.Chmod(theirs, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(theirs, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		list = append(list, theirs)
	} else {
		list = append(list, "/")
	}
	for _, dir := range list {
		if _, err := OpenJournal(dir); err == nil || !strings.Contains(err.Error(), "of its owner alone") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := os.Chmod(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(mine); err != nil {
		t.Error(err)
	}
}
