package portable

import (
	"context"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// Unsupported answers every question with [host.ErrUnsupported]. An adapter
// embeds it and answers what it can.
type Unsupported struct{}

var _ host.Host = Unsupported{}

// Info is not supported.
func (Unsupported) Info(context.Context) (host.Info, error) {
	return host.Info{}, host.ErrUnsupported
}

// Sysctl is not supported.
func (Unsupported) Sysctl(context.Context, string) (host.Sysctl, error) {
	return host.Sysctl{}, host.ErrUnsupported
}

// Counters is not supported.
func (Unsupported) Counters(context.Context) (map[string]int64, error) {
	return nil, host.ErrUnsupported
}

// ExcludedPorts is not supported.
func (Unsupported) ExcludedPorts(context.Context, string) ([]host.PortRange, error) {
	return nil, host.ErrUnsupported
}

// Sockets is not supported.
func (Unsupported) Sockets(context.Context, host.SocketQuery) ([]host.Socket, error) {
	return nil, host.ErrUnsupported
}

// SocketOptions is not supported.
func (Unsupported) SocketOptions(context.Context, int, int) (host.SocketOptions, error) {
	return host.SocketOptions{}, host.ErrUnsupported
}

// Process is not supported.
func (Unsupported) Process(context.Context, int) (host.Process, error) {
	return host.Process{}, host.ErrUnsupported
}

// Processes is not supported.
func (Unsupported) Processes(context.Context) ([]host.Process, error) {
	return nil, host.ErrUnsupported
}

// Holders is not supported.
func (Unsupported) Holders(context.Context, host.HolderQuery) (host.Holders, error) {
	return host.Holders{}, host.ErrUnsupported
}

// Cgroup is not supported.
func (Unsupported) Cgroup(context.Context, string) (host.Cgroup, error) {
	return host.Cgroup{}, host.ErrUnsupported
}

// Links is not supported.
func (Unsupported) Links(context.Context) ([]host.Link, error) {
	return nil, host.ErrUnsupported
}

// Addresses is not supported.
func (Unsupported) Addresses(context.Context) ([]host.Address, error) {
	return nil, host.ErrUnsupported
}

// RouteTo is not supported.
func (Unsupported) RouteTo(context.Context, host.RouteQuery) (host.Route, error) {
	return host.Route{}, host.ErrUnsupported
}

// Routes is not supported.
func (Unsupported) Routes(context.Context) ([]host.Route, error) {
	return nil, host.ErrUnsupported
}

// Rules is not supported.
func (Unsupported) Rules(context.Context) ([]host.RouteRule, error) {
	return nil, host.ErrUnsupported
}

// Neighbours is not supported.
func (Unsupported) Neighbours(context.Context) ([]host.Neighbour, error) {
	return nil, host.ErrUnsupported
}

// Qdiscs is not supported.
func (Unsupported) Qdiscs(context.Context) ([]host.Qdisc, error) {
	return nil, host.ErrUnsupported
}

// Transforms is not supported.
func (Unsupported) Transforms(context.Context) ([]host.Transform, error) {
	return nil, host.ErrUnsupported
}

// Namespaces is not supported.
func (Unsupported) Namespaces(context.Context) (host.NamespaceList, error) {
	return host.NamespaceList{}, host.ErrUnsupported
}

// Enter is not supported.
func (Unsupported) Enter(context.Context, host.Namespace) (host.Host, error) {
	return nil, host.ErrUnsupported
}

// Unit is not supported.
func (Unsupported) Unit(context.Context, string) (host.Unit, error) {
	return host.Unit{}, host.ErrUnsupported
}

// Units is not supported.
func (Unsupported) Units(context.Context) ([]host.Unit, error) {
	return nil, host.ErrUnsupported
}

// Containers is not supported.
func (Unsupported) Containers(context.Context) (host.Containers, error) {
	return host.Containers{}, host.ErrUnsupported
}

// Claims is not supported.
func (Unsupported) Claims(context.Context) (host.Claims, error) {
	return host.Claims{}, host.ErrUnsupported
}

// Resolve is not supported.
func (Unsupported) Resolve(context.Context, string) (host.Resolution, error) {
	return host.Resolution{}, host.ErrUnsupported
}

// ResolveDNS is not supported.
func (Unsupported) ResolveDNS(context.Context, string) (host.Resolution, error) {
	return host.Resolution{}, host.ErrUnsupported
}

// Resolver is not supported.
func (Unsupported) Resolver(context.Context) (host.Resolver, error) {
	return host.Resolver{}, host.ErrUnsupported
}

// User is not supported.
func (Unsupported) User(context.Context, string) (uint32, error) {
	return 0, host.ErrUnsupported
}

// Firewall is not supported.
func (Unsupported) Firewall(context.Context) (host.Firewall, error) {
	return host.Firewall{}, host.ErrUnsupported
}

// SetElement is not supported.
func (Unsupported) SetElement(context.Context, host.SetQuery) (*rules.Element, error) {
	return nil, host.ErrUnsupported
}

// IPSets is not supported.
func (Unsupported) IPSets(context.Context) ([]*rules.IPSet, error) {
	return nil, host.ErrUnsupported
}

// IPSetTest is not supported.
func (Unsupported) IPSetTest(context.Context, host.IPSetQuery) (bool, error) {
	return false, host.ErrUnsupported
}

// PacketQueues is not supported.
func (Unsupported) PacketQueues(context.Context) ([]uint16, error) {
	return nil, host.ErrUnsupported
}

// Tracked is not supported.
func (Unsupported) Tracked(context.Context, host.TrackQuery) ([]host.Tracked, error) {
	return nil, host.ErrUnsupported
}

// VirtualServices is not supported.
func (Unsupported) VirtualServices(context.Context) ([]host.VirtualService, error) {
	return nil, host.ErrUnsupported
}

// FirewallFiles is not supported.
func (Unsupported) FirewallFiles(context.Context) (host.FirewallFiles, error) {
	return host.FirewallFiles{}, host.ErrUnsupported
}

// Programs is not supported.
func (Unsupported) Programs(context.Context, string) (host.Programs, error) {
	return host.Programs{}, host.ErrUnsupported
}

// Connect is not supported.
func (Unsupported) Connect(context.Context, host.ConnectQuery) (host.Attempt, error) {
	return host.Attempt{}, host.ErrUnsupported
}

// Bind is not supported.
func (Unsupported) Bind(context.Context, host.BindQuery) (host.BindAttempt, error) {
	return host.BindAttempt{}, host.ErrUnsupported
}
