package replay

import (
	"context"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// Info remembers the host's answer.
func (r *Recorder) Info(ctx context.Context) (host.Info, error) {
	return ask(ctx, r, "info", nil, func() (host.Info, error) { return r.live.Info(ctx) })
}

// Sysctl remembers the host's answer.
func (r *Recorder) Sysctl(ctx context.Context, name string) (host.Sysctl, error) {
	return ask(ctx, r, "sysctl", name, func() (host.Sysctl, error) { return r.live.Sysctl(ctx, name) })
}

// Counters remembers the host's answer.
func (r *Recorder) Counters(ctx context.Context) (map[string]int64, error) {
	return ask(ctx, r, "counters", nil, func() (map[string]int64, error) { return r.live.Counters(ctx) })
}

// ExcludedPorts remembers the host's answer.
func (r *Recorder) ExcludedPorts(ctx context.Context, network string) ([]host.PortRange, error) {
	return ask(ctx, r, "excluded-ports", network, func() ([]host.PortRange, error) { return r.live.ExcludedPorts(ctx, network) })
}

// Sockets remembers the host's answer.
func (r *Recorder) Sockets(ctx context.Context, q host.SocketQuery) ([]host.Socket, error) {
	return ask(ctx, r, "sockets", q, func() ([]host.Socket, error) { return r.live.Sockets(ctx, q) })
}

// Process remembers the host's answer.
func (r *Recorder) Process(ctx context.Context, pid int) (host.Process, error) {
	return ask(ctx, r, "process", pid, func() (host.Process, error) { return r.live.Process(ctx, pid) })
}

// Processes remembers the host's answer.
func (r *Recorder) Processes(ctx context.Context) ([]host.Process, error) {
	return ask(ctx, r, "processes", nil, func() ([]host.Process, error) { return r.live.Processes(ctx) })
}

// Holders remembers the host's answer.
func (r *Recorder) Holders(ctx context.Context, q host.HolderQuery) (host.Holders, error) {
	return ask(ctx, r, "holders", q, func() (host.Holders, error) { return r.live.Holders(ctx, q) })
}

// Cgroup remembers the host's answer.
func (r *Recorder) Cgroup(ctx context.Context, path string) (host.Cgroup, error) {
	return ask(ctx, r, "cgroup", path, func() (host.Cgroup, error) { return r.live.Cgroup(ctx, path) })
}

// Links remembers the host's answer.
func (r *Recorder) Links(ctx context.Context) ([]host.Link, error) {
	return ask(ctx, r, "links", nil, func() ([]host.Link, error) { return r.live.Links(ctx) })
}

// Addresses remembers the host's answer.
func (r *Recorder) Addresses(ctx context.Context) ([]host.Address, error) {
	return ask(ctx, r, "addresses", nil, func() ([]host.Address, error) { return r.live.Addresses(ctx) })
}

// RouteTo remembers the host's answer.
func (r *Recorder) RouteTo(ctx context.Context, q host.RouteQuery) (host.Route, error) {
	return ask(ctx, r, "route-to", q, func() (host.Route, error) { return r.live.RouteTo(ctx, q) })
}

// Routes remembers the host's answer.
func (r *Recorder) Routes(ctx context.Context) ([]host.Route, error) {
	return ask(ctx, r, "routes", nil, func() ([]host.Route, error) { return r.live.Routes(ctx) })
}

// Rules remembers the host's answer.
func (r *Recorder) Rules(ctx context.Context) ([]host.RouteRule, error) {
	return ask(ctx, r, "rules", nil, func() ([]host.RouteRule, error) { return r.live.Rules(ctx) })
}

// Neighbours remembers the host's answer.
func (r *Recorder) Neighbours(ctx context.Context) ([]host.Neighbour, error) {
	return ask(ctx, r, "neighbours", nil, func() ([]host.Neighbour, error) { return r.live.Neighbours(ctx) })
}

// Qdiscs remembers the host's answer.
func (r *Recorder) Qdiscs(ctx context.Context) ([]host.Qdisc, error) {
	return ask(ctx, r, "qdiscs", nil, func() ([]host.Qdisc, error) { return r.live.Qdiscs(ctx) })
}

// Transforms remembers the host's answer.
func (r *Recorder) Transforms(ctx context.Context) ([]host.Transform, error) {
	return ask(ctx, r, "transforms", nil, func() ([]host.Transform, error) { return r.live.Transforms(ctx) })
}

// Namespaces remembers the host's answer.
func (r *Recorder) Namespaces(ctx context.Context) (host.NamespaceList, error) {
	return ask(ctx, r, "namespaces", nil, func() (host.NamespaceList, error) { return r.live.Namespaces(ctx) })
}

// Unit remembers the host's answer.
func (r *Recorder) Unit(ctx context.Context, name string) (host.Unit, error) {
	return ask(ctx, r, "unit", name, func() (host.Unit, error) { return r.live.Unit(ctx, name) })
}

// Units remembers the host's answer.
func (r *Recorder) Units(ctx context.Context) ([]host.Unit, error) {
	return ask(ctx, r, "units", nil, func() ([]host.Unit, error) { return r.live.Units(ctx) })
}

// Containers remembers the host's answer.
func (r *Recorder) Containers(ctx context.Context) (host.Containers, error) {
	return ask(ctx, r, "containers", nil, func() (host.Containers, error) { return r.live.Containers(ctx) })
}

// Claims remembers the host's answer.
func (r *Recorder) Claims(ctx context.Context) (host.Claims, error) {
	return ask(ctx, r, "claims", nil, func() (host.Claims, error) { return r.live.Claims(ctx) })
}

// Resolve remembers the host's answer.
func (r *Recorder) Resolve(ctx context.Context, name string) (host.Resolution, error) {
	return ask(ctx, r, "resolve", name, func() (host.Resolution, error) { return r.live.Resolve(ctx, name) })
}

// ResolveDNS remembers the host's answer.
func (r *Recorder) ResolveDNS(ctx context.Context, name string) (host.Resolution, error) {
	return ask(ctx, r, "resolve-dns", name, func() (host.Resolution, error) { return r.live.ResolveDNS(ctx, name) })
}

// Resolver remembers the host's answer.
func (r *Recorder) Resolver(ctx context.Context) (host.Resolver, error) {
	return ask(ctx, r, "resolver", nil, func() (host.Resolver, error) { return r.live.Resolver(ctx) })
}

// User remembers the host's answer.
func (r *Recorder) User(ctx context.Context, name string) (uint32, error) {
	return ask(ctx, r, "user", name, func() (uint32, error) { return r.live.User(ctx, name) })
}

// Programs remembers the host's answer.
func (r *Recorder) Programs(ctx context.Context, cgroup string) (host.Programs, error) {
	return ask(ctx, r, "programs", cgroup, func() (host.Programs, error) { return r.live.Programs(ctx, cgroup) })
}

// Connect remembers the host's answer.
func (r *Recorder) Connect(ctx context.Context, q host.ConnectQuery) (host.Attempt, error) {
	return ask(ctx, r, "connect", q, func() (host.Attempt, error) { return r.live.Connect(ctx, q) })
}

// Bind remembers the host's answer.
func (r *Recorder) Bind(ctx context.Context, q host.BindQuery) (host.BindAttempt, error) {
	return ask(ctx, r, "bind", q, func() (host.BindAttempt, error) { return r.live.Bind(ctx, q) })
}

// SocketOptions remembers the host's answer.
func (r *Recorder) SocketOptions(ctx context.Context, pid, fd int) (host.SocketOptions, error) {
	return ask(ctx, r, "socket-options", descriptor{pid, fd}, func() (host.SocketOptions, error) { return r.live.SocketOptions(ctx, pid, fd) })
}

// Enter looks from another namespace and remembers into the same recording.
func (r *Recorder) Enter(ctx context.Context, ns host.Namespace) (host.Host, error) {
	if ns.Current {
		return r, nil
	}
	live, err := ask(ctx, r, "enter", ns.Inode, func() (entered, error) {
		h, err := r.live.Enter(ctx, ns)
		return entered{h}, err
	})
	if err != nil {
		return nil, err
	}
	return &Recorder{live: live.host, view: ns.Inode, memory: r.memory}, nil
}

// descriptor is the argument of SocketOptions.
type descriptor struct{ PID, FD int }

// entered is a view; a recording keeps only that it could be entered.
type entered struct{ host host.Host }

// Firewall remembers the host's answer.
func (r *Recorder) Firewall(ctx context.Context) (host.Firewall, error) {
	return ask(ctx, r, "firewall", nil, func() (host.Firewall, error) { return r.live.Firewall(ctx) })
}

// SetElement remembers the host's answer.
func (r *Recorder) SetElement(ctx context.Context, q host.SetQuery) (*rules.Element, error) {
	return ask(ctx, r, "set-element", q, func() (*rules.Element, error) { return r.live.SetElement(ctx, q) })
}

// IPSets remembers the host's answer.
func (r *Recorder) IPSets(ctx context.Context) ([]*rules.IPSet, error) {
	return ask(ctx, r, "ipsets", nil, func() ([]*rules.IPSet, error) { return r.live.IPSets(ctx) })
}

// IPSetTest remembers the host's answer.
func (r *Recorder) IPSetTest(ctx context.Context, q host.IPSetQuery) (bool, error) {
	return ask(ctx, r, "ipset-test", q, func() (bool, error) { return r.live.IPSetTest(ctx, q) })
}

// FirewallFiles remembers the host's answer.
func (r *Recorder) FirewallFiles(ctx context.Context) (host.FirewallFiles, error) {
	return ask(ctx, r, "firewall-files", nil, func() (host.FirewallFiles, error) { return r.live.FirewallFiles(ctx) })
}

// Tracked remembers the host's answer.
func (r *Recorder) Tracked(ctx context.Context, q host.TrackQuery) ([]host.Tracked, error) {
	return ask(ctx, r, "tracked", q, func() ([]host.Tracked, error) { return r.live.Tracked(ctx, q) })
}

// VirtualServices remembers the host's answer.
func (r *Recorder) VirtualServices(ctx context.Context) ([]host.VirtualService, error) {
	return ask(ctx, r, "virtual-services", nil, func() ([]host.VirtualService, error) { return r.live.VirtualServices(ctx) })
}

// PacketQueues remembers the host's answer.
func (r *Recorder) PacketQueues(ctx context.Context) ([]uint16, error) {
	return ask(ctx, r, "packet-queues", nil, func() ([]uint16, error) { return r.live.PacketQueues(ctx) })
}
