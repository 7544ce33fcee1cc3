//go:build linux

package linux

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// initUserNS is the inode of the first user namespace (include/linux/proc_ns.h,
// PROC_USER_INIT_INO).
const initUserNS = 0xeffffffd

// Info describes this host and what the caller may see of it.
func (h *Host) Info(context.Context) (host.Info, error) {
	b, err := readSmall("/proc/self/status")
	if err != nil {
		return host.Info{}, fmt.Errorf("read own rights: %w", err)
	}
	own, err := parseStatus(b)
	if err != nil {
		return host.Info{}, fmt.Errorf("read own rights: %w", err)
	}
	info := host.Info{
		OS: "linux", Kernel: host.Clean([]byte(kernelRelease()), 128), UID: own.uid,
		Capabilities: capabilityNames(own.capEff), Seccomp: own.seccomp, NoNewPrivs: own.noNewPrivs,
		NetNS: h.netns, At: time.Now(), Boot: h.boot.get(), Cgroup: selfCgroup(), Container: container(),
	}
	if name, err := os.Hostname(); err == nil {
		info.Hostname = host.Clean([]byte(name), 256)
	}
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if b, err := readSmall(path); err == nil {
			info.Distro = parseOSRelease(b)
			break
		}
	}
	if inode, err := inodeOf("/proc/self/ns/user"); err == nil {
		info.UserNS, info.InitUserNS = inode, inode == initUserNS
	}
	const needed = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_NET_ADMIN
	info.Privileged = own.capEff&needed == needed && info.InitUserNS
	if b, err := readSmall("/sys/kernel/security/lsm"); err == nil {
		info.LSMs = strings.Split(host.Clean(bytes.TrimSpace(b), 1024), ",")
	}
	if n, ok := firstNumber("/sys/fs/selinux/enforce"); ok {
		info.SELinux = "permissive"
		if n != 0 {
			info.SELinux = "enforcing"
		}
	}
	if b, err := readSmall("/sys/kernel/security/lockdown"); err == nil {
		info.Lockdown = parseLockdown(b)
	}
	if b, err := readSmall("/proc/self/attr/current"); err == nil {
		info.Label = host.Clean(bytes.TrimRight(b, "\x00\n"), 1024)
	}
	info.Limits = h.limits(info)
	return info, nil
}

// limits says what is missing from all answers of this host.
func (h *Host) limits(info host.Info) []host.Limit {
	var list []host.Limit
	add := func(what, why, needs string) {
		list = append(list, host.Limit{What: what, Why: why, Needs: needs})
	}
	if !info.Privileged {
		why := "the caller (uid " + strconv.FormatUint(uint64(info.UID), 10) + ") lacks CAP_SYS_PTRACE or CAP_NET_ADMIN"
		if !info.InitUserNS {
			why = "the caller is in a user namespace of its own"
		}
		add("sockets, environment and namespaces of other users' processes; socket marks and keys", why, "root")
	}
	if b, err := readAt(unix.AT_FDCWD, "/proc/self/mountinfo", 4<<20); err == nil && !info.Privileged && hidesProcesses(b) {
		add("other users' processes", "/proc is mounted with hidepid", "root, or the group that gid= names")
	}
	for _, table := range socketTables {
		if !h.modules.mayAsk(table.module) {
			add("details of "+table.network+" sockets (IPv6 only, device, backlog, bound ones)",
				"the kernel's "+table.module+" is not loaded, and looking must not load it", "modprobe "+table.module)
		}
	}
	if !tellsBound(info.Kernel) {
		add("TCP sockets that are bound but neither listen nor connect", "Linux "+info.Kernel+" does not list them", "Linux 6.8")
	}
	return list
}

// hidesProcesses finds hidepid=1, 2 or 4 among the options of /proc (proc(5)).
func hidesProcesses(mountinfo []byte) bool {
	for line := range bytes.Lines(mountinfo) {
		m, kind, options, ok := parseMountLine(string(line))
		if !ok || kind != "proc" || m.path != "/proc" {
			continue
		}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "hidepid=1", "hidepid=2", "hidepid=4", "hidepid=noaccess", "hidepid=invisible", "hidepid=ptraceable":
				return true
			}
		}
	}
	return false
}

// parseOSRelease finds PRETTY_NAME of os-release(5).
func parseOSRelease(b []byte) string {
	for line := range bytes.Lines(b) {
		value, ok := bytes.CutPrefix(line, []byte("PRETTY_NAME="))
		if !ok {
			continue
		}
		s := strings.TrimSpace(string(value))
		if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
			s = s[1 : len(s)-1]
		}
		return host.Clean([]byte(s), 128)
	}
	return ""
}

// parseLockdown finds the chosen word in "none [integrity] confidentiality".
func parseLockdown(b []byte) string {
	_, rest, ok := strings.Cut(string(b), "[")
	if !ok {
		return ""
	}
	word, _, ok := strings.Cut(rest, "]")
	if !ok {
		return ""
	}
	return host.Clean([]byte(word), 32)
}

// container names what this host itself runs in, if that can be told
// (systemd's container interface, Docker's and Podman's marker files).
func container() string {
	if b, err := readSmall("/run/systemd/container"); err == nil {
		return host.Clean(bytes.TrimSpace(b), 64)
	}
	if _, err := os.Stat("/run/.containerenv"); err == nil {
		return "podman"
	}
	if _, err := os.Stat("/.dockerenv"); err == nil {
		return "docker"
	}
	if b, err := readAt(unix.AT_FDCWD, "/proc/1/environ", environMax); err == nil {
		for entry := range bytes.SplitSeq(b, []byte{0}) {
			if value, ok := bytes.CutPrefix(entry, []byte("container=")); ok {
				return host.Clean(value, 64)
			}
		}
	}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return "kubernetes"
	}
	return ""
}

// capabilityNames names the set bits of a capability set, as capabilities(7).
func capabilityNames(set uint64) []string {
	var list []string
	for bit, name := range capabilities {
		if set&(1<<bit) != 0 {
			list = append(list, name)
		}
	}
	for bit := len(capabilities); bit < 64; bit++ {
		if set&(1<<bit) != 0 {
			list = append(list, "CAP_"+strconv.Itoa(bit))
		}
	}
	return list
}

// capabilities are in the order of include/uapi/linux/capability.h.
var capabilities = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}
