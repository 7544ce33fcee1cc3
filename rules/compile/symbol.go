package compile

import (
	"github.com/portwhy/portwhy/rules/wide"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
	"github.com/portwhy/portwhy/rules/xt"
)

// constant is a value: what its text means goes by the type of the context.
func (r *rule) constant(e syntax.Expr) *node {
	n := &node{kind: constant, pos: e.Position(), typ: r.ctx.typ, order: r.ctx.order, bits: r.ctx.bits}
	switch e := e.(type) {
	case *syntax.Bool:
		n.typ = words.Boolean
		if e.Value {
			n.n = wide.Small(1)
		}
		return n
	case *syntax.Number:
		r.typed(n)
		if stringType(n.typ) { // of a device that is called 53
			return r.name(n, strconv.FormatUint(e.Value, 10))
		}
		n.n = r.number(n, e.Value)
	case *syntax.Text:
		r.typed(n)
		return r.text(n, e.Value)
	}
	r.fits(n)
	return n
}

func (r *rule) typed(n *node) {
	if n.typ == nil {
		r.failf(n.pos, "a single value can't stand here")
	}
}

// number is a value that was written as one.
func (r *rule) number(n *node, v uint64) num {
	switch n.typ {
	case words.CTLabel: // the number of a bit
		if v >= 128 {
			r.failf(n.pos, "label %d: up to 127 was expected", v)
		}
		return wide.Small(1).Shl(int(v))
	case words.Time: // seconds; the kernel has milliseconds
		return wide.Small(v * 1000)
	case words.Hour, words.Date:
		if n.typ == words.Date {
			return wide.Small(v * uint64(time.Second))
		}
		return wide.Small(v)
	case words.IPv6Addr, words.EtherAddr, words.LLAddr:
		r.failf(n.pos, "an address was expected, not a number")
	}
	return wide.Small(v)
}

// fits checks that a number is no longer than its type.
func (r *rule) fits(n *node) {
	if r.ctx.max > 0 && n.n.Cmp(wide.Small(r.ctx.max)) > 0 {
		r.failf(n.pos, "%s is more than %d", n.n, r.ctx.max)
	}
	if n.bits > 0 && n.n.Cmp(wide.Ones(n.bits)) > 0 {
		r.failf(n.pos, "%s is more than %d bits hold", n.n, n.bits)
	}
}

// text is a value that was written as a word.
func (r *rule) text(n *node, s string) *node {
	if stringType(n.typ) {
		return r.name(n, s)
	}
	n.n = r.word(n, s)
	r.fits(n)
	return n
}

func (r *rule) word(n *node, s string) num {
	switch n.typ {
	case words.IPv4Addr, words.IPv6Addr:
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4() != (n.typ == words.IPv4Addr) {
			r.failf(n.pos, "%q is no address of type %s", s, n.typ.Name)
		}
		return wide.FromBytes(a.AsSlice())
	case words.EtherAddr, words.LLAddr:
		var b []byte
		for part := range strings.SplitSeq(s, ":") {
			v, err := strconv.ParseUint(part, 16, 8)
			if b = append(b, byte(v)); err != nil || len(b) > 16 {
				r.failf(n.pos, "%q is no link layer address", s)
			}
		}
		if n.typ == words.EtherAddr && len(b) != 6 {
			r.failf(n.pos, "%q is no link layer address", s)
		}
		return wide.FromBytes(b)
	case words.IfaceIndex:
		return r.device(n, s)
	case words.Hour, words.Date, words.Time:
		return r.clock(n, s)
	case words.ClassID:
		if v, ok := n.typ.Value(s); ok {
			return wide.Small(v)
		}
		major, minor, ok := strings.Cut(s, ":")
		a, err1 := strconv.ParseUint(major, 16, 16)
		b, err2 := strconv.ParseUint(minor, 16, 16)
		if !ok || err1 != nil || err2 != nil {
			r.failf(n.pos, "%q is no class", s)
		}
		return wide.Small(a<<16 | b)
	}
	if v, ok := n.typ.Value(s); ok {
		return wide.Small(v)
	}
	if v, ok := fromText(s); ok {
		if v.Hi == 0 {
			return r.number(n, v.Lo)
		}
		return v
	}
	switch n.typ {
	case words.InetService:
		if port, ok := xt.Service(s); ok {
			return wide.Small(uint64(port))
		}
		unsuref("service", "the port of %q goes by the services(5) of its host", s)
	case words.InetProto:
		if s == "icmpv6" || s == "comp" { // nft's own words
			return wide.Small(uint64(header(s).Number))
		}
		unsuref("protocol", "the number of %q goes by the protocols(5) of its host", s)
	case words.UID, words.GID:
		if s == "root" {
			return num{}
		}
		unsuref(n.typ.Name, "what %q stands for is only known to its host", s)
	case words.Integer:
		// Newer nft has names for tcp option mptcp subtype.
		if v := slices.Index(mptcpSubtypes, s); v >= 0 && n.bits <= 8 {
			return wide.Small(uint64(v))
		}
	case words.Mark, words.Realm, words.DevGroup, words.CTLabel, words.CgroupV2:
		unsuref(n.typ.Name, "what %q stands for is only known to its host", s)
	}
	r.failf(n.pos, "%q is no value of type %s", s, n.typ.Name)
	return num{}
}

var mptcpSubtypes = []string{"mp-capable", "mp-join", "dss", "add-addr", "remove-addr", "mp-prio", "mp-fail", "mp-fastclose", "mp-tcprst"}

// loopback is the index of lo in every namespace (LOOPBACK_IFINDEX).
const loopback = 1

func (r *rule) device(n *node, s string) num {
	if v, err := strconv.ParseUint(s, 10, 32); err == nil {
		return wide.Small(v)
	}
	if s == "lo" {
		return wide.Small(loopback)
	}
	if ask := r.c.opts.Interface; ask != nil {
		if index, ok := ask(s); ok {
			return wide.Small(uint64(index))
		}
	}
	unsuref("iface_index", "the index of device %q is only known to its host", s)
	return num{}
}

// name is a string: a name fills its field up with zeros. One that ends in * is
// the start of a name.
func (r *rule) name(n *node, s string) *node {
	n.order = words.Network
	wild := strings.HasSuffix(s, "*") && !strings.HasSuffix(s, `\*`)
	if wild {
		s = s[:len(s)-1]
	} else if strings.HasSuffix(s, `\*`) {
		s = s[:len(s)-2] + "*"
	}
	size := n.bytes()
	if size == 0 || size > 16 {
		size = 16
	}
	if s == "" || len(s) >= size && !wild || len(s) > size || strings.IndexByte(s, 0) >= 0 {
		r.failf(n.pos, "a name of 1 to %d bytes was expected", size-1)
	}
	n.n = wide.FromBytes(append([]byte(s), make([]byte, size-len(s))...))
	n.bits = size * 8
	if !wild {
		return n
	}
	return &node{kind: prefix, pos: n.pos, typ: n.typ, order: words.Network, bits: n.bits, left: n, length: len(s) * 8}
}

// clock reads spans, hours and dates. The kernel counts in UTC, people write
// the time of their zone, which the text doesn't tell.
func (r *rule) clock(n *node, s string) num {
	if n.typ == words.Time {
		ms, ok := Span(s)
		if !ok {
			r.failf(n.pos, "%q is no time, such as 1h30m", s)
		}
		return wide.Small(ms)
	}
	zone := r.c.opts.Location
	if zone == nil {
		unsuref(n.typ.Name, "%q is in the time zone of its host, which is not known", s)
	}
	if n.typ == words.Date {
		for _, layout := range []string{time.DateTime, "2006-01-02 15:04", time.DateOnly} {
			if t, err := time.ParseInLocation(layout, s, zone); err == nil {
				return wide.Small(uint64(t.UnixNano()))
			}
		}
		r.failf(n.pos, "%q is no date", s)
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			_, offset := r.c.now.In(zone).Zone()
			second := t.Hour()*3600 + t.Minute()*60 + t.Second() - offset
			return wide.Small(uint64((second%86400 + 86400) % 86400))
		}
	}
	r.failf(n.pos, "%q is no hour", s)
	return num{}
}

// Span reads a time such as 1d2h3m4s5ms, as nft writes it, or a number of
// seconds. It gives milliseconds.
func Span(s string) (ms uint64, ok bool) {
	units := []struct {
		name string
		ms   uint64
	}{{"ms", 1}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}}
	for s != "" {
		i := strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' })
		if i < 0 {
			i = len(s)
		}
		v, err := strconv.ParseUint(s[:i], 10, 40)
		if err != nil {
			return 0, false
		}
		s = s[i:]
		if s == "" && !ok {
			return v * 1000, true
		}
		ok = false
		for _, u := range units {
			if rest, found := strings.CutPrefix(s, u.name); found {
				ms, s, ok = ms+v*u.ms, rest, true
				break
			}
		}
		if !ok {
			return 0, false
		}
	}
	return ms, ok
}
