package words

// Fields without a type of their own are integers in network order.
func number(name string, offset, bits int) Field { return Field{name, Integer, offset, bits, nil} }

func ports() []Field {
	return []Field{{"sport", InetService, 0, 16, nil}, {"dport", InetService, 16, 16, nil}}
}

// Headers are the protocol headers that nft names. Of two fields at one place,
// the first is the one that is printed.
var Headers = []*Header{
	{Name: "ether", Base: 0, Number: -1, Fields: []Field{
		{"daddr", EtherAddr, 0, 48, nil},
		{"saddr", EtherAddr, 48, 48, nil},
		{"type", EtherType, 96, 16, nil},
	}},
	// vlan's offsets are from its own start, which is behind ether's addresses and type.
	{Name: "vlan", Base: 0, Number: 0x8100, Fields: []Field{
		number("pcp", 0, 3),
		number("dei", 3, 1),
		number("cfi", 3, 1),
		number("id", 4, 12),
		{"type", EtherType, 16, 16, nil},
	}},
	{Name: "arp", Base: 1, Number: 0x0806, NFProto: 3, Fields: []Field{
		number("htype", 0, 16),
		{"ptype", EtherType, 16, 16, nil},
		number("hlen", 32, 8),
		number("plen", 40, 8),
		{"operation", ARPOp, 48, 16, nil},
		{"saddr ether", EtherAddr, 64, 48, nil},
		{"saddr ip", IPv4Addr, 112, 32, nil},
		{"daddr ether", EtherAddr, 144, 48, nil},
		{"daddr ip", IPv4Addr, 192, 32, nil},
	}},
	{Name: "ip", Base: 1, Number: 0x0800, NFProto: 2, Fields: []Field{
		number("version", 0, 4),
		number("hdrlength", 4, 4),
		{"dscp", DSCP, 8, 6, nil},
		{"ecn", ECN, 14, 2, nil},
		number("length", 16, 16),
		number("id", 32, 16),
		number("frag-off", 48, 16),
		number("ttl", 64, 8),
		{"protocol", InetProto, 72, 8, nil},
		number("checksum", 80, 16),
		{"saddr", IPv4Addr, 96, 32, nil},
		{"daddr", IPv4Addr, 128, 32, nil},
	}},
	{Name: "ip6", Base: 1, Number: 0x86dd, NFProto: 10, Fields: []Field{
		number("version", 0, 4),
		{"dscp", DSCP, 4, 6, nil},
		{"ecn", ECN, 10, 2, nil},
		number("flowlabel", 12, 20),
		number("length", 32, 16),
		{"nexthdr", InetProto, 48, 8, nil},
		number("hoplimit", 56, 8),
		{"saddr", IPv6Addr, 64, 128, nil},
		{"daddr", IPv6Addr, 192, 128, nil},
	}},
	{Name: "icmp", Base: 2, Number: 1, Fields: []Field{
		{"type", ICMPType, 0, 8, nil},
		{"code", ICMPCode, 8, 8, nil},
		number("checksum", 16, 16),
		{"id", Integer, 32, 16, []uint8{8, 0}},
		{"sequence", Integer, 48, 16, []uint8{8, 0}},
		{"gateway", Integer, 32, 32, []uint8{5}},
		{"mtu", Integer, 48, 16, []uint8{3}},
	}},
	{Name: "igmp", Base: 2, Number: 2, Fields: []Field{
		{"type", IGMPType, 0, 8, nil},
		number("mrt", 8, 8),
		number("checksum", 16, 16),
		number("group", 32, 32),
	}},
	{Name: "icmpv6", Base: 2, Number: 58, Fields: []Field{
		{"type", ICMPv6Type, 0, 8, nil},
		{"code", ICMPv6Code, 8, 8, nil},
		number("checksum", 16, 16),
		{"parameter-problem", Integer, 32, 32, []uint8{4}},
		{"mtu", Integer, 32, 32, []uint8{2}},
		{"id", Integer, 32, 16, []uint8{128, 129}},
		{"sequence", Integer, 48, 16, []uint8{128, 129}},
		{"max-delay", Integer, 32, 16, []uint8{130}},
	}, Newer: []Field{
		{"taddr", IPv6Addr, 64, 128, []uint8{130, 131, 132, 135, 136, 137}},
		{"daddr", IPv6Addr, 192, 128, []uint8{137}},
	}},
	{Name: "tcp", Base: 2, Number: 6, Fields: append(ports(),
		number("sequence", 32, 32),
		number("ackseq", 64, 32),
		number("doff", 96, 4),
		number("reserved", 100, 4),
		Field{"flags", TCPFlag, 104, 8, nil},
		number("window", 112, 16),
		number("checksum", 128, 16),
		number("urgptr", 144, 16),
	)},
	{Name: "udp", Base: 2, Number: 17, Fields: append(ports(),
		number("length", 32, 16),
		number("checksum", 48, 16),
	)},
	{Name: "udplite", Base: 2, Number: 136, Fields: append(ports(),
		number("csumcov", 32, 16),
		number("checksum", 48, 16),
	)},
	{Name: "sctp", Base: 2, Number: 132, Fields: append(ports(),
		number("vtag", 32, 32),
		number("checksum", 64, 32),
	)},
	{Name: "dccp", Base: 2, Number: 33, Fields: append(ports(),
		Field{"type", DCCPType, 67, 4, nil},
	)},
	{Name: "ah", Base: 2, Number: 51, Fields: []Field{
		{"nexthdr", InetProto, 0, 8, nil},
		number("hdrlength", 8, 8),
		number("reserved", 16, 16),
		number("spi", 32, 32),
		number("sequence", 64, 32),
	}},
	{Name: "esp", Base: 2, Number: 50, Fields: []Field{
		number("spi", 0, 32),
		number("sequence", 32, 32),
	}},
	{Name: "comp", Base: 2, Number: 108, Fields: []Field{
		{"nexthdr", InetProto, 0, 8, nil},
		{"flags", Bitmask, 8, 8, nil},
		number("cpi", 16, 16),
	}},
	{Name: "th", Base: 2, Number: -1, Fields: ports()},
}

// ReadAs are the names that nft 1.0.6 prints but reads only in another form.
var ReadAs = []struct{ Printed, Read string }{{"icmpv6 parameter-problem", "icmpv6 param-problem"}}
