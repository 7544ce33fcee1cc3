//go:build linux

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	statMax    = 4 << 10
	cmdlineMax = 16 << 10
	argsMax    = 256
)

var errProcFormat = errors.New("not in the kernel's format")

// stat is what is needed of proc_pid_stat(5).
type stat struct {
	comm         string
	state        string
	ppid         int
	kernelThread bool
	start        uint64 // ticks since boot
}

// parseStat reads /proc/PID/stat. The name is the process's own choice and may
// hold parentheses, blanks and newlines, so it ends at the last parenthesis.
func parseStat(b []byte) (stat, error) {
	const kernelThread = 0x00200000 // PF_KTHREAD
	open, last := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || last < open {
		return stat{}, fmt.Errorf("stat %.80q: %w", b, errProcFormat)
	}
	s := stat{comm: host.Clean(b[open+1:last], commMax)}
	var f [20][]byte // the rest has more, but they are not needed
	for i, rest := 0, b[last+1:]; i < len(f); i++ {
		f[i], rest = cutField(rest)
	}
	if len(f[19]) == 0 || len(f[0]) != 1 {
		return stat{}, fmt.Errorf("stat %.80q: %w", b, errProcFormat)
	}
	s.state = host.Clean(f[0], 4)
	ppid, err := strconv.ParseInt(string(f[1]), 10, 32)
	if err != nil {
		return stat{}, fmt.Errorf("stat: ppid %.20q: %w", f[1], errProcFormat)
	}
	flags, err := strconv.ParseUint(string(f[6]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("stat: flags %.20q: %w", f[6], errProcFormat)
	}
	if s.start, err = strconv.ParseUint(string(f[19]), 10, 64); err != nil {
		return stat{}, fmt.Errorf("stat: starttime %.20q: %w", f[19], errProcFormat)
	}
	s.ppid, s.kernelThread = int(ppid), flags&kernelThread != 0
	return s, nil
}

// cutField splits the first field off b, empty at the end.
func cutField(b []byte) (field, rest []byte) {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for i, c := range b {
		if c <= ' ' {
			return b[:i], b[i:]
		}
	}
	return b, nil
}

// status is what is needed of proc_pid_status(5).
type status struct {
	uid        uint32
	tracer     int
	seccomp    int
	noNewPrivs bool
	capEff     uint64
}

// parseStatus reads /proc/PID/status, in which the kernel escapes the name.
// Fields that a kernel does not have are left zero; only Uid is in all.
func parseStatus(b []byte) (status, error) {
	var s status
	known := false
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		key, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		var err error
		switch string(key) {
		case "Uid": // real, effective, saved, file system
			f := bytes.Fields(value)
			if len(f) != 4 {
				return s, fmt.Errorf("status: Uid %.40q: %w", value, errProcFormat)
			}
			var n uint64
			n, err = strconv.ParseUint(string(f[1]), 10, 32)
			s.uid, known = uint32(n), true
		case "TracerPid":
			s.tracer, err = strconv.Atoi(string(value))
		case "Seccomp":
			s.seccomp, err = strconv.Atoi(string(value))
		case "NoNewPrivs":
			s.noNewPrivs = string(value) == "1"
		case "CapEff":
			s.capEff, err = strconv.ParseUint(string(value), 16, 64)
		}
		if err != nil {
			return s, fmt.Errorf("status: %s %.40q: %w", key, value, errProcFormat)
		}
	}
	if !known {
		return s, fmt.Errorf("status: no Uid: %w", errProcFormat)
	}
	return s, nil
}

// parseCmdline splits /proc/PID/cmdline. The null bytes at its end are the last
// argument's, or padding of a process that wrote over its arguments.
func parseCmdline(b []byte) []string {
	b = bytes.TrimRight(b, "\x00")
	if len(b) == 0 {
		return nil
	}
	var args []string
	for _, arg := range bytes.SplitN(b, []byte{0}, argsMax+1) {
		if len(args) == argsMax {
			break
		}
		args = append(args, host.Clean(arg, 4096))
	}
	return args
}

// parseFDLimit finds the soft and the hard limit of open files in /proc/PID/limits.
func parseFDLimit(b []byte) (soft, hard uint64, err error) {
	for line := range strings.Lines(string(b)) {
		rest, ok := strings.CutPrefix(line, "Max open files")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		if len(f) < 2 {
			return 0, 0, fmt.Errorf("limits %.80q: %w", line, errProcFormat)
		}
		for i, to := range []*uint64{&soft, &hard} {
			if f[i] == "unlimited" {
				*to = math.MaxUint64
				continue
			}
			if *to, err = strconv.ParseUint(f[i], 10, 64); err != nil {
				return 0, 0, fmt.Errorf("limits %.80q: %w", line, errProcFormat)
			}
		}
		return soft, hard, nil
	}
	return 0, 0, fmt.Errorf("limits: no open files: %w", errProcFormat)
}
