package eval

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// flow is what conntrack knows of the packet's connection.
type flow struct {
	tracked  bool   // the packet has a conntrack entry
	answers  bool   // the packet goes in the other direction than the flow's first
	seen     bool   // conntrack has seen the packet, whatever it made of it
	state    uint32 // as ct state gives it, once it has been tracked
	fresh    bool   // the entry was made for this packet: its values are known
	original tuple  // as the packet was when it was tracked
	now      Packet // the same, with what NAT has made of it since

	mark        uint32
	markUnknown *blame
	labels      [16]byte
	labelsKnown bool
	zone        uint16
	zoneDir     int8 // 0 for both directions, 1 for the original's, 2 for the reply's
	template    bool // CT has given the packet what its entry is to be made of

	destination, source mapping
	redirected          bool   // the destination is an address of this host
	unrouted            bool   // NAT has taken away the route that a loopback's packet had
	diverted            bool   // TPROXY hands the packet to a local socket
	leaves              string // the device that the flow was masqueraded for
}

// Zone is a zone of conntrack. Dir is 0 where it holds for both directions, 1 for
// the original's and 2 for the reply's only.
type Zone struct {
	ID  uint16
	Dir int8
}

func (f *flow) inZone() Zone { return Zone{f.zone, f.zoneDir} }

// replies is the zone in which conntrack has the answers (nf_ct_zone_id).
func (z Zone) replies() uint16 {
	if z.Dir == 1 {
		return 0
	}
	return z.ID
}

// tuple is the packet's addresses and ports as conntrack keeps them: for ICMP
// the identifier stands as the source's, type and code as the destination's port.
type tuple struct {
	src, dst     []byte
	sport, dport []byte
	protocol     uint8
}

// mapping is what NAT has made of one side of a flow.
type mapping struct {
	set    bool // decided, even if nothing changes
	nat    bool // something changes
	unsure bool // it may also change something that is not known
}

// duties are what a ruleset makes the kernel do with each packet of a family:
// put fragments together, track connections, map addresses. A chain of type nat
// maps, but it doesn't track: expressions do, and in every table of their
// family, wherever they stand (nf_defrag_ipv4_enable, nf_ct_netns_get, which
// reads the expression's own family for nat, and nf_nat_register_fn).
type duties struct{ gathers, tracks, maps bool }

func dutiesOf(set *rules.Ruleset) map[rules.Family]duties {
	all := map[rules.Family]duties{}
	for _, t := range set.Tables {
		addDuties(all, t)
	}
	return all
}

func addDuties(done map[rules.Family]duties, t *rules.Table) {
	add := func(family rules.Family, d duties) {
		for _, f := range followed(family) {
			have := done[f]
			done[f] = duties{have.gathers || d.gathers, have.tracks || d.tracks, have.maps || d.maps}
		}
	}
	look := func(e rules.Expr) {
		family := t.Family
		if nat, ok := e.(*rules.NAT); ok && nat.Family != 0 {
			family = nat.Family
		}
		tracks := usesConntrack(e)
		if gathers := tracks || usesDefrag(e); gathers {
			add(family, duties{gathers: true, tracks: tracks})
		}
	}
	all := func(exprs rules.Exprs) {
		for _, e := range exprs {
			look(e)
		}
	}
	var s rules.Scratch
	for _, c := range t.Chains {
		if c.Type == "nat" && c.Base() && !t.Dormant() {
			add(t.Family, duties{maps: true})
		}
		for _, r := range c.Rules {
			exprs := r.Exprs
			for e := exprs.Next(&s); e != nil; e = exprs.Next(&s) {
				look(e)
			}
		}
	}
	for _, s := range t.Sets {
		all(s.Exprs)
		for _, el := range s.Elements.All() {
			all(el.Exprs)
		}
	}
	for _, o := range t.Objects {
		look(o.Expr)
	}
}

// followed are the families that conntrack follows for a table's family.
func followed(f rules.Family) []rules.Family {
	switch f {
	case rules.Inet:
		return []rules.Family{rules.IP, rules.IP6}
	case rules.Bridge:
		return []rules.Family{rules.Bridge, rules.IP, rules.IP6}
	}
	return []rules.Family{f}
}

// usesDefrag reports whether an expression wants whole packets without
// conntrack.
func usesDefrag(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.TProxy:
		return true
	case *rules.Match:
		return e.Ext == "socket"
	case *rules.Target:
		return e.Ext == "TPROXY"
	}
	return false
}

func usesConntrack(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.CT, *rules.NAT, *rules.Masq, *rules.Redir, *rules.ConnLimit, *rules.FlowOffload, *rules.Synproxy:
		return true
	case *rules.Dynset:
		return slices.ContainsFunc(e.Exprs, usesConntrack)
	case *rules.ObjRef:
		return e.Type == objectHelper || e.Type == objectTimeout || e.Type == objectExpect
	case *rules.Match, *rules.Target:
		return tracksConnections(e)
	}
	return false
}

// gather puts fragments together (nf_defrag_ipv4, nf_defrag_ipv6); false if the
// packet is one, as what becomes of the whole is not known.
func (w *walk) gather() bool {
	if !w.packet.fragment() {
		return true
	}
	w.table, w.chain, w.rule = nil, nil, nil
	return w.giveUp("defrag", "the kernel puts fragments together first, and the others are not known")
}

// track gives the packet its place in a flow (nf_conntrack_in in
// net/netfilter/nf_conntrack_core.c); false if the walk ends.
func (w *walk) track() bool {
	f := &w.flow
	f.seen = true
	if f.tracked || f.state == Untracked {
		return true
	}
	p := &w.packet
	if protocol, _ := p.Protocol(); protocol == protocolUDPLite && w.hook == rules.Prerouting {
		return w.giveUp("ct", "the kernel may take a checksum of UDP-Lite for a wrong one, as it checks it like UDP's")
	}
	state := p.State
	if state == 0 {
		state = p.firstState()
	}
	if w.spoiled && w.hook == rules.Prerouting && w.sysctl("net/netfilter/nf_conntrack_checksum") != "0" {
		state = Invalid
	}
	f.template = false
	if p.First != nil && state == Established && f.inZone().replies() != p.First.Zone.replies() {
		state = p.firstState() // in another zone conntrack doesn't find the flow
	}
	if p.First != nil && state == Related && !p.First.Hands && f.inZone().replies() != p.First.Zone.replies() {
		state = Invalid // nor what an error is about
	}
	f.state = state
	switch state {
	case Invalid, Untracked:
		// The template is put back, and its zone with it: what comes in again by
		// loopback is looked for as rules there say.
		f.zone, f.zoneDir = 0, 0
		return true
	}
	w.enter()
	f.fresh = state == New
	if p.First != nil && !f.fresh {
		if !f.original.same(w.given.tuple()) {
			return w.giveUp("ct", "a rule has changed the packet before conntrack, and what flow it then belongs to is not known")
		}
		f.answered(p.First.tuple())
	}
	f.labelsKnown = f.fresh
	switch {
	case f.fresh:
	case p.First != nil && p.First.FlowMarked && (state == Established || state == Related):
		f.mark = p.First.FlowMark
	default:
		f.markUnknown = &blame{"ct", "the flow's mark is not known"}
	}
	return true
}

func (t tuple) same(o tuple) bool {
	return t.protocol == o.protocol && bytes.Equal(t.src, o.src) && bytes.Equal(t.dst, o.dst) && bytes.Equal(t.sport, o.sport) && bytes.Equal(t.dport, o.dport)
}

// answered takes the flow for one whose first packet was first and of which this
// packet, which conntrack knows as it is, is an answer: what differs is NAT's work.
func (f *flow) answered(first tuple) {
	reply := f.original
	expected := first.answer()
	f.answers, f.original = true, first
	f.source.nat = !bytes.Equal(reply.dst, expected.dst) || !bytes.Equal(reply.dport, expected.dport)
	f.destination.nat = !bytes.Equal(reply.src, expected.src) || !bytes.Equal(reply.sport, expected.sport)
	if reply.protocol != first.protocol { // an error about it has addresses only
		f.source.nat, f.destination.nat = !bytes.Equal(reply.dst, expected.dst), !bytes.Equal(reply.src, expected.src)
		return
	}
	if first.protocol == protocolICMP || first.protocol == protocolICMP6 {
		// The identifier is of either side, and type and code are not mapped.
		f.source.nat = !bytes.Equal(reply.dst, expected.dst) || !bytes.Equal(reply.sport, expected.sport)
	}
}

// enter takes the packet into conntrack's table as it is.
func (w *walk) enter() {
	f := &w.flow
	f.tracked, f.original, f.now = true, w.packet.tuple(), w.packet.copy()
}

// firstState is the state of a packet that belongs to no flow yet, by protocol:
// tcp_new and tcp_error in nf_conntrack_proto_tcp.c, with nf_conntrack_tcp_loose
// at its default, nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c.
func (p *Packet) firstState() uint32 {
	offset, protocol, _, header := p.transport()
	if !header {
		return New
	}
	l4 := p.Data[offset:]
	if p.Family == rules.IP6 && protocol == nextNone {
		return Invalid // ipv6_skip_exthdr finds no protocol
	}
	switch protocol {
	case protocolTCP:
		if len(l4) < 20 || int(l4[12]>>4)*4 < 20 || int(l4[12]>>4)*4 > len(l4) || !validFlags(l4[13]) {
			return Invalid
		}
		// By the table of states a first SYN starts a flow, a first ACK picks one
		// up in the middle, and SYN+ACK, FIN and RST belong to none.
		const fin, syn, rst, ack = 1, 2, 4, 16
		switch flags := l4[13] & (fin | syn | rst | ack); {
		case flags&rst != 0, flags&syn != 0 && flags&ack != 0:
			return Invalid
		case flags&syn != 0, flags&(ack|fin) == ack:
			return New
		}
		return Invalid
	case protocolUDP, protocolUDPLite:
		if len(l4) < 8 {
			return Invalid
		}
		if n := int(binary.BigEndian.Uint16(l4[4:])); protocol == protocolUDP && (n < 8 || n > len(l4)) {
			return Invalid
		}
	case protocolSCTP:
		return firstSCTP(l4)
	case protocolGRE:
		return firstGRE(l4)
	case protocolICMP:
		if p.Family != rules.IP {
			return New
		}
		if len(l4) < 8 {
			return Invalid
		}
		switch l4[0] {
		case 8, 13, 15, 17: // requests
			return New
		}
		return Invalid
	case protocolICMP6:
		if p.Family != rules.IP6 {
			return New
		}
		if len(l4) < 8 {
			return Invalid
		}
		switch l4[0] {
		case 130, 131, 132, 133, 134, 135, 136, 143:
			return Untracked
		case 128, 139:
			return New
		}
		return Invalid
	}
	return New
}

// firstGRE is gre_pkt_to_tuple of nf_conntrack_proto_gre.c: version 1 is that of
// PPTP, which carries PPP only.
func firstGRE(l4 []byte) uint32 {
	const ppp = 0x880b
	if len(l4) >= 8 && l4[1]&7 == 1 && binary.BigEndian.Uint16(l4[2:]) != ppp {
		return Invalid
	}
	return New
}

// validFlags is tcp_valid_flags of nf_conntrack_proto_tcp.c, without ECN and PSH.
func validFlags(flags byte) bool {
	const fin, syn, rst, ack, urg = 1, 2, 4, 16, 32
	switch flags & (fin | syn | rst | ack | urg) {
	case syn, syn | urg, syn | ack, rst, rst | ack, fin | ack, fin | ack | urg, ack, ack | urg:
		return true
	}
	return false
}

// tuple is the packet's own.
func (p *Packet) tuple() tuple {
	var t tuple
	if from, to, ok := p.addressSpan(false); ok {
		n := to - from
		t.src = append([]byte(nil), p.Data[from:to]...)
		t.dst = append([]byte(nil), p.Data[to:to+n]...)
	}
	offset, protocol, _, header := p.transport()
	t.protocol = protocol
	t.sport, t.dport = make([]byte, 2), make([]byte, 2)
	if header && offset+8 <= len(p.Data) {
		l4 := p.Data[offset:]
		switch {
		case HasPorts(protocol):
			copy(t.sport, l4[:2])
			copy(t.dport, l4[2:4])
		case protocol == protocolICMP || protocol == protocolICMP6:
			copy(t.sport, l4[4:6])
			copy(t.dport, l4[:2])
		}
	}
	return t
}

// answer is the tuple of answers (nf_ct_invert_tuple): ICMP's identifier stays,
// and the type becomes the answer's (invmap of nf_conntrack_proto_icmp.c and
// nf_conntrack_proto_icmpv6.c).
func (t tuple) answer() tuple {
	t.src, t.dst = t.dst, t.src
	if t.protocol != protocolICMP && t.protocol != protocolICMP6 {
		t.sport, t.dport = t.dport, t.sport
		return t
	}
	other := map[uint8]uint8{8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 128: 129, 129: 128, 139: 140, 140: 139}
	t.dport = []byte{other[t.dport[0]], t.dport[1]}
	return t
}

// ctState is what `ct state` sees now (nft_ct_get_eval): before conntrack has
// seen the packet it is invalid.
func (w *walk) ctState() (uint32, string) {
	f := &w.flow
	switch {
	case f.template:
		return New, "" // as what has made the template says of it
	case f.state != 0:
		return f.state, ""
	case w.way == "" && w.packet.State != 0:
		return w.packet.State, "" // one hook alone: as it was given
	case w.way == "":
		return 0, "the packet's conntrack state is not known"
	}
	return Invalid, ""
}

// untrack keeps the packet from conntrack; without effect once it is tracked.
func (w *walk) untrack() {
	if !w.flow.tracked && !w.flow.template && w.flow.state != Untracked {
		w.flow.state = Untracked
		w.changed = true
	}
}
