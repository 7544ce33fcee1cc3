package eval

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// fwd is nft_fwd_netdev_eval and nft_fwd_neigh_eval of
// net/netfilter/nft_fwd_netdev.c: the packet leaves by another device.
func (w *walk) fwd(e *rules.Fwd) rules.VerdictKind {
	if !e.HasAddr {
		return rules.Stolen // lost if there is no such device
	}
	p := &w.packet
	at := map[rules.Family]int{rules.IP: 8, rules.IP6: 7}[e.Family] // the TTL or hop limit
	switch {
	case at == 0 || p.Family != e.Family:
		return rules.Break
	case at >= len(p.Data) || p.Data[at] <= 1:
		return rules.Drop
	}
	index := w.register(e.Dev, 4)
	if index == nil {
		return w.either(blame{"fwd", "it reads beyond the registers"})
	}
	if b := w.blind(e.Dev, 4); b != nil || binary.NativeEndian.Uint32(index) == 0 {
		// Without the device the rule goes on.
		return w.either(blame{"fwd", "which device the packet is to leave by is not known"})
	}
	return rules.Stolen
}

// offload is nft_flow_offload_eval of net/netfilter/nft_flow_offload.c: a flow is
// taken over once conntrack has confirmed it, which its first packet only is
// behind the last hook.
func (w *walk) offload() rules.VerdictKind {
	state, _ := w.ctState()
	protocol, _ := w.packet.Protocol()
	switch {
	case protocol != protocolTCP && protocol != protocolUDP && protocol != protocolGRE,
		state == New, state == Invalid, state == Untracked:
		return rules.Break
	}
	return w.perhaps(blame{"flow_offload", "whether the flow has been taken over already is not known"})
}

// ingress is what a device's rules do with a packet that comes by it. A
// flowtable stands there as well: the packets of flows that it has taken over
// leave at once, and skip all other hooks up to egress.
func (w *walk) ingress(name string) bool {
	w.between(name, "", name)
	f := w.flowtable(name)
	if f == nil || w.way != Forward || !w.mayBeOffloaded() {
		return w.passAs(rules.Netdev, rules.Ingress, allPriorities)
	}
	if !w.passAs(rules.Netdev, rules.Ingress, window{math.MinInt32, f.Priority - 1}) {
		return false
	}
	w.table, w.chain, w.rule = nil, nil, nil
	if w.choose(2, blame{"flow_offload", "whether flowtable " + f.Name + " has taken the flow over is not known"}) == 1 {
		w.takenOver = true
		return true
	}
	return w.passAs(rules.Netdev, rules.Ingress, window{f.Priority, math.MaxInt32})
}

// flowtable is one that a rule puts flows into and that stands at a device.
func (w *walk) flowtable(device string) *rules.Flowtable {
	for _, t := range w.m.set.Tables {
		for _, f := range t.Flowtables {
			if slices.Contains(f.Devices, device) && !t.Dormant() && w.m.tables[t].offloads(f.Name) {
				return f
			}
		}
	}
	return nil
}

// mayBeOffloaded reports whether the packet can be of a flow that a flowtable
// has: of one that exists, and no packet of TCP that starts or ends it.
func (w *walk) mayBeOffloaded() bool {
	p := &w.packet
	state := p.State
	if state == 0 {
		state = p.firstState()
	}
	if state != Established {
		return false
	}
	offset, protocol, _, header := p.transport()
	switch {
	case !header:
		return false
	case protocol == protocolTCP:
		const fin, rst = 1, 4
		return offset+20 <= len(p.Data) && p.Data[offset+13]&(fin|rst) == 0
	}
	return protocol == protocolUDP || protocol == protocolGRE
}

// osf is nft_osf_eval of net/netfilter/nft_osf.c: it gives the name of a system,
// or "unknown", for the first packet of TCP over IPv4.
func (w *walk) osf(e *rules.OSF) rules.VerdictKind {
	p := &w.packet
	const syn = 2
	offset, protocol, _, header := p.transport()
	if p.Family != rules.IP || protocol != protocolTCP || !header || offset+20 > len(p.Data) || p.Data[offset+13]&syn == 0 {
		return rules.Break
	}
	return w.hide(e.Dest, nameLen, blame{"osf", "fingerprints of systems are not read"})
}

// xfrm is nft_xfrm_get_eval of net/netfilter/nft_xfrm.c. A packet as it is
// described here has not been decrypted.
func (w *walk) xfrm(e *rules.XFRM) rules.VerdictKind {
	if e.Dir == 0 || w.routeless() {
		return rules.Break
	}
	return w.maybe(e.Dest, 16, blame{"xfrm", "which packets are encrypted is not read"})
}

// tunnelKinds are devices that may tell of a packet which tunnel it came by.
var tunnelKinds = []string{"vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan", "ipip", "sit", "ip6tnl", "vti", "vti6", "gtp", "bareudp"}

// tunnel is nft_tunnel_get_eval of net/netfilter/nft_tunnel.c.
func (w *walk) tunnel(e *rules.Tunnel) rules.VerdictKind {
	const path, id = 0, 1
	d, ok := w.facts(w.packet.In)
	none := !w.keyed && (!w.arrived || w.packet.In == "lo" || ok && !slices.Contains(tunnelKinds, d.Kind))
	switch {
	case e.Key > id:
		return w.either(blame{"tunnel", "this key is not known"})
	case !none && e.Key == path:
		return w.hide(e.Dest, 1, blame{"tunnel", "whether the packet came out of a tunnel is not known"})
	case !none:
		return w.maybe(e.Dest, 4, blame{"tunnel", "which tunnel the packet came out of is not known"})
	case e.Key == path:
		return w.load8(e.Dest, 0)
	}
	return rules.Break
}
