package eval

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
)

// setMatchers and setTargets are those on ipsets.
var (
	setMatchers = map[string][]matcher{
		"set": {{rev: 0, family: rules.IP, size: 30, run: matchSet}, {rev: 1, size: 4, run: matchSet}, {rev: 2, size: 4, run: matchSet},
			{rev: 3, size: 44, run: matchSet}, {rev: 4, size: 44, run: matchSet}},
	}
	setTargets = map[string][]actor{
		"SET": {{rev: 0, family: rules.IP, size: 62, run: targetSet}, {rev: 1, size: 8, run: targetSet}, {rev: 2, size: 16, run: targetSet}, {rev: 3, size: 20, run: targetSet}},
	}
)

// Flags of a set in a rule (IPSET_* and IPSET_FLAG_* of ip_set.h).
const (
	setInverted    = 1
	setNomatchOld  = 0x80
	setPhysdev     = 1 << 1
	setNomatch     = 1 << 7
	setMapMark     = 1 << 8
	setMapPriority = 1 << 9
	noSet          = 0xffff // IPSET_INVALID_ID
)

// reference is struct xt_set_info, or xt_set_info_v0 with what the kernel has
// made of it: a set, and which sides of the packet are looked up in it.
type reference struct {
	name  string
	index uint16
	dim   int
	flags byte
}

// reference reads the structure at an offset, which is the extension's nth.
func (x *probe) reference(at, nth int) reference {
	r := reference{index: uint16(x.arg16(at))}
	if x.rev == 0 {
		r.dim, r.flags = int(x.d[at+28]), x.d[at+29]
	} else {
		r.dim, r.flags = int(x.d[at+2]), x.d[at+3]
	}
	if nth < len(x.sets) {
		r.name = x.sets[nth]
	}
	return r
}

// matchSet is set_match_v0 to _v4 of xt_set.c.
func matchSet(x *probe) answer {
	r := x.reference(0, 0)
	q := ipset.Question{}
	switch x.rev {
	case 1, 2:
		q.ReturnNomatch = r.flags&setNomatchOld != 0
	case 3:
		q.Counters = x.d[8] != 0 || x.d[24] != 0
	case 4:
		q.Counters = x.d[16] != 0 || x.d[32] != 0
	}
	if x.rev >= 3 {
		flags := x.arg32(40)
		q.ReturnNomatch, q.Physdev = flags&setNomatch != 0, flags&setPhysdev != 0
	}
	return x.inSet(r, q).unless(r.flags&setInverted != 0)
}

// inSet asks a set for the packet.
func (x *probe) inSet(r reference, q ipset.Question) answer {
	q.Dim = r.dim
	for i := range q.Src {
		q.Src[i] = r.flags&(2<<i) != 0
	}
	if q.Physdev && !x.called {
		if why := x.maybeBridged(); why != "" {
			return unsure(why)
		}
	}
	if len(x.changedSets) > 0 && (x.changedSets[r.name] || x.changedSets[""] || x.isList(r.name)) {
		return unsure("the packet itself has changed ipset " + r.name)
	}
	p := x.setPacket()
	var a ipset.Answer
	if sets := x.m.ipsetsToAsk(); r.name != "" {
		a = sets.Contains(r.name, q, &p)
	} else {
		a = sets.ContainsIndex(r.index, q, &p)
	}
	if a.Why != "" {
		return unsure(a.Why)
	}
	return holds(a.Found)
}

// isList reports whether a set may have others in it.
func (x *probe) isList(name string) bool {
	s := x.m.set.IPSet(name)
	return s == nil || s.Type == "list:set"
}

// setPacket is what sets may ask of the packet.
func (x *probe) setPacket() ipset.Packet {
	p := &x.packet
	s := ipset.Packet{Family: p.Family, In: p.In, Out: p.Out, BridgeIn: x.physIn, BridgeOut: x.physOut, Mark: p.Mark}
	for i, field := range []ipset.Fields{ipset.Source, ipset.Destination} {
		a := p.Address(i == 1)
		if !a.IsValid() {
			s.Unknown |= field
		}
		if i == 0 {
			s.Src = a
		} else {
			s.Dst = a
		}
	}
	if x.markUnknown != nil {
		s.Unknown |= ipset.Mark
	}
	if x.inBlame() != nil {
		s.Unknown |= ipset.InDevice
	}
	if x.outBlame() != nil {
		s.Unknown |= ipset.OutDevice
	}
	// Sets look for the header by themselves.
	at, protocol, found, header := p.transport()
	if s.Protocol = protocol; !found {
		s.Protocol = 0
	}
	if header {
		x.setPorts(&s, at)
	}
	if x.arrived {
		ether, why := x.ethernet()
		if why != "" {
			s.Ethernet, s.Unknown = true, s.Unknown|ipset.SourceMAC|ipset.DestinationMAC
		} else if s.Ethernet = ether || p.In == "lo"; len(p.Link) >= 14 && s.Ethernet {
			copy(s.DstMAC[:], p.Link)
			copy(s.SrcMAC[:], p.Link[6:])
		}
	}
	return s
}

// setPorts is ip_set_get_ip4_port and ip_set_get_ip6_port: for ICMP it is type
// and code.
func (x *probe) setPorts(s *ipset.Packet, at int) {
	p := &x.packet
	icmp := s.Protocol == protocolICMP || s.Protocol == protocolICMP6
	least := map[uint8]int{protocolTCP: 20, protocolSCTP: 12, protocolUDP: 8, protocolUDPLite: 8, protocolICMP: 8, protocolICMP6: 8}[s.Protocol]
	if s.Ports = at+least <= len(p.Data); !s.Ports || least == 0 {
		return
	}
	if icmp {
		v := x.field(at, 2)
		s.SrcPort, s.DstPort = uint16(v.v), uint16(v.v)
		if v.why != "" {
			s.Unknown |= ipset.SourcePort | ipset.DestinationPort
		}
		return
	}
	source, destination := x.field(at, 2), x.field(at+2, 2)
	s.SrcPort, s.DstPort = uint16(source.v), uint16(destination.v)
	if source.why != "" {
		s.Unknown |= ipset.SourcePort
	}
	if destination.why != "" {
		s.Unknown |= ipset.DestinationPort
	}
}

// targetSet is set_target_v0 to _v3 of xt_set.c: entries are added and deleted,
// and the packet may get a mark and priority from a set's entry.
func targetSet(x *probe) rules.VerdictKind {
	size := 4
	if x.rev == 0 {
		size = 32
	}
	for nth := range 2 {
		if r := x.reference(nth*size, nth); r.name != "" || r.index != noSet {
			if x.changedSets == nil {
				x.changedSets = map[string]bool{}
			}
			x.changedSets[r.name] = true
		}
	}
	if x.rev < 3 {
		return rules.Continue
	}
	r, flags := x.reference(8, 2), x.arg32(12)
	if r.name == "" && r.index == noSet {
		return rules.Continue
	}
	if a := x.inSet(r, ipset.Question{}).unless(r.flags&setInverted != 0); a == isNot {
		return rules.Continue
	}
	b := blame{"target SET", "what the entry of ipset " + r.name + " has for the packet is not read"}
	if flags&setMapMark != 0 {
		x.forgetMark(b)
	}
	if flags&setMapPriority != 0 {
		x.changed, x.priorityUnknown = true, &b
	}
	return rules.Continue
}

// ipsetsToAsk prepares the ruleset's ipsets when they are first asked.
func (m *Machine) ipsetsToAsk() *ipset.Sets {
	if m.ipsets == nil {
		m.ipsets = ipset.New(m.set.IPSets)
		m.ipsets.Test, m.ipsets.Read, m.ipsets.Holds = m.host.IPSetTest, m.host.IPSets, m.host.Holds
	}
	return m.ipsets
}
