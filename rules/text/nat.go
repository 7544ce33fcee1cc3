package text

import (
	"fmt"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

func (w *writer) nat(e *rules.NAT, addr, port *node) {
	w.str([...]string{"snat", "dnat"}[e.Type])
	mappedBoth := addr != nil && addr.kind == mapped && (addr.bits > addrBits(e.Family))
	if addr != nil || port != nil {
		if (w.p.family == rules.Inet || mappedBoth) && (e.Family == rules.IP || e.Family == rules.IP6) {
			w.str(" " + e.Family.String())
		}
		if e.Flags&words.NATNetmap != 0 {
			w.str(" prefix")
		}
		w.str(" to")
	}
	if addr != nil {
		w.str(" ")
		switch {
		case port != nil && addr.kind == value && addr.typ == words.IPv6Addr:
			w.str("[")
			w.node(addr)
			w.str("]")
		case port != nil && addr.kind == ranged && addr.typ == words.IPv6Addr:
			w.str("[")
			w.node(addr.left)
			w.str("]-[")
			w.node(addr.right)
			w.str("]")
		default:
			w.node(addr)
		}
	}
	if port != nil {
		if addr == nil {
			w.str(" ")
		}
		w.str(":")
		w.node(port)
	}
	w.natFlags(e.Flags)
}

func addrBits(f rules.Family) int {
	if f == rules.IP6 {
		return 128
	}
	return 32
}

func (w *writer) ports(port *node) {
	if port != nil {
		w.str(" to :")
		w.node(port)
	}
}

func (w *writer) natFlags(f uint32) {
	between := " "
	for _, s := range words.NATFlags {
		if f&uint32(s.Value) != 0 {
			w.str(between + s.Name)
			between = ","
		}
	}
}

func (w *writer) tproxy(e *rules.TProxy, addr, port *node) {
	w.str("tproxy")
	if w.p.family == rules.Inet && e.Family != 0 {
		w.str(" " + e.Family.String())
	}
	w.str(" to")
	if addr != nil {
		w.str(" ")
		if addr.kind == value && addr.typ == words.IPv6Addr {
			w.str("[")
			w.node(addr)
			w.str("]")
		} else {
			w.node(addr)
		}
	}
	if port != nil {
		if addr == nil {
			w.str(" ")
		}
		w.str(":")
		w.node(port)
	}
}

func (w *writer) queue(e *rules.QueueTo, from *node) {
	w.str("queue")
	between := " flags "
	if e.Flags&1 != 0 {
		w.str(between + "bypass")
		between = ","
	}
	if e.Flags&2 != 0 {
		w.str(between + "fanout")
	}
	w.str(" to ")
	if from != nil {
		w.node(from)
		return
	}
	w.uint(uint64(e.Num))
	if e.Total > 1 {
		w.str("-")
		w.uint(uint64(e.Num + e.Total - 1))
	}
}

func (w *writer) objRef(e *rules.ObjRef, from *node) {
	typ := uint64(e.Type)
	if from != nil {
		typ = uint64(from.right.set.ObjType)
	}
	name := words.Name(words.ObjectTypes, typ)
	switch name {
	case "ct helper", "ct timeout", "ct expectation":
		w.str(name + " set ")
	case "secmark":
		w.str("meta secmark set ")
	case "":
		w.printf("object%d name ", typ)
	default:
		w.str(name + " name ")
	}
	if from != nil {
		w.node(from)
		return
	}
	w.quoted(e.Object)
}

func (w *writer) reject(e *rules.Reject, f rules.Family) {
	w.str("reject")
	verbose := w.p.family != rules.IP && w.p.family != rules.IP6
	var name string
	var codes *words.Type
	switch {
	case e.Type == 1:
		w.str(" with tcp reset")
		return
	case e.Type == 2:
		if e.Code == 1 {
			return
		}
		name, codes = "icmpx", words.ICMPXCode
	case e.Type == 0 && f == rules.IP:
		if !verbose && e.Code == 3 {
			return
		}
		name, codes = "icmp", words.ICMPCode
	case e.Type == 0 && f == rules.IP6:
		if !verbose && e.Code == 4 {
			return
		}
		name, codes = "icmpv6", words.ICMPv6Code
	default:
		w.str(fmt.Sprintf(" [ type %d code %d ]", e.Type, e.Code))
		return
	}
	w.str(" with " + name + " ")
	if s := codes.Symbol(uint64(e.Code)); s != "" {
		w.str(s)
		return
	}
	w.uint(uint64(e.Code))
}
