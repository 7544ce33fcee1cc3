package replay

import (
	"context"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// Info answers from the recording.
func (p *Player) Info(_ context.Context) (host.Info, error) {
	return recall[host.Info](p, "info", nil)
}

// Sysctl answers from the recording.
func (p *Player) Sysctl(_ context.Context, name string) (host.Sysctl, error) {
	return recall[host.Sysctl](p, "sysctl", name)
}

// Counters answers from the recording.
func (p *Player) Counters(_ context.Context) (map[string]int64, error) {
	return recall[map[string]int64](p, "counters", nil)
}

// ExcludedPorts answers from the recording.
func (p *Player) ExcludedPorts(_ context.Context, network string) ([]host.PortRange, error) {
	return recall[[]host.PortRange](p, "excluded-ports", network)
}

// Processes answers from the recording.
func (p *Player) Processes(_ context.Context) ([]host.Process, error) {
	return recall[[]host.Process](p, "processes", nil)
}

// Cgroup answers from the recording.
func (p *Player) Cgroup(_ context.Context, path string) (host.Cgroup, error) {
	return recall[host.Cgroup](p, "cgroup", path)
}

// Links answers from the recording.
func (p *Player) Links(_ context.Context) ([]host.Link, error) {
	return recall[[]host.Link](p, "links", nil)
}

// Addresses answers from the recording.
func (p *Player) Addresses(_ context.Context) ([]host.Address, error) {
	return recall[[]host.Address](p, "addresses", nil)
}

// Routes answers from the recording.
func (p *Player) Routes(_ context.Context) ([]host.Route, error) {
	return recall[[]host.Route](p, "routes", nil)
}

// Rules answers from the recording.
func (p *Player) Rules(_ context.Context) ([]host.RouteRule, error) {
	return recall[[]host.RouteRule](p, "rules", nil)
}

// Neighbours answers from the recording.
func (p *Player) Neighbours(_ context.Context) ([]host.Neighbour, error) {
	return recall[[]host.Neighbour](p, "neighbours", nil)
}

// Qdiscs answers from the recording.
func (p *Player) Qdiscs(_ context.Context) ([]host.Qdisc, error) {
	return recall[[]host.Qdisc](p, "qdiscs", nil)
}

// Transforms answers from the recording.
func (p *Player) Transforms(_ context.Context) ([]host.Transform, error) {
	return recall[[]host.Transform](p, "transforms", nil)
}

// Namespaces answers from the recording.
func (p *Player) Namespaces(_ context.Context) (host.NamespaceList, error) {
	return recall[host.NamespaceList](p, "namespaces", nil)
}

// Units answers from the recording.
func (p *Player) Units(_ context.Context) ([]host.Unit, error) {
	return recall[[]host.Unit](p, "units", nil)
}

// Containers answers from the recording.
func (p *Player) Containers(_ context.Context) (host.Containers, error) {
	return recall[host.Containers](p, "containers", nil)
}

// Claims answers from the recording.
func (p *Player) Claims(_ context.Context) (host.Claims, error) {
	return recall[host.Claims](p, "claims", nil)
}

// ResolveDNS answers from the recording.
func (p *Player) ResolveDNS(_ context.Context, name string) (host.Resolution, error) {
	return recall[host.Resolution](p, "resolve-dns", name)
}

// Resolver answers from the recording.
func (p *Player) Resolver(_ context.Context) (host.Resolver, error) {
	return recall[host.Resolver](p, "resolver", nil)
}

// User answers from the recording.
func (p *Player) User(_ context.Context, name string) (uint32, error) {
	return recall[uint32](p, "user", name)
}

// Connect answers from the recording.
func (p *Player) Connect(_ context.Context, q host.ConnectQuery) (host.Attempt, error) {
	return recall[host.Attempt](p, "connect", withoutSecrets(q))
}

// Bind answers from the recording.
func (p *Player) Bind(_ context.Context, q host.BindQuery) (host.BindAttempt, error) {
	return recall[host.BindAttempt](p, "bind", q)
}

// SocketOptions answers from the recording.
func (p *Player) SocketOptions(_ context.Context, pid, fd int) (host.SocketOptions, error) {
	return recall[host.SocketOptions](p, "socket-options", descriptor{pid, fd})
}

// Firewall answers from the recording.
func (p *Player) Firewall(_ context.Context) (host.Firewall, error) {
	return recall[host.Firewall](p, "firewall", nil)
}

// SetElement answers from the recording.
func (p *Player) SetElement(_ context.Context, q host.SetQuery) (*rules.Element, error) {
	return recall[*rules.Element](p, "set-element", q)
}

// IPSets answers from the recording.
func (p *Player) IPSets(_ context.Context) ([]*rules.IPSet, error) {
	return recall[[]*rules.IPSet](p, "ipsets", nil)
}

// IPSetTest answers from the recording.
func (p *Player) IPSetTest(_ context.Context, q host.IPSetQuery) (bool, error) {
	return recall[bool](p, "ipset-test", q)
}

// FirewallFiles answers from the recording.
func (p *Player) FirewallFiles(_ context.Context) (host.FirewallFiles, error) {
	return recall[host.FirewallFiles](p, "firewall-files", nil)
}

// Tracked answers from the recording.
func (p *Player) Tracked(_ context.Context, q host.TrackQuery) ([]host.Tracked, error) {
	return recall[[]host.Tracked](p, "tracked", q)
}

// VirtualServices answers from the recording.
func (p *Player) VirtualServices(_ context.Context) ([]host.VirtualService, error) {
	return recall[[]host.VirtualService](p, "virtual-services", nil)
}

// PacketQueues answers from the recording.
func (p *Player) PacketQueues(_ context.Context) ([]uint16, error) {
	return recall[[]uint16](p, "packet-queues", nil)
}
