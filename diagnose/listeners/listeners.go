// Package listeners lists who listens on a host: which socket, which process,
// and who could reach it by its address.
package listeners

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// Schema names the JSON form of [List].
const Schema = "portwhy.listeners/v1"

// List is the answer. Its JSON form is a promise: within v1 fields are only added.
type List struct {
	Schema    string               `json:"schema"`
	Tool      diagnose.Tool        `json:"tool"`
	At        time.Time            `json:"at"`
	Host      diagnose.HostSummary `json:"host"`
	Listeners []Listener           `json:"listeners"`
	Limits    []host.Limit         `json:"limits"`
}

// Listener is one socket. A TCP socket listens; a UDP socket is bound and takes
// datagrams from anyone.
type Listener struct {
	Network   string  `json:"network"` // tcp, udp
	Address   string  `json:"address"` // 0.0.0.0 and :: are the wildcards
	Port      uint16  `json:"port"`
	Interface string  `json:"interface"` // the device it is bound to
	PID       *int    `json:"pid"`       // null: no holder could be seen
	Process   string  `json:"process"`
	Cmdline   string  `json:"cmdline"`
	User      string  `json:"user"` // of the process; of the socket, as a number, if that isn't seen
	Unit      string  `json:"unit"`
	Container string  `json:"container"` // its name, or its id
	NetNS     uint64  `json:"netns"`     // inode
	Inode     uint64  `json:"inode"`
	Backlog   uint32  `json:"backlog"` // connections that may wait for accept
	Queue     uint32  `json:"queue"`   // connections that wait; bytes, where it isn't a TCP listener
	V6Only    bool    `json:"v6only"`
	Shared    []Other `json:"shared"`
	Reach     Reach   `json:"reach"`

	// Only with Query.All.
	State         host.State `json:"state,omitempty"`
	RemoteAddress string     `json:"remote_address,omitempty"`
	RemotePort    uint16     `json:"remote_port,omitempty"`
}

// Other is a further holder: another process with the same socket, or another
// socket on the same address by SO_REUSEPORT.
type Other struct {
	PID     *int   `json:"pid"`
	Process string `json:"process"`
	Inode   uint64 `json:"inode"`
}

// Query selects sockets.
type Query struct {
	Port uint16 // 0: every port
	// All adds sockets that are connected, or bound without listening.
	All bool
	// Args asks for command lines, which cost a further look at each process.
	Args    bool
	Version string
}

// maxCmdline bounds a command line in the list, in bytes.
const maxCmdline = 512

var allStates = []host.State{host.Estab, host.SynSent, host.SynRecv, host.FinWait1, host.FinWait2, host.TimeWait, host.Unconn,
	host.CloseWait, host.LastAck, host.Listen, host.Closing, host.BoundInactive}

// Read lists the sockets that q selects, by port. It fails only if the host's
// sockets can't be read at all.
func Read(ctx context.Context, h host.Host, q Query) (*List, error) {
	info, err := h.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what this host is: %w", err)
	}
	l := &lister{ctx: ctx, host: h, query: q, info: info}
	if err := l.read(); err != nil {
		return nil, err
	}
	l.owners()
	l.fill()
	l.share()
	l.nameContainers()
	out := &List{Schema: Schema, Tool: diagnose.ToolOf(q.Version), At: info.At,
		Host:      diagnose.HostOf(info),
		Listeners: l.list, Limits: l.limits}
	if out.Limits == nil {
		out.Limits = []host.Limit{}
	}
	return out, nil
}

type lister struct {
	ctx     context.Context
	host    host.Host
	query   Query
	info    host.Info
	sockets []*host.Socket
	holders map[uint64][]host.Holder
	procs   map[int]*process
	list    []Listener
	limits  []host.Limit
}

// read dumps the sockets; one network that can't be read is a limit.
func (l *lister) read() error {
	var failed error
	networks := []struct {
		name   string
		states []host.State
	}{{"tcp", []host.State{host.Listen}}, {"udp", []host.State{host.Unconn}}}
	for _, n := range networks {
		q := host.SocketQuery{Network: n.name, States: n.states, Port: l.query.Port}
		if l.query.All {
			q.States = allStates
		}
		found, err := l.host.Sockets(l.ctx, q)
		if err != nil {
			l.limits = append(l.limits, diagnose.LimitOf(n.name+" sockets", err))
			if failed != nil {
				return fmt.Errorf("reading sockets: %w", failed)
			}
			failed = err
			continue
		}
		l.addSockets(found)
	}
	slices.SortFunc(l.sockets, compare)
	return nil
}

// addSockets takes over sockets that have a port.
func (l *lister) addSockets(found []host.Socket) {
	for i := range found {
		if found[i].Local.Port() != 0 {
			l.sockets = append(l.sockets, &found[i])
		}
	}
}

// compare orders by port first, because that is what people look for.
func compare(a, b *host.Socket) int {
	if a.Local.Port() != b.Local.Port() {
		return cmp.Compare(a.Local.Port(), b.Local.Port())
	}
	return cmp.Or(cmp.Compare(a.Network, b.Network),
		a.Local.Addr().Compare(b.Local.Addr()), cmp.Compare(a.Interface, b.Interface), a.Remote.Compare(b.Remote), cmp.Compare(a.Inode, b.Inode))
}

// fill makes the list from what was read.
func (l *lister) fill() {
	r := readReach(l.ctx, l.host, &l.limits)
	l.list = make([]Listener, len(l.sockets))
	unseen := 0
	for i, s := range l.sockets {
		out := Listener{Network: s.Network, Address: s.Local.Addr().WithZone("").String(), Port: s.Local.Port(), Interface: s.Device,
			NetNS: s.NetNS, Inode: s.Inode, Queue: s.Queue, V6Only: s.V6Only, Reach: r.of(s.Local.Addr(), s.Interface), Shared: []Other{}}
		if out.NetNS == 0 {
			out.NetNS = l.info.NetNS
		}
		if s.State == host.Listen {
			out.Backlog = s.Backlog
		}
		if l.query.All {
			out.State = s.State
			if s.Remote.IsValid() && s.Remote.Port() != 0 {
				out.RemoteAddress, out.RemotePort = s.Remote.Addr().String(), s.Remote.Port()
			}
		}
		for n, p := range l.holdersOf(s.Inode) {
			if n > 0 {
				out.Shared = append(out.Shared, Other{PID: &p.PID, Process: p.Name, Inode: s.Inode})
				continue
			}
			out.PID, out.Process, out.Cmdline, out.User = &p.PID, p.Name, p.cmdline, p.User
			out.Unit, out.Container = cmp.Or(p.Unit, p.UserUnit), p.Container
		}
		if out.PID == nil {
			out.User = strconv.FormatUint(uint64(s.UID), 10)
			if s.Inode != 0 {
				unseen++
			}
		}
		l.list[i] = out
	}
	l.limitUnseen(unseen)
}

// share joins sockets that have the same address by SO_REUSEPORT. The list is
// sorted, so they are neighbours.
func (l *lister) share() {
	for from := 0; from < len(l.list); {
		to := from + 1
		for to < len(l.list) && sameAddress(l.sockets[from], l.sockets[to]) {
			to++
		}
		if to-from > 1 && waits(l.sockets[from]) {
			l.shareAmong(from, to)
		}
		from = to
	}
}

// maxShared bounds how many others one listener names.
const maxShared = 64

func (l *lister) shareAmong(from, to int) {
	for i := from; i < to; i++ {
		for j := from; j < to && len(l.list[i].Shared) < maxShared; j++ {
			if i != j {
				o := l.list[j]
				l.list[i].Shared = append(l.list[i].Shared, Other{PID: o.PID, Process: o.Process, Inode: o.Inode})
			}
		}
	}
}

func sameAddress(a, b *host.Socket) bool {
	return a.Network == b.Network && a.Local == b.Local && a.Interface == b.Interface && a.State == b.State && a.Remote == b.Remote
}

// waits reports whether the socket takes what comes from anyone.
func waits(s *host.Socket) bool {
	return s.State == host.Listen || s.Network == "udp" && s.State == host.Unconn
}

// nameContainers replaces ids by names, and names the container for which an
// engine's proxy listens. The engine is asked only if there is reason to.
func (l *lister) nameContainers() {
	ask := slices.ContainsFunc(l.list, func(o Listener) bool { return o.Container != "" || engineProxy(o.Process) })
	if !ask {
		return
	}
	known, err := l.host.Containers(l.ctx)
	if err != nil {
		l.limits = append(l.limits, diagnose.LimitOf("the names of containers", err))
		return
	}
	l.limits = append(l.limits, known.Limits...)
	for i := range l.list {
		o := &l.list[i]
		for _, c := range known.List {
			if o.Container != "" && (c.ID == o.Container || strings.HasPrefix(c.ID, o.Container)) || engineProxy(o.Process) && publishes(c, *o) {
				o.Container = cmp.Or(c.Name, c.ID)
				break
			}
		}
	}
}

// engineProxy reports whether a process listens for containers: docker-proxy,
// rootlesskit's and podman's port forwarders. Names are cut to 15 bytes (comm).
func engineProxy(name string) bool {
	switch name {
	case "docker-proxy", "rootlessport", "rootlesskit", "conmon", "slirp4netns", "pasta", "gvproxy":
		return true
	}
	return false
}

func publishes(c host.Container, o Listener) bool {
	return slices.ContainsFunc(c.Ports, func(p host.PortMapping) bool {
		if p.Network != o.Network || p.Host.Port() != o.Port {
			return false
		}
		a, err := netip.ParseAddr(o.Address)
		return err != nil || !p.Host.Addr().IsValid() || p.Host.Addr() == a || p.Host.Addr().IsUnspecified() && a.IsUnspecified()
	})
}
