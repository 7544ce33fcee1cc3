package rules

// Objects that a rule refers to by name, besides those that are expressions of
// their own (Counter, Quota, Limit, ConnLimit, Synproxy). Each is the Expr of an
// [Object].

// Helper watches a protocol for the connections that it leads to (ct helper).
// L3 is IP, IP6 or Inet.
type Helper struct {
	Kind string // ftp, sip, …
	L3   Family
	L4   uint8
}

// Timeout says how long conntrack keeps a connection in each of its states (ct
// timeout). Seconds are by the number of CTA_TIMEOUT_* of the protocol, of which
// the first is 1 (linux/netfilter/nfnetlink_cttimeout.h).
type Timeout struct {
	L3      Family
	L4      uint8
	Seconds []uint32
}

// Expectation has conntrack expect another connection from the client of one (ct
// expectation), to Port and for TimeoutMS.
type Expectation struct {
	L3        Family
	L4        uint8
	Port      uint16
	TimeoutMS uint32
	Size      uint8 // how many at most
}

// Secmark gives the packet a security context.
type Secmark struct{ Context string }

// TunnelKey gives the packet the settings of a tunnel, for a device that takes
// them from there. Src and Dst are 4 or 16 bytes, Flags NFT_TUNNEL_F_*; Options
// are the attributes NFTA_TUNNEL_KEY_OPTS_*, as the kernel gives them.
type TunnelKey struct {
	ID, Flags, FlowLabel uint32
	Src, Dst             []byte
	TOS, TTL             uint8
	Sport, Dport         uint16
	Options              []byte
}

// Name is the kernel's word, or nft's for one that the kernel only has a number of.
func (*Helper) Name() string      { return "ct helper" }
func (*Timeout) Name() string     { return "ct timeout" }
func (*Expectation) Name() string { return "ct expectation" }
func (*Secmark) Name() string     { return "secmark" }
func (*TunnelKey) Name() string   { return "tunnel object" }
