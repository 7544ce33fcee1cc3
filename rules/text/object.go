package text

import (
	"net/netip"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// object writes a stateful object as nft lists it.
func (w *writer) object(o *rules.Object) {
	name := words.Name(words.ObjectTypes, uint64(o.Type))
	if name == "" {
		name = "unknown"
	}
	w.str("\t" + name + " ")
	w.name(o.Name)
	w.str(" {")
	if o.Comment != "" {
		w.str("\n\t\tcomment ")
		w.quoted(o.Comment)
	}
	w.str("\n\t\t")
	switch e := o.Expr.(type) {
	case *rules.Counter:
		w.printf("packets %d bytes %d", e.Packets, e.Bytes)
	case *rules.Quota:
		w.quota(e)
	case *rules.Limit:
		w.limit(e)
	case *rules.Synproxy:
		w.synproxyObject(e)
	case *rules.Helper:
		w.str("type ")
		w.quoted(e.Kind)
		w.str(" protocol ")
		w.protocol(e.L4)
		w.str("\n\t\tl3proto " + e.L3.String())
	case *rules.Timeout:
		w.timeout(e)
	case *rules.Expectation:
		w.str("protocol ")
		w.protocol(e.L4)
		w.printf("\n\t\tdport %d\n\t\ttimeout ", e.Port)
		w.span(uint64(e.TimeoutMS))
		w.printf("\n\t\tsize %d\n\t\tl3proto %s", e.Size, e.L3)
	case *rules.Secmark:
		w.quoted(e.Context)
	case *rules.TunnelKey:
		w.tunnelKey(e)
	case nil:
		w.str("[ ]")
	default:
		w.str(bracket(e))
	}
	w.str("\n\t}\n")
}

func (w *writer) synproxyObject(e *rules.Synproxy) {
	w.printf("mss %d\n\t\twscale %d", e.MSS, e.Wscale)
	if e.Flags&(synproxyTimestamp|synproxySACK) == 0 {
		return
	}
	w.str("\n\t\t")
	if e.Flags&synproxyTimestamp != 0 {
		w.str("timestamp")
	}
	w.str(" ")
	if e.Flags&synproxySACK != 0 {
		w.str("sack-perm")
	}
}

func (w *writer) protocol(number uint8) {
	if name := words.Name(words.InetProto.Symbols, uint64(number)); name != "" {
		w.str(name)
		return
	}
	w.uint(uint64(number))
}

// timeout writes the states whose seconds are not the kernel's own, which is how
// nft does it.
func (w *writer) timeout(e *rules.Timeout) {
	w.str("protocol ")
	w.protocol(e.L4)
	w.str("\n\t\tl3proto " + e.L3.String() + "\n\t\tpolicy = { ")
	between := ""
	for i, s := range words.TimeoutStates[e.L4] {
		if i < len(e.Seconds) && uint64(e.Seconds[i]) != s.Value {
			w.printf("%s%s : %d", between, s.Name, e.Seconds[i])
			between = ", "
		}
	}
	w.str(" }")
}

// tunnelKey writes the settings of a tunnel as newer versions of nft do.
func (w *writer) tunnelKey(e *rules.TunnelKey) {
	w.printf("id %d", e.ID)
	family := "ip"
	if len(e.Dst) == 16 {
		family = "ip6"
	}
	for _, side := range []struct {
		name string
		b    []byte
	}{{"saddr", e.Src}, {"daddr", e.Dst}} {
		if a, ok := netip.AddrFromSlice(side.b); ok && !a.IsUnspecified() {
			w.printf("\n\t\t%s %s %s", family, side.name, a)
		}
	}
	for _, n := range []struct {
		name string
		v    uint16
	}{{"sport", e.Sport}, {"dport", e.Dport}, {"tos", uint16(e.TOS)}, {"ttl", uint16(e.TTL)}} {
		if n.v != 0 {
			w.printf("\n\t\t%s %d", n.name, n.v)
		}
	}
	if e.FlowLabel != 0 {
		w.printf("\n\t\tflowlabel %d", e.FlowLabel)
	}
	if e.Flags != 0 {
		w.printf("\n\t\tflags %d", e.Flags)
	}
	if len(e.Options) > 0 {
		w.str("\n\t\t[ options " + rawBytes(e.Options) + " ]")
	}
}
