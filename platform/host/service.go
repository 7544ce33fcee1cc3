package host

import (
	"net/netip"
	"time"
)

// Unit is a unit of systemd.
type Unit struct {
	Name          string
	Description   string
	LoadState     string // loaded, masked, not-found, error, bad-setting
	ActiveState   string // active, inactive, failed, activating, deactivating, reloading
	SubState      string
	Result        string // success, exit-code, signal, timeout, oom-kill, start-limit-hit, …
	ExitStatus    int
	MainPID       int
	ControlGroup  string
	Restarts      int
	NeedReload    bool
	Condition     bool // false: a condition kept it from starting
	Enabled       string
	File          string // FragmentPath
	DropIns       []string
	Changed       time.Time // last change of ActiveState
	ActiveSince   time.Time
	Triggers      []string // a socket's services
	TriggeredBy   []string
	Listens       []UnitListen
	ExecStart     [][]string
	Environment   []string // only names that matter, as in Process.Env
	SocketBind    []string // SocketBindDeny= and SocketBindAllow=, as "deny ipv4:tcp:80"
	IPAddressDeny []string
	Families      []string // RestrictAddressFamilies=
	FDLimit       uint64
	Notify        bool     // Type=notify
	Log           []string // its last lines in the journal, unless all went well or they can't be read
}

// UnitListen is one address of a socket unit.
type UnitListen struct {
	Network string // tcp, udp, unix
	Address netip.AddrPort
	Path    string
	File    string
	Line    int
}

// Containers is what the container engines told.
type Containers struct {
	List   []Container
	Limits []Limit
}

// Container is a container of Docker or Podman.
type Container struct {
	ID      string
	Name    string
	Image   string
	Engine  string // docker, podman
	State   string // running, paused, exited, created, restarting, dead
	Exit    int
	PID     int
	NetNS   uint64
	Mode    string // network mode: bridge, host, none, container:ID, or a network's name
	Address []netip.Addr
	// Networks it is attached to, by name.
	Networks []string
	Internal bool // it has internal networks only
	Ports    []PortMapping
	Exposed  []PortMapping // declared by the image or --expose, not published
	// Compose names, if it was made by compose.
	Project, Service string
	ComposeFile      string
	Pid1             string // command
	Created          time.Time
	OOMKilled        bool
}

// PortMapping is a published port.
type PortMapping struct {
	Network   string
	Host      netip.AddrPort // zero for exposed ports
	Container uint16
}

// Claims are the ports that configuration files on this host name.
type Claims struct {
	List   []Claim
	Limits []Limit
}

// Claim is a port that a configuration file names.
type Claim struct {
	Program string // nginx, sshd, postgresql, systemd, docker, …
	Key     string // the directive: listen, Port, listen_addresses, ListenStream
	Unit    string // the unit that reads the file, if known
	Network string
	Address string // as written: *, localhost, 10.0.0.1
	Port    uint16
	Path    string // for unix sockets
	File    string
	Line    int
	Text    string // the line, trimmed
	// Disabled: the line has no effect as it is: it is commented out, the site or
	// unit is not enabled, or another line overrides it.
	Disabled bool
	Modified time.Time // of the file
}
