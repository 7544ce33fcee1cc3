package text

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// simple writes a statement that depends on nothing else of the rule.
func (w *writer) simple(e rules.Expr) {
	switch e := e.(type) {
	case *rules.Counter:
		w.str("counter")
		if !w.stateless {
			w.str(" packets ")
			w.uint(e.Packets)
			w.str(" bytes ")
			w.uint(e.Bytes)
		}
	case *rules.Limit:
		w.str("limit ")
		w.limit(e)
	case *rules.Quota:
		w.str("quota ")
		w.quota(e)
	case *rules.ConnLimit:
		w.str("ct count ")
		w.over(e.Invert)
		w.uint(uint64(e.Count))
	case *rules.Last:
		w.str("last")
		if !w.stateless && e.Set {
			w.str(" used ")
			w.span(e.MS)
		}
	case *rules.Log:
		w.log(e)
	case *rules.Notrack:
		w.str("notrack")
	case *rules.FlowOffload:
		w.str("flow add @")
		w.name(e.Table)
	case *rules.Synproxy:
		w.str("synproxy")
		if e.Flags&synproxyMSS != 0 || e.Flags&synproxyWscale != 0 {
			w.printf(" mss %d wscale %d", e.MSS, e.Wscale)
		}
		if e.Flags&synproxyTimestamp != 0 {
			w.str(" timestamp")
		}
		if e.Flags&synproxySACK != 0 {
			w.str(" sack-perm")
		}
	}
}

// NF_SYNPROXY_OPT_* (linux/netfilter/nf_synproxy.h).
const synproxyMSS, synproxyWscale, synproxySACK, synproxyTimestamp = 1, 2, 4, 8

func (w *writer) over(is bool) {
	if is {
		w.str("over ")
	}
}

func (w *writer) limit(e *rules.Limit) {
	w.str("rate ")
	w.over(e.Invert)
	unit := words.Name(words.TimeUnits, e.Unit)
	if unit == "" {
		unit = "error"
	}
	if e.Type == 0 {
		w.uint(e.Rate)
		w.str("/" + unit)
		if e.Burst != 0 && e.Burst != 5 {
			w.printf(" burst %d packets", e.Burst)
		}
		return
	}
	w.amount(e.Rate)
	w.str("/" + unit)
	if e.Burst != 0 {
		w.str(" burst ")
		w.amount(uint64(e.Burst))
	}
}

func (w *writer) quota(e *rules.Quota) {
	w.over(e.Invert)
	w.amount(e.Bytes)
	if !w.stateless && e.Used != 0 {
		w.str(" used ")
		w.amount(e.Used)
	}
}

// amount writes bytes in the largest unit of nft that they are a multiple of.
func (w *writer) amount(bytes uint64) {
	unit := 0
	for bytes != 0 && unit < 2 && bytes%1024 == 0 {
		bytes /= 1024
		unit++
	}
	w.uint(bytes)
	w.str([...]string{" bytes", " kbytes", " mbytes"}[unit])
}

func (w *writer) log(e *rules.Log) {
	w.str("log")
	if e.Prefix != "" {
		w.str(" prefix ")
		w.quoted(e.Prefix)
	}
	if e.HasGroup {
		w.printf(" group %d", e.Group)
		if e.Snaplen != 0 {
			w.printf(" snaplen %d", e.Snaplen)
		}
		if e.Threshold != 0 {
			w.printf(" queue-threshold %d", e.Threshold)
		}
	} else if e.Level != words.LogLevelDefault {
		name := words.Name(words.LogLevels, uint64(e.Level))
		if name == "" {
			name = "unknown"
		}
		w.str(" level " + name)
	}
	all := uint64(0)
	for _, f := range words.LogFlags {
		all |= f.Value
	}
	f := uint64(e.LogFlags)
	switch {
	case f&all == all:
		w.str(" flags all")
		return
	case f&3 == 3:
		w.str(" flags tcp sequence,options")
		f &^= 3
	}
	for _, x := range words.LogFlags {
		if f&x.Value != 0 {
			w.str(" flags " + x.Name)
		}
	}
}
