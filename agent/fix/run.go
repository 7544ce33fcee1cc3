package fix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// directories are where the commands of fixes are looked for: never in a PATH
// that somebody else has set.
var directories = [...]string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// runTime bounds one command.
const runTime = 30 * time.Second

// maxSaid bounds what is kept of a command's errors.
const maxSaid = 4096

// Run runs a command by its words. The command portwhy is this program. held, if
// it is not nil, is the journal's lock: the command has it too, so that nobody
// looks at the host, or changes it, while the command of a killed portwhy goes on.
// A signal to a process that has ended is no error.
func Run(ctx context.Context, argv []string, held *os.File) error {
	if len(argv) == 0 || argv[0] == "" {
		return errors.New("run a command: it is empty")
	}
	program, err := find(argv[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Env = []string{"PATH=" + strings.Join(directories[:], ":"), "LC_ALL=C"}
	cmd.WaitDelay = time.Second
	if held != nil {
		cmd.ExtraFiles = []*os.File{held}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) && !endedBefore(argv) {
		return fmt.Errorf("run %q: %w: %s", argv, err, bytes.TrimSpace(out[:min(len(out), maxSaid)]))
	}
	return nil
}

// endedBefore reports whether a signal didn't get to all processes of a command for
// no other reason than that some had ended: a worker ends with its master, and what
// both were to end for is reached.
func endedBefore(argv []string) bool {
	if argv[0] != "kill" {
		return false
	}
	ended := false
	for _, arg := range argv[1:] {
		if strings.HasPrefix(arg, "-") {
			continue // the signal
		}
		pid, err := strconv.Atoi(arg)
		if err != nil || pid <= 0 {
			return false
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Signal(syscall.Signal(0))
		}
		switch {
		case errors.Is(err, os.ErrProcessDone):
			ended = true
		case err != nil:
			return false // it is not ours
		}
	}
	return ended
}

func find(name string) (string, error) {
	if name == "portwhy" {
		return os.Executable()
	}
	if strings.Contains(name, "/") {
		return "", fmt.Errorf("run %q: commands are given by name", name)
	}
	for _, dir := range directories {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("run %q: there is no such command in %s", name, strings.Join(directories[:], ", "))
}
