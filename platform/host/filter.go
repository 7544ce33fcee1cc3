package host

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/portwhy/portwhy/rules"
)

// Filters asks what else stands on a packet's way.
type Filters interface {
	// Programs lists BPF programs on the way: XDP, tc and tcx of this
	// namespace's links, and those on the cgroup of path (an inherited one
	// counts), or on all cgroups where path is empty.
	Programs(ctx context.Context, cgroup string) (Programs, error)
	// Firewall reads this namespace's firewall: the rules of nftables and of both
	// iptables, and which sets of ipset there are, unread. Large sets have no
	// elements in it: they are asked for one, by SetElement.
	Firewall(ctx context.Context) (Firewall, error)
	// IPSets reads the sets of ipset, with the entries of those that are not too
	// large to be read. It takes long where there are many entries, since the
	// kernel counts them; what asks for one only asks IPSetTest.
	IPSets(ctx context.Context) ([]*rules.IPSet, error)
	// SetElement asks for the element of a set or map of nftables that a key
	// falls on; nil if it has none.
	SetElement(ctx context.Context, q SetQuery) (*rules.Element, error)
	// IPSetTest asks whether an ipset has an entry, written as `ipset test` takes it.
	// The error is ErrTimesOut if it has, but the question is for one that lasts.
	IPSetTest(ctx context.Context, q IPSetQuery) (bool, error)
	// PacketQueues lists the numbers of the queues to which a program listens
	// (nfnetlink_queue), of all users.
	PacketQueues(ctx context.Context) ([]uint16, error)
	// Tracked lists flows that connection tracking knows, by their first packet:
	// some [MostTracked] at most.
	Tracked(ctx context.Context, q TrackQuery) ([]Tracked, error)
	// VirtualServices lists the services of IPVS, the kernel's load balancer.
	// ErrUnsupported where it isn't loaded.
	VirtualServices(ctx context.Context) ([]VirtualService, error)
	// FirewallFiles reads the files in which this host's firewall is configured:
	// those of nftables, iptables, ufw, firewalld and fail2ban. That they are
	// loaded is not said.
	FirewallFiles(ctx context.Context) (FirewallFiles, error)
}

// FirewallFiles are configuration files of firewalls.
type FirewallFiles struct {
	List   []File
	Limits []Limit
}

// File is a file's path and text. Of a file that may hold secrets only the lines
// that matter have text; the others are empty.
type File struct {
	Path string
	Text string
}

// Firewall is what could be read of the firewall.
type Firewall struct {
	Rules  *rules.Ruleset
	Limits []Limit
}

// SetQuery is a set of nftables and a key, as long as the set's keys are.
type SetQuery struct {
	Family rules.Family
	Table  string
	Set    string
	Key    []byte
}

// IPSetQuery is a set of ipset and an entry.
type IPSetQuery struct {
	Name   string
	Type   string // hash:ip, …
	Family rules.Family
	Entry  string
	// Lasting asks only a set whose entries don't time out.
	Lasting bool `json:",omitempty"`
}

// ErrTimesOut means that a set's entries may time out.
var ErrTimesOut = errors.New("the set's entries may time out")

// WithIPSets is a firewall with its ipsets read.
func WithIPSets(ctx context.Context, h Filters, f Firewall) (Firewall, error) {
	if !slices.ContainsFunc(f.Rules.IPSets, func(s *rules.IPSet) bool { return s.Unread }) {
		return f, nil
	}
	sets, err := h.IPSets(ctx)
	if err != nil {
		return f, err
	}
	f.Rules = &rules.Ruleset{Tables: f.Rules.Tables, IPSets: sets}
	return f, nil
}

// Programs is what could be found of BPF.
type Programs struct {
	List   []Program
	Limits []Limit
}

// Program is a BPF program that is attached somewhere.
type Program struct {
	ID     uint32
	Name   string
	Type   string // xdp, sched_cls, cgroup_skb, cgroup_sock, cgroup_sock_addr, …
	Attach string // xdp, tc_ingress, tcx_ingress, cgroup_inet4_connect, cgroup_inet4_bind, …
	Device string // link, for xdp and tc
	Cgroup string // path, for cgroup programs
	Pinned string
	Tag    string
	// Constant is the value the program returns whatever the packet is, if its
	// instructions are no more than that; nil if it decides.
	Constant *int64
}

// MostTracked bounds how many flows are listed.
const MostTracked = 64

// TrackQuery selects flows by the ends of their first packet. A source without a
// port stands for all of its ports.
type TrackQuery struct {
	Network     string // tcp, udp
	Source      netip.AddrPort
	Destination netip.AddrPort
}

// Tracked is a flow as connection tracking knows it.
type Tracked struct {
	Network string
	// The ends of its first packet, and those of the answers: NAT has led it to
	// ReplySource, which answers ReplyDestination.
	Source, Destination           netip.AddrPort
	ReplySource, ReplyDestination netip.AddrPort
	Answered                      bool   // IPS_SEEN_REPLY
	Assured                       bool   // IPS_ASSURED
	State                         string // of TCP, as conntrack(8) names it
	Expires                       time.Duration
	Zone                          uint16
}

// VirtualService is an address at which IPVS takes packets.
type VirtualService struct {
	Network   string         // tcp, udp, sctp; empty for one by mark
	Address   netip.AddrPort // zero for one by mark
	Mark      uint32         // of the firewall
	Scheduler string
	Servers   []RealServer
}

// RealServer is a backend of a virtual service. One of weight 0 gets no new flows.
type RealServer struct {
	Address netip.AddrPort
	Forward string // Masq, Route, Tunnel, Local
	Weight  int
}
