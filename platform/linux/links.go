//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Attributes of if_link.h that x/sys does not name: those of a bridge port.
const (
	iflaBrportState    = 1
	iflaBrportMode     = 4
	iflaBrportIsolated = 33
)

// extFilterSkipStats is RTEXT_FILTER_SKIP_STATS of rtnetlink.h: leave the
// counters out, which are the larger half of a message.
const extFilterSkipStats = 1 << 3

// noNamespace is NETNSA_NSID_NOT_ASSIGNED of net_namespace.h.
const noNamespace = -1

// linkMessage is a link with what only this package needs of it.
type linkMessage struct {
	host.Link
	// peerNSID names the namespace of the link below or of a veth's peer, as
	// this namespace numbers it, noNamespace if that is here.
	peerNSID int32
	xdp      []uint32 // ids
}

// Links lists the network devices of this namespace (RTM_GETLINK).
func (h *Host) Links(ctx context.Context) ([]host.Link, error) {
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	defer c.close()
	messages, err := c.links(ctx, 0)
	if err != nil {
		return nil, err
	}
	links := make([]host.Link, 0, len(messages))
	elsewhere := false
	for _, m := range messages {
		links = append(links, m.Link)
		elsewhere = elsewhere || m.Kind == "veth" && m.peerNSID != noNamespace
	}
	if elsewhere {
		numbers := h.namespaceNumbers(ctx, c)
		for i, m := range messages {
			if m.Kind == "veth" && m.peerNSID != noNamespace {
				links[i].PeerNetNS = numbers[m.peerNSID]
			}
		}
	}
	return links, nil
}

// links dumps the links; filter is a set of RTEXT_FILTER bits.
func (c *netlinkConn) links(ctx context.Context, filter uint32) ([]linkMessage, error) {
	body := make([]byte, unix.SizeofIfInfomsg)
	if filter != 0 {
		body = putUint32(body, unix.IFLA_EXT_MASK, filter)
	}
	replies, err := c.dump(ctx, unix.RTM_GETLINK, body)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	list := make([]linkMessage, 0, len(replies))
	for _, r := range replies {
		if r.kind != unix.RTM_NEWLINK {
			continue
		}
		m, err := parseLink(r.data)
		if err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		list = append(list, m)
	}
	return list, nil
}

// deviceNames maps the indices of this namespace's links to their names.
type deviceNames map[int]string

func (c *netlinkConn) deviceNames(ctx context.Context) (deviceNames, error) {
	list, err := c.links(ctx, extFilterSkipStats)
	if err != nil {
		return nil, err
	}
	names := make(deviceNames, len(list))
	for _, m := range list {
		names[m.Index] = m.Name
	}
	return names, nil
}

// of names a link. One that came after the names were read is told by number,
// as ip(8) does.
func (n deviceNames) of(index int) string {
	if index == 0 {
		return ""
	}
	if name, ok := n[index]; ok {
		return name
	}
	return "if" + strconv.Itoa(index)
}

// parseLink reads an RTM_NEWLINK message; see rtnetlink(7) and if_link.h.
func parseLink(b []byte) (linkMessage, error) {
	var r reader
	head, rest := r.header("ifinfomsg", b, unix.SizeofIfInfomsg)
	flags := r.u32("ifi_flags", head[8:])
	m := linkMessage{peerNSID: noNamespace}
	m.Index = int(int32(r.u32("ifi_index", head[4:])))
	m.Up = flags&unix.IFF_UP != 0
	m.Carrier = flags&unix.IFF_LOWER_UP != 0
	m.Loopback = flags&unix.IFF_LOOPBACK != 0
	m.Type = r.u16("ifi_type", head[2:])
	ethernet := m.Type == unix.ARPHRD_ETHER
	for kind, v := range r.attributes(rest) {
		switch kind {
		case unix.IFLA_IFNAME:
			m.Name = r.text(v)
		case unix.IFLA_GROUP:
			m.Group = r.u32("IFLA_GROUP", v)
		case unix.IFLA_MTU:
			m.MTU = int(r.u32("IFLA_MTU", v))
		case unix.IFLA_ADDRESS:
			// An IP tunnel has an address of another kind here.
			if ethernet && len(v) == 6 {
				m.MAC = net.HardwareAddr(v).String()
			}
		case unix.IFLA_MASTER:
			m.Master = int(r.u32("IFLA_MASTER", v))
		case unix.IFLA_LINK:
			m.Parent = int(r.u32("IFLA_LINK", v))
		case unix.IFLA_LINK_NETNSID:
			m.peerNSID = int32(r.u32("IFLA_LINK_NETNSID", v))
		case unix.IFLA_STATS64:
			// struct rtnl_link_stats64: rx_dropped and tx_dropped are the 7th and 8th.
			if len(v) < 64 {
				r.fail("IFLA_STATS64", v, 64)
				break
			}
			m.RxDropped = r.u64("rx_dropped", v[48:])
			m.TxDropped = r.u64("tx_dropped", v[56:])
		case unix.IFLA_LINKINFO:
			m.info(&r, v)
		case unix.IFLA_XDP:
			m.xdp = parseXDP(&r, v)
		}
	}
	return m, r.err
}

// info reads IFLA_LINKINFO: the link's kind, and what its master tells of it.
func (m *linkMessage) info(r *reader, b []byte) {
	slave := ""
	for kind, v := range r.attributes(b) {
		switch kind {
		case unix.IFLA_INFO_KIND:
			m.Kind = r.text(v)
		case unix.IFLA_INFO_DATA:
			if m.Kind == "bridge" {
				m.Bridge = bridgeInfo(r, v)
			}
		case unix.IFLA_INFO_SLAVE_KIND:
			slave = r.text(v)
		case unix.IFLA_INFO_SLAVE_DATA:
			if slave != "bridge" {
				break
			}
			for kind, v := range r.attributes(v) {
				switch kind {
				case iflaBrportState:
					m.PortState = portState(r.u8("IFLA_BRPORT_STATE", v))
				case iflaBrportMode:
					m.Hairpin = r.u8("IFLA_BRPORT_MODE", v) != 0
				case iflaBrportIsolated:
					m.Isolated = r.u8("IFLA_BRPORT_ISOLATED", v) != 0
				}
			}
		}
	}
}

// bridgeInfo reads IFLA_INFO_DATA of a bridge.
func bridgeInfo(r *reader, b []byte) *host.Bridge {
	info := &host.Bridge{}
	for kind, v := range r.attributes(b) {
		switch kind {
		case unix.IFLA_BR_NF_CALL_IPTABLES:
			info.CallIPTables = r.u8("IFLA_BR_NF_CALL_IPTABLES", v) != 0
		case unix.IFLA_BR_NF_CALL_IP6TABLES:
			info.CallIP6Tables = r.u8("IFLA_BR_NF_CALL_IP6TABLES", v) != 0
		case unix.IFLA_BR_NF_CALL_ARPTABLES:
			info.CallARPTables = r.u8("IFLA_BR_NF_CALL_ARPTABLES", v) != 0
		case unix.IFLA_BR_VLAN_FILTERING:
			info.VLANFiltering = r.u8("IFLA_BR_VLAN_FILTERING", v) != 0
		case unix.IFLA_BR_VLAN_PROTOCOL:
			if len(v) == 2 {
				info.VLANProtocol = binary.BigEndian.Uint16(v)
			}
		}
	}
	return info
}

// portState names a bridge port's state as bridge(8) does; if_bridge.h.
func portState(n uint8) string {
	names := [...]string{"disabled", "listening", "learning", "forwarding", "blocking"}
	if int(n) < len(names) {
		return names[n]
	}
	return strconv.Itoa(int(n))
}

// parseXDP reads IFLA_XDP: the ids of the programs attached to a link, one for
// each place where they can run: driver, generic code, device.
func parseXDP(r *reader, b []byte) []uint32 {
	var list []uint32
	attached, single := false, uint32(0)
	for kind, v := range r.attributes(b) {
		switch kind {
		case unix.IFLA_XDP_ATTACHED:
			attached = r.u8("IFLA_XDP_ATTACHED", v) != 0
		case unix.IFLA_XDP_PROG_ID:
			single = r.u32("IFLA_XDP_PROG_ID", v)
		case unix.IFLA_XDP_DRV_PROG_ID, unix.IFLA_XDP_SKB_PROG_ID, unix.IFLA_XDP_HW_PROG_ID:
			list = append(list, r.u32("IFLA_XDP_PROG_ID", v))
		}
	}
	// Kernels before 4.20 name one program only.
	if len(list) == 0 && attached {
		list = []uint32{single}
	}
	return list
}

// namespaceNumbers maps this namespace's numbers for other namespaces
// (RTM_GETNSID) to their inodes, as far as those can be found.
func (h *Host) namespaceNumbers(ctx context.Context, c *netlinkConn) map[int32]uint64 {
	numbers := map[int32]uint64{}
	list, err := h.Namespaces(ctx)
	if err != nil {
		return numbers
	}
	for _, ns := range list.Namespaces {
		body := make([]byte, 4) // struct rtgenmsg, padded
		if ns.PID != 0 {
			body = putUint32(body, unix.NETNSA_PID, uint32(ns.PID))
		} else {
			fd, err := unix.Open(ns.Path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
			if err != nil {
				continue
			}
			defer unix.Close(fd)
			body = putUint32(body, unix.NETNSA_FD, uint32(fd))
		}
		replies, err := c.ask(ctx, unix.RTM_GETNSID, body)
		if err != nil {
			continue
		}
		for _, reply := range replies {
			if number, err := parseNamespaceNumber(reply.data); err == nil && number != noNamespace {
				numbers[number] = ns.Inode
			}
		}
	}
	return numbers
}

// parseNamespaceNumber reads an RTM_NEWNSID message; net_namespace.h.
func parseNamespaceNumber(b []byte) (int32, error) {
	var r reader
	number := int32(noNamespace)
	_, rest := r.header("rtgenmsg", b, 1)
	for kind, v := range r.attributes(rest) {
		if kind == unix.NETNSA_NSID {
			number = int32(r.u32("NETNSA_NSID", v))
		}
	}
	return number, r.err
}
