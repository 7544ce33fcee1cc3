package eval

import (
	"bytes"
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// Packet is a packet at a hook, with what the kernel knows of it besides its bytes.
type Packet struct {
	Family rules.Family // IP or IP6
	Data   []byte       // from the network header on
	// In and Out are the devices, empty and 0 where the hook has none.
	In, Out           string
	InIndex, OutIndex uint32
	Mark              uint32
	// State is the conntrack state as `ct state` sees it, a bit of NF_CT_STATE_*;
	// 0 if it isn't known, and every question about it is then undecided.
	State uint32
}

// The bits of ct state (linux/netfilter/nf_conntrack_common.h).
const (
	Invalid     uint32 = 1
	Established uint32 = 2
	Related     uint32 = 4
	New         uint32 = 8
	Untracked   uint32 = 64
)

func (p *Packet) copy() Packet {
	c := *p
	c.Data = bytes.Clone(p.Data)
	return c
}

// transport finds the transport header. A later fragment has a protocol
// (found) but no header (nft_set_pktinfo_ipv4_validate, _ipv6_validate).
func (p *Packet) transport() (offset int, protocol uint8, found, header bool) {
	switch {
	case p.Family == rules.IP && len(p.Data) >= 20 && p.Data[0]>>4 == 4:
		offset = int(p.Data[0]&15) * 4
		if offset < 20 || offset > len(p.Data) {
			return 0, 0, false, false
		}
		fragment := binary.BigEndian.Uint16(p.Data[6:]) & 0x1fff
		return offset, p.Data[9], true, fragment == 0
	case p.Family == rules.IP6 && len(p.Data) >= 40 && p.Data[0]>>4 == 6:
		return p.transport6()
	}
	return 0, 0, false, false
}

// transport6 passes over the extension headers as ipv6_find_hdr does
// (net/ipv6/exthdrs_core.c).
func (p *Packet) transport6() (offset int, next uint8, found, header bool) {
	offset, next = 40, p.Data[6]
	for {
		length := 8
		switch next {
		case 0, 43, 60: // hop by hop, routing, destination options
			if offset+8 > len(p.Data) {
				return 0, 0, false, false
			}
			length = (int(p.Data[offset+1]) + 1) * 8
		case 44: // fragment
			if offset+8 > len(p.Data) {
				return 0, 0, false, false
			}
			if binary.BigEndian.Uint16(p.Data[offset+2:])&^7 != 0 {
				return 0, p.Data[offset], true, false
			}
		case 51: // authentication
			if offset+8 > len(p.Data) {
				return 0, 0, false, false
			}
			length = (int(p.Data[offset+1]) + 2) * 4
		default:
			fits := offset <= len(p.Data)
			return offset, next, fits, fits
		}
		next = p.Data[offset]
		offset += length
	}
}
