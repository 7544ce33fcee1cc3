package replay

import (
	"context"

	"github.com/portwhy/portwhy/platform/host"
)

// everySocket is the question that every narrower one can be answered from.
func everySocket(network string) host.SocketQuery {
	q := host.SocketQuery{Network: network}
	if network == "tcp" {
		q.States = []host.State{host.Estab, host.SynSent, host.SynRecv, host.FinWait1, host.FinWait2, host.TimeWait, host.Unconn,
			host.CloseWait, host.LastAck, host.Listen, host.Closing, host.BoundInactive}
	}
	return q
}

// settings are the kernel settings that checks ask for; those of devices are
// asked for each device.
var settings = []string{
	"net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_nonlocal_bind",
	"net.ipv6.ip_nonlocal_bind", "net.ipv6.bindv6only", "net.ipv4.ip_forward", "net.ipv4.tcp_abort_on_overflow", "net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_max_syn_backlog", "net.core.somaxconn", "net.ipv4.tcp_l3mdev_accept", "net.ipv4.udp_l3mdev_accept", "net.ipv4.tcp_mtu_probing",
	"net.ipv4.icmp_ratelimit", "net.netfilter.nf_conntrack_count", "net.ipv4.tcp_tw_reuse", "net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.lo.disable_ipv6",
	"net.ipv6.conf.default.disable_ipv6", "net.ipv4.conf.all.rp_filter", "net.ipv4.icmp_msgs_per_sec",
	"net.ipv4.conf.all.src_valid_mark", "net.ipv4.tcp_fwmark_accept", "net.ipv4.fwmark_reflect", "net.ipv6.fwmark_reflect",
	"net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_filter",
}

// Everything asks the broad questions, so that a recording can answer for
// targets that were not known when it was made. What can't be had is recorded
// as such.
func Everything(ctx context.Context, h host.Host) error {
	view(ctx, h)
	_, _ = h.Processes(ctx)
	_, _ = h.Holders(ctx, host.HolderQuery{Every: true})
	_, _ = h.Units(ctx)
	_, _ = h.Containers(ctx)
	_, _ = h.Claims(ctx)
	_, _ = h.Resolver(ctx)
	_, _ = h.Resolve(ctx, "localhost")
	list, err := h.Namespaces(ctx)
	if err == nil {
		for _, ns := range list.Namespaces {
			if ns.Current {
				continue
			}
			if other, err := h.Enter(ctx, ns); err == nil {
				view(ctx, other)
			}
		}
	}
	return ctx.Err()
}

// view asks what differs from namespace to namespace.
func view(ctx context.Context, h host.Host) {
	_, _ = h.Info(ctx)
	for _, network := range []string{"tcp", "udp", "unix"} {
		_, _ = h.Sockets(ctx, everySocket(network))
	}
	_, _ = h.Addresses(ctx)
	_, _ = h.Routes(ctx)
	_, _ = h.Rules(ctx)
	_, _ = h.Neighbours(ctx)
	_, _ = h.Qdiscs(ctx)
	_, _ = h.Transforms(ctx)
	_, _ = h.Counters(ctx)
	_, _ = h.ExcludedPorts(ctx, "tcp")
	_, _ = h.ExcludedPorts(ctx, "udp")
	_, _ = h.Firewall(ctx)
	_, _ = h.IPSets(ctx)
	_, _ = h.PacketQueues(ctx)
	_, _ = h.VirtualServices(ctx)
	_, _ = h.FirewallFiles(ctx)
	_, _ = h.Programs(ctx, "")
	for _, key := range settings {
		_, _ = h.Sysctl(ctx, key)
	}
	links, _ := h.Links(ctx)
	for _, l := range links {
		_, _ = h.Sysctl(ctx, host.DeviceKey("ipv6", l.Name, "disable_ipv6"))
		for _, name := range []string{"rp_filter", "src_valid_mark", "arp_ignore", "arp_filter"} {
			_, _ = h.Sysctl(ctx, host.DeviceKey("ipv4", l.Name, name))
		}
	}
}
