package ipset

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

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
	// nil if nobody can be asked. Of a set that is unread ok is false if it has the
	// entry, and its entries may time out.
	Test func(set *rules.IPSet, entry string) (found, ok bool)
	// Read reads all sets: for questions that a test doesn't answer about sets that
	// are unread. Nil if nobody can read them.
	Read func() []*rules.IPSet
	// Holds is for how long after the sets were read the answer is wanted, zero if
	// that is not known: an entry that ends earlier is in doubt.
	Holds time.Duration

	names   map[string]*index
	numbers map[uint16]*index
	once    sync.Once
	read    map[string]*index // what Read has read
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
	case x.set.Unread:
		return s.askUnread(x, q, p, depth)
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
	return x.find(q, m, s.Holds)
}

// askUnread asks a set of which only the head is known: for one entry if that
// answers the question, else all sets are read.
func (s *Sets) askUnread(x *index, q Question, p *Packet, depth int) Answer {
	tells := s.Test != nil && !x.kind.ranged && x.kind.dims[0] != dimSet && !q.Counters && !(q.ReturnNomatch && slices.Contains(x.kind.dims, dimNet))
	if tells {
		m, fits, why := x.member(q, p)
		if !fits {
			return Answer{}
		}
		if why == "" {
			if found, ok := s.Test(x.set, x.kind.format(m)); ok {
				return Answer{Found: found}
			}
		}
	}
	s.once.Do(func() {
		if s.Read != nil {
			s.read = New(s.Read()).names
		}
	})
	if read := s.read[x.set.Name]; read != nil && !read.set.Unread {
		return s.ask(read, q, p, depth)
	}
	return Answer{Why: "the entries of ipset " + x.set.Name + " are not known"}
}

// askHost asks for one entry of a set that is not known.
func (s *Sets) askHost(x *index, q Question, m *member) Answer {
	why := "the entries of ipset " + x.set.Name + " are not known"
	if q.ReturnNomatch && slices.Contains(x.kind.dims, dimNet) || q.Counters && x.counters || s.Test == nil {
		return Answer{Why: why}
	}
	found, ok := s.Test(x.set, x.kind.format(m))
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
		doubt := x.doubt(el, q, s.Holds)
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
func (x *index) doubt(el *rules.IPSetElement, q Question, holds time.Duration) string {
	timeout, _ := el.Options.Get("timeout")
	left, err := strconv.ParseUint(timeout, 10, 32)
	switch {
	case q.Counters && x.counters:
		return "it depends on the counters of ipset " + x.set.Name
	case err == nil && holds > 0 && time.Duration(left)*time.Second > holds:
		return ""
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
