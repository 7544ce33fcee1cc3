package ipset

import (
	"github.com/portwhy/portwhy/rules"
)

// dimension is one part of an entry.
type dimension uint8

const (
	dimIP dimension = iota
	dimNet
	dimPort // protocol and port
	dimBare // a port alone
	dimMAC
	dimMark
	dimDevice
	dimSet
)

// kind is a type of set.
type kind struct {
	dims   []dimension
	family rules.Family // of a type that has one only; 0: as told
	any    bool         // a set has no family
	ranged bool         // a bitmap, which has a range
}

// kinds are the types of sets (net/netfilter/ipset/ip_set_*.c).
var kinds = map[string]*kind{
	"bitmap:ip":         {dims: []dimension{dimIP}, family: rules.IP, ranged: true},
	"bitmap:ip,mac":     {dims: []dimension{dimIP, dimMAC}, family: rules.IP, ranged: true},
	"bitmap:port":       {dims: []dimension{dimBare}, any: true, ranged: true},
	"hash:ip":           {dims: []dimension{dimIP}},
	"hash:mac":          {dims: []dimension{dimMAC}, any: true},
	"hash:ip,mac":       {dims: []dimension{dimIP, dimMAC}},
	"hash:ip,mark":      {dims: []dimension{dimIP, dimMark}},
	"hash:ip,port":      {dims: []dimension{dimIP, dimPort}},
	"hash:ip,port,ip":   {dims: []dimension{dimIP, dimPort, dimIP}},
	"hash:ip,port,net":  {dims: []dimension{dimIP, dimPort, dimNet}},
	"hash:net":          {dims: []dimension{dimNet}},
	"hash:net,net":      {dims: []dimension{dimNet, dimNet}},
	"hash:net,port":     {dims: []dimension{dimNet, dimPort}},
	"hash:net,port,net": {dims: []dimension{dimNet, dimPort, dimNet}},
	"hash:net,iface":    {dims: []dimension{dimNet, dimDevice}},
	"list:set":          {dims: []dimension{dimSet}, any: true},
}

// code is a name of ipset for an ICMP type and code: type * 256 + code.
type code struct {
	name   string
	number uint16
}

// codes4 and codes6 are the names that `ipset save` writes, as ipset 7.17 gives
// them; what has none is written TYPE/CODE.
var (
	codes4 = []code{{"echo-reply", 0}, {"network-unreachable", 768}, {"host-unreachable", 769},
		{"protocol-unreachable", 770}, {"port-unreachable", 771}, {"fragmentation-needed", 772},
		{"source-route-failed", 773}, {"network-unknown", 774}, {"host-unknown", 775}, {"network-prohibited", 777},
		{"host-prohibited", 778}, {"TOS-network-unreachable", 779}, {"TOS-host-unreachable", 780},
		{"communication-prohibited", 781}, {"host-precedence-violation", 782}, {"precedence-cutoff", 783},
		{"source-quench", 1024}, {"network-redirect", 1280}, {"host-redirect", 1281},
		{"TOS-network-redirect", 1282}, {"TOS-host-redirect", 1283}, {"echo-request", 2048},
		{"router-advertisement", 2304}, {"router-solicitation", 2560}, {"ttl-zero-during-transit", 2816},
		{"ttl-zero-during-reassembly", 2817}, {"ip-header-bad", 3072}, {"required-option-missing", 3073},
		{"timestamp-request", 3328}, {"timestamp-reply", 3584}, {"address-mask-request", 4352},
		{"address-mask-reply", 4608}, {"ping", 2048}, {"pong", 0}}
	codes6 = []code{{"no-route", 256}, {"communication-prohibited", 257}, {"address-unreachable", 259},
		{"port-unreachable", 260}, {"packet-too-big", 512}, {"ttl-zero-during-transit", 768},
		{"ttl-zero-during-reassembly", 769}, {"bad-header", 1024}, {"unknown-header-type", 1025},
		{"unknown-option", 1026}, {"echo-request", 32768}, {"echo-reply", 33024}, {"router-solicitation", 34048},
		{"router-advertisement", 34304}, {"neighbour-solicitation", 34560}, {"neighbour-advertisement", 34816},
		{"redirect", 35072}, {"ping", 32768}, {"pong", 33024}, {"neigbour-solicitation", 34560},
		{"neigbour-advertisement", 34816}}
)
