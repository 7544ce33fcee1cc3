package eval

import (
	"math"
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// priorityBridgeNF is where br_netfilter stands at a bridge's prerouting and
// forward (NF_BR_PRI_BRNF of linux/netfilter_bridge.h).
const priorityBridgeNF = 0

// bridged is the way of a frame from one port of a bridge to another
// (br_handle_frame and br_forward in net/bridge).
func (w *walk) bridged() {
	p := &w.packet
	bridge, in, out := p.In, p.InPort, p.OutPort
	w.arrived = true
	w.frame = w.arrivedFrame()
	if in == "" || out == "" {
		w.giveUpAt("bridge", "between which ports the frame goes is not known")
		return
	}
	before := p.Address(true)
	if !w.rise(in, 0) || !w.enterBridge(in, bridge) {
		return
	}
	if w.brouted || w.way != Bridged {
		w.fromBridge(before, in, bridge)
		return
	}
	if w.forwardFrame(bridge, in, out) && w.fits() {
		w.sink(out, 0)
	}
}

// enterBridge is prerouting of a bridge, and its decision where the frame goes.
func (w *walk) enterBridge(port, bridge string) bool {
	w.bridge = bridge
	return w.prerouteFrame(port, bridge) && (w.brouted || w.stillSent(bridge))
}

// stillSent reports whether the frame goes where it was said to go: the bridge
// decides that by the link address that it has behind prerouting.
func (w *walk) stillSent(bridge string) bool {
	f := &w.frame
	sent := w.packet.Link
	if f.why != "" || len(f.data) < macLen || len(sent) < macLen {
		return true // no rule can have changed what isn't known
	}
	b := spanAt(f.hidden, 0, macLen)
	if b == nil && slices.Equal(f.data[:macLen], sent[:macLen]) {
		return true
	}
	d, _ := w.facts(bridge)
	if b == nil && slices.Equal(d.MAC, f.data[:macLen]) {
		if w.way == Bridged {
			w.way = In // or on, if the host's routes say so
		}
		return true
	}
	return w.giveUpAt("bridge", "to which port the frame goes after its link address has been changed is not known")
}

// prerouteFrame runs the hooks of a bridge's prerouting. br_netfilter takes IP
// packets through their own prerouting from there, with the bridge as the device
// that they came by (br_nf_pre_routing in net/bridge/br_netfilter_hooks.c).
func (w *walk) prerouteFrame(port, bridge string) bool {
	p := &w.packet
	w.between(port, "", port)
	if !w.calls(bridge) {
		return w.passAs(rules.Bridge, rules.Prerouting, allPriorities)
	}
	first, then := w.around(rules.Prerouting)
	if !w.passAs(rules.Bridge, rules.Prerouting, first) {
		return false
	}
	if w.brouted {
		return true
	}
	w.called, w.physIn = true, port
	w.between(bridge, "", bridge)
	before := p.Address(true)
	if !w.pass(rules.Prerouting) {
		return false
	}
	w.prerouted = true
	if now := p.Address(true); now != before || !now.IsValid() {
		route, ok := w.route(bridge, "")
		switch {
		case !ok:
			return w.giveUpAt("route", "where the changed destination leads is not known")
		case route.Type == Unicast && route.Out == bridge:
			return w.giveUpAt("bridge", "to which port the frame goes after its destination has been changed is not known")
		case w.way == Bridged:
			w.way = In // it is handed up, to be routed
		}
	}
	w.between(port, "", port)
	onward := w.passAs(rules.Bridge, rules.Prerouting, then)
	w.brouted = false // nobody looks at it any more
	return onward
}

// passUp is input of a bridge: the frame is for this host (br_pass_frame_up).
func (w *walk) passUp(port, bridge string) bool {
	w.bridge = bridge
	w.between(port, "", bridge)
	return w.passAs(rules.Bridge, rules.Input, allPriorities)
}

// fromBridge hands a frame that was to be bridged to the host after all.
func (w *walk) fromBridge(before netip.Addr, port, bridge string) {
	p := &w.packet
	if w.brouted {
		if kind, b := w.packetType(); b != nil || kind != packetHost {
			w.giveUpAt("broute", "whether the host takes a frame that is for another is not known")
			return
		}
		w.way = In
		w.between(port, "", port)
	} else {
		if !w.passUp(port, bridge) {
			return
		}
		if !w.ingress(bridge) {
			return
		}
	}
	if p.Family == rules.IP || p.Family == rules.IP6 {
		w.receive(before, "", 0)
		return
	}
	_ = p.Family != rules.ARP || w.pass(rules.Input)
}

// forwardFrame is forward and postrouting of a bridge. br_netfilter takes IP
// packets through the hooks of their family, with the bridge as both devices,
// and ARP through that of arptables (br_nf_forward, br_nf_post_routing).
func (w *walk) forwardFrame(bridge, in, out string) bool {
	w.between(in, out, out)
	inner, hooked := w.packet.Family, false
	switch {
	case inner == rules.ARP:
		hooked = w.callsARP(bridge)
	case w.called:
		hooked = w.untagged(bridge, out)
	}
	if !hooked {
		if !w.passAs(rules.Bridge, rules.Forward, allPriorities) {
			return false
		}
	} else {
		first, then := w.around(rules.Forward)
		if !w.passAs(rules.Bridge, rules.Forward, first) {
			return false
		}
		if inner != rules.ARP {
			w.physOut = out
			w.between(bridge, bridge, out)
		}
		if !w.passAs(inner, rules.Forward, allPriorities) {
			return false
		}
		w.between(in, out, out)
		if !w.passAs(rules.Bridge, rules.Forward, then) {
			return false
		}
	}
	w.between("", out, out)
	if !w.passAs(rules.Bridge, rules.Postrouting, allPriorities) {
		return false
	}
	if w.physOut == "" {
		return true
	}
	w.between("", bridge, out)
	return w.pass(rules.Postrouting)
}

// bridgeOut is output and postrouting of a bridge, for what this host sends or
// passes on through its own device (br_dev_xmit).
func (w *walk) bridgeOut(port string) bool {
	w.bridge = w.packet.Out
	w.between("", port, port)
	return w.passAs(rules.Bridge, rules.Output, allPriorities) && w.passAs(rules.Bridge, rules.Postrouting, allPriorities)
}

// around is where a bridge's chains stand towards br_netfilter. Which of those
// of its own priority run before it depends on what was there first; at forward
// the kernel forgets those behind it (br_nf_hook_thresh looks for the hook of
// prerouting only).
func (w *walk) around(hook rules.Hook) (first, then window) {
	first, then = window{math.MinInt32, priorityBridgeNF}, window{priorityBridgeNF + 1, math.MaxInt32}
	for _, e := range w.m.at(hook, rules.Bridge) {
		if e.priority != priorityBridgeNF {
			continue
		}
		w.table, w.chain, w.rule = e.table, e.chain, nil
		if w.choose(2, blame{"br_netfilter", "whether it comes before the chain of the same priority is not known"}) == 1 {
			first.to--
			if hook == rules.Prerouting {
				then.from--
			}
		}
		break
	}
	return first, then
}

// calls reports whether br_netfilter takes the packet through the hooks of IP.
func (w *walk) calls(bridge string) bool {
	p := &w.packet
	var key string
	switch p.Family {
	case rules.IP:
		key = "iptables"
	case rules.IP6:
		key = "ip6tables"
	default:
		return false
	}
	// Rules at later hooks may ask for the port, which br_netfilter keeps.
	hooks := []rules.Hook{rules.Prerouting, rules.Forward, rules.Postrouting}
	if w.way != Bridged {
		hooks = append(hooks, rules.Input)
	}
	nothing := w.m.duties[p.Family] == duties{}
	for _, h := range hooks {
		nothing = nothing && len(w.m.at(h, p.Family)) == 0
	}
	if nothing {
		return false
	}
	a := w.setting(bridge, key, func(b *Bridge) bool {
		return p.Family == rules.IP && b.CallIPTables || p.Family == rules.IP6 && b.CallIP6Tables
	})
	if a.why == "" && a.yes && w.frame.tagged() {
		a = w.sysctlOn("bridge-nf-filter-vlan-tagged")
	}
	return w.decideOn(a)
}

// callsARP is the same for ARP.
func (w *walk) callsARP(bridge string) bool {
	if len(w.m.at(rules.Forward, rules.ARP)) == 0 {
		return false
	}
	return w.decideOn(w.setting(bridge, "arptables", func(b *Bridge) bool { return b.CallARPTables }))
}

// setting is whether br_netfilter is to be called, by the namespace's setting or
// the bridge's own.
func (w *walk) setting(bridge, tool string, own func(*Bridge) bool) answer {
	if d, ok := w.facts(bridge); ok && d.Bridge != nil && own(d.Bridge) {
		return isSo
	} else if a := w.sysctlOn("bridge-nf-call-" + tool); a.yes || a.why != "" {
		return a
	} else if !ok || d.Bridge == nil {
		if ask := w.m.host.Sysctl; ask != nil {
			if v, ok := ask("net/bridge/bridge-nf-call-" + tool); ok && v == "" {
				return isNot // br_netfilter isn't there
			}
		}
		return unsure("whether bridge " + bridge + " itself asks for it is not known")
	}
	return isNot
}

func (w *walk) sysctlOn(name string) answer {
	if ask := w.m.host.Sysctl; ask != nil {
		if v, ok := ask("net/bridge/" + name); ok {
			return holds(v != "" && v != "0")
		}
	}
	return unsure("net.bridge." + name + " is not known")
}

// decideOn follows both ways where the answer isn't known.
func (w *walk) decideOn(a answer) bool {
	if a.why == "" {
		return a.yes
	}
	w.table, w.chain, w.rule = nil, nil, nil
	return w.choose(2, blame{"br_netfilter", a.why}) == 1
}

// untagged reports whether the frame has no VLAN tag where it leaves the bridge:
// br_netfilter passes over those that have one. A bridge that filters by VLAN
// puts tags on and takes them off.
func (w *walk) untagged(bridge, out string) bool {
	d, ok := w.facts(bridge)
	if ok && d.Bridge != nil && !d.Bridge.VLANFiltering {
		return true // or a tag that prerouting has looked through
	}
	return w.decideOn(unsure("whether the frame has a VLAN tag at port " + out + " is not known"))
}
