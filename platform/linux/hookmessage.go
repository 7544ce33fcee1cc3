//go:build linux

package linux

import (
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Messages of the nf_tables subsystem, linux/netfilter/nf_tables.h and
// nfnetlink.h: the subsystem is the type's upper byte.
const (
	nftNewTable = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE
	nftGetTable = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE
	nftNewChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWCHAIN
	nftGetChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN

	nftTableDormant = 1
)

// nftTable names a table.
type nftTable struct{ family, name string }

// parseNFTable reads an NFT_MSG_NEWTABLE message.
func parseNFTable(b []byte) (table nftTable, dormant bool, err error) {
	var r reader
	head, rest := r.header("nfgenmsg", b, 4)
	table.family = nfFamily(head[0])
	for kind, v := range r.attributes(rest) {
		switch kind {
		case unix.NFTA_TABLE_NAME:
			table.name = r.text(v)
		case unix.NFTA_TABLE_FLAGS:
			dormant = r.be32("NFTA_TABLE_FLAGS", v)&nftTableDormant != 0
		}
	}
	return table, dormant, r.err
}

// parseNFChain reads an NFT_MSG_NEWCHAIN message; base tells whether the chain
// is called by a hook. Its use count is its number of rules then, because only
// other chains can be jumped to.
func parseNFChain(b []byte) (hook host.Hook, base bool, err error) {
	var r reader
	head, rest := r.header("nfgenmsg", b, 4)
	hook = host.Hook{Backend: "nft", Family: nfFamily(head[0]), Rules: -1}
	number, policy := uint32(0), uint32(1)
	var devices []string
	for kind, v := range r.attributes(rest) {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			hook.Table = r.text(v)
		case unix.NFTA_CHAIN_NAME:
			hook.Chain = r.text(v)
		case unix.NFTA_CHAIN_TYPE:
			hook.Type = r.text(v)
		case unix.NFTA_CHAIN_POLICY:
			policy = r.be32("NFTA_CHAIN_POLICY", v)
		case unix.NFTA_CHAIN_USE:
			hook.Rules = int(r.be32("NFTA_CHAIN_USE", v))
		case unix.NFTA_CHAIN_HOOK:
			base = true
			for kind, v := range r.attributes(v) {
				switch kind {
				case unix.NFTA_HOOK_HOOKNUM:
					number = r.be32("NFTA_HOOK_HOOKNUM", v)
				case unix.NFTA_HOOK_PRIORITY:
					hook.Priority = int(int32(r.be32("NFTA_HOOK_PRIORITY", v)))
				case unix.NFTA_HOOK_DEV:
					devices = append(devices, r.text(v))
				case nftaHookDevs:
					for _, v := range r.attributes(v) {
						devices = append(devices, r.text(v))
					}
				}
			}
		}
	}
	hook.Hook = nfHook(hook.Family, number)
	hook.Device = strings.Join(devices, " ")
	hook.Policy = "accept"
	if policy == 0 {
		hook.Policy = "drop"
	}
	return hook, base, r.err
}

// nftaHookDevs is NFTA_HOOK_DEVS, a list of devices.
const nftaHookDevs = 4

// be32 is a number in network order, as all of nf_tables.
func (r *reader) be32(what string, v []byte) uint32 {
	if len(v) < 4 {
		r.fail(what, v, 4)
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

// nfFamily names a family as nft(8) does.
func nfFamily(n uint8) string {
	switch n {
	case unix.NFPROTO_INET:
		return "inet"
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_ARP:
		return "arp"
	case unix.NFPROTO_NETDEV:
		return "netdev"
	case unix.NFPROTO_BRIDGE:
		return "bridge"
	case unix.NFPROTO_IPV6:
		return "ip6"
	}
	return strconv.Itoa(int(n))
}

// nfHook names a hook; the numbers are those of linux/netfilter.h and
// netfilter_arp.h.
func nfHook(family string, n uint32) string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	switch family {
	case "netdev":
		names = []string{"ingress", "egress"}
	case "arp":
		names = []string{"input", "output", "forward"}
	}
	if int64(n) < int64(len(names)) {
		return names[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}
