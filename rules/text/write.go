package text

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// writer collects text.
type writer struct {
	p       *printer
	buf     []byte
	numeric bool // in ranges nothing is written by name
	// opened are the anonymous chains that are being printed, and those in them
	// that have been: each belongs to one rule, so a second jump there is by name.
	opened []*rules.Chain
	// stateless leaves out what counters have counted.
	stateless bool
	back      translation
	scratch   rules.Scratch // of the expression that is being written
}

func (w *writer) str(s string)                 { w.buf = append(w.buf, s...) }
func (w *writer) uint(v uint64)                { w.buf = strconv.AppendUint(w.buf, v, 10) }
func (w *writer) printf(f string, args ...any) { w.buf = fmt.Appendf(w.buf, f, args...) }

// name writes what was read from outside, without control bytes.
func (w *writer) name(s string) { w.str(clean(s)) }

func (w *writer) quoted(s string) {
	w.str(`"`)
	w.name(s)
	w.str(`"`)
}

// clean escapes what could act on a terminal or hide: control characters,
// bytes that are no UTF-8, and marks that turn or hide text.
func clean(s string) string {
	ok := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			ok = false
			break
		}
	}
	if ok {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1, r < 0x20, r >= 0x7f && r < 0xa0:
			for i := range size {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			}
		case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r == 0x61c:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

func rawBytes(b []byte) string {
	const most = 64
	if len(b) > most {
		return "0x" + hex.EncodeToString(b[:most]) + "…"
	}
	return "0x" + hex.EncodeToString(b)
}

// bracket is an expression that can't be folded back, as the kernel has it.
func bracket(e rules.Expr) string {
	if o, ok := e.(*rules.Opaque); ok {
		s := "[ " + clean(o.Kind) + " " + rawBytes(o.Data)
		if o.Why != "" {
			s += " # " + clean(o.Why)
		}
		return s + " ]"
	}
	const most = 400
	s := clean(strings.TrimPrefix(fmt.Sprintf("%+v", e), "&"))
	if len(s) > most {
		s = s[:most] + "…"
	}
	return "[ " + e.Name() + " " + s + " ]"
}

func (w *writer) node(n *node) {
	switch n.kind {
	case value:
		w.value(n)
	case payload:
		if known(n) {
			w.str(n.header.Name)
			w.str(" ")
			w.str(n.field.Name)
			return
		}
		w.printf("@%s,%d,%d", [...]string{"ll", "nh", "th", "ih", "tun"}[n.base], n.offset, n.bits)
	case meta, ct, unread:
		w.str(n.text)
	case fixed:
		if n.left != nil {
			w.str("jhash ")
			w.node(n.left)
		}
		w.str(n.text)
	case exthdr:
		w.option(n)
	case binary2:
		w.operand(n, n.left)
		w.str(" ")
		w.str(opSigns[n.op])
		w.str(" ")
		w.operand(n, n.right)
	case unary:
		w.node(n.left)
	case concat:
		w.join(n.kids, " . ")
	case list:
		w.join(n.kids, ",")
	case mapped:
		w.node(n.left)
		n.right.dataOrder = n.order
		if n.right.set.Verdicts {
			w.str(" vmap ")
		} else {
			w.str(" map ")
		}
		w.node(n.right)
	case ranged:
		numeric := w.numeric
		w.numeric = true
		w.node(n.left)
		w.str("-")
		w.node(n.right)
		w.numeric = numeric
	case prefix:
		w.node(n.left)
		w.str("/")
		w.uint(uint64(n.plen))
	case set:
		w.setRef(n)
	case relation:
		w.node(n.left)
		sign := opSigns[n.op]
		if n.op == eq && n.left.kind != binary2 && (!isBitmask(n.right.typ) || n.right.kind != value) {
			sign = ""
		}
		if sign != "" {
			w.str(" ")
			w.str(sign)
		}
		w.str(" ")
		w.node(n.right)
	case flags:
		w.node(n.left)
		if n.op == neq {
			w.str(" !=")
		}
		w.str(" ")
		w.node(n.right)
		w.str(" / ")
		w.node(n.mask)
	}
}

func (w *writer) join(kids []*node, between string) {
	for i, k := range kids {
		if i > 0 {
			w.str(between)
		}
		w.node(k)
	}
}

func (w *writer) operand(in, n *node) {
	if n.kind == binary2 && precedence[in.op] < precedence[n.op] {
		w.str("(")
		w.node(n)
		w.str(")")
		return
	}
	w.node(n)
}

func (w *writer) option(n *node) {
	present := n.ext.Flags&1 != 0
	name := ""
	if n.option != nil {
		name = n.option.Name
	}
	field := "unknown"
	if n.optionField != nil {
		field = n.optionField.Name
	}
	switch n.ext.Op {
	case 1:
		switch {
		case n.option == nil && n.offset == 0 && present:
			w.printf("tcp option %d", n.ext.Type)
		case n.option == nil || n.optionField == nil && !present:
			w.printf("tcp option @%d,%d,%d", n.ext.Type, n.offset, n.bits)
		case present:
			w.str("tcp option " + name)
		default:
			if name == "sack" && n.offset/64 > 0 {
				name += strconv.Itoa(n.offset / 64)
			}
			w.str("tcp option " + name + " " + field)
		}
		return
	case 2:
		w.str("ip option " + name)
	case 3:
		w.str("sctp chunk " + name)
	default:
		if present {
			w.str("exthdr ")
		}
		w.str(name)
	}
	if !present {
		w.str(" " + field)
	}
}

// value writes a constant as its type is written.
func (w *writer) value(n *node) {
	t := n.typ
	switch t {
	case nil:
		w.str("0x" + n.n.Hex() + " [invalid type]")
		return
	case words.IPv4Addr:
		var b [4]byte
		n.n.Bytes(b[:])
		w.buf = netip.AddrFrom4(b).AppendTo(w.buf)
		return
	case words.IPv6Addr:
		w.ipv6(n.n)
		return
	case words.EtherAddr, words.LLAddr:
		var b [16]byte
		size := min((n.bits+7)/8, 16)
		for i, c := range n.n.Bytes(b[:size]) {
			if i > 0 {
				w.str(":")
			}
			w.buf = append(w.buf, hexDigits[c>>4], hexDigits[c&15])
		}
		return
	case words.String, words.IfName:
		w.text(n)
		return
	case words.IfaceIndex:
		if w.p.Interface != nil {
			if name := w.p.Interface(uint32(n.n.Lo)); name != "" {
				w.quoted(name)
				return
			}
		}
	case words.ClassID:
		if t.Symbol(n.n.Lo) == "" {
			w.printf("%x:%x", uint16(n.n.Lo>>16), uint16(n.n.Lo))
			return
		}
	case words.Time:
		if w.numeric {
			w.uint(n.n.Lo / 1000)
			w.str("s")
			return
		}
		w.span(n.n.Lo)
		return
	case words.Date:
		w.str(time.Unix(int64(n.n.Lo/1e9), 0).In(w.p.location()).Format(`"2006-01-02 15:04:05"`))
		return
	case words.Hour:
		_, off := w.p.now().In(w.p.location()).Zone()
		s := (int64(uint32(n.n.Lo)) + int64(off)) % 86400
		w.printf(`"%02d:%02d`, s/3600, s/60%60)
		if s %= 60; s != 0 {
			w.printf(":%02d", s)
		}
		w.str(`"`)
		return
	case words.CTLabel:
		w.uint(uint64(n.n.Scan1(0)))
		return
	}
	if (!w.numeric || t == words.ClassID) && n.n.Hi == 0 {
		if name := t.Symbol(n.n.Lo); name != "" {
			if t == words.Day || t == words.DevGroup || t == words.Realm {
				w.quoted(name)
			} else {
				w.str(name)
			}
			return
		}
	}
	w.number(n)
}

const hexDigits = "0123456789abcdef"

func (w *writer) number(n *node) {
	digits := 0
	switch {
	case n.typ == words.Mark:
		digits = 8
	case n.typ == words.EtherType:
		digits = 4
	case n.typ == words.DSCP:
		digits = 2
	case n.typ == words.ECN, n.typ == words.Bitmask, isBitmask(n.typ), n.typ == rawInteger:
		digits = 1
	}
	if digits == 0 {
		w.str(n.n.String())
		return
	}
	h := n.n.Hex()
	w.str("0x")
	for i := len(h); i < digits; i++ {
		w.str("0")
	}
	w.str(h)
}

// text writes a string: a name that fills less than its field ends in a zero; one
// without it is the start of a name, and any rest matches.
func (w *writer) text(n *node) {
	var buf [16]byte
	b := n.n.Bytes(buf[:min((n.bits+7)/8, 16)])
	end := len(b)
	for i, c := range b {
		if c == 0 {
			end = i
			break
		}
	}
	s := string(b[:end])
	switch {
	case end == len(b) && (len(b) == 0 || b[len(b)-1] != 0):
		s += "*"
	case strings.HasSuffix(s, "*"):
		s = s[:len(s)-1] + `\*`
	}
	w.quoted(s)
}

func (w *writer) ipv6(n num) {
	var b [16]byte
	n.Bytes(b[:])
	// The C library writes ::a.b.c.d where the first six words, and no more, are zero.
	if n.Hi == 0 && n.Lo>>32 == 0 && n.Lo>>16 != 0 {
		w.str("::")
		w.buf = netip.AddrFrom4([4]byte(b[12:])).AppendTo(w.buf)
		return
	}
	w.buf = netip.AddrFrom16(b).AppendTo(w.buf)
}

// span writes milliseconds as days, hours, minutes and seconds.
func (w *writer) span(ms uint64) {
	for _, u := range []struct {
		ms   uint64
		name string
	}{{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}} {
		if v := ms / u.ms; v > 0 {
			w.uint(v)
			w.str(u.name)
		}
		ms %= u.ms
	}
}
