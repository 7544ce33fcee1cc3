package ipset

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/rules"
)

// nested marks an attribute that has attributes (NLA_F_NESTED); network one in
// network order (NLA_F_NET_BYTEORDER).
const (
	nested  = 0x8000
	network = 0x4000
)

func put(b []byte, kind uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, data...)
	return append(b, make([]byte, (4-len(data)%4)%4)...)
}

func putText(b []byte, kind uint16, s string) []byte { return put(b, kind, append([]byte(s), 0)) }

// putAddress puts an IPv4 (1) or IPv6 (2) address.
func putAddress(b []byte, kind uint16, a netip.Addr) []byte {
	inner := uint16(1 | network)
	if a.Is6() {
		inner = 2 | network
	}
	return put(b, kind|nested, put(nil, inner, a.AsSlice()))
}

// head is what each request starts with: struct nfgenmsg, and the protocol's
// version.
func head(family rules.Family) []byte {
	return put([]byte{byte(family), 0, 0, 0}, attrProtocol, []byte{protocolVersion})
}

// ListRequest asks for all sets (name empty) or one: with entries, or without.
func ListRequest(name string, entries bool) []byte {
	b := head(rules.IP)
	if name != "" {
		b = putText(b, attrSetName, name)
	}
	if !entries {
		b = put(b, attrFlags|network, binary.BigEndian.AppendUint32(nil, headerOnly))
	}
	return b
}

// NamesRequest asks for the names of all sets. That is all that the kernel tells of
// a set without counting its entries when it lists it.
func NamesRequest() []byte {
	return put(head(rules.IP), attrFlags|network, binary.BigEndian.AppendUint32(nil, nameOnly))
}

// NameRequest asks about one set, with CommandHeader or CommandByName.
func NameRequest(name string) []byte { return putText(head(rules.IP), attrSetName, name) }

// TestRequest asks whether a set contains an entry, which is written as `ipset
// test` takes it. The kernel answers with no error, or with NotInSet. With a
// timeout, which is of no other effect, it is NotInSet for every entry where the
// set has no timeouts: ip_set_get_extensions refuses them, and ip_set_utest makes
// NotInSet of any refusal.
func TestRequest(set *rules.IPSet, entry string, timeout bool) ([]byte, error) {
	k := kinds[set.Type]
	if k == nil || k.dims[0] == dimSet {
		return nil, fmt.Errorf("test ipset %s: type %s can't be asked", set.Name, set.Type)
	}
	s, err := k.parseEntry(set.Family, entry)
	if err != nil {
		return nil, fmt.Errorf("test ipset %s: entry %q: %w", set.Name, entry, err)
	}
	var data []byte
	slot := 0
	for _, d := range k.dims {
		switch d {
		case dimIP, dimNet:
			kinds := [2][2]uint16{{dataIP, dataCIDR}, {entryIP2, entryCIDR2}}[slot]
			data = putAddress(data, kinds[0], s.addresses[slot].Addr())
			if d == dimNet {
				data = put(data, kinds[1], []byte{byte(s.addresses[slot].Bits())})
			}
			slot++
		case dimPort, dimBare:
			data = put(data, dataPort|network, binary.BigEndian.AppendUint16(nil, s.port))
			if d == dimPort {
				data = put(data, dataProto, []byte{s.protocol})
			}
		case dimMAC:
			if s.hasMAC {
				data = put(data, entryMAC, s.mac[:])
			}
		case dimMark:
			data = put(data, dataMark|network, binary.BigEndian.AppendUint32(nil, s.mark))
		case dimDevice:
			data = putText(data, entryDevice, s.device)
			if s.bridged {
				data = put(data, dataFlags|network, binary.BigEndian.AppendUint32(nil, flagPhysdev))
			}
		}
	}
	if timeout {
		data = put(data, dataTimeout|network, binary.BigEndian.AppendUint32(nil, 0))
	}
	b := putText(head(set.Family), attrSetName, set.Name)
	return put(b, attrData|nested, data), nil
}
