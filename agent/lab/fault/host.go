//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Private and empty in each lab host, so that its answer does not depend on the
// machine: nothing runs, nothing is configured but what the scenario says.
var emptied = []string{"/var/lib", "/var/log", "/var/spool", "/srv", "/tmp"}

// etcKept are the parts of the machine's /etc without which programs don't run.
var etcKept = []string{"alternatives", "ca-certificates", "ca-certificates.conf", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
	"localtime", "machine-id", "nsswitch.conf", "os-release", "pam.d", "passwd", "protocols", "python3", "python3.11", "security", "services",
	"shadow", "ssl", "dbus-1", "mime.types", "iproute2", "ethertypes"}

const hostsFile = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

var devices = []string{"null", "zero", "full", "random", "urandom", "tty", "net/tun"}

// runHost makes the namespaces that cell cloned into a host: own /proc, /sys,
// /etc, /run, /dev, the scenario's files in place, lo up. It prints READY, then
// becomes systemd or reaps children for ever.
func runHost(fs *flag.FlagSet, args []string) error {
	hostname := fs.String("hostname", "lab", "host name")
	noLo := fs.Bool("no-lo", false, "leave lo down")
	cgroup := fs.String("cgroup", "", "control group to run in, as the root of an own cgroup namespace")
	systemd := fs.Bool("systemd", false, "become systemd")
	copied := fs.String("etc", "", "what of the machine's /etc to copy, with commas between")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dir := fs.Arg(0)
	if err := unix.Sethostname([]byte(*hostname)); err != nil {
		return err
	}
	if *cgroup != "" {
		if err := os.WriteFile(filepath.Join(*cgroup, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("entering cgroup: %w", err)
		}
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("cgroup namespace: %w", err)
		}
	}
	if err := mounts(dir, *cgroup != "", strings.FieldsFunc(*copied, func(r rune) bool { return r == ',' })); err != nil {
		return err
	}
	if err := copyTree("/run/lab/files", ""); err != nil {
		return fmt.Errorf("files of the scenario: %w", err)
	}
	if !*noLo {
		if err := loopbackUp(); err != nil {
			return err
		}
	}
	// Nothing here is to wait for duplicate address detection or to be limited,
	// unless the scenario is about that.
	for _, key := range []string{"ipv6/conf/default/accept_dad", "ipv6/conf/all/accept_dad", "ipv4/icmp_ratelimit"} {
		if err := os.WriteFile("/proc/sys/net/"+key, []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	fmt.Println("READY")
	if *systemd {
		return becomeSystemd()
	}
	return reap()
}

func mounts(dir string, ownCgroup bool, copied []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	lab, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unmountBelow(append([]string{"/run"}, emptied...)); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	for _, at := range append([]string{"/run"}, emptied...) {
		if err := tmpfs(at); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Mkdir("/run/lab", 0o755); err != nil {
		return err
	}
	if err := bind(fmt.Sprintf("/proc/self/fd/%d", lab), "/run/lab"); err != nil {
		return err
	}
	for _, d := range []string{"/run/lock", "/run/netns", "/run/sshd", "/var/log/nginx", "/var/lib/nginx", "/var/lib/redis"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod("/tmp", 0o1777); err != nil {
		return err
	}
	if err := etc(copied); err != nil {
		return fmt.Errorf("/etc: %w", err)
	}
	if err := dev(); err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	return sys(ownCgroup)
}

// unmountBelow takes away what the machine has mounted there: covered mounts
// would still show in /proc/self/mountinfo, network namespaces among them. In a
// user namespace they are locked and stay.
func unmountBelow(dirs []string) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(info)) {
		at := strings.Fields(line)[4]
		if slices.ContainsFunc(dirs, func(d string) bool { return strings.HasPrefix(at, d+"/") }) {
			points = append(points, at)
		}
	}
	slices.Reverse(points)
	for _, at := range points {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmounting %s: %w", at, err)
		}
	}
	return nil
}

// copyTree copies a file, or a directory with its files; to "" is over /.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		target := to + strings.TrimPrefix(path, from)
		if err != nil || target == "" {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case !info.Mode().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode().Perm())
	})
}

func tmpfs(at string) error {
	if err := unix.Mount("lab", at, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("%s on %s: %w", from, to, err)
	}
	return nil
}

// etc makes a fresh /etc of what is kept and what is copied, which the host may
// then change.
func etc(copied []string) error {
	const fresh = "/run/etc"
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if err := tmpfs(fresh); err != nil {
		return err
	}
	for _, name := range etcKept {
		err := keep("/etc/"+name, fresh+"/"+name)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) { // shadow, without root
			return err
		}
	}
	for _, name := range copied {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(fresh, name)), 0o755); err != nil {
			return err
		}
		if err := copyTree("/etc/"+name, filepath.Join(fresh, name)); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"hosts": hostsFile, "host.conf": "multi on\n", "resolv.conf": "", "hostname": "lab\n"} {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := bind(fresh, "/etc"); err != nil {
		return err
	}
	return unix.Unmount(fresh, unix.MNT_DETACH)
}

// keep copies a file or link, and binds a directory.
func keep(from, to string) error {
	info, err := os.Lstat(from)
	switch {
	case err != nil:
		return err
	case info.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case info.IsDir():
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		return bind(from, to)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}

func dev() error {
	const fresh = "/run/dev"
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if err := tmpfs(fresh); err != nil {
		return err
	}
	for _, name := range devices {
		to := filepath.Join(fresh, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, nil, 0o666); err != nil {
			return err
		}
		if err := bind("/dev/"+name, to); err != nil && name != "net/tun" {
			return err
		}
	}
	for _, name := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(fresh, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", fresh+"/pts", "devpts", 0, "newinstance,ptmxmode=0666"); err != nil {
		return err
	}
	for link, target := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(fresh, link)); err != nil {
			return err
		}
	}
	if err := bind(fresh, "/dev"); err != nil {
		return err
	}
	return unix.Unmount(fresh, unix.MNT_DETACH)
}

// sys mounts /sys anew, for the network namespace of this host, and the control
// groups on it: the machine's, or the own cgroup namespace's.
func sys(ownCgroup bool) error {
	const old = "/run/cgroup"
	if err := os.Mkdir(old, 0o755); err != nil {
		return err
	}
	if !ownCgroup {
		if err := bind("/sys/fs/cgroup", old); err != nil {
			return err
		}
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("/sys: %w", err)
	}
	if !ownCgroup {
		if err := bind(old, "/sys/fs/cgroup"); err != nil {
			return err
		}
		return unix.Unmount(old, unix.MNT_DETACH)
	}
	if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("cgroup2: %w", err)
	}
	return nil
}

// loopbackUp sets IFF_UP on lo (netdevice(7)).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	return nil
}

func reap() error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for range children {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid == 0 {
				break
			}
		}
	}
	return nil
}
