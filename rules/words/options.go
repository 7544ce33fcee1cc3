package words

// Option is an extension header of IPv6, an option of TCP or IPv4, or a chunk of SCTP.
type Option struct {
	Name   string
	Type   uint8
	Op     uint32 // NFT_EXTHDR_OP_*: 0 ipv6, 1 tcpopt, 2 ipv4, 3 sctp
	Fields []Field
}

// Field finds a field, nil if there is none.
func (o *Option) Field(name string) *Field {
	for i := range o.Fields {
		if o.Fields[i].Name == name {
			return &o.Fields[i]
		}
	}
	return nil
}

// OptionByName finds an option in one of the tables, nil if there is none.
func OptionByName(options []*Option, name string) *Option {
	for _, o := range options {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// ExtensionHeaders are those of IPv6. rt0, rt2 and srh are forms of rt: nft
// adds no test of rt's type to a rule that names their fields.
var ExtensionHeaders = []*Option{
	{"hbh", 0, 0, []Field{
		{"nexthdr", InetProto, 0, 8, nil}, number("hdrlength", 8, 8),
	}},
	{"rt", 43, 0, []Field{
		{"nexthdr", InetProto, 0, 8, nil}, number("hdrlength", 8, 8), number("type", 16, 8), number("seg-left", 24, 8),
	}},
	{"srh", 43, 0, []Field{
		number("last-entry", 32, 8), number("flags", 40, 8), number("tag", 48, 16), {"sid[1]", IPv6Addr, 64, 128, nil},
		{"sid[2]", IPv6Addr, 192, 128, nil},
	}},
	{"rt0", 43, 0, []Field{
		number("reserved", 32, 32), {"addr[1]", IPv6Addr, 64, 128, nil}, {"addr[2]", IPv6Addr, 192, 128, nil},
	}},
	{"rt2", 43, 0, nil},
	{"frag", 44, 0, []Field{
		{"nexthdr", InetProto, 0, 8, nil}, number("reserved", 8, 8), number("frag-off", 16, 13),
		number("reserved2", 29, 2), number("more-fragments", 31, 1), number("id", 32, 32),
	}},
	{"dst", 60, 0, []Field{
		{"nexthdr", InetProto, 0, 8, nil}, number("hdrlength", 8, 8),
	}},
	{"mh", 135, 0, []Field{
		{"nexthdr", InetProto, 0, 8, nil}, number("hdrlength", 8, 8), {"type", MHType, 16, 8, nil},
		number("reserved", 24, 8), number("checksum", 32, 16),
	}},
}

func kindLength(more ...Field) []Field {
	return append([]Field{number("kind", 0, 8), number("length", 8, 8)}, more...)
}

// TCPOptions are those of TCP. sack0 to sack3 are the blocks of sack, which
// reads like sack0; any other option is known by its number and its kind.
var TCPOptions = []*Option{
	{"eol", 0, 1, []Field{number("kind", 0, 8)}},
	{"nop", 1, 1, []Field{number("kind", 0, 8)}},
	{"maxseg", 2, 1, kindLength(number("size", 16, 16))},
	{"window", 3, 1, kindLength(number("count", 16, 8))},
	{"sack-perm", 4, 1, kindLength()},
	{"sack", 5, 1, kindLength(number("left", 16, 32), number("right", 48, 32))},
	{"sack0", 5, 1, kindLength(number("left", 16, 32), number("right", 48, 32))},
	{"sack1", 5, 1, kindLength(number("left", 80, 32), number("right", 112, 32))},
	{"sack2", 5, 1, kindLength(number("left", 144, 32), number("right", 176, 32))},
	{"sack3", 5, 1, kindLength(number("left", 208, 32), number("right", 240, 32))},
	{"timestamp", 8, 1, kindLength(number("tsval", 16, 32), number("tsecr", 48, 32))},
	{"md5sig", 19, 1, kindLength()},
	{"mptcp", 30, 1, kindLength(number("subtype", 16, 4))},
	{"fastopen", 34, 1, kindLength()},
}

func typeLength(more ...Field) []Field {
	return append([]Field{number("type", 0, 8), number("length", 8, 8)}, more...)
}

// IPOptions are those of IPv4.
var IPOptions = []*Option{
	{"rr", 7, 2, typeLength(number("ptr", 16, 8), number("addr", 24, 32))},
	{"lsrr", 131, 2, typeLength(number("ptr", 16, 8), number("addr", 24, 32))},
	{"ssrr", 137, 2, typeLength(number("ptr", 16, 8), number("addr", 24, 32))},
	{"ra", 148, 2, typeLength(number("value", 16, 16))},
}

func chunk(more ...Field) []Field {
	return append([]Field{number("type", 0, 8), number("flags", 8, 8), number("length", 16, 16)}, more...)
}

func initChunk() []Field {
	return chunk(number("init-tag", 32, 32), number("a-rwnd", 64, 32), number("num-outbound-streams", 96, 16),
		number("num-inbound-streams", 112, 16), number("initial-tsn", 128, 32))
}

// SCTPChunks are the chunks of SCTP.
var SCTPChunks = []*Option{
	{"data", 0, 3, chunk(number("tsn", 32, 32), number("stream", 64, 16), number("ssn", 80, 16), number("ppid", 96, 32))},
	{"init", 1, 3, initChunk()},
	{"init-ack", 2, 3, initChunk()},
	{"sack", 3, 3, chunk(number("cum-tsn-ack", 32, 32), number("a-rwnd", 64, 32),
		number("num-gap-ack-blocks", 96, 16), number("num-dup-tsns", 112, 16))},
	{"heartbeat", 4, 3, chunk()},
	{"heartbeat-ack", 5, 3, chunk()},
	{"abort", 6, 3, chunk()},
	{"shutdown", 7, 3, chunk(number("cum-tsn-ack", 32, 32))},
	{"shutdown-ack", 8, 3, chunk()},
	{"error", 9, 3, chunk()},
	{"cookie-echo", 10, 3, chunk()},
	{"cookie-ack", 11, 3, chunk()},
	{"ecne", 12, 3, chunk(number("lowest-tsn", 32, 32))},
	{"cwr", 13, 3, chunk(number("lowest-tsn", 32, 32))},
	{"shutdown-complete", 14, 3, chunk()},
	{"asconf-ack", 0x80, 3, chunk(number("seqno", 32, 32))},
	{"forward-tsn", 0xc0, 3, chunk(number("new-cum-tsn", 32, 32))},
	{"asconf", 0xc1, 3, chunk(number("seqno", 32, 32))},
}
