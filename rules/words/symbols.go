package words

var nfProtos = []Symbol{
	{"ipv4", 2}, {"ipv6", 10},
}

var etherTypes = []Symbol{
	{"ip", 0x0800}, {"arp", 0x0806}, {"ip6", 0x86dd}, {"8021q", 0x8100}, {"8021ad", 0x88a8},
	{"vlan", 0x8100},
}

var arpOps = []Symbol{
	{"request", 0x0001}, {"reply", 0x0002}, {"rrequest", 0x0003}, {"rreply", 0x0004},
	{"inrequest", 0x0008}, {"inreply", 0x0009}, {"nak", 0x000a},
}

var icmpTypes = []Symbol{
	{"echo-reply", 0}, {"destination-unreachable", 3}, {"source-quench", 4}, {"redirect", 5},
	{"echo-request", 8}, {"router-advertisement", 9}, {"router-solicitation", 10}, {"time-exceeded", 11},
	{"parameter-problem", 12}, {"timestamp-request", 13}, {"timestamp-reply", 14}, {"info-request", 15},
	{"info-reply", 16}, {"address-mask-request", 17}, {"address-mask-reply", 18},
}

var tcpFlags = []Symbol{
	{"fin", 0x01}, {"syn", 0x02}, {"rst", 0x04}, {"psh", 0x08}, {"ack", 0x10}, {"urg", 0x20},
	{"ecn", 0x40}, {"cwr", 0x80},
}

var dccpTypes = []Symbol{
	{"request", 0x00}, {"response", 0x01}, {"data", 0x02}, {"ack", 0x03}, {"dataack", 0x04},
	{"closereq", 0x05}, {"close", 0x06}, {"reset", 0x07}, {"sync", 0x08}, {"syncack", 0x09},
}

var mhTypes = []Symbol{
	{"binding-refresh-request", 0}, {"home-test-init", 1}, {"careof-test-init", 2}, {"home-test", 3},
	{"careof-test", 4}, {"binding-update", 5}, {"binding-acknowledgement", 6}, {"binding-error", 7},
	{"fast-binding-update", 8}, {"fast-binding-acknowledgement", 9}, {"fast-binding-advertisement", 10},
	{"experimental-mobility-header", 11}, {"home-agent-switch-message", 12},
}

var ifaceTypes = []Symbol{
	{"ether", 0x0001}, {"ppp", 0x0200}, {"ipip", 0x0300}, {"ipip6", 0x0301}, {"loopback", 0x0304},
	{"sit", 0x0308}, {"ipgre", 0x030a},
}

var ctStates = []Symbol{
	{"invalid", 0x00000001}, {"new", 0x00000008}, {"established", 0x00000002}, {"related", 0x00000004},
	{"untracked", 0x00000040},
}

var ctDirs = []Symbol{
	{"original", 0}, {"reply", 1},
}

var ctStatuses = []Symbol{
	{"expected", 0x00000001}, {"seen-reply", 0x00000002}, {"assured", 0x00000004},
	{"confirmed", 0x00000008}, {"snat", 0x00000010}, {"dnat", 0x00000020}, {"dying", 0x00000200},
}

var icmpv6Types = []Symbol{
	{"destination-unreachable", 1}, {"packet-too-big", 2}, {"time-exceeded", 3}, {"parameter-problem", 4},
	{"echo-request", 128}, {"echo-reply", 129}, {"mld-listener-query", 130}, {"mld-listener-report", 131},
	{"mld-listener-done", 132}, {"mld-listener-reduction", 132}, {"nd-router-solicit", 133},
	{"nd-router-advert", 134}, {"nd-neighbor-solicit", 135}, {"nd-neighbor-advert", 136},
	{"nd-redirect", 137}, {"router-renumbering", 138}, {"ind-neighbor-solicit", 141},
	{"ind-neighbor-advert", 142}, {"mld2-listener-report", 143},
}

var pktTypes = []Symbol{
	{"host", 0}, {"unicast", 0}, {"broadcast", 1}, {"multicast", 2}, {"other", 3},
}

var icmpCodes = []Symbol{
	{"net-unreachable", 0}, {"host-unreachable", 1}, {"prot-unreachable", 2}, {"port-unreachable", 3},
	{"net-prohibited", 9}, {"host-prohibited", 10}, {"admin-prohibited", 13}, {"frag-needed", 4},
}

var icmpv6Codes = []Symbol{
	{"no-route", 0}, {"admin-prohibited", 1}, {"addr-unreachable", 3}, {"port-unreachable", 4},
	{"policy-fail", 5}, {"reject-route", 6},
}

var icmpxCodes = []Symbol{
	{"port-unreachable", 1}, {"admin-prohibited", 3}, {"no-route", 0}, {"host-unreachable", 2},
}

var dscps = []Symbol{
	{"cs0", 0x00}, {"cs1", 0x08}, {"cs2", 0x10}, {"cs3", 0x18}, {"cs4", 0x20}, {"cs5", 0x28},
	{"cs6", 0x30}, {"cs7", 0x38}, {"df", 0x00}, {"be", 0x00}, {"lephb", 0x01}, {"af11", 0x0a},
	{"af12", 0x0c}, {"af13", 0x0e}, {"af21", 0x12}, {"af22", 0x14}, {"af23", 0x16}, {"af31", 0x1a},
	{"af32", 0x1c}, {"af33", 0x1e}, {"af41", 0x22}, {"af42", 0x24}, {"af43", 0x26}, {"va", 0x2c},
	{"ef", 0x2e},
}

var ecns = []Symbol{
	{"not-ect", 0x00}, {"ect1", 0x01}, {"ect0", 0x02}, {"ce", 0x03},
}

var fibTypes = []Symbol{
	{"unspec", 0}, {"unicast", 1}, {"local", 2}, {"broadcast", 3}, {"anycast", 4}, {"multicast", 5},
	{"blackhole", 6}, {"unreachable", 7}, {"prohibit", 8},
}

var booleans = []Symbol{
	{"exists", 1}, {"missing", 0},
}

var ctEvents = []Symbol{
	{"new", 0x00000001}, {"related", 0x00000002}, {"destroy", 0x00000004}, {"reply", 0x00000008},
	{"assured", 0x00000010}, {"protoinfo", 0x00000020}, {"helper", 0x00000040}, {"mark", 0x00000080},
	{"seqadj", 0x00000100}, {"secmark", 0x00000200}, {"label", 0x00000400},
}

var igmpTypes = []Symbol{
	{"membership-query", 17}, {"membership-report-v1", 18}, {"membership-report-v2", 22},
	{"membership-report-v3", 34}, {"leave-group", 23},
}

var days = []Symbol{
	{"Sunday", 0}, {"Monday", 1}, {"Tuesday", 2}, {"Wednesday", 3}, {"Thursday", 4}, {"Friday", 5},
	{"Saturday", 6},
}

// Protocols are the IP protocols, as /etc/protocols names them.
var Protocols = []Symbol{
	{"ip", 0}, {"icmp", 1}, {"igmp", 2}, {"ggp", 3}, {"ipencap", 4}, {"st", 5}, {"tcp", 6}, {"egp", 8},
	{"igp", 9}, {"pup", 12}, {"udp", 17}, {"hmp", 20}, {"xns-idp", 22}, {"rdp", 27}, {"iso-tp4", 29},
	{"dccp", 33}, {"xtp", 36}, {"ddp", 37}, {"idpr-cmtp", 38}, {"ipv6", 41}, {"ipv6-route", 43},
	{"ipv6-frag", 44}, {"idrp", 45}, {"rsvp", 46}, {"gre", 47}, {"esp", 50}, {"ah", 51}, {"skip", 57},
	{"ipv6-icmp", 58}, {"ipv6-nonxt", 59}, {"ipv6-opts", 60}, {"rspf", 73}, {"vmtp", 81}, {"eigrp", 88},
	{"ospf", 89}, {"ax.25", 93}, {"ipip", 94}, {"etherip", 97}, {"encap", 98}, {"pim", 103},
	{"ipcomp", 108}, {"vrrp", 112}, {"l2tp", 115}, {"isis", 124}, {"sctp", 132}, {"fc", 133},
	{"mobility-header", 135}, {"udplite", 136}, {"mpls-in-ip", 137}, {"manet", 138}, {"hip", 139},
	{"shim6", 140}, {"wesp", 141}, {"rohc", 142}, {"ethernet", 143},
}

// The ends of a class's number (linux/pkt_sched.h); others are written as two hexadecimal halves.
var classIDs = []Symbol{{"root", 0xffffffff}, {"none", 0}}

// What /etc/iproute2/group has by default.
var devGroups = []Symbol{{"default", 0}}

// What /etc/iproute2/rt_realms has by default.
var realms = []Symbol{{"cosmos", 0}}
