//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What a machine may not allow, by the words of a scenario's "needs" line.
var needs = map[string]func(*Lab) error{
	"root": func(l *Lab) error {
		if l.userNS {
			return errors.New("real root: this run is root in a user namespace only")
		}
		return nil
	},
	"uids": func(l *Lab) error {
		if l.userNS {
			return errors.New("other users: this run's user namespace has but one")
		}
		return nil
	},
	"cgroup": func(l *Lab) error {
		if l.cgroups == "" {
			return errors.New("a control group of its own (cgroup2, writable)")
		}
		return nil
	},
	"tun":      func(*Lab) error { return tun() },
	"landlock": func(*Lab) error { return landlock() },
}

func tun() error {
	if err := unix.Access("/dev/net/tun", unix.W_OK); err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	return nil
}

// landlock reports whether the kernel has Landlock's network rules (ABI 4).
func landlock() error {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("a kernel with Landlock: %w", errno)
	}
	if abi < 4 {
		return fmt.Errorf("a kernel with ABI 4 of Landlock: this one has %d", abi)
	}
	return nil
}

// packages are Debian's names where they differ from the program's.
var packages = map[string]string{"ip": "iproute2", "tc": "iproute2", "ss": "iproute2", "bridge": "iproute2", "nft": "nftables", "nginx": "nginx-light",
	"iptables-nft": "iptables", "iptables-legacy": "iptables", "ip6tables-nft": "iptables", "ip6tables-legacy": "iptables", "arptables-nft": "iptables", "sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client",
	"apache2": "apache2-bin", "dockerd": "docker.io", "docker": "docker.io", "prlimit": "util-linux", "sysctl": "procps",
	"redis-cli": "redis-tools", "systemd-socket-activate": "systemd", "systemctl": "systemd", "systemd-run": "systemd", "nsenter": "util-linux", "postgres": "postgresql",
	"firewall-cmd": "firewalld", "fail2ban-server": "fail2ban", "fail2ban-client": "fail2ban", "dbus-daemon": "dbus"}

func packageOf(program string) string {
	if pkg := packages[program]; pkg != "" {
		return pkg
	}
	return program
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// missing says why the scenario can't run here, nil if it can.
func (l *Lab) missing(s *Scenario) error {
	for _, n := range s.Needs {
		check := needs[n]
		if check == nil {
			return fmt.Errorf("%q, which no lab has", n)
		}
		if err := check(l); err != nil {
			return err
		}
	}
	for _, h := range s.Hosts {
		if h.Systemd {
			if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
				return errors.New("systemd (Debian package systemd)")
			}
		}
	}
	for _, h := range s.Hosts {
		for _, name := range h.Etc {
			if _, err := os.Stat("/etc/" + name); err != nil {
				return fmt.Errorf("/etc/%s of this machine (%w)", name, err)
			}
		}
	}
	for _, step := range s.Steps {
		if step.Verb != "run" && step.Verb != "start" || strings.HasPrefix(step.Args[0], "/etc/") {
			continue
		}
		if name := step.Args[0]; name != "fault" && name != "portwhy" && !inPath(name) {
			return fmt.Errorf("the program %s (Debian package %s)", name, packageOf(filepath.Base(name)))
		}
	}
	return nil
}

func inPath(name string) bool {
	if strings.HasPrefix(name, "/") {
		_, err := exec.LookPath(name)
		return err == nil
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// cgroup2 returns where the unified hierarchy is mounted, if groups can be made there.
func cgroup2() string {
	for _, at := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(at, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC && unix.Access(at, unix.W_OK) == nil {
			if f, err := os.Stat(filepath.Join(at, "cgroup.procs")); err == nil && f.Mode()&fs.ModePerm != 0 {
				return at
			}
		}
	}
	return ""
}
