//go:build linux

package lab

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

	"golang.org/x/sys/unix"
)

// New builds portwhy and the fault tool and makes a directory for the run.
// Binaries named by PORTWHY_BIN and FAULT_BIN are taken instead of new ones.
// Close removes all of it.
func New(ctx context.Context, data string) (*Lab, error) {
	tmp, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", tmpPrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	l := &Lab{tmp: tmp, bin: filepath.Join(tmp, "bin"), data: data, cgroups: cgroup2(), userNS: inUserNS(), marker: filepath.Base(tmp)}
	if l.userNS {
		l.cgroups = "" // not ours to change
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := errors.Join(l.build(ctx), l.sweep()); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	if err := os.Mkdir(l.bin, 0o755); err != nil {
		return err
	}
	const module = "github.com/portwhy/portwhy/agent/"
	for name, pkg := range map[string]string{"portwhy": module + "cmd/portwhy", "fault": module + "lab/fault"} {
		to := filepath.Join(l.bin, name)
		if given := os.Getenv(strings.ToUpper(name) + "_BIN"); given != "" {
			text, err := os.ReadFile(given)
			if err != nil {
				return err
			}
			if err := os.WriteFile(to, text, 0o755); err != nil {
				return err
			}
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", to, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", name, err, out)
		}
	}
	return nil
}

// sweep removes the control groups and directories of runs that were killed; all
// else of them went with their processes.
func (l *Lab) sweep() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tmpPrefix+"*"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if abandoned(d, tmpPrefix) {
			err = errors.Join(err, os.RemoveAll(d))
		}
	}
	if l.cgroups == "" {
		return err
	}
	groups, globErr := filepath.Glob(filepath.Join(l.cgroups, cgroupPrefix+"*"))
	for _, g := range groups {
		if abandoned(g, cgroupPrefix) {
			err = errors.Join(err, removeGroup(g))
		}
	}
	return errors.Join(err, globErr)
}

// abandoned reports whether PREFIX-PID-… names a process that is no more.
func abandoned(path, prefix string) bool {
	pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), prefix), "-")
	n, err := strconv.Atoi(pid)
	return err == nil && errors.Is(unix.Kill(n, 0), unix.ESRCH)
}

// Leaks lists what the run has left on the machine: processes, mounts, groups.
func (l *Lab) Leaks() []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte(markerName+"="+l.marker+"\x00")) {
			comm, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
			found = append(found, "process "+filepath.Base(filepath.Dir(file))+" "+strings.TrimSpace(string(comm)))
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(mounts, []byte(l.tmp)) {
		found = append(found, fmt.Sprintf("mounts below %s (%v)", l.tmp, err))
	}
	if l.cgroups != "" {
		groups, _ := filepath.Glob(filepath.Join(l.cgroups, fmt.Sprintf("%s%d-*", cgroupPrefix, os.Getpid())))
		found = append(found, groups...)
	}
	return found
}

// Close removes the run's files, and the control groups if a scenario was cut short.
func (l *Lab) Close() error {
	var err error
	if l.cgroups != "" {
		groups, _ := filepath.Glob(filepath.Join(l.cgroups, fmt.Sprintf("%s%d-*", cgroupPrefix, os.Getpid())))
		for _, g := range groups {
			err = errors.Join(err, removeGroup(g))
		}
	}
	return errors.Join(err, os.RemoveAll(l.tmp))
}

// inUserNS reports whether root here is another user outside (user_namespaces(7)).
func inUserNS() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}
