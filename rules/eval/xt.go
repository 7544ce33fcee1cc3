package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// probe is a match or target of iptables that is being run on the packet
// (xt_match.match and xt_target.target of the kernel, with struct xt_action_param).
type probe struct {
	*walk
	ext  string
	rev  uint8
	sets []string
	d    []byte // the extension's structure, of at least the size that its table tells

	transport int  // where the transport header starts
	fragment  int  // offset of a later fragment: in units of 8 bytes for IPv4, in bytes for IPv6
	headed    bool // the packet has a transport header
	hotdrop   bool // the packet is lost, whatever the rule says
}

// matcher is one revision of a match, actor one of a target. Family 0 stands
// for IPv4 and IPv6.
type (
	matcher struct {
		rev    uint8
		family rules.Family
		size   int // of the kernel's structure, without padding
		run    func(x *probe) answer
	}
	actor struct {
		rev    uint8
		family rules.Family
		size   int
		run    func(x *probe) rules.VerdictKind
	}
)

// match runs a match of iptables.
func (w *walk) match(m *rules.Match) rules.VerdictKind {
	if w.table.Family == rules.Bridge {
		return w.bridgeMatch(m)
	}
	b := blame{"match " + m.Ext, notModelled}
	if why := w.foreign(m.Ext); why != "" {
		b.why = why
		return w.perhaps(b)
	}
	if why := bracketed[m.Ext]; why != "" {
		b.why = why
		return w.perhaps(b)
	}
	for _, table := range matchTables {
		if a, lost, ok := w.try(table, m); ok {
			if lost {
				return rules.Drop
			}
			if a.why == "" {
				return matched(a.yes)
			}
			b.why = a.why
			return w.perhaps(b)
		}
	}
	return w.perhaps(b)
}

// try runs a match if the table has it; lost says that it loses the packet.
func (w *walk) try(table map[string][]matcher, m *rules.Match) (a answer, lost, ok bool) {
	for _, c := range table[m.Ext] {
		if c.rev != m.Rev || c.family != 0 && c.family != w.packet.Family {
			continue
		}
		if len(m.Data) < c.size {
			return unsure(tooShort), false, true
		}
		x := probe{walk: w, ext: m.Ext, rev: m.Rev, sets: m.Sets, d: m.Data}
		x.locate()
		a = c.run(&x)
		return a, x.hotdrop, true
	}
	return answer{}, false, false
}

// mayLose reports whether a match may lose the packet for a header that is cut off or
// wrong, which the matches on headers alone do.
func (w *walk) mayLose(m *rules.Match) bool {
	if w.table.Family == rules.Bridge || w.foreign(m.Ext) != "" {
		return false
	}
	for _, table := range []map[string][]matcher{portMatchers, header6Matchers} {
		if a, lost, ok := w.try(table, m); ok {
			return lost || a.why != ""
		}
	}
	return false
}

// target runs a target of iptables.
func (w *walk) target(t *rules.Target) rules.VerdictKind {
	switch {
	case w.table.Family == rules.Bridge:
		return w.bridgeTarget(t)
	case w.table.Family == rules.ARP && t.Ext == "mangle":
		return w.arpMangle(t)
	}
	b := blame{"target " + t.Ext, notModelled}
	if harmlessTargets[t.Ext] {
		return rules.Continue
	}
	if why := w.foreign(t.Ext); why != "" {
		b.why = why
		return w.either(b)
	}
	for _, table := range targetTables {
		for _, c := range table[t.Ext] {
			if c.rev != t.Rev || c.family != 0 && c.family != w.packet.Family {
				continue
			}
			if len(t.Data) < c.size {
				b.why = tooShort
				return w.either(b)
			}
			x := probe{walk: w, ext: t.Ext, rev: t.Rev, sets: t.Sets, d: t.Data}
			x.locate()
			return c.run(&x)
		}
	}
	return w.either(b)
}

const (
	notModelled = "it is not modelled"
	tooShort    = "its structure is too short"
)

// foreign is why an extension can't be run on this packet at all: those of
// arptables have structures of their own.
func (w *walk) foreign(ext string) string {
	switch {
	case w.packet.Family == rules.IP && len(w.packet.Data) >= 20, w.packet.Family == rules.IP6 && len(w.packet.Data) >= 40:
		return ""
	case w.packet.Family != rules.ARP:
		return "the packet's header is cut off"
	case ext == "MARK", ext == "CLASSIFY":
		return ""
	}
	return "extensions of arptables are not modelled"
}

// matchTables and targetTables are all that is evaluated, by theme.
var (
	matchTables  = []map[string][]matcher{portMatchers, headerMatchers, header6Matchers, flowMatchers, originMatchers, setMatchers, programMatchers}
	targetTables = []map[string][]actor{verdictTargets, natTargets, writeTargets, flowTargets, setTargets}
)

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
	legacy := x.table.Backend == rules.IptablesLegacy
	offset, _, found, header := x.packet.transport6(!legacy)
	x.transport, x.headed = offset, header
	if found && offset == 0 {
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
	"connlimit": "it depends on how many connections are open",
	"cpu":       "it depends on the processor that handles the packet",
	"hashlimit": past,
	"ipvs":      "IPVS is not modelled",
	"limit":     past,
	"nfacct":    past,
	"osf":       "the fingerprints of systems are not read",
	"quota":     past,
	"rateest":   "it depends on how fast packets pass",
	"recent":    past,
	"statistic": "it depends on chance or on what has passed before",
}

// leavesTrace reports whether a match changes what later ones see: the packet's
// mark or type, or the labels of its connection.
func leavesTrace(m *rules.Match) bool {
	switch {
	case m.Ext == "cluster":
		return true
	case m.Ext == "socket" && m.Rev == 3 && len(m.Data) > 0:
		const restoreMark = 4
		return m.Data[0]&restoreMark != 0
	case m.Ext == "connlabel" && len(m.Data) >= 4:
		const set = 2
		return binary.NativeEndian.Uint16(m.Data[2:])&set != 0
	}
	return false
}
