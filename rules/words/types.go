package words

// The data types, in the order of their numbers in nft. The number is part of
// what nft stores with a set, so it never changes.
var (
	Verdict     = &Type{Number: 1, Name: "verdict"}
	NFProto     = &Type{Number: 2, Name: "nf_proto", Bits: 8, Base: Integer, Symbols: nfProtos}
	Bitmask     = &Type{Number: 3, Name: "bitmask", Base: Integer, Bitmask: true}
	Integer     = &Type{Number: 4, Name: "integer"}
	String      = &Type{Number: 5, Name: "string", Order: Host}
	LLAddr      = &Type{Number: 6, Name: "ll_addr", Order: Network, Base: Integer}
	IPv4Addr    = &Type{Number: 7, Name: "ipv4_addr", Bits: 32, Order: Network, Base: Integer, Prefix: true}
	IPv6Addr    = &Type{Number: 8, Name: "ipv6_addr", Bits: 128, Order: Network, Base: Integer, Prefix: true}
	EtherAddr   = &Type{Number: 9, Name: "ether_addr", Bits: 48, Order: Network, Base: LLAddr}
	EtherType   = &Type{Number: 10, Name: "ether_type", Bits: 16, Order: Network, Base: Integer, Symbols: etherTypes}
	ARPOp       = &Type{Number: 11, Name: "arp_op", Bits: 16, Order: Network, Base: Integer, Symbols: arpOps}
	InetProto   = &Type{Number: 12, Name: "inet_proto", Bits: 8, Base: Integer, Symbols: Protocols}
	InetService = &Type{Number: 13, Name: "inet_service", Bits: 16, Order: Network, Base: Integer}
	ICMPType    = &Type{Number: 14, Name: "icmp_type", Bits: 8, Order: Network, Base: Integer, Symbols: icmpTypes}
	TCPFlag     = &Type{Number: 15, Name: "tcp_flag", Bits: 8, Order: Network, Base: Bitmask, Bitmask: true, Symbols: tcpFlags}
	DCCPType    = &Type{Number: 16, Name: "dccp_pkttype", Bits: 4, Base: Integer, Symbols: dccpTypes}
	MHType      = &Type{Number: 17, Name: "mh_type", Bits: 8, Order: Network, Base: Integer, Symbols: mhTypes}
	// Time is a span: seconds where it is 32 bits long, milliseconds in ct expiration.
	Time       = &Type{Number: 18, Name: "time", Bits: 32, Order: Host, Base: Integer}
	Mark       = &Type{Number: 19, Name: "mark", Bits: 32, Order: Host, Base: Integer, Prefix: true}
	IfaceIndex = &Type{Number: 20, Name: "iface_index", Bits: 32, Order: Host, Base: Integer}
	IfaceType  = &Type{Number: 21, Name: "iface_type", Bits: 16, Order: Host, Base: Integer, Symbols: ifaceTypes}
	Realm      = &Type{Number: 22, Name: "realm", Bits: 32, Order: Host, Base: Integer, Prefix: true, Symbols: realms}
	ClassID    = &Type{Number: 23, Name: "classid", Bits: 32, Order: Host, Base: Integer, Symbols: classIDs}
	UID        = &Type{Number: 24, Name: "uid", Bits: 32, Order: Host, Base: Integer}
	GID        = &Type{Number: 25, Name: "gid", Bits: 32, Order: Host, Base: Integer}
	CTState    = &Type{Number: 26, Name: "ct_state", Bits: 32, Order: Host, Base: Bitmask, Bitmask: true, Symbols: ctStates}
	CTDir      = &Type{Number: 27, Name: "ct_dir", Bits: 8, Base: Integer, Symbols: ctDirs}
	CTStatus   = &Type{Number: 28, Name: "ct_status", Bits: 32, Order: Host, Base: Bitmask, Bitmask: true, Symbols: ctStatuses}
	ICMPv6Type = &Type{Number: 29, Name: "icmpv6_type", Bits: 8, Order: Network, Base: Integer, Symbols: icmpv6Types}
	CTLabel    = &Type{Number: 30, Name: "ct_label", Bits: 128, Order: Host, Base: Bitmask, Bitmask: true}
	PktType    = &Type{Number: 31, Name: "pkt_type", Bits: 8, Order: Host, Base: Integer, Symbols: pktTypes}
	ICMPCode   = &Type{Number: 32, Name: "icmp_code", Bits: 8, Order: Network, Base: Integer, Symbols: icmpCodes}
	ICMPv6Code = &Type{Number: 33, Name: "icmpv6_code", Bits: 8, Order: Network, Base: Integer, Symbols: icmpv6Codes}
	ICMPXCode  = &Type{Number: 34, Name: "icmpx_code", Bits: 8, Order: Network, Base: Integer, Symbols: icmpxCodes}
	DevGroup   = &Type{Number: 35, Name: "devgroup", Bits: 32, Order: Host, Base: Integer, Prefix: true, Symbols: devGroups}
	DSCP       = &Type{Number: 36, Name: "dscp", Bits: 6, Order: Network, Base: Integer, Symbols: dscps}
	ECN        = &Type{Number: 37, Name: "ecn", Bits: 2, Order: Network, Base: Integer, Symbols: ecns}
	FibType    = &Type{Number: 38, Name: "fib_addrtype", Bits: 32, Order: Host, Base: Integer, Symbols: fibTypes}
	Boolean    = &Type{Number: 39, Name: "boolean", Bits: 1, Base: Integer, Symbols: booleans}
	CTEvent    = &Type{Number: 40, Name: "ct_event", Bits: 32, Order: Host, Base: Bitmask, Bitmask: true, Symbols: ctEvents}
	IfName     = &Type{Number: 41, Name: "ifname", Bits: 128, Order: Host, Base: String}
	IGMPType   = &Type{Number: 42, Name: "igmp_type", Bits: 8, Order: Network, Base: Integer, Symbols: igmpTypes}
	// Date is nanoseconds since 1970; nft's name for it is that of Time.
	Date     = &Type{Number: 43, Name: "time", Bits: 64, Order: Host, Base: Integer}
	Hour     = &Type{Number: 44, Name: "hour", Bits: 32, Order: Host, Base: Integer}
	Day      = &Type{Number: 45, Name: "day", Bits: 8, Order: Host, Base: Integer, Symbols: days}
	CgroupV2 = &Type{Number: 46, Name: "cgroupsv2", Bits: 64, Order: Host, Base: Integer}
)

// Types are all data types. CTLabel and CTEvent are not known to nft by number:
// a set of theirs can't be listed by it.
var Types = []*Type{
	Verdict, NFProto, Bitmask, Integer, String, LLAddr, IPv4Addr, IPv6Addr, EtherAddr, EtherType,
	ARPOp, InetProto, InetService, ICMPType, TCPFlag, DCCPType, MHType, Time, Mark, IfaceIndex,
	IfaceType, Realm, ClassID, UID, GID, CTState, CTDir, CTStatus, ICMPv6Type, CTLabel, PktType,
	ICMPCode, ICMPv6Code, ICMPXCode, DevGroup, DSCP, ECN, FibType, Boolean, CTEvent, IfName,
	IGMPType, Date, Hour, Day, CgroupV2,
}

// VerdictData is the number a verdict map has as the type of its values
// (NFT_DATA_VERDICT).
const VerdictData = 0xffffff00
