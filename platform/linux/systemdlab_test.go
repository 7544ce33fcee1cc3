//go:build linux

package linux

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// systemdLab is the first program in the namespaces: it makes the mounts that
// systemd needs and becomes systemd. Only the journal and the bus start of what
// the host has; a target of our own pulls in the units of the test.
const systemdLab = `set -e
mount -t proc proc /proc
umount -R /sys/fs/cgroup || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for d in /run /tmp /var/log; do mount -t tmpfs tmpfs $d; done
ip link set lo up
mkdir -p /run/systemd/system /run/dbus
cp -a "$UNITS"/. /run/systemd/system/
export container=lab
exec /lib/systemd/systemd --system --unit=lab.target
`

// runInSystemd starts systemd with units and runs a test of this binary there,
// as root and as nobody. A text that starts with "->" is a link.
func runInSystemd(t *testing.T, test, env string, units map[string]string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make namespaces")
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip("needs systemd installed")
	}
	// Not in /tmp, which the lab covers.
	dir, err := os.MkdirTemp("/var/tmp", "pw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	wants := ""
	for name, text := range units {
		path := filepath.Join(dir, "units", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		// What a socket starts, and what is masked, is not started here.
		_, activated := units[strings.TrimSuffix(name, ".service")+".socket"]
		if !strings.Contains(name, "/") && !strings.HasPrefix(text, "->") && (!activated || strings.HasSuffix(name, ".socket")) {
			wants += " " + name
		}
	}
	target := "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nWants=systemd-journald.service dbus.socket" + wants + "\n"
	if err := os.WriteFile(filepath.Join(dir, "units/lab.target"), []byte(target), 0o644); err != nil {
		t.Fatal(err)
	}
	// The program is /proc/self/exe, which is not there in the lab.
	binary := filepath.Join(dir, "test")
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-mpfnuiC", "--propagation", "private", "--kill-child", "/bin/sh", "-c", systemdLab)
	cmd.Env = append(os.Environ(), "UNITS="+filepath.Join(dir, "units"))
	var out boundedBuffer
	out.max = 1 << 16
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := ""
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		if pid = strings.TrimSpace(string(children)); pid != "" {
			if err := unix.Access("/proc/"+pid+"/root/run/systemd/private", unix.F_OK); err == nil {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Skipf("systemd does not start in namespaces here: %s", out.String())
		}
	}
	enter := []string{"-t", pid, "-m", "-p", "-n", "-u", "-i", "-C"}
	for _, user := range []string{"0", "65534"} {
		args := append(append([]string{}, enter...), "setpriv", "--reuid", user, "--clear-groups", binary, "-test.run="+test, "-test.v")
		inside := exec.Command("nsenter", args...)
		inside.Env = append(os.Environ(), env)
		text, err := inside.CombinedOutput()
		if err != nil {
			t.Errorf("as uid %s: %v", user, err)
		}
		t.Logf("%s", text)
	}
}
