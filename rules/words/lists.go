package words

import (
	"strconv"

	"github.com/portwhy/portwhy/rules"
)

// HookNumbers are the numbers of a family's hooks (linux/netfilter.h,
// netfilter_arp.h, netfilter_netdev.h), in the words of nft.
func HookNumbers(f rules.Family) []Symbol {
	switch f {
	case rules.ARP:
		return []Symbol{{"input", 0}, {"output", 1}}
	case rules.Netdev:
		return []Symbol{{"ingress", 0}, {"egress", 1}}
	case rules.Inet:
		return []Symbol{{"prerouting", 0}, {"input", 1}, {"forward", 2}, {"output", 3}, {"postrouting", 4}, {"ingress", 5}}
	}
	return []Symbol{{"prerouting", 0}, {"input", 1}, {"forward", 2}, {"output", 3}, {"postrouting", 4}}
}

// Priority is a name for a chain's place at a hook. Hook is where the name is
// understood, empty for all; Families are those it is understood in.
type Priority struct {
	Name     string
	Value    int32
	Hook     rules.Hook
	Families []rules.Family
}

var (
	ipFamilies = []rules.Family{rules.Inet, rules.IP, rules.IP6}
	bridge     = []rules.Family{rules.Bridge}
)

// Priorities are the names of nft(8), in the order nft tries them.
var Priorities = []Priority{
	{"raw", -300, "", ipFamilies},
	{"mangle", -150, "", ipFamilies},
	{"dstnat", -100, rules.Prerouting, ipFamilies},
	{"filter", 0, "", []rules.Family{rules.Inet, rules.IP, rules.IP6, rules.ARP, rules.Netdev}},
	{"security", 50, "", ipFamilies},
	{"srcnat", 100, rules.Postrouting, ipFamilies},
	{"dstnat", -300, rules.Prerouting, bridge},
	{"filter", -200, "", bridge},
	{"out", 100, rules.Output, bridge},
	{"srcnat", 300, rules.Postrouting, bridge},
}

func (p *Priority) fits(f rules.Family, h rules.Hook) bool {
	if p.Hook != "" && p.Hook != h {
		return false
	}
	for _, x := range p.Families {
		if x == f {
			return true
		}
	}
	return false
}

// PriorityByName finds what a name stands for at a hook of a family.
func PriorityByName(name string, f rules.Family, h rules.Hook) (int32, bool) {
	for i := range Priorities {
		if p := &Priorities[i]; p.Name == name && p.fits(f, h) {
			return p.Value, true
		}
	}
	return 0, false
}

// PriorityText is a priority as nft prints it: a name, with an offset of up to
// ten, or a number.
func PriorityText(value int32, f rules.Family, h rules.Hook) string {
	for i := range Priorities {
		p := &Priorities[i]
		d := int64(value) - int64(p.Value)
		if d < -10 || d > 10 || !p.fits(f, h) {
			continue
		}
		switch {
		case d > 0:
			return p.Name + " + " + strconv.FormatInt(d, 10)
		case d < 0:
			return p.Name + " - " + strconv.FormatInt(-d, 10)
		}
		return p.Name
	}
	return strconv.Itoa(int(value))
}

// LogLevels are those of log (syslog's, and the kernel's audit).
var LogLevels = []Symbol{
	{"emerg", 0}, {"alert", 1}, {"crit", 2}, {"err", 3}, {"warn", 4}, {"notice", 5}, {"info", 6}, {"debug", 7}, {"audit", 8},
}

// LogLevelDefault is the level that is not written.
const LogLevelDefault = 4

// LogFlags are the flags of log, NF_LOG_* (linux/netfilter/nf_log.h), without
// NF_LOG_NFLOG (16). All of them together are written `flags all`.
var LogFlags = []Symbol{{"tcp sequence", 1}, {"tcp options", 2}, {"ip options", 4}, {"skuid", 8}, {"ether", 32}}

// NATFlags are the flags of snat, dnat, masquerade and redirect, NF_NAT_RANGE_*
// (linux/netfilter/nf_nat.h), those that are written.
var NATFlags = []Symbol{{"random", 4}, {"fully-random", 16}, {"persistent", 8}}

// NAT's flags that are not words behind the statement: addresses and ports are
// given, and the address keeps its host part (`prefix to`).
const (
	NATMapIPs  = 1
	NATPorts   = 2
	NATNetmap  = 64
	NATRandom  = 4
	NATFully   = 16
	NATPersist = 8
)

// SetFlags are a set's flags, NFT_SET_*, in the order they are written.
var SetFlags = []Symbol{{"constant", 2}, {"dynamic", 32}, {"interval", 4}, {"timeout", 16}}

// ObjectTypes are the stateful objects, NFT_OBJECT_*.
var ObjectTypes = []Symbol{
	{"counter", 1}, {"quota", 2}, {"ct helper", 3}, {"limit", 4}, {"ct timeout", 7}, {"secmark", 8}, {"ct expectation", 9}, {"synproxy", 10}, {"tunnel", 6},
}

// TimeoutStates are the states that conntrack keeps a connection of a protocol in,
// in the order of CTA_TIMEOUT_*, and for how many seconds if nothing else is said.
var TimeoutStates = map[uint8][]Symbol{
	6: {{"syn_sent", 120}, {"syn_recv", 60}, {"established", 432000}, {"fin_wait", 120}, {"close_wait", 60}, {"last_ack", 30},
		{"time_wait", 120}, {"close", 10}, {"syn_sent2", 120}, {"retrans", 300}, {"unack", 300}},
	17: {{"unreplied", 30}, {"replied", 120}},
}

// RejectTypes are the kinds of reject (NFT_REJECT_*) and the type of their code.
var (
	RejectTypes     = []Symbol{{"icmp", 0}, {"tcp reset", 1}, {"icmpx", 2}}
	RejectCodeTypes = map[rules.Family]*Type{rules.IP: ICMPCode, rules.IP6: ICMPv6Code}
)

// TimeUnits are those of limit, in seconds.
var TimeUnits = []Symbol{{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}, {"week", 604800}}
