package text

import (
	"encoding/hex"
	"github.com/portwhy/portwhy/rules/wide"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
	"github.com/portwhy/portwhy/rules/xt"
)

// Bits of rules.IPTables (linux/netfilter_ipv4/ip_tables.h).
const (
	isFragment = 0x01 // IPT_F_FRAG

	notIn       = 0x01
	notOut      = 0x02
	notSrc      = 0x08
	notDst      = 0x10
	notFragment = 0x20
	notProto    = 0x40
)

// protocols are the names that iptables-save writes: its own
// (xtables_chain_protos in libxtables) and those of Debian's /etc/protocols,
// which are the same where both have one.
var protocols = func() (all [256]string) {
	for i := range all {
		if all[i] = words.InetProto.Symbol(uint64(i)); i == 0 {
			all[i] = ""
		}
	}
	return all
}()

// saved writes a rule as iptables-save does; false, and nothing, if it isn't one
// that iptables could have made.
func (w *writer) saved(c *rules.Chain, r *rules.Rule) bool {
	translated := w.p.t.Backend == rules.IptablesNFT && !w.hasHead(r.Exprs)
	if translated && !w.back.translate(w.p, r) {
		return false
	}
	w.str("-A ")
	w.name(c.Name)
	if translated {
		for _, e := range w.back.exprs {
			w.savedExpr(e)
		}
		return true
	}
	rest := r.Exprs
	for e := rest.Next(&w.scratch); e != nil; e = rest.Next(&w.scratch) {
		w.savedExpr(e)
	}
	return true
}

// hasHead says whether a rule is written in iptables' own terms, as one that was
// read from text is.
func (w *writer) hasHead(exprs rules.List) bool {
	_, ok := exprs.Next(&w.scratch).(*rules.IPTables)
	return ok
}

func (w *writer) savedExpr(e rules.Expr) {
	switch e := e.(type) {
	case *rules.IPTables:
		w.head(e)
	case *rules.Match:
		s, ok := xt.MatchText(w.p.family, e)
		w.extension("-m ", e.Ext, e.Rev, e.Data, s, ok)
	case *rules.Target:
		s, ok := xt.TargetText(w.p.family, e)
		w.extension("-j ", e.Ext, e.Rev, e.Data, s, ok)
	case *rules.Immediate:
		w.jump(e)
	case *rules.Log:
		w.nflog(e)
	case *rules.ARPTables:
		w.opaque(&rules.Opaque{Kind: e.Name(), Data: e.Data})
	case *rules.Opaque:
		w.opaque(e)
	default:
		w.str(" ")
		w.str(bracket(e))
	}
}

// raw writes an expression that nft can't name in brackets, an extension of
// iptables in its own words.
func (w *writer) raw(e rules.Expr) {
	switch e.(type) {
	case *rules.Match, *rules.Target:
		w.str("[")
		w.savedExpr(e)
		w.str(" ]")
	default:
		w.str(bracket(e))
	}
}

// extension writes a match or target, the bytes of one that is not understood.
func (w *writer) extension(option, name string, revision uint8, data []byte, text string, known bool) {
	w.str(" ")
	if known {
		w.name(text)
		return
	}
	w.str(option)
	w.name(name)
	if len(data) > 0 {
		w.str(" [revision ")
		w.uint(uint64(revision))
		w.str(" 0x")
		w.buf = hex.AppendEncode(w.buf, data)
		w.str("]")
	}
}

// opaque writes the words of an extension that was read from text, or bytes.
func (w *writer) opaque(e *rules.Opaque) {
	option, name := " -m ", ""
	if s, ok := strings.CutPrefix(e.Kind, "match:"); ok {
		name = s
	} else if s, ok := strings.CutPrefix(e.Kind, "target:"); ok {
		option, name = " -j ", s
	}
	if name == "" {
		w.str(" [")
		w.name(e.Kind)
		w.str(" 0x")
		w.buf = hex.AppendEncode(w.buf, e.Data)
		w.str("]")
		return
	}
	// Its name is among the words, unless it goes without saying.
	w.str(option)
	text := string(e.Data)
	if first, _, _ := strings.Cut(text, " "); strings.Trim(first, `"`) != name {
		w.name(name)
		w.str(" ")
	}
	w.name(text)
}

func (w *writer) jump(e *rules.Immediate) {
	v := e.Verdict
	if v != nil {
		switch v.Kind {
		case rules.Accept:
			w.str(" -j ACCEPT")
			return
		case rules.Drop:
			w.str(" -j DROP")
			return
		case rules.Return:
			w.str(" -j RETURN")
			return
		case rules.Queue:
			if v.Code>>16 == 0 {
				w.str(" -j QUEUE")
				return
			}
		case rules.Jump, rules.Goto:
			option := " -j "
			if v.Kind == rules.Goto {
				option = " -g "
			}
			w.str(option)
			w.name(v.Chain)
			return
		}
	}
	w.str(" ")
	w.str(bracket(e))
}

func (w *writer) nflog(e *rules.Log) {
	w.str(" -j NFLOG")
	if e.Prefix != "" {
		w.str(" --nflog-prefix ")
		w.name(xt.Quote(e.Prefix))
	}
	for _, o := range []struct {
		name string
		v    uint64
	}{{" --nflog-group ", uint64(e.Group)}, {" --nflog-size ", uint64(e.Snaplen)}, {" --nflog-threshold ", uint64(e.Threshold)}} {
		if o.v != 0 {
			w.str(o.name)
			w.uint(o.v)
		}
	}
}

// head writes addresses, devices and the protocol in iptables-save's order.
func (w *writer) head(h *rules.IPTables) {
	w.network(" -s ", h.Src, h.SrcMask, h.Inv&notSrc != 0)
	w.network(" -d ", h.Dst, h.DstMask, h.Inv&notDst != 0)
	w.device(" -i ", h.In, h.Inv&notIn != 0)
	w.device(" -o ", h.Out, h.Inv&notOut != 0)
	if h.Proto != 0 {
		w.not(h.Inv&notProto != 0)
		w.str(" -p ")
		if h.Proto < 256 && protocols[h.Proto] != "" {
			w.str(protocols[h.Proto])
		} else {
			w.uint(uint64(h.Proto))
		}
	}
	if w.p.family == rules.IP && h.Flags&isFragment != 0 {
		w.not(h.Inv&notFragment != 0)
		w.str(" -f")
	}
}

func (w *writer) not(is bool) {
	if is {
		w.str(" !")
	}
}

func (w *writer) device(option, name string, not bool) {
	if name == "" {
		return
	}
	w.not(not)
	w.str(option)
	w.name(name)
}

// network writes an address with its mask: its length, or if that can't be told
// as an address. All of them is only written where none is meant.
func (w *writer) network(option string, address, mask []byte, not bool) {
	size := 4
	if w.p.family == rules.IP6 {
		size = 16
	}
	if len(address) == 0 && len(mask) == 0 {
		if !not {
			return
		}
		var zero [16]byte
		address, mask = zero[:size], zero[:size]
	}
	w.not(not)
	w.str(option)
	if len(address) != size || len(mask) != size {
		w.str(rawBytes(address) + "/" + rawBytes(mask))
		return
	}
	w.address(address)
	w.str("/")
	if n, ok := maskLen(mask); ok {
		w.uint(uint64(n))
	} else {
		w.address(mask)
	}
}

// address writes 4 or 16 bytes as inet_ntop(3) does.
func (w *writer) address(b []byte) {
	if len(b) == 16 {
		w.ipv6(wide.FromBytes(b))
		return
	}
	w.buf = netip.AddrFrom4([4]byte(b)).AppendTo(w.buf)
}

// maskLen is how many bits a mask has; false if they are not its first ones.
func maskLen(mask []byte) (int, bool) {
	n := 0
	for i, b := range mask {
		ones := bits.LeadingZeros8(^b)
		n += ones
		if ones == 8 {
			continue
		}
		if b<<ones != 0 {
			return 0, false
		}
		for _, rest := range mask[i+1:] {
			if rest != 0 {
				return 0, false
			}
		}
		break
	}
	return n, true
}

// savedTable writes a table as iptables-save does, without the comments that say
// when. What iptables has no words for is in comments above it; a rule that it
// couldn't have made stands behind [nft], so that no tool takes the table for
// one without it.
func (w *writer) savedTable() {
	t := w.p.t
	w.foreign()
	w.str("*")
	w.name(t.Name)
	w.str("\n")
	chains := savedOrder(t)
	for _, c := range chains {
		w.str(":")
		w.name(c.Name)
		switch c.Policy {
		case "":
			w.str(" - ")
		default:
			w.str(" ")
			w.name(strings.ToUpper(c.Policy))
			w.str(" ")
		}
		w.counters(c.Packets, c.Bytes)
		w.str("\n")
	}
	for _, c := range chains {
		for _, r := range c.Rules {
			if w.p.Counters {
				w.counters(r.About().Packets, r.About().Bytes)
				w.str(" ")
			}
			if !w.saved(c, r) {
				w.str("-A ")
				w.name(c.Name)
				w.str(" [nft] ")
				w.native(r)
			}
			w.str("\n")
		}
	}
	w.str("COMMIT\n")
}

func (w *writer) counters(packets, bytes uint64) {
	w.str("[")
	w.uint(packets)
	w.str(":")
	w.uint(bytes)
	w.str("]")
}

// builtIn are the hooks of iptables' tables, along the packet's way.
var builtIn = map[string][]rules.Hook{
	"raw":      {rules.Prerouting, rules.Output},
	"mangle":   {rules.Prerouting, rules.Input, rules.Forward, rules.Output, rules.Postrouting},
	"nat":      {rules.Prerouting, rules.Input, rules.Output, rules.Postrouting},
	"filter":   {rules.Input, rules.Forward, rules.Output},
	"security": {rules.Input, rules.Forward, rules.Output},
}

// savedOrder is the order of iptables-save: of iptables-legacy that of the
// kernel; of iptables-nft the built-in chains along the packet's way, even those
// that it hasn't made yet, and the others by name. Chains that belong to a rule
// are written with it.
func savedOrder(t *rules.Table) []*rules.Chain {
	var base, list []*rules.Chain
	for _, c := range t.Chains {
		switch {
		case bound(c):
		case t.Backend == rules.IptablesNFT && slices.Contains(builtIn[t.Name], c.Hook):
			base = append(base, c)
		default:
			list = append(list, c)
		}
	}
	if t.Backend != rules.IptablesNFT {
		return list
	}
	slices.SortStableFunc(list, func(a, b *rules.Chain) int { return strings.Compare(a.Name, b.Name) })
	var all []*rules.Chain
	for _, hook := range builtIn[t.Name] {
		before := len(all)
		for _, c := range base {
			if c.Hook == hook {
				all = append(all, c)
			}
		}
		if len(all) == before {
			all = append(all, &rules.Chain{Name: strings.ToUpper(string(hook)), Policy: "accept"})
		}
	}
	return append(all, list...)
}

// foreign writes what nft has put into a table of iptables-nft, as comments.
func (w *writer) foreign() {
	start := len(w.buf)
	t := w.p.t
	for _, f := range t.Flags {
		w.str("flags ")
		w.name(f)
		w.str("\n")
	}
	if t.Comment != "" {
		w.str("comment ")
		w.quoted(t.Comment)
		w.str("\n")
	}
	for _, o := range t.Objects {
		w.object(o)
	}
	for _, s := range t.Sets {
		if !s.Anonymous {
			w.set(s)
		}
	}
	for _, f := range t.Flowtables {
		w.flowtable(f)
	}
	if len(w.buf) == start {
		return
	}
	text := string(w.buf[start:])
	w.buf = w.buf[:start]
	for line := range strings.Lines(text) {
		w.str("# ")
		w.str(line)
	}
}

// title says before a table of a ruleset whose it is.
func (w *writer) title() {
	t := w.p.t
	w.str("# Rules of ")
	switch t.Family {
	case rules.IP6:
		w.str("ip6tables-")
	case rules.ARP:
		w.str("arptables-")
	default:
		w.str("iptables-")
	}
	w.str(strings.TrimPrefix(string(t.Backend), "iptables-"))
	w.str("\n")
}
