package host

import (
	"strings"
	"time"
)

// Info describes the host and what the caller may see of it.
type Info struct {
	OS       string // linux, darwin, windows
	Kernel   string // release, for instance 6.1.0-18-amd64
	Hostname string
	Distro   string // PRETTY_NAME of os-release
	UID      uint32 // effective user of the caller
	// Privileged: the caller may read every process's descriptors and every
	// kernel table (root, or CAP_SYS_PTRACE and CAP_NET_ADMIN).
	Privileged   bool
	Capabilities []string // effective, by name: CAP_NET_ADMIN
	NetNS        uint64   // inode of the network namespace of this view
	UserNS       uint64
	InitUserNS   bool      // the caller is in the initial user namespace
	At           time.Time // when the facts were read
	Boot         time.Time
	Container    string   // what the host itself runs in, if it is a container
	LSMs         []string // active security modules in order; nil if unknown
	SELinux      string   // enforcing, permissive or empty
	Seccomp      int      // seccomp mode of the caller: 0 none, 1 strict, 2 filter
	NoNewPrivs   bool
	Label        string // LSM label of the caller
	Cgroup       string // the caller's cgroup path
	Lockdown     string
	// Limits are those of every answer about this host: what the caller's
	// rights or the kernel keep hidden.
	Limits []Limit
}

// Sysctl is one kernel setting.
type Sysctl struct {
	Key   string
	Value string
	// File and Line say which configuration sets it (sysctl.d), if any does.
	// The last setting in systemd-sysctl's order wins; see sysctl.d(5).
	File string
	Line int
	// Configured is the value written there; it differs from Value when the
	// setting was changed at run time.
	Configured string
}

// SysctlKey is the key of a setting by its path below /proc/sys, and the path by the
// key: in a key a slash stands for the dot in a name, as of device eth0.5 (sysctl(8)).
func SysctlKey(path string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, path)
}

// DeviceKey is the key of a device's setting of IPv4 or IPv6.
func DeviceKey(family, device, name string) string {
	return SysctlKey("net/" + family + "/conf/" + device + "/" + name)
}

// PortRange is a range of ports, both ends included.
type PortRange struct {
	First, Last uint16
	// Administered ranges were set by hand and can be removed as such; the
	// others come and go with the services that asked for them.
	Administered bool
}
