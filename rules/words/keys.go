package words

// MetaKeys are the keys of meta, NFT_META_*.
var MetaKeys = []Key{
	{"length", 0, Integer, 32, Host},
	{"protocol", 1, EtherType, 16, Network},
	{"priority", 2, ClassID, 32, Host},
	{"mark", 3, Mark, 32, Host},
	{"iif", 4, IfaceIndex, 32, Host},
	{"oif", 5, IfaceIndex, 32, Host},
	{"iifname", 6, IfName, 128, Host},
	{"oifname", 7, IfName, 128, Host},
	{"iiftype", 8, IfaceType, 16, Host},
	{"oiftype", 9, IfaceType, 16, Host},
	{"skuid", 10, UID, 32, Host},
	{"skgid", 11, GID, 32, Host},
	{"nftrace", 12, Integer, 1, Host},
	{"rtclassid", 13, Realm, 32, Host},
	{"secmark", 14, Integer, 32, Host},
	{"nfproto", 15, NFProto, 8, Host},
	{"l4proto", 16, InetProto, 8, Host},
	{"ibrname", 17, IfName, 128, Host},
	{"obrname", 18, IfName, 128, Host},
	{"pkttype", 19, PktType, 8, Host},
	{"cpu", 20, Integer, 32, Host},
	{"iifgroup", 21, DevGroup, 32, Host},
	{"oifgroup", 22, DevGroup, 32, Host},
	{"cgroup", 23, Integer, 32, Host},
	{"random", 24, Integer, 32, Network},
	{"ipsec", 25, Boolean, 8, Host},
	{"iifkind", 26, IfName, 128, Host},
	{"oifkind", 27, IfName, 128, Host},
	{"ibrpvid", 28, Integer, 16, Host},
	{"ibrvproto", 29, EtherType, 16, Network},
	{"time", 30, Date, 64, Host},
	{"day", 31, Day, 8, Host},
	{"hour", 32, Hour, 32, Host},
	{"sdif", 33, IfaceIndex, 32, Host},
	{"sdifname", 34, IfName, 128, Host},
	// nft 1.0.6 has no word for it: it says what the kernel calls it.
	{"broute", 35, Integer, 8, Host},
	// 36 is __NFT_META_IIFTYPE, which rules can't ask for. Of Linux 6.18.
	{"ibrhwaddr", 37, EtherAddr, 48, Network},
}

// BareMeta are the keys that nft prints without the word meta.
var BareMeta = map[string]bool{
	"iif": true, "oif": true, "iifname": true, "oifname": true, "iifgroup": true, "oifgroup": true,
}

// MetaWords are the words that nft takes without the word meta, and the keys
// they stand for.
var MetaWords = map[string]string{
	"mark": "mark", "iif": "iif", "iifname": "iifname", "iiftype": "iiftype", "oif": "oif", "oifname": "oifname",
	"oiftype": "oiftype", "skuid": "skuid", "skgid": "skgid", "nftrace": "nftrace", "rtclassid": "rtclassid",
	"ibriport": "ibrname", "obriport": "obrname", "ibrname": "ibrname", "obrname": "obrname", "pkttype": "pkttype",
	"cpu": "cpu", "iifgroup": "iifgroup", "oifgroup": "oifgroup", "cgroup": "cgroup", "ipsec": "ipsec",
	"time": "time", "day": "day", "hour": "hour",
}

// CTKeys are the keys of ct, NFT_CT_*. saddr and daddr
// without a family are of before Linux 4.17 and have no type of their own.
var CTKeys = []Key{
	{"state", 0, CTState, 32, Host},
	{"direction", 1, CTDir, 8, Host},
	{"status", 2, CTStatus, 32, Host},
	{"mark", 3, Mark, 32, Host},
	{"secmark", 4, Integer, 32, Host},
	{"expiration", 5, Time, 32, Host},
	{"helper", 6, String, 128, Host},
	{"l3proto", 7, NFProto, 8, Host},
	{"saddr", 8, nil, 0, Network},
	{"daddr", 9, nil, 0, Network},
	{"protocol", 10, InetProto, 8, Network},
	{"proto-src", 11, InetService, 16, Network},
	{"proto-dst", 12, InetService, 16, Network},
	{"label", 13, CTLabel, 128, Host},
	{"packets", 14, Integer, 64, Host},
	{"bytes", 15, Integer, 64, Host},
	{"avgpkt", 16, Integer, 64, Host},
	{"zone", 17, Integer, 16, Host},
	{"event", 18, CTEvent, 32, Host},
	{"ip saddr", 19, IPv4Addr, 32, Network},
	{"ip daddr", 20, IPv4Addr, 32, Network},
	{"ip6 saddr", 21, IPv6Addr, 128, Network},
	{"ip6 daddr", 22, IPv6Addr, 128, Network},
	{"id", 23, Integer, 32, Network},
}

// Directions are those of ct.
var Directions = ctDirs

// RTKeys are the keys of rt, NFT_RT_*. nexthop is written behind its family.
var RTKeys = []Key{
	{"classid", 0, Realm, 32, Host},
	{"ip nexthop", 1, IPv4Addr, 32, Network},
	{"ip6 nexthop", 2, IPv6Addr, 128, Network},
	{"mtu", 3, Integer, 16, Host},
	{"ipsec", 4, Boolean, 8, Host},
}

// SocketKeys are the keys of socket, NFT_SOCKET_*. cgroupv2 has a level.
var SocketKeys = []Key{
	{"transparent", 0, Integer, 8, Host},
	{"mark", 1, Mark, 32, Host},
	{"wildcard", 2, Integer, 8, Host},
	{"cgroupv2", 3, CgroupV2, 64, Host},
}

// IPsecKeys are the keys of ipsec, NFT_XFRM_KEY_*.
var IPsecKeys = []Key{
	{"ip daddr", 1, IPv4Addr, 32, Network},
	{"ip6 daddr", 2, IPv6Addr, 128, Network},
	{"ip saddr", 3, IPv4Addr, 32, Network},
	{"ip6 saddr", 4, IPv6Addr, 128, Network},
	{"reqid", 5, Integer, 32, Host},
	{"spi", 6, Integer, 32, Network},
}

// FibResults are what fib gives, NFT_FIB_RESULT_*, and FibResultTypes of what
// type that is. With FibPresent it is a Boolean.
var (
	FibResults     = []Symbol{{"oif", 1}, {"oifname", 2}, {"type", 3}}
	FibResultTypes = map[uint32]*Type{1: IfaceIndex, 2: String, 3: FibType}
)

// FibFlags are what fib looks up by, NFTA_FIB_F_*, in the order they are printed.
var FibFlags = []Symbol{{"saddr", 1}, {"daddr", 2}, {"mark", 4}, {"iif", 8}, {"oif", 16}}

// FibPresent asks only whether there is a result (NFTA_FIB_F_PRESENT).
const FibPresent = 32

// OSFTTL is how osf compares the TTL (NF_OSF_TTL_*): true is not written.
var OSFTTL = []Symbol{{"loose", 1}, {"skip", 2}}
