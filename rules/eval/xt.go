package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// probe is a match of iptables that is being run on the packet (xt_match.match
// of the kernel, with struct xt_action_param).
type probe struct {
	*walk
	m *rules.Match
	d []byte // the match's structure, of at least the size that the table tells

	transport int  // where the transport header starts
	fragment  int  // offset of a later fragment: in units of 8 bytes for IPv4, in bytes for IPv6
	headed    bool // the packet has a transport header
	hotdrop   bool // the packet is lost, whatever the rule says
}

// matcher is one revision of a match. Family 0 stands for IPv4 and IPv6.
type matcher struct {
	rev    uint8
	family rules.Family
	size   int // of the kernel's structure, without padding
	run    func(x *probe) answer
}

// match runs a match of iptables.
func (w *walk) match(m *rules.Match) rules.VerdictKind {
	if why := bracketed[m.Ext]; why != "" {
		return w.perhaps(blame{"match " + m.Ext, why})
	}
	family := w.packet.Family
	for _, c := range portMatchers[m.Ext] {
		if c.rev != m.Rev || c.family != 0 && c.family != family || family != rules.IP && family != rules.IP6 {
			continue
		}
		if len(m.Data) < c.size {
			return w.perhaps(blame{"match " + m.Ext, "its structure is too short"})
		}
		x := probe{walk: w, m: m, d: m.Data}
		x.locate()
		a := c.run(&x)
		if x.hotdrop {
			return rules.Drop
		}
		if a.why == "" {
			return matched(a.yes)
		}
		return w.perhaps(blame{"match " + m.Ext, a.why})
	}
	return w.perhaps(blame{"match " + m.Ext, "it is not modelled"})
}

// locate finds the transport header (par->thoff and par->fragoff).
func (x *probe) locate() {
	d := x.packet.Data
	if x.packet.Family == rules.IP {
		if len(d) >= 20 {
			x.transport, x.headed = int(d[0]&15)*4, true
			x.fragment = int(binary.BigEndian.Uint16(d[6:]) & 0x1fff)
		}
		return
	}
	if offset, _, found, header := x.packet.transport6(); header {
		x.transport, x.headed = offset, true
	} else if found {
		x.fragment = 8 // or more: no match tells them apart
	}
}

// missing reports whether n bytes of the transport header aren't there: then
// the kernel drops the packet.
func (x *probe) missing(n int) bool {
	if x.headed && x.transport+n <= len(x.packet.Data) {
		return false
	}
	x.hotdrop = true
	return true
}

// Integers of the match's structure, in the host's order.

func (x *probe) arg8(at int) uint32  { return uint32(x.d[at]) }
func (x *probe) arg16(at int) uint32 { return uint32(binary.NativeEndian.Uint16(x.d[at:])) }
func (x *probe) arg32(at int) uint32 { return binary.NativeEndian.Uint32(x.d[at:]) }

// field is a number from the packet, and why it is not known.
type field struct {
	v    uint32
	why  string
	most uint32 // what it can be, if it isn't known
}

func known(v uint32) field { return field{v: v} }

// field reads size bytes of the packet, which must be there.
func (x *probe) field(at, size int) field {
	p := &x.packet
	if len(p.hidden) > 0 {
		if b := p.blind(at, at+size); b != nil {
			return field{why: b.why, most: uint32(1<<(8*size) - 1)}
		}
	}
	switch size {
	case 1:
		return known(uint32(p.Data[at]))
	case 2:
		return known(uint32(binary.BigEndian.Uint16(p.Data[at:])))
	}
	return known(binary.BigEndian.Uint32(p.Data[at:]))
}

// in reports whether the field lies between two numbers.
func (f field) in(low, high uint32) answer {
	if f.why != "" {
		if low == 0 && high >= f.most {
			return isSo
		}
		if low > high {
			return isNot
		}
		return unsure(f.why)
	}
	return holds(low <= f.v && f.v <= high)
}

// is reports whether the field, masked, is a number.
func (f field) is(v, mask uint32) answer {
	if f.why != "" {
		if v&^mask != 0 {
			return isNot
		}
		return unsure(f.why)
	}
	return holds(f.v&mask == v)
}

// unless turns an answer round if the rule inverts it.
func (a answer) unless(inverted bool) answer {
	if a.why == "" {
		a.yes = a.yes != inverted
	}
	return a
}

// all is true if every answer is, and false for certain if one is.
func all(answers ...answer) answer {
	result := isSo
	for _, a := range answers {
		switch {
		case a.why == "" && !a.yes:
			return isNot
		case a.why != "":
			result = a
		}
	}
	return result
}

// anyOf is the counterpart of all.
func anyOf(answers ...answer) answer {
	result := isNot
	for _, a := range answers {
		switch {
		case a.why == "" && a.yes:
			return isSo
		case a.why != "":
			result = a
		}
	}
	return result
}

const past = "it depends on what has passed before"

// bracketed are matches that can't be known from a packet, with the reason.
var bracketed = map[string]string{
	"connbytes": "it depends on how much the connection has carried",
	"connlimit": "it depends on how many connections are open",
	"cpu":       "it depends on the processor that handles the packet",
	"hashlimit": past,
	"limit":     past,
	"nfacct":    past,
	"osf":       "the fingerprints of systems are not read",
	"quota":     past,
	"rateest":   "it depends on how fast packets pass",
	"recent":    past,
	"statistic": "it depends on chance or on what has passed before",
}
