package ipset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/portwhy/portwhy/rules"
)

// Attributes of linux/netfilter/ipset/ip_set.h. Numbers mean different things
// in a command, in the data of create, and in the data of an entry.
const (
	attrProtocol = 1
	attrSetName  = 2
	attrTypeName = 3
	attrRevision = 4
	attrFamily   = 5
	attrFlags    = 6
	attrData     = 7
	attrEntries  = 8
	attrIndex    = 11

	dataIP         = 1
	dataIPTo       = 2
	dataCIDR       = 3
	dataPort       = 4
	dataPortTo     = 5
	dataTimeout    = 6
	dataProto      = 7
	dataFlags      = 8
	dataLine       = 9
	dataMark       = 10
	dataMarkMask   = 11
	dataBitmask    = 12
	createInitVal  = 17
	createHashSize = 18
	createMaxElem  = 19
	createNetmask  = 20
	createBuckets  = 21
	createSize     = 23
	createElements = 24
	createRefs     = 25
	createMemory   = 26
	entryMAC       = 17
	entryName      = 18
	entryNameRef   = 19
	entryIP2       = 20
	entryCIDR2     = 21
	entryDevice    = 23
	entryBytes     = 24
	entryPackets   = 25
	entryComment   = 26
	entrySkbMark   = 27
	entrySkbPrio   = 28
	entrySkbQueue  = 29

	flagPhysdev  = 1 << 1
	flagNomatch  = 1 << 2
	flagCounters = 1 << 3
	flagComment  = 1 << 4
	flagForceadd = 1 << 5
	flagSkbinfo  = 1 << 6
	flagWildcard = 1 << 7
)

// Commands of linux/netfilter/ipset/ip_set.h, to be sent to nfnetlink's
// subsystem of ipset, and the flag of ListRequest that leaves out entries.
const (
	Subsystem     = 6 // NFNL_SUBSYS_IPSET
	CommandList   = 7
	CommandTest   = 11
	CommandHeader = 12
	CommandByName = 14

	// NotInSet is the kernel's error for an entry that a set doesn't contain
	// (IPSET_ERR_EXIST).
	NotInSet = 4103

	nameOnly   = 2 // IPSET_FLAG_LIST_SETNAME
	headerOnly = 4 // IPSET_FLAG_LIST_HEADER
)

// Entries is the option in which a set that was decoded says how many entries it
// has.
const Entries = "elements"

// protocolVersion is the one that tells a set's index (Linux 4.19).
const protocolVersion = 7

// ErrMessage means that a message of the kernel is not what it should be.
var ErrMessage = errors.New("unexpected message on ipsets")

// attribute is a netlink attribute without the flags in its type.
type attribute struct {
	kind uint16
	data []byte
}

// attributes calls f with each attribute of a message or a nested attribute.
func attributes(b []byte, f func(attribute) error) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return fmt.Errorf("%w: an attribute has %d of %d bytes", ErrMessage, n, len(b))
		}
		if err := f(attribute{binary.NativeEndian.Uint16(b[2:]) & 0x3fff, b[4:n]}); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// number reads a number of 1 to 8 bytes in network order.
func (a attribute) number() (uint64, error) {
	switch len(a.data) {
	case 1:
		return uint64(a.data[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(a.data)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(a.data)), nil
	case 8:
		return binary.BigEndian.Uint64(a.data), nil
	}
	return 0, fmt.Errorf("%w: attribute %d has %d bytes", ErrMessage, a.kind, len(a.data))
}

// text reads a string that ends at a NUL byte or at the end.
func (a attribute) text() string {
	for i, c := range a.data {
		if c == 0 {
			return string(a.data[:i])
		}
	}
	return string(a.data)
}

// address reads a nested address (IPSET_ATTR_IPADDR_IPV4 or _IPV6).
func (a attribute) address() (ip netip.Addr, err error) {
	err = attributes(a.data, func(inner attribute) error {
		ip, _ = netip.AddrFromSlice(inner.data)
		return nil
	})
	if err == nil && !ip.IsValid() {
		err = fmt.Errorf("%w: attribute %d is not an address", ErrMessage, a.kind)
	}
	return ip, err
}

// Decoder puts together the sets that the kernel lists: a large set takes many
// messages.
type Decoder struct {
	sets  []*rules.IPSet
	names map[string]*rules.IPSet
}

// Message reads one message of a list, what follows struct nfgenmsg.
func (d *Decoder) Message(b []byte) error {
	get := map[uint16]attribute{}
	err := attributes(b, func(a attribute) error {
		get[a.kind] = a
		return nil
	})
	if err != nil {
		return err
	}
	name := get[attrSetName].text()
	if name == "" {
		return fmt.Errorf("%w: a set has no name", ErrMessage)
	}
	set := d.names[name]
	if typ, ok := get[attrTypeName]; ok {
		if set, err = decodeHeader(name, typ.text(), get); err != nil {
			return fmt.Errorf("ipset %s: %w", name, err)
		}
		if d.names == nil {
			d.names = map[string]*rules.IPSet{}
		}
		d.names[name] = set
		d.sets = append(d.sets, set)
	}
	if set == nil {
		return fmt.Errorf("%w: ipset %s has no head", ErrMessage, name)
	}
	return attributes(get[attrEntries].data, func(a attribute) error {
		el, err := decodeEntry(set, a.data)
		if err != nil {
			return fmt.Errorf("ipset %s: %w", name, err)
		}
		set.Elements = append(set.Elements, el)
		return nil
	})
}

// Sets are the sets that were listed. Known is false for all of them: whether
// entries were asked for is up to the caller.
func (d *Decoder) Sets() []*rules.IPSet { return d.sets }

// Named is the set that a message of [NamesRequest]'s answer names.
func Named(b []byte) (*rules.IPSet, error) {
	set := &rules.IPSet{Index: unknownIndex, Unread: true}
	if err := Describe(set, b); err != nil {
		return nil, err
	}
	if set.Name == "" {
		return nil, fmt.Errorf("%w: a set has no name", ErrMessage)
	}
	return set, nil
}

// Describe reads what the answers to CommandHeader and CommandByName tell of a
// set: its type and family, and its number.
func Describe(set *rules.IPSet, b []byte) error {
	return attributes(b, func(a attribute) error {
		switch a.kind {
		case attrSetName:
			set.Name = a.text()
			return nil
		case attrTypeName:
			set.Type = a.text()
			return nil
		case attrFamily, attrIndex:
		default:
			return nil
		}
		n, err := a.number()
		if a.kind == attrIndex {
			set.Index = uint16(n)
		} else {
			set.Family = rules.Family(n)
		}
		return err
	})
}

func decodeHeader(name, typ string, get map[uint16]attribute) (*rules.IPSet, error) {
	set := &rules.IPSet{Name: name, Index: unknownIndex, Type: typ}
	if a, ok := get[attrIndex]; ok {
		n, err := a.number()
		if err != nil {
			return nil, err
		}
		set.Index = uint16(n)
	}
	if a, ok := get[attrFamily]; ok {
		n, err := a.number()
		if err != nil {
			return nil, err
		}
		set.Family = rules.Family(n)
	}
	var from, to string
	err := attributes(get[attrData].data, func(a attribute) error { return decodeOption(set, a, &from, &to) })
	if err != nil {
		return nil, err
	}
	if from != "" {
		setOption(&set.Options, "range", from+"-"+to)
	}
	return set, nil
}

// createNumbers are options that are numbers.
var createNumbers = map[uint16]string{
	dataTimeout: "timeout", createHashSize: "hashsize", createMaxElem: "maxelem", createNetmask: "netmask",
	createBuckets: "bucketsize", createSize: "size",
}

// createHex are options that are written in hexadecimal.
var createHex = map[uint16]string{dataMarkMask: "markmask", createInitVal: "initval"}

// createFlagNames are options without a value.
var createFlagNames = map[uint64]string{
	flagCounters: "counters", flagComment: "comment", flagForceadd: "forceadd", flagSkbinfo: "skbinfo",
}

func decodeOption(set *rules.IPSet, a attribute, from, to *string) error {
	switch a.kind {
	case dataIP, dataIPTo, dataBitmask:
		ip, err := a.address()
		if err != nil {
			return err
		}
		switch a.kind {
		case dataIP:
			*from = ip.String()
		case dataIPTo:
			*to = ip.String()
		default:
			setOption(&set.Options, "bitmask", ip.String())
		}
		return nil
	case createRefs, createMemory, dataLine:
		return nil // they change by themselves and say nothing about packets
	}
	n, err := a.number()
	if err != nil {
		return err
	}
	name, hex := createNumbers[a.kind], createHex[a.kind]
	switch {
	case a.kind == dataPort:
		*from = strconv.FormatUint(n, 10)
	case a.kind == dataPortTo:
		*to = strconv.FormatUint(n, 10)
	case a.kind == createElements:
		setOption(&set.Options, Entries, strconv.FormatUint(n, 10))
	case a.kind == dataFlags:
		for bit, name := range createFlagNames {
			if n&bit != 0 {
				setOption(&set.Options, name, "")
			}
			n &^= bit
		}
		if n != 0 {
			setOption(&set.Options, "flags", fmt.Sprintf("%#x", n))
		}
	case hex != "":
		setOption(&set.Options, hex, fmt.Sprintf("0x%08x", n))
	case name != "":
		setOption(&set.Options, name, strconv.FormatUint(n, 10))
	default:
		setOption(&set.Options, fmt.Sprintf("attribute%d", a.kind), fmt.Sprintf("%#x", n))
	}
	return nil
}

// decodeEntry reads one entry, as `ipset save` would write it.
func decodeEntry(set *rules.IPSet, b []byte) (rules.IPSetElement, error) {
	var el rules.IPSetElement
	k := kinds[set.Type]
	if k == nil {
		el.Entry = fmt.Sprintf("%x", b) // of a type that is not known: nothing is lost
		return el, nil
	}
	m := member{}
	bits := [2]int{-1, -1}
	if err := attributes(b, func(a attribute) error { return decodePart(&el, &m, &bits, a) }); err != nil {
		return el, err
	}
	for i := range m.addresses {
		if a := m.addresses[i].Addr(); a.IsValid() && bits[i] >= 0 {
			if m.addresses[i] = netip.PrefixFrom(a, bits[i]); !m.addresses[i].IsValid() {
				return el, fmt.Errorf("%w: a network of %d bits", ErrMessage, bits[i])
			}
		}
	}
	el.Entry = k.format(&m)
	return el, nil
}

func decodePart(el *rules.IPSetElement, m *member, bits *[2]int, a attribute) error {
	switch a.kind {
	case dataIP, entryIP2:
		ip, err := a.address()
		if err != nil {
			return err
		}
		slot := 0
		if a.kind == entryIP2 {
			slot = 1
		}
		m.addresses[slot] = netip.PrefixFrom(ip, ip.BitLen())
		return nil
	case entryMAC:
		if len(a.data) < 6 {
			return fmt.Errorf("%w: an Ethernet address of %d bytes", ErrMessage, len(a.data))
		}
		m.mac, m.hasMAC = [6]byte(a.data[:6]), true
		return nil
	case entryName:
		m.set = a.text()
		return nil
	case entryDevice:
		m.device = a.text()
		return nil
	case entryComment:
		el.Options = el.Options.With("comment", a.text())
		return nil
	}
	n, err := a.number()
	if err != nil {
		return err
	}
	switch a.kind {
	case dataCIDR:
		bits[0] = int(n)
	case entryCIDR2:
		bits[1] = int(n)
	case dataPort:
		m.port = uint16(n)
	case dataProto:
		m.protocol = uint8(n)
	case dataMark:
		m.mark = uint32(n)
	case dataFlags:
		if n&flagNomatch != 0 {
			el.Options = el.Options.With("nomatch", "")
		}
		m.bridged = n&flagPhysdev != 0
		if n&flagWildcard != 0 {
			el.Options = el.Options.With("wildcard", "")
		}
	case dataTimeout:
		el.Options = el.Options.With("timeout", strconv.FormatUint(n, 10))
	case entryBytes:
		el.Options = el.Options.With("bytes", strconv.FormatUint(n, 10))
	case entryPackets:
		el.Options = el.Options.With("packets", strconv.FormatUint(n, 10))
	case entrySkbMark:
		mark := fmt.Sprintf("0x%x", n>>32)
		if mask := uint32(n); mask != 0xffffffff {
			mark += fmt.Sprintf("/0x%x", mask)
		}
		el.Options = el.Options.With("skbmark", mark)
	case entrySkbPrio:
		el.Options = el.Options.With("skbprio", fmt.Sprintf("%x:%x", n>>16, n&0xffff))
	case entrySkbQueue:
		el.Options = el.Options.With("skbqueue", strconv.FormatUint(n, 10))
	}
	return nil
}
