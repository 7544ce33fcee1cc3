package eval

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/portwhy/portwhy/rules"
)

// originMatchers are the matches on where a packet comes from and goes to, and on
// what the kernel knows of it besides its bytes.
var originMatchers = map[string][]matcher{
	"comment":  {{run: func(*probe) answer { return isSo }}},
	"mark":     {{rev: 1, size: 9, run: matchMark}},
	"addrtype": {{rev: 0, family: rules.IP, size: 12, run: matchAddressType}, {rev: 1, size: 8, run: matchAddressType}},
	"owner":    {{rev: 1, size: 18, run: matchOwner}},
	"mac":      {{size: 12, run: matchMAC}},
	"pkttype":  {{size: 8, run: matchPacketType}},
	"physdev":  {{size: 66, run: matchPhysdev}},
	"devgroup": {{size: 20, run: matchDeviceGroup}},
	"realm":    {{size: 9, run: matchRealm}},
	"rpfilter": {{size: 1, run: matchRPFilter}},
	"socket":   {{rev: 0, family: rules.IP, run: matchSocket}, {rev: 1, size: 1, run: matchSocket}, {rev: 2, size: 1, run: matchSocket}, {rev: 3, size: 1, run: matchSocket}},
	"cgroup":   {{rev: 0, size: 8, run: matchCgroup}, {rev: 1, size: 4104, run: matchCgroup}, {rev: 2, size: 516, run: matchCgroup}},
	"policy":   {{size: 308, run: matchPolicy}},
	"time":     {{size: 22, run: matchTime}},
}

// matchMark is mark_mt of xt_mark.c.
func matchMark(x *probe) answer {
	have := known(x.packet.Mark)
	if x.markUnknown != nil {
		have = field{why: x.markUnknown.why}
		if x.arg32(4) == 0 {
			have = known(0)
		}
	}
	return have.is(x.arg32(0), x.arg32(4)).unless(x.d[8] != 0)
}

// matchAddressType is addrtype_mt_v0 and _v1 of xt_addrtype.c. The types are bits
// by their RTN_* numbers.
func matchAddressType(x *probe) answer {
	const notSource, notDestination, limitIn, limitOut = 1, 2, 4, 8
	source, destination := x.arg16(0), x.arg16(2)
	var invertSource, invertDestination bool
	device := ""
	if x.rev == 0 {
		invertSource, invertDestination = x.arg32(4) != 0, x.arg32(8) != 0
	} else {
		flags := x.arg32(4)
		invertSource, invertDestination = flags&notSource != 0, flags&notDestination != 0
		switch {
		case flags&limitIn != 0:
			if b := x.inBlame(); b != nil {
				return unsure(b.why)
			}
			device = x.packet.In
		case flags&limitOut != 0:
			if b := x.outBlame(); b != nil {
				return unsure(b.why)
			}
			device = x.packet.Out
		}
	}
	a := when(source != 0, x.addressType(false, source, device).unless(invertSource))
	if a == isNot {
		return a
	}
	return all(a, when(destination != 0, x.addressType(true, destination, device).unless(invertDestination)))
}

// addressType is match_type and match_type6.
func (x *probe) addressType(destination bool, types uint32, device string) answer {
	const addressNotKnown, hostNotKnown = "the packet's address is not known", "the host's addresses are not known"
	a := x.packet.Address(destination)
	if !a.IsValid() {
		return unsure(addressNotKnown)
	}
	if a.Is6() {
		return x.addressType6(a, types, device)
	}
	switch {
	case a == broadcastAll, a.As4()[0] == 0:
		return holds(types&(1<<Broadcast) != 0)
	case a.IsMulticast():
		return holds(types&(1<<Multicast) != 0)
	}
	kind, ok := x.typeOf(a, device)
	if !ok {
		return unsure(hostNotKnown)
	}
	return holds(types&(1<<kind) != 0)
}

func (x *probe) typeOf(a netip.Addr, device string) (uint8, bool) {
	if ask := x.m.host.AddressType; ask != nil {
		return ask(a, device, device != "")
	}
	return 0, false
}

// addressType6: where several types are asked for, all of the address's own must
// hold, and one of those that routes tell.
func (x *probe) addressType6(a netip.Addr, types uint32, device string) answer {
	const routed = 1<<Local | 1<<Anycast | 1<<Unreachable
	unicast := !a.IsMulticast() && !a.IsUnspecified() && !a.Is4In6()
	switch {
	case types&(1<<Multicast) != 0 && !a.IsMulticast(),
		types&(1<<Unicast) != 0 && !unicast,
		types&1 != 0 && !a.IsUnspecified():
		return isNot
	case types&routed == 0:
		return isSo
	}
	kind, ok := x.typeOf(a, device)
	if !ok {
		return unsure("the host's addresses are not known")
	}
	switch kind {
	case Local, Anycast:
		if types&(1<<kind) != 0 {
			return isSo
		}
	case 0, Unreachable, Blackhole, Prohibit:
		return holds(types&(1<<Unreachable) != 0)
	}
	if types&(1<<Unreachable) != 0 && device != "" {
		return unsure("whether the device has a route is not known")
	}
	return isNot
}

// matchOwner is owner_mt of xt_owner.c.
func matchOwner(x *probe) answer {
	const uid, gid, socket, groups = 1, 2, 4, 8
	match, inv := x.d[16], x.d[17]
	if x.arrived { // it belongs to no socket of this host
		return holds(match == inv)
	}
	p := &x.packet
	if !p.HasOwner {
		return unsure("the sending process is not known")
	}
	if match&inv&socket != 0 {
		return isNot
	}
	a := isSo
	if match&uid != 0 {
		a = known(p.UID).in(x.arg32(0), x.arg32(4)).unless(inv&uid != 0)
	}
	if match&gid == 0 || a == isNot {
		return a
	}
	in := known(p.GID).in(x.arg32(8), x.arg32(12))
	if in == isNot && match&groups != 0 {
		return unsure("the sending process's groups are not known")
	}
	return all(a, in.unless(inv&gid != 0))
}

// ethernet reports whether the packet came from a device of Ethernet, with its
// header; why says what isn't known.
func (x *probe) ethernet() (bool, string) {
	const ether = 1 // ARPHRD_ETHER
	p := &x.packet
	if b := x.inBlame(); b != nil {
		return false, b.why
	}
	if !x.arrived || p.In == "" || p.In == "lo" {
		return false, ""
	}
	d, ok := x.facts(p.In)
	switch {
	case !ok:
		return false, "device " + p.In + " is not known"
	case d.Type != ether:
		return false, ""
	case len(p.Link) < 14:
		return false, "the packet's link header is not known"
	}
	return true, ""
}

// matchMAC is mac_mt of xt_mac.c.
func matchMAC(x *probe) answer {
	ether, why := x.ethernet()
	switch {
	case why != "":
		return unsure(why)
	case !ether:
		return isNot
	}
	return holds(bytes.Equal(x.packet.Link[6:12], x.d[:6])).unless(x.arg32(8) != 0)
}

// matchPacketType is pkttype_mt of xt_pkttype.c.
func matchPacketType(x *probe) answer {
	kind, b := x.typeAsked()
	if b != nil {
		return unsure(b.why)
	}
	return known(uint32(kind)).is(x.arg32(0), ^uint32(0)).unless(x.arg32(4) != 0)
}

// matchPhysdev is physdev_mt of xt_physdev.c. A packet that br_netfilter has not
// taken matches what is inverted.
func matchPhysdev(x *probe) answer {
	const in, out, bridged, isIn, isOut = 1, 2, 4, 8, 16
	asked, inv := x.d[65], x.d[64]
	if !x.called {
		if why := x.maybeBridged(); why != "" {
			return unsure(why)
		}
		return holds(asked&^inv == 0)
	}
	same := func(name string, at int) bool {
		have := make([]byte, nameLen)
		copy(have, name)
		return masked(have, x.d[at:], x.d[at+nameLen:])
	}
	for _, c := range []struct {
		bit byte
		yes bool
	}{{bridged, x.physOut != ""}, {isIn, x.physIn != ""}, {isOut, x.physOut != ""}} {
		if asked&c.bit != 0 && c.yes == (inv&c.bit != 0) {
			return isNot
		}
	}
	switch {
	case asked&in != 0 && x.physIn != "" && same(x.physIn, 0) == (inv&in != 0):
		return isNot
	case asked&out != 0 && x.physOut == "":
		return isNot
	case asked&out != 0:
		return holds(same(x.physOut, 32) != (inv&out != 0))
	}
	return isSo
}

// maybeBridged is why it is not known whether the packet has come through a bridge,
// where br_netfilter shows it to iptables.
func (w *walk) maybeBridged() string {
	const unknown = "whether the packet came by a port of a bridge is not known"
	p := &w.packet
	switch {
	case !w.arrived, p.In == "lo", w.bridge != "":
		return ""
	case w.inUntold:
		return unknown
	}
	if d, ok := w.facts(p.In); ok && d.Kind != "bridge" {
		return ""
	}
	key := "bridge-nf-call-iptables"
	if p.Family == rules.IP6 {
		key = "bridge-nf-call-ip6tables"
	}
	if a := w.sysctlOn(key); a == isNot {
		return ""
	}
	return unknown
}

// matchDeviceGroup is devgroup_mt of xt_devgroup.c.
func matchDeviceGroup(x *probe) answer {
	const source, notSource, destination, notDestination = 1, 2, 4, 8
	flags := x.arg32(0)
	side := func(name string, unknown *blame, at int, not bool) answer {
		if unknown != nil {
			return unsure(unknown.why)
		}
		if d, ok := x.facts(name); ok {
			return holds((d.Group^x.arg32(at))&x.arg32(at+4) == 0).unless(not)
		}
		return unsure("device " + name + " is not known")
	}
	a := isSo
	if flags&source != 0 {
		a = side(x.packet.In, x.inBlame(), 4, flags&notSource != 0)
	}
	if flags&destination != 0 && a != isNot {
		a = all(a, side(x.packet.Out, x.outBlame(), 12, flags&notDestination != 0))
	}
	return a
}

// matchPolicy is policy_mt of xt_policy.c. A packet as it is described here has
// not come by IPsec, and none leaves by loopback with it.
func matchPolicy(x *probe) answer {
	const in, none = 1, 4
	flags := x.arg16(304)
	if flags&in != 0 || x.packet.Family == rules.IP && x.packet.Out == "lo" && x.outBlame() == nil {
		return holds(flags&none != 0)
	}
	return unsure("the host's policies of IPsec are not read")
}

// matchTime is time_mt of xt_time.c. The hour of --kerneltz is that of the
// kernel's own time zone, which nothing tells.
func matchTime(x *probe) answer {
	const zone, contiguous, allDays, daySeconds = 1, 2, 0xfffffffe, 86400
	now := x.m.host.Now
	switch {
	case x.d[21]&zone != 0:
		return unsure("the kernel's time zone is not known")
	case now.IsZero():
		return unsure("it depends on when the packet comes")
	}
	stamp := now.Unix()
	if stamp < int64(x.arg32(0)) || stamp > int64(x.arg32(4)) {
		return isNot
	}
	second := uint32(stamp % daySeconds)
	from, to := x.arg32(8), x.arg32(12)
	if from < to {
		if second < from || second > to {
			return isNot
		}
	} else {
		if second < from && second > to {
			return isNot
		}
		if x.d[21]&contiguous != 0 && second <= to {
			stamp -= daySeconds
		}
	}
	day := time.Unix(stamp, 0).UTC()
	weekday := (int(day.Weekday())+6)%7 + 1
	if x.d[20]&(1<<weekday) == 0 {
		return isNot
	}
	return holds(x.arg32(16) == allDays || x.arg32(16)&(1<<day.Day()) != 0)
}
