//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Units that would set up the machine rather than this host, or only take time.
var masked = []string{"systemd-sysctl.service", "systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
	"systemd-udev-trigger.service", "systemd-modules-load.service", "kmod-static-nodes.service", "systemd-hwdb-update.service",
	"systemd-random-seed.service", "systemd-sysusers.service", "systemd-tmpfiles-setup-dev.service", "systemd-tmpfiles-setup.service",
	"systemd-tmpfiles-clean.timer", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"sys-kernel-config.mount", "sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-machine-id-commit.service",
	"systemd-firstboot.service", "systemd-pstore.service", "systemd-remount-fs.service", "systemd-update-utmp.service",
	"systemd-boot-system-token.service", "systemd-ask-password-console.path", "systemd-ask-password-wall.path"}

const labTarget = `[Unit]
Description=The lab host is up
Requires=basic.target
After=basic.target
AllowIsolate=yes
`

// becomeSystemd starts lab.target with the units of this machine's Debian and
// those of the scenario.
func becomeSystemd() error {
	const units = "/etc/systemd/system"
	if err := os.MkdirAll(units, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(units, "lab.target"), []byte(labTarget), 0o644); err != nil {
		return err
	}
	for _, u := range masked {
		if err := os.Symlink("/dev/null", filepath.Join(units, u)); err != nil {
			return err
		}
	}
	// What systemd sees as read-only it leaves alone.
	if err := unix.Mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("/sys read-only: %w", err)
	}
	log, err := os.OpenFile("/run/lab/systemd.log", os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, fd := range []int{1, 2} {
		if err := unix.Dup2(int(log.Fd()), fd); err != nil {
			return err
		}
	}
	env := []string{"container=lab", "LANG=C"}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "PATH=") || strings.HasPrefix(v, "PORTWHY_LAB=") {
			env = append(env, v)
		}
	}
	return syscall.Exec("/lib/systemd/systemd", []string{"systemd", "--system", "--unit=lab.target"}, env)
}
