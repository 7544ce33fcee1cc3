//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a running host of a scenario.
type machine struct {
	Host
	dir    string // /run/lab inside
	cgroup string // the host's own, as seen from outside; empty without
	pid    int    // its first process, as seen from outside
	cell   *exec.Cmd
	life   io.Closer // the cell ends when this closes
	marker string
	procs  map[string]*process
}

// process is one that was started and not waited for.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// boot starts a host: its directory, its control group, its namespaces.
func (l *Lab) boot(ctx context.Context, s *Scenario, h Host, dir string) (*machine, error) {
	m := &machine{Host: h, dir: dir, marker: l.marker, procs: map[string]*process{}}
	if err := m.furnish(l.bin, s.Files[h.Name]); err != nil {
		return nil, err
	}
	args := []string{"cell", filepath.Join(l.bin, "fault"), "host", "-hostname", h.Name}
	if l.cgroups != "" {
		m.cgroup = filepath.Join(l.cgroups, fmt.Sprintf("%s%d-%s-%s-%s", cgroupPrefix, os.Getpid(), s.Group, s.Slug, h.Name))
		if err := os.Mkdir(m.cgroup, 0o755); err != nil {
			return nil, fmt.Errorf("control group: %w", err)
		}
		args = append(args, "-cgroup", m.cgroup)
	}
	if h.NoLo {
		args = append(args, "-no-lo")
	}
	if h.Systemd {
		args = append(args, "-systemd")
	}
	if len(h.Etc) > 0 {
		args = append(args, "-etc", strings.Join(h.Etc, ","))
	}
	m.cell = exec.Command(filepath.Join(l.bin, "fault"), append(args, dir)...)
	m.cell.Env = m.env(nil)
	m.cell.Stderr = new(output)
	life, err := m.cell.StdinPipe()
	if err != nil {
		return nil, err
	}
	m.life = life
	stdout, err := m.cell.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cell.Start(); err != nil {
		return nil, fmt.Errorf("starting host %s: %w", h.Name, err)
	}
	return m, m.awaitBoot(ctx, stdout)
}

func (m *machine) awaitBoot(ctx context.Context, stdout io.Reader) error {
	ready := make(chan error, 1)
	go func() {
		// The cell tells the pid, the host that it is ready, in either order.
		lines, up := bufio.NewScanner(stdout), false
		for lines.Scan() {
			if pid, ok := strings.CutPrefix(lines.Text(), "PID "); ok {
				m.pid, _ = strconv.Atoi(pid)
			}
			if up = up || lines.Text() == "READY"; up && m.pid != 0 {
				ready <- nil
				return
			}
		}
		ready <- fmt.Errorf("host %s did not come up: %s", m.Name, m.cell.Stderr)
	}()
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return fmt.Errorf("host %s did not come up in time: %s", m.Name, m.cell.Stderr)
	}
}

// furnish makes the directory that the host sees as /run/lab.
func (m *machine) furnish(bin string, files map[string]string) error {
	for _, d := range []string{"bin", "pid", "out", "files"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(m.dir, "out"), 0o1777); err != nil { // questions are asked as other users too
		return err
	}
	for _, b := range []string{"fault", "portwhy"} {
		if err := os.Link(filepath.Join(bin, b), filepath.Join(m.dir, "bin", b)); err != nil {
			return err
		}
	}
	for name, text := range files {
		to := filepath.Join(m.dir, "files", name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(to, []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) env(more []string) []string {
	return append([]string{"PATH=/run/lab/bin:" + searchPath, "LANG=C", "HOME=/root", markerName + "=" + m.marker}, more...)
}

// command prepares a command inside the host.
func (m *machine) command(ctx context.Context, o Options, name string, argv []string) *exec.Cmd {
	args := []string{"-t", strconv.Itoa(m.pid), "-m", "-u", "-i", "-n", "-p"}
	if m.cgroup != "" {
		args = append(args, "-C")
	}
	args = append(args, "--", "/run/lab/bin/fault", "exec")
	if m.cgroup != "" {
		group := "lab"
		if o.Cgroup != "" {
			group = o.Cgroup
		}
		args = append(args, "-cgroup", filepath.Join("/sys/fs/cgroup", group))
	}
	if name != "" {
		args = append(args, "-pidfile", "/run/lab/pid/"+name)
	}
	if o.NetNS != "" {
		args = append(args, "-netns", filepath.Join("/run/netns", o.NetNS))
	}
	for flag, value := range map[string]string{"-uid": o.UID, "-seccomp": o.Seccomp, "-landlock": o.Landlock, "-nofile": o.NoFile} {
		if value != "" {
			args = append(args, flag+"="+value)
		}
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(append(args, "--"), m.expand(argv)...)...)
	cmd.Env = m.env(o.Env)
	cmd.WaitDelay = 300 * time.Millisecond
	return cmd
}

// expand puts the pids of started processes in for $NAME.
func (m *machine) expand(argv []string) []string {
	argv = slices.Clone(argv)
	for i, a := range argv {
		if strings.Contains(a, "$") {
			argv[i] = os.Expand(a, m.variable)
		}
	}
	return argv
}

func (m *machine) variable(name string) string {
	if m.procs[name] == nil {
		return "$" + name // the shell's
	}
	pid, err := os.ReadFile(filepath.Join(m.dir, "pid", name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(pid))
}

// start runs a command that stays. It returns when the process has its pid.
func (m *machine) start(o Options, name string, argv []string) (*process, error) {
	p := &process{cmd: m.command(context.Background(), o, name, argv), out: new(output), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	m.procs[name] = p
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// halt ends the host with all that runs in it, and says what is left.
func (m *machine) halt() error {
	if m.cell.Process == nil {
		return nil
	}
	_ = m.life.Close()
	done := make(chan struct{})
	go func() {
		_ = m.cell.Wait()
		close(done)
	}()
	waits := []<-chan struct{}{done}
	for _, p := range m.procs {
		waits = append(waits, p.done)
	}
	deadline := time.After(10 * time.Second)
	for _, w := range waits {
		for over := false; !over; {
			select {
			case <-w:
				over = true
			case <-time.After(20 * time.Millisecond):
				m.signal(unix.SIGCONT)
			case <-deadline:
				m.signal(unix.SIGKILL)
				_ = m.cell.Process.Kill()
			}
		}
	}
	if m.pid != 0 && !errors.Is(unix.Kill(m.pid, 0), unix.ESRCH) {
		return fmt.Errorf("host %s: its first process %d is still there", m.Name, m.pid)
	}
	if m.cgroup == "" {
		return nil
	}
	return removeGroup(m.cgroup)
}

// signal reaches the nsenter of every started process. It stops itself when what
// it waits for is stopped, and would then never reap it; but killing it would
// leave the reaping to the machine's own init, which may take its time.
func (m *machine) signal(sig unix.Signal) {
	for _, p := range m.procs {
		_ = p.cmd.Process.Signal(sig)
	}
}

// removeGroup removes a control group with those below. The kernel lets it go
// a moment after its last process.
func removeGroup(dir string) error {
	var err error
	for range 200 {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			err = unix.Rmdir(d)
		}
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("control group %s stays: %w", dir, err)
}
