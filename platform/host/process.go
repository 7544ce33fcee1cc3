package host

import (
	"context"
	"time"
)

// Processes asks for processes.
type Processes interface {
	// Process describes one process. ErrNotFound if it ended.
	Process(ctx context.Context, pid int) (Process, error)
	// Processes describes all that can be seen, in brief: PID, PPID, Name, Args,
	// UID, User, State, Started, StartTicks, Cgroup, Unit, UserUnit and, as far
	// as the cgroup tells it, Container. The other fields may be zero.
	Processes(ctx context.Context) ([]Process, error)
	// Holders finds which processes hold the sockets with these inodes.
	Holders(ctx context.Context, q HolderQuery) (Holders, error)
	// Cgroup describes one control group by its path as in /proc/PID/cgroup.
	Cgroup(ctx context.Context, path string) (Cgroup, error)
}

// Process is one process.
type Process struct {
	PID, PPID int
	Name      string // comm
	Exe       string // empty if not readable; " (deleted)" is kept
	Args      []string
	Cwd       string
	UID       uint32 // effective
	User      string // its name, or the number
	State     string // R S D T t Z X I, as in proc_pid_stat(5)
	Started   time.Time
	// StartTicks identifies the process together with PID (reuse of pids).
	StartTicks uint64
	TracerPID  int
	Cgroup     string // path; of the unified hierarchy, or systemd's named one
	// Unit is the unit it runs in, nginx.service, if that is neither a session
	// nor a container's scope. UserUnit is a unit of its user's own manager
	// (systemctl --user); Unit is then empty.
	Unit, UserUnit string
	Container      string // container id from the cgroup or mount table, if in one
	// Namespaces by inode; 0 if not readable.
	NetNS, PIDNS, MntNS, UserNS uint64
	// FrozenBy is the control group that keeps it frozen, of the unified
	// hierarchy or of the freezer of version 1; empty if none.
	FrozenBy    string
	Seccomp     int
	NoNewPrivs  bool
	CapEff      uint64
	FDs         int    // open descriptors, -1 if not readable
	FDLimit     uint64 // soft limit
	FDMost      uint64 // hard limit; 0: not known
	WaitChannel string // kernel function it sleeps in, if told
	Label       string // LSM label
	// Env holds only the names that matter for addresses and ports (PORT, HOST,
	// LISTEN_FDS, http_proxy, no_proxy and the like), never the others. Values
	// of URLs are without credentials.
	Env map[string]string
}

// HolderQuery says whose holders are wanted.
type HolderQuery struct {
	// Inodes of sockets; none: every socket that anyone holds.
	Inodes []uint64
	// Every wants all holders of each socket. Otherwise the search ends when
	// each has one, after a look at that one's parent and children.
	Every bool
	// Names asks for Holders.Processes, which costs less along the way than a
	// question for each process afterwards; Args for their arguments as well.
	Names bool `json:",omitempty"`
	Args  bool `json:",omitempty"`
}

// Holders are the processes that hold sockets.
type Holders struct {
	// BySocket maps a socket's inode to its holders in order of pid.
	BySocket map[uint64][]Holder
	// Processes are those holders by pid, if asked for and if the system tells
	// it on the way, with PID, Name, UID, User, StartTicks, Cgroup, Unit,
	// UserUnit, Container and maybe Args; else nil.
	Processes map[int]Process `json:",omitempty"`
	// Unreadable counts processes whose descriptors could not be read.
	Unreadable int
}

// Holder is one descriptor.
type Holder struct {
	PID, FD    int
	StartTicks uint64
}

// Cgroup is one control group.
type Cgroup struct {
	Path        string
	Frozen      bool
	FrozenBy    string // the ancestor that is frozen, often the group itself
	OOMKills    int64  // memory.events oom_kill
	MemoryMax   int64  // bytes, 0 for none
	Memory      int64
	Throttled   int64 // cpu.stat nr_throttled
	PidsMax     int64 // 0 for none
	PidsCurrent int64
}
