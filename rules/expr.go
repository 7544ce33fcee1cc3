package rules

// Expr is one expression of a rule, as the kernel runs it. Name is the name of
// the kernel's expression: payload, cmp, match, …
type Expr interface{ Name() string }

// Reg is a register: the number of its first 32-bit word among the sixteen
// that hold data. NFT_REG_1 to NFT_REG_4 are 0, 4, 8, 12; NFT_REG32_00 to _15
// are 0 to 15 (nft_parse_register in net/netfilter/nf_tables_api.c).
type Reg uint8

// Bytes in registers, in Cmp, Range, Bitwise, Immediate and set elements are as
// in the kernel: network order for what is from a packet, the host's order
// (binary.NativeEndian) for what is not, such as marks and interface indexes.

// VerdictKind is what becomes of the packet, or of the walk through the chains.
type VerdictKind int32

// Verdicts, by their numbers (linux/netfilter.h and NFT_* of nf_tables.h).
// The zero value drops, as in the kernel.
const (
	Drop     VerdictKind = 0
	Accept   VerdictKind = 1
	Stolen   VerdictKind = 2
	Queue    VerdictKind = 3
	Continue VerdictKind = -1
	Break    VerdictKind = -2
	Jump     VerdictKind = -3
	Goto     VerdictKind = -4
	Return   VerdictKind = -5
)

// Verdict is a verdict; Chain is where Jump and Goto lead. Code is all 32 bits
// as the kernel has them (a queue's number is in the upper half).
type Verdict struct {
	Kind  VerdictKind
	Chain string
	Code  uint32
}

// Immediate writes Data to a register, or ends the rule with Verdict.
type Immediate struct {
	Dest    Reg
	Data    []byte
	Verdict *Verdict
}

// Payload loads (or, with Write, stores) bytes of the packet. Base is
// NFT_PAYLOAD_*: 0 link, 1 network, 2 transport, 3 inner, 4 tunnel.
type Payload struct {
	Base, Offset, Len uint32
	Write             bool
	Reg               Reg // destination, or source of a write
	CsumType          uint32
	CsumOffset        uint32
	CsumFlags         uint32
}

// Cmp breaks unless the register compares (Op NFT_CMP_*: 0 eq, 1 neq, 2 lt, 3
// lte, 4 gt, 5 gte) with Data, as memcmp over len(Data) bytes does.
type Cmp struct {
	Source Reg
	Op     uint32
	Data   []byte
}

// Range breaks unless the register is in (Op 0) or outside (Op 1) From to To.
type Range struct {
	Source   Reg
	Op       uint32
	From, To []byte
}

// Bitwise is NFT_BITWISE_*: Op 0 mask and xor, 1 left shift, 2 right shift (by
// Data, a uint32 in host order), 3 and, 4 or, 5 xor (with Data or, if HasSource2, a register).
type Bitwise struct {
	Source, Dest, Source2 Reg
	HasSource2            bool
	Op, Len               uint32
	Mask, Xor, Data       []byte
}

// Byteorder converts between host and network order (Op 0 ntoh, 1 hton) in
// units of Size bytes.
type Byteorder struct {
	Source, Dest  Reg
	Op, Len, Size uint32
}

// Meta loads or (Write) sets a key, NFT_META_* of nf_tables.h.
type Meta struct {
	Key   uint32
	Write bool
	Reg   Reg
}

// CT loads or sets a conntrack key, NFT_CT_*. Dir is 0 original, 1 reply, -1 none.
type CT struct {
	Key   uint32
	Write bool
	Reg   Reg
	Dir   int8
}

// Lookup looks a register up in a set; Invert breaks where it is found. With
// HasDest the map's value is loaded (or is the verdict where the set holds verdicts).
type Lookup struct {
	Set     string
	SetID   uint32
	Source  Reg
	Dest    Reg
	HasDest bool
	Invert  bool
}

// Dynset adds (Op 0), updates (1) or deletes (2) an element.
type Dynset struct {
	Set       string
	SetID     uint32
	Op        uint32
	Key       Reg
	Data      Reg
	HasData   bool
	TimeoutMS uint64
	Invert    bool
	Exprs     Exprs
}

// Exthdr loads from (or writes to, or resets) an extension header or option. Op
// is NFT_EXTHDR_OP_*: 0 ipv6, 1 tcpopt, 2 ipv4, 3 sctp, 4 dccp. Flags 1: present.
type Exthdr struct {
	Type                   uint8
	Op, Offset, Len, Flags uint32
	Write                  bool // with a source register
	Reset                  bool // neither: the option is removed
	Reg                    Reg
}

// Fib asks the routing table: Result 0 none, 1 oif, 2 oifname, 3 addrtype;
// Flags NFTA_FIB_F_*: 1 saddr, 2 daddr, 4 mark, 8 iif, 16 oif, 32 present.
type Fib struct {
	Dest          Reg
	Result, Flags uint32
}

// RT loads a routing key, NFT_RT_*.
type RT struct {
	Dest Reg
	Key  uint32
}

// Socket loads a key of the packet's socket, NFT_SOCKET_*.
type Socket struct {
	Dest       Reg
	Key, Level uint32
}

// OSF guesses the sender's system from its fingerprint.
type OSF struct {
	Dest  Reg
	TTL   uint8
	Flags uint32
}

// Hash hashes registers (Type 0 jenkins, 1 symmetric).
type Hash struct {
	Source, Dest                     Reg
	Len, Modulus, Seed, Offset, Type uint32
	HasSeed                          bool
}

// Numgen counts (Type 0) or draws (1) a number.
type Numgen struct {
	Dest                  Reg
	Modulus, Type, Offset uint32
}

// Limit is a token bucket. Type 0 packets, 1 bytes. Unit is seconds.
type Limit struct {
	Rate, Unit  uint64
	Burst, Type uint32
	Invert      bool
}

// Quota matches until (or, inverted, after) Bytes are used up.
type Quota struct {
	Bytes, Used uint64
	Invert      bool
}

// ConnLimit matches while at most Count connections are open.
type ConnLimit struct {
	Count  uint32
	Invert bool
}

// Last remembers when it was last passed.
type Last struct {
	MS  uint64
	Set bool
}

// Counter counts.
type Counter struct{ Packets, Bytes uint64 }

// Log logs.
type Log struct {
	Prefix          string
	Group           uint16
	HasGroup        bool
	Snaplen         uint32
	Threshold       uint16
	Level, LogFlags uint32
}

// Notrack keeps the packet from conntrack.
type Notrack struct{}

// Reject answers and drops: Type 0 ICMP unreachable with Code, 1 TCP reset, 2
// the inet family's ICMPX with Code (NFT_REJECT_ICMPX_*).
type Reject struct {
	Type uint32
	Code uint8
}

// NAT is snat (Type 0) or dnat (1). A register that isn't set has Has… false.
type NAT struct {
	Type                     uint32
	Family                   Family
	AddrMin, AddrMax         Reg
	HasAddrMin, HasAddrMax   bool
	ProtoMin, ProtoMax       Reg
	HasProtoMin, HasProtoMax bool
	Flags                    uint32 // NF_NAT_RANGE_*
}

// Masq is masquerade.
type Masq struct {
	Flags                    uint32
	ProtoMin, ProtoMax       Reg
	HasProtoMin, HasProtoMax bool
}

// Redir is redirect.
type Redir struct {
	Flags                    uint32
	ProtoMin, ProtoMax       Reg
	HasProtoMin, HasProtoMax bool
}

// TProxy hands the packet to a local socket.
type TProxy struct {
	Family           Family
	Addr, Port       Reg
	HasAddr, HasPort bool
}

// Synproxy answers in place of the server.
type Synproxy struct {
	MSS    uint16
	Wscale uint8
	Flags  uint32
}

// QueueTo hands the packet to a program. Flags 1: bypass, 2: fanout.
type QueueTo struct {
	Num, Total, Flags uint16
	Source            Reg
	HasSource         bool
}

// Dup sends a copy; Fwd sends the packet itself out of another device.
type Dup struct {
	Addr, Dev       Reg
	HasAddr, HasDev bool
}

// Fwd sends the packet out of another device (netdev family).
type Fwd struct {
	Dev, Addr Reg
	HasAddr   bool
	Family    Family
}

// FlowOffload puts the flow into a flowtable.
type FlowOffload struct{ Table string }

// ObjRef runs a named object, or the one that a map gives for a register.
type ObjRef struct {
	Object string
	Type   uint32
	Set    string // set: from the map
	SetID  uint32
	Source Reg
}

// XFRM loads a key of the packet's IPsec state.
type XFRM struct {
	Dest       Reg
	Key, SPNum uint32
	Dir        uint8
}

// Tunnel loads a key of the tunnel's metadata.
type Tunnel struct {
	Dest      Reg
	Key, Mode uint32
}

// Inner runs an expression on the packet that a tunnel carries. Type is
// NFT_INNER_* (1 VXLAN, 2 Geneve; nft gives GRE 3 and GRE of Ethernet 4), Flags
// NFT_INNER_*: 1 the tunnel has a header of HdrSize bytes, 2 a link, 4 a network
// and 8 a transport header are to be found in it.
type Inner struct {
	Type, Flags, HdrSize uint32
	Exprs                Exprs // one: a load of Payload or Meta
}

// IPTables is the head of a legacy rule: addresses, devices, protocol (struct
// ipt_ip and ip6t_ip6). Addresses are 4 or 16 bytes, a nil mask matches all.
// Device names match as a prefix where they end in +. Inv has IPT_INV_* bits,
// Flags IPT_F_* or IP6T_F_*.
type IPTables struct {
	Src, SrcMask, Dst, DstMask []byte
	In, Out                    string
	Proto                      uint16
	TOS                        uint8
	Flags, Inv                 uint8
}

// ARPTables is the head of a rule of arptables-legacy: struct arpt_arp of
// linux/netfilter_arp/arp_tables.h, as the kernel has it.
type ARPTables struct{ Data []byte }

// Match is a match of iptables, Data its kernel structure (struct xt_tcp, …),
// filled up to a multiple of 8 bytes as the kernel keeps it (XT_ALIGN). What the
// kernel keeps for itself in it (pointers) is zero. Sets are the names of the
// ipsets that the structure has by number, in its order: one for the match set,
// three for the target SET (add, del, map), "" where there is none. In what was
// parsed from text the numbers are 0xffff, as text doesn't tell them; in what
// the kernel gave Sets is nil until its numbers were looked up.
type Match struct {
	Ext  string
	Rev  uint8
	Data []byte
	Sets []string
}

// Target is a target of iptables with its kernel structure. Verdicts (ACCEPT,
// DROP, RETURN, a jump) are not Targets but an Immediate. Sets is as in Match.
type Target struct {
	Ext  string
	Rev  uint8
	Data []byte
	Sets []string
}

// Opaque is what is not understood: the kernel's name for it and its bytes. A
// rule that has one can't be decided beyond it.
type Opaque struct {
	Kind string
	Why  string
	Data []byte
}

// Names of the kernel's expressions.

func (*Immediate) Name() string   { return "immediate" }
func (*Payload) Name() string     { return "payload" }
func (*Cmp) Name() string         { return "cmp" }
func (*Range) Name() string       { return "range" }
func (*Bitwise) Name() string     { return "bitwise" }
func (*Byteorder) Name() string   { return "byteorder" }
func (*Meta) Name() string        { return "meta" }
func (*CT) Name() string          { return "ct" }
func (*Lookup) Name() string      { return "lookup" }
func (*Dynset) Name() string      { return "dynset" }
func (*Exthdr) Name() string      { return "exthdr" }
func (*Fib) Name() string         { return "fib" }
func (*RT) Name() string          { return "rt" }
func (*Socket) Name() string      { return "socket" }
func (*OSF) Name() string         { return "osf" }
func (*Hash) Name() string        { return "hash" }
func (*Numgen) Name() string      { return "numgen" }
func (*Limit) Name() string       { return "limit" }
func (*Quota) Name() string       { return "quota" }
func (*ConnLimit) Name() string   { return "connlimit" }
func (*Last) Name() string        { return "last" }
func (*Counter) Name() string     { return "counter" }
func (*Log) Name() string         { return "log" }
func (*Notrack) Name() string     { return "notrack" }
func (*Reject) Name() string      { return "reject" }
func (*NAT) Name() string         { return "nat" }
func (*Masq) Name() string        { return "masq" }
func (*Redir) Name() string       { return "redir" }
func (*TProxy) Name() string      { return "tproxy" }
func (*Synproxy) Name() string    { return "synproxy" }
func (*QueueTo) Name() string     { return "queue" }
func (*Dup) Name() string         { return "dup" }
func (*Fwd) Name() string         { return "fwd" }
func (*FlowOffload) Name() string { return "flow_offload" }
func (*ObjRef) Name() string      { return "objref" }
func (*XFRM) Name() string        { return "xfrm" }
func (*Tunnel) Name() string      { return "tunnel" }
func (*Inner) Name() string       { return "inner" }
func (*IPTables) Name() string    { return "iptables" }
func (*ARPTables) Name() string   { return "arptables" }
func (*Match) Name() string       { return "match" }
func (*Target) Name() string      { return "target" }
func (o *Opaque) Name() string    { return o.Kind }
