package eval

import (
	"net/netip"
	"time"

	"github.com/portwhy/portwhy/rules"
)

// Host answers what neither the rules nor the packet tell. A function that is
// nil, or that answers with ok false, means that it isn't known: the
// expressions that ask are then undecided.
type Host struct {
	// Route is the routing decision for a packet.
	Route func(Query) (Route, bool)
	// Device describes a network device by its name.
	Device func(name string) (Device, bool)
	// AddressType is the type of an address (RTN_*), in the routing tables that
	// a device uses, or as this very device has it if only is set.
	AddressType func(a netip.Addr, device string, only bool) (uint8, bool)
	// Source is the address that masquerading through a device takes towards a
	// destination; the invalid address if the device has none.
	Source func(device string, to netip.Addr) (netip.Addr, bool)
	// Sysctl is a value under /proc/sys, such as net/ipv4/ip_forward; empty, with
	// ok, for one that the kernel doesn't have.
	Sysctl func(key string) (string, bool)
	// Listener reports whether a program listens on an nfnetlink queue.
	Listener func(queue uint16) (listens, ok bool)
	// Element asks for one element of a set whose elements are not known; nil
	// with ok if it has none for the key.
	Element func(t *rules.Table, s *rules.Set, key []byte) (found *rules.Element, ok bool)
	// IPSetTest asks whether an ipset whose elements are not known has an entry; see
	// Sets.Test of package ipset.
	IPSetTest func(s *rules.IPSet, entry string) (found, ok bool)
	// IPSets reads all ipsets, where the ruleset has only their heads.
	IPSets func() []*rules.IPSet
	// Socket finds the local socket that a packet belongs to.
	Socket func(p *Packet) (found *Socket, ok bool)
	// Holds is for how long after the rules were read the answer is wanted: an
	// element that ends later than that is there. Zero: when they were read is not
	// known, and an element that ends may be gone.
	Holds time.Duration
	// Now is the time that rules on time of day are asked for; zero: not known.
	Now time.Time
}

// Query asks for a route: of a packet that arrived on In, or of one that this
// host sends (In empty), bound to Out if that is set.
type Query struct {
	Src, Dst netip.Addr
	In, Out  string
	Mark     uint32
	TOS      uint8
	Protocol uint8
	Sport    uint16
	Dport    uint16
	UID      uint32
	HasUID   bool
}

// Types of routes and addresses (RTN_* of linux/rtnetlink.h).
const (
	Unicast     uint8 = 1
	Local       uint8 = 2
	Broadcast   uint8 = 3
	Anycast     uint8 = 4
	Multicast   uint8 = 5
	Blackhole   uint8 = 6
	Unreachable uint8 = 7
	Prohibit    uint8 = 8
)

// Route is a routing decision. A Type of 0 means that there is no route.
type Route struct {
	Type    uint8
	Out     string
	Source  netip.Addr // preferred source
	Gateway netip.Addr
	MTU     uint32 // 0 if not known
	// Realm is the packet's, if HasRealm: that of the route and, of a packet from
	// elsewhere, in the upper half the one of the route to its source.
	Realm    uint32
	HasRealm bool
}

// Device is a network device.
type Device struct {
	Index  uint32
	Type   uint16 // ARPHRD_*
	Group  uint32
	Kind   string // rtnetlink's kind: veth, bridge, …; empty for a physical device
	Master string // name of the bridge or VRF it belongs to
	// Parent is the device that it is on: of a VLAN, macvlan and the like.
	Parent string
	MAC    []byte
	MTU    uint32
	// Addresses are its own, in the kernel's order.
	Addresses []netip.Prefix
	// Bridge is how a bridge is set up; nil if that isn't known.
	Bridge *Bridge
	// PVID is the VLAN that a bridge's port puts frames without a tag into; 0 for none.
	PVID uint16
}

// Bridge is how a bridge is set up (IFLA_BR_*).
type Bridge struct {
	// The bridge's own switches for br_netfilter, beside those of net.bridge.
	CallIPTables, CallIP6Tables, CallARPTables bool
	VLANFiltering                              bool
	VLANProtocol                               uint16 // 0x8100 or 0x88a8
}

// Socket is what rules may ask of a packet's local socket.
type Socket struct {
	Transparent bool
	Wildcard    bool // bound to no address
	Mark        uint32
	UID, GID    uint32
	Cgroup      string // path in the cgroup v2 tree
}
