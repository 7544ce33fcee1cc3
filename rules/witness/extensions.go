package witness

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/xt"
)

// match takes what a match of iptables asks for.
func (w *wants) match(m *rules.Match) {
	switch m.Ext {
	case "tcp":
		if d, ok := xt.DecodeTCP(m); ok {
			w.protocol, w.told = tcp, true
			w.ports(d.SourceFrom, d.NotSource, d.DestFrom, d.NotDest, d.DestTo)
			if d.FlagMask != 0 && !d.NotFlags {
				w.flags = d.Flags
			}
		}
	case "udp":
		if d, ok := xt.DecodeUDP(m); ok {
			w.protocol, w.told = udp, true
			w.ports(d.SourceFrom, d.NotSource, d.DestFrom, d.NotDest, d.DestTo)
		}
	case "multiport":
		if d, ok := xt.DecodeMultiport(m); ok && !d.Not && len(d.Ports) > 0 {
			if d.Source && !d.Dest {
				w.sport = d.Ports[0].From
			} else {
				w.dport = d.Ports[0].From
			}
		}
	case "conntrack":
		if d, ok := xt.DecodeConntrack(m); ok {
			w.conntrack(d.States)
		}
	case "mark":
		if d, ok := xt.DecodeMark(m); ok && !d.Not {
			w.mark = d.Value
		}
	case "owner":
		if d, ok := xt.DecodeOwner(m); ok {
			w.uid, w.hasUID = d.UIDFrom, true
		}
	}
}

func (w *wants) ports(source uint16, notSource bool, dest uint16, notDest bool, destTo uint16) {
	if source != 0 && !notSource {
		w.sport = source
	}
	switch {
	case notDest:
		w.dport = destTo + 1
	case dest != 0:
		w.dport = dest
	}
}

// conntrack: bits 1<<(ctinfo%3+1), invalid 1, untracked 64 (xt_conntrack.h).
func (w *wants) conntrack(states uint16) {
	for _, s := range []struct{ bit, state uint32 }{{8, eval.New}, {2, eval.Established}, {4, eval.Related}, {1, eval.Invalid}, {64, eval.Untracked}} {
		if uint32(states)&s.bit != 0 {
			w.state = s.state
			return
		}
	}
}
