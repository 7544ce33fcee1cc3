package host

import (
	"context"
	"net/netip"
)

// Network asks for links, addresses and routes of this namespace.
type Network interface {
	Links(ctx context.Context) ([]Link, error)
	Addresses(ctx context.Context) ([]Address, error)
	// RouteTo asks the kernel which way a packet would go (RTM_GETROUTE). A
	// refusal is an answer: Route.Errno says it.
	RouteTo(ctx context.Context, q RouteQuery) (Route, error)
	// Routes lists all routes of all tables.
	Routes(ctx context.Context) ([]Route, error)
	// Rules lists the policy rules in order of priority.
	Rules(ctx context.Context) ([]RouteRule, error)
	Neighbours(ctx context.Context) ([]Neighbour, error)
	Qdiscs(ctx context.Context) ([]Qdisc, error)
	// Transforms lists IPsec policies (xfrm).
	Transforms(ctx context.Context) ([]Transform, error)
}

// Link is a network device.
type Link struct {
	Index   int
	Name    string
	Kind    string // veth, bridge, dummy, vrf, wireguard, tun, … empty for hardware
	Up      bool   // IFF_UP
	Carrier bool   // IFF_LOWER_UP
	Type    uint16 // ARPHRD_* of linux/if_arp.h
	Group   uint32
	MTU     int
	MAC     string
	Master  int // index of its bridge, bond or VRF
	Parent  int // index of the link below (vlan, macvlan) or the veth peer
	// PeerNetNS is the inode of the namespace of a veth's other end, 0 if here or unknown.
	PeerNetNS uint64
	Loopback  bool
	Isolated  bool // bridge port
	Hairpin   bool // bridge port: it sends out what came in by it
	PortState string
	Bridge    *Bridge // of a bridge
	RxDropped uint64
	TxDropped uint64
}

// Bridge is how a bridge is set: whether it hands what it carries to rules of
// iptables, beside the settings of net.bridge, and what it makes of VLANs.
type Bridge struct {
	CallIPTables, CallIP6Tables, CallARPTables bool
	VLANFiltering                              bool
	VLANProtocol                               uint16 // 0x8100 or 0x88a8
}

// Address is an address of this host.
type Address struct {
	Prefix    netip.Prefix // address and length
	Link      int
	Device    string
	Scope     string // global, link, host, site
	Tentative bool   // duplicate address detection is not done
	DADFailed bool
	Peer      netip.Prefix
}

// RouteQuery is a packet to route.
type RouteQuery struct {
	Destination netip.Addr
	Source      netip.Addr // zero: the kernel chooses
	Mark        uint32
	UID         *uint32
	InputDevice string // set: as a packet that came in there
	OutDevice   string
	// Protocol is the IP protocol number for rules that ask for it, with the
	// ports; 0 leaves it to the kernel, which takes UDP for IPv4, none for IPv6.
	Protocol        int
	SourcePort      uint16
	DestinationPort uint16
}

// Route is a route, or the answer to where a packet goes.
type Route struct {
	Destination netip.Prefix
	Type        string // unicast, local, broadcast, anycast, multicast, blackhole, unreachable, prohibit, throw
	Table       int
	Gateway     netip.Addr
	Device      string
	Link        int
	Source      netip.Addr // preferred source
	Metric      int
	Protocol    string // kernel, boot, static, dhcp, …
	Scope       string
	MTU         int
	LinkDown    bool   // RTNH_F_LINKDOWN or RTNH_F_DEAD
	Dead        bool   // RTNH_F_DEAD: the kernel passes over it
	TOS         uint8  // it takes only packets with this type of service
	OnLink      bool   // RTNH_F_ONLINK
	Errno       string // ENETUNREACH and so on, if there is no way
	Multipath   []NextHop
	// Realm is what the kernel says the packet is counted with (RTA_FLOW): the
	// realm of its route and, if it comes by a device, in the upper half that of
	// its source; 0 for none. Nil: the kernel wasn't asked.
	Realm *uint32 `json:",omitempty"`
}

// NextHop is one way of a multipath route.
type NextHop struct {
	Gateway netip.Addr
	Device  string
	Weight  int
	Dead    bool // RTNH_F_DEAD
}

// RouteRule is a policy rule (ip rule).
type RouteRule struct {
	Priority      int
	Family        int // 4 or 6
	Source        netip.Prefix
	Destination   netip.Prefix
	Mark, Mask    uint32
	InputDevice   string
	OutDevice     string
	UIDLow        int // -1: none
	UIDHigh       int
	Action        string // lookup, blackhole, unreachable, prohibit, goto, nop
	Table         int
	Invert        bool
	SuppressLen   int // suppress_prefixlength, -1: none
	Goto          int
	IPProto       int
	SportLow      uint16
	SportHigh     uint16
	DportLow      uint16
	DportHigh     uint16
	L3Mdev        bool
	TOS           uint8
	SuppressGroup int // suppress_ifgroup, -1: none
	// Opaque: it selects by something that has no field here.
	Opaque bool
}

// Neighbour is an entry of the ARP or ND table.
type Neighbour struct {
	Address netip.Addr
	Device  string
	MAC     string
	State   string // REACHABLE STALE DELAY PROBE INCOMPLETE FAILED PERMANENT NOARP NONE
	Proxy   bool
}

// Qdisc is a queueing discipline.
type Qdisc struct {
	Device  string
	Kind    string // netem, tbf, clsact, …
	Handle  string // 1:
	Parent  string // root, ingress, or a class
	Drops   uint64
	Loss    float64 // netem: percent
	Delay   int64   // netem: nanoseconds
	Packets uint64
	Backlog uint32
}

// Transform is an xfrm policy.
type Transform struct {
	Source, Destination netip.Prefix
	Direction           string // in, out, fwd
	Action              string // allow, block
	Priority            int
	Protocol            int
	SourcePort          uint16
	DestinationPort     uint16
	Index               int
	Templates           int // how many it demands
	StateFound          bool
}
