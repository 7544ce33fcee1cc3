package ipset

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/portwhy/portwhy/rules"
)

// Fields are parts of a packet.
type Fields uint16

// The fields that may be unknown.
const (
	Source Fields = 1 << iota
	Destination
	SourcePort
	DestinationPort
	SourceMAC
	DestinationMAC
	Mark
	InDevice
	OutDevice
)

// Packet is what a set may ask of a packet.
type Packet struct {
	Family   rules.Family // IP or IP6
	Src, Dst netip.Addr
	// Protocol is that of the transport header, 0 if there is none to be found.
	Protocol uint8
	// Ports says that the transport header is there: it is not in a later
	// fragment, nor in a packet that is too short. For ICMP both ports are type *
	// 256 + code; for other protocols without ports they are 0.
	Ports            bool
	SrcPort, DstPort uint16
	// Ethernet says that the packet has an Ethernet header.
	Ethernet       bool
	SrcMAC, DstMAC [6]byte
	In, Out        string // devices
	BridgeIn       string // ports of a bridge, for a question with Physdev
	BridgeOut      string
	Mark           uint32
	// Unknown are the fields that are not known; what a set says about them is
	// then undecided.
	Unknown Fields
}

// Question is how a rule asks a set (struct xt_set_info, IPSET_FLAG_* of
// linux/netfilter/ipset/ip_set.h).
type Question struct {
	Dim           int     // how many parts of an entry the rule gives
	Src           [3]bool // which side of the packet each is: src, not dst
	ReturnNomatch bool
	Physdev       bool
	Counters      bool // the rule also compares an entry's counters
}

// Answer is whether a set contains a packet. If Why is set that is not certain,
// and Found is what held when the set was read.
type Answer struct {
	Found bool
	Why   string
}

// Sets are sets that can be asked. They are safe for concurrent use if Test is.
type Sets struct {
	// Test asks whether a set whose entries are not known has one (ipset test);
	// nil if nobody can be asked.
	Test func(set, entry string) (found, ok bool)

	names   map[string]*index
	numbers map[uint16]*index
}

// New prepares sets for questions. Their entries are sorted when they are asked
// first, and must not change from then on.
func New(list []*rules.IPSet) *Sets {
	s := &Sets{names: map[string]*index{}, numbers: map[uint16]*index{}}
	for _, set := range list {
		x := &index{set: set}
		s.names[set.Name] = x
		if set.Index != unknownIndex {
			s.numbers[set.Index] = x
		}
	}
	return s
}

// Contains asks a set by its name, as iptables' match set does (ip_set_test in
// net/netfilter/ipset/ip_set_core.c).
func (s *Sets) Contains(name string, q Question, p *Packet) Answer {
	x := s.names[name]
	if x == nil {
		return Answer{Why: fmt.Sprintf("ipset %s is not known", name)}
	}
	return s.ask(x, q, p, 0)
}

// ContainsIndex is Contains by the kernel's number of the set.
func (s *Sets) ContainsIndex(n uint16, q Question, p *Packet) Answer {
	x := s.numbers[n]
	if x == nil {
		return Answer{Why: fmt.Sprintf("ipset number %d is not known", n)}
	}
	return s.ask(x, q, p, 0)
}

// expandMax bounds the entries that ranges of addresses and ports make.
const expandMax = 1 << 22

// listDepth is how deep lists may lie in lists. The kernel allows none.
const listDepth = 2

func (s *Sets) ask(x *index, q Question, p *Packet, depth int) Answer {
	x.once.Do(x.make)
	switch {
	case x.wrong != "":
		return Answer{Why: x.wrong}
	case q.Dim < len(x.kind.dims) || x.set.Family != 0 && x.set.Family != p.Family:
		return Answer{}
	case x.kind.dims[0] == dimSet:
		return s.askList(x, q, p, depth)
	}
	m, fits, why := x.member(q, p)
	switch {
	case !fits:
		return Answer{}
	case why != "":
		return Answer{Why: fmt.Sprintf("ipset %s: %s", x.set.Name, why)}
	case !x.set.Known:
		return s.askHost(x, q, m)
	}
	return x.find(q, m)
}

// askHost asks for one entry of a set that is not known.
func (s *Sets) askHost(x *index, q Question, m *member) Answer {
	why := "the entries of ipset " + x.set.Name + " are not known"
	if q.ReturnNomatch && slices.Contains(x.kind.dims, dimNet) || q.Counters && x.counters || s.Test == nil {
		return Answer{Why: why}
	}
	found, ok := s.Test(x.set.Name, x.kind.format(m))
	switch {
	case !ok:
		return Answer{Why: why}
	case found && x.timeout:
		return Answer{true, "entries of ipset " + x.set.Name + " may time out"}
	}
	return Answer{Found: found}
}

// askList asks the sets of a list, one after the other (list_set_ktest).
func (s *Sets) askList(x *index, q Question, p *Packet, depth int) Answer {
	if !x.set.Known {
		return Answer{Why: "the entries of ipset " + x.set.Name + " are not known"}
	}
	if depth == listDepth {
		return Answer{Why: "ipset " + x.set.Name + " is a list in lists"}
	}
	inner := q
	inner.Counters = false
	var answer Answer
	for i := range x.set.Elements {
		el := &x.set.Elements[i]
		member := s.names[el.Entry]
		if member == nil {
			answer.Why = fmt.Sprintf("ipset %s in %s is not known", el.Entry, x.set.Name)
			continue
		}
		a := s.ask(member, inner, p, depth+1)
		doubt := x.doubt(el, q)
		switch {
		case a.Found && a.Why == "" && doubt == "":
			return a
		case a.Why != "":
			answer = Answer{answer.Found || a.Found, a.Why}
		case a.Found:
			answer = Answer{true, doubt}
		}
	}
	return answer
}

// doubt is why an entry that is there may not count.
func (x *index) doubt(el *rules.IPSetElement, q Question) string {
	switch timeout := el.Options["timeout"]; {
	case q.Counters && x.counters:
		return "it depends on the counters of ipset " + x.set.Name
	case timeout != "" && timeout != "0":
		return "the entry of ipset " + x.set.Name + " is there for another " + timeout + " s"
	case timeout == "" && x.timeout && x.set.Options["timeout"] != "0":
		return "the entry of ipset " + x.set.Name + " times out"
	}
	return ""
}

// member is what the kernel looks for on behalf of a packet: fits is false if
// the packet has no such fields and is in no set of this type, why says what is
// not known (the kadt functions of the types).
func (x *index) member(q Question, p *Packet) (m *member, fits bool, why string) {
	m = &member{}
	slot := 0
	for i, d := range x.kind.dims {
		src := q.Src[min(i, len(q.Src)-1)]
		switch d {
		case dimIP, dimNet:
			a := p.Dst
			if src {
				a = p.Src
			}
			if p.unknown(src, Source, Destination) {
				why = "the packet's address is not known"
			} else if !a.IsValid() || a.Is4() != (p.Family == rules.IP) {
				return nil, false, ""
			} else {
				a = x.masked(a)
				m.addresses[slot] = netip.PrefixFrom(a, a.BitLen())
			}
			if x.kind.ranged && why == "" && (a.Less(x.first) || x.last.Less(a)) {
				return nil, false, ""
			}
			slot++
		case dimPort, dimBare:
			ports := withPorts(p.Protocol) || p.Protocol == protoICMP || p.Protocol == protoICMP6
			// A later fragment of IPv6 has no protocol for the set either.
			if p.Protocol == 0 && p.Family == rules.IP || !p.Ports && (ports || p.Family == rules.IP6) ||
				d == dimBare && p.Protocol != protoTCP && p.Protocol != protoUDP {
				return nil, false, ""
			}
			m.protocol = p.Protocol
			if ports {
				if m.port = p.DstPort; src {
					m.port = p.SrcPort
				}
				if p.unknown(src, SourcePort, DestinationPort) {
					why = "the packet's port is not known"
				}
			}
			if d == dimBare {
				if m.protocol = 0; why == "" && (m.port < x.firstPort || m.port > x.lastPort) {
					return nil, false, ""
				}
			}
		case dimMAC:
			if m.mac = p.DstMAC; src {
				m.mac = p.SrcMAC
			}
			m.hasMAC = true
			if p.unknown(src, SourceMAC, DestinationMAC) {
				why = "the packet's Ethernet address is not known"
			} else if !p.Ethernet || m.mac == [6]byte{} {
				return nil, false, ""
			}
		case dimMark:
			if m.mark = p.Mark & x.markMask; p.Unknown&Mark != 0 {
				why = "the packet's mark is not known"
			}
		case dimDevice:
			in, out := p.In, p.Out
			if m.bridged = q.Physdev; m.bridged {
				in, out = p.BridgeIn, p.BridgeOut
			}
			if m.device = out; src {
				m.device = in
			}
			if p.unknown(src, InDevice, OutDevice) {
				why = "the packet's device is not known"
			} else if m.device == "" {
				return nil, false, ""
			}
		}
	}
	return m, true, why
}

func (p *Packet) unknown(src bool, s, d Fields) bool {
	if src {
		return p.Unknown&s != 0
	}
	return p.Unknown&d != 0
}

// index finds a set's entries; it is made when the set is first asked.
type index struct {
	set   *rules.IPSet
	once  sync.Once
	wrong string // why it can't be asked
	kind  *kind
	settings

	// found has the number of an element for each key; for types with devices
	// the key is without them, and the numbers' list is in devices.
	found   map[string]int32
	devices map[string][]device
	lengths [2][]int // of networks, longest first
}

// device is one entry of hash:net,iface.
type device struct {
	name    string
	prefix  bool // any device whose name starts like this
	element int32
}

// make sorts the entries by how they are looked for.
func (x *index) make() {
	x.kind = kinds[x.set.Type]
	if x.kind == nil {
		x.wrong = fmt.Sprintf("ipset %s is of type %s, which is not known", x.set.Name, x.set.Type)
		return
	}
	var err error
	if x.settings, err = newSettings(x.kind, x.set); err == nil && x.set.Known && x.kind.dims[0] != dimSet {
		err = x.sort()
	}
	if err != nil {
		x.wrong = fmt.Sprintf("ipset %s: %v", x.set.Name, err)
	}
}

func (x *index) sort() error {
	x.found = make(map[string]int32, len(x.set.Elements))
	if slices.Contains(x.kind.dims, dimDevice) {
		x.devices = map[string][]device{}
	}
	left := min(x.limit, expandMax) + len(x.set.Elements)
	var key []byte
	var lengths [2]map[int]bool
	for i := range lengths {
		lengths[i] = map[int]bool{}
	}
	for i := range x.set.Elements {
		el := &x.set.Elements[i]
		s, err := x.kind.parseEntry(x.set.Family, el.Entry)
		if err != nil {
			return fmt.Errorf("entry %q: %w", el.Entry, err)
		}
		for m := range x.kind.members(s) {
			if left--; left < 0 {
				return fmt.Errorf("there are more than %d entries", x.limit)
			}
			for slot := range m.addresses {
				if m.addresses[slot].IsValid() {
					m.addresses[slot] = x.kept(m.addresses[slot])
					lengths[slot][m.addresses[slot].Bits()] = true
				}
			}
			m.mark &= x.markMask
			key = x.kind.key(key[:0], &m)
			if x.devices != nil {
				_, wildcard := el.Options["wildcard"]
				x.devices[string(key)] = append(x.devices[string(key)], device{m.device, wildcard, int32(i)})
			} else {
				x.found[string(key)] = int32(i)
			}
		}
	}
	for slot, l := range lengths {
		for n := range l {
			x.lengths[slot] = append(x.lengths[slot], n)
		}
		slices.SortFunc(x.lengths[slot], func(a, b int) int { return cmp.Compare(b, a) })
	}
	return nil
}

// kept is a network as the kernel keeps it. It masks what is added; but Linux
// 6.18 doesn't mask the addresses of a range, so that entries which were read
// from a kernel are taken as they are.
func (x *index) kept(p netip.Prefix) netip.Prefix {
	p = p.Masked()
	if x.set.Index == unknownIndex {
		p = netip.PrefixFrom(x.masked(p.Addr()), p.Bits())
	}
	return p
}

// key is what an entry is found by: everything but a device's name. Without a
// MAC address the key of bitmap:ip,mac ends after the address.
func (k *kind) key(b []byte, m *member) []byte {
	for slot := range m.addresses {
		p := m.addresses[slot]
		if !p.IsValid() {
			continue
		}
		b = append(append(b, p.Addr().AsSlice()...), byte(p.Bits()))
	}
	for _, d := range k.dims {
		switch d {
		case dimPort, dimBare:
			b = binary.BigEndian.AppendUint16(append(b, m.protocol), m.port)
		case dimMAC:
			if m.hasMAC {
				b = append(b, m.mac[:]...)
			}
		case dimMark:
			b = binary.BigEndian.AppendUint32(b, m.mark)
		case dimDevice:
			if m.bridged {
				b = append(b, 1)
			}
		}
	}
	return b
}

// find looks a member up. Networks are tried from the most specific on
// (mtype_test_cidrs in ip_set_hash_gen.h): the first that is there counts, even
// if it says nomatch.
func (x *index) find(q Question, m *member) Answer {
	var answers []Answer // of entries that may be gone, and of the first that stays
	certain := false
	try := func(element int32) bool {
		el := &x.set.Elements[element]
		a := Answer{Found: el.NoMatch == q.ReturnNomatch, Why: x.doubt(el, q)}
		if !slices.Contains(x.kind.dims, dimNet) {
			a.Found = true
		}
		answers = append(answers, a)
		certain = a.Why == ""
		return certain
	}
	x.search(m, try)
	if !certain {
		answers = append(answers, Answer{})
	}
	result := answers[0]
	for _, a := range answers[1:] {
		if a.Found != result.Found {
			return result
		}
	}
	result.Why = "" // however many of them are gone, the answer is the same
	return result
}

// search calls try with the elements that match, in the kernel's order, until
// it returns true.
func (x *index) search(m *member, try func(int32) bool) {
	if !slices.Contains(x.kind.dims, dimNet) {
		if i, ok := x.found[string(x.kind.key(nil, m))]; ok && try(i) || x.kind.dims[len(x.kind.dims)-1] != dimMAC || !x.kind.ranged {
			return
		}
		// bitmap:ip,mac: an entry without a MAC address takes any.
		open := *m
		open.hasMAC = false
		if i, ok := x.found[string(x.kind.key(nil, &open))]; ok {
			try(i)
		}
		return
	}
	var key []byte
	one := *m
	slots := [2][]int{{m.addresses[0].Bits()}, {-1}}
	slot := 0
	for _, d := range x.kind.dims {
		if d == dimNet {
			slots[slot] = x.lengths[slot]
		}
		if d == dimNet || d == dimIP {
			slot++
		}
	}
	if m.addresses[1].IsValid() && slots[1] != nil && slots[1][0] == -1 {
		slots[1] = []int{m.addresses[1].Bits()}
	}
	for _, a := range slots[0] {
		one.addresses[0], _ = m.addresses[0].Addr().Prefix(a)
		for _, b := range slots[1] {
			if b >= 0 {
				one.addresses[1], _ = m.addresses[1].Addr().Prefix(b)
			}
			key = x.kind.key(key[:0], &one)
			if x.devices != nil {
				if list, ok := x.devices[string(key)]; ok {
					if x.searchDevices(list, m.device, try) {
						return
					}
				}
			} else if i, ok := x.found[string(key)]; ok && try(i) {
				return
			}
		}
	}
}

// searchDevices reports whether the search ends with this network. It does so
// even if none of its devices is the packet's: the kernel looks no further than
// the most specific network that it has (data_equal of ip_set_hash_netiface.c
// counts in multi, which ends mtype_test_cidrs).
//
// Where an entry matches but may be gone it looks on.
func (x *index) searchDevices(list []device, name string, try func(int32) bool) bool {
	for _, d := range list {
		if d.name == name || d.prefix && strings.HasPrefix(name, d.name) {
			return try(d.element)
		}
	}
	return true
}
