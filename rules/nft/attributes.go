package nft

import (
	"encoding/binary"
	"fmt"
	"iter"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// attributes are netlink attributes that lie one behind the other. They are
// searched anew for each that is wanted, because there are few and nothing has
// to be allocated. What was read is remembered, so that close can tell what was
// not understood.
type attributes struct {
	raw  []byte
	read uint64 // by kind
	bad  string // the first thing that is wrong
}

// each gives the kind and value of each attribute, up to the first that is
// malformed. The kind is without its flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
func each(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			n := int(binary.NativeEndian.Uint16(b))
			if n < 4 || n > len(b) || !yield(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// open takes attributes, which are bad if they don't fill b.
func open(b []byte) attributes {
	a := attributes{raw: b}
	at := 0
	for _, v := range each(b) {
		at = min(at+(4+len(v)+3)&^3, len(b))
	}
	if at != len(b) {
		a.fail("malformed at byte %d of %d", at, len(b))
	}
	return a
}

func (a *attributes) fail(format string, args ...any) {
	if a.bad == "" {
		a.bad = fmt.Sprintf(format, args...)
	}
}

// close says what is wrong with the attributes, if anything is: an attribute
// that nobody has read may change what the others mean.
func (a *attributes) close() string {
	var seen uint64
	for kind := range each(a.raw) {
		bit := uint64(1) << kind // 0 beyond 63
		switch {
		case a.read&bit == 0:
			a.fail("attribute %d is not known", kind)
		case seen&bit != 0:
			a.fail("attribute %d is there twice", kind)
		}
		seen |= bit
	}
	return a.bad
}

// err is what is wrong with a message. Attributes that are not known are no
// error there: they are facts about the thing, such as how often it is used.
func (a *attributes) err(what string) error {
	if a.bad == "" {
		return nil
	}
	return fmt.Errorf("%s: %s", what, a.bad)
}

func (a *attributes) get(kind uint16) ([]byte, bool) {
	a.read |= 1 << kind
	for k, v := range each(a.raw) {
		if k == kind {
			return v, true
		}
	}
	return nil, false
}

func (a *attributes) has(kind uint16) bool {
	_, ok := a.get(kind)
	return ok
}

// skip is for attributes that mean nothing here.
func (a *attributes) skip(kinds ...uint16) {
	for _, k := range kinds {
		a.read |= 1 << k
	}
}

// must is an attribute that the kernel always gives.
func (a *attributes) must(kind uint16) []byte {
	v, ok := a.get(kind)
	if !ok {
		a.fail("attribute %d is missing", kind)
	}
	return v
}

// number is an attribute of size bytes in network order, as all numbers of
// nf_tables; 0 if it is not there.
func (a *attributes) number(kind uint16, size int) uint64 {
	v, ok := a.get(kind)
	if !ok {
		return 0
	}
	if len(v) != size {
		a.fail("attribute %d has %d bytes, not %d", kind, len(v), size)
		return 0
	}
	var n uint64
	for _, b := range v {
		n = n<<8 | uint64(b)
	}
	return n
}

func (a *attributes) u8(kind uint16) uint8   { return uint8(a.number(kind, 1)) }
func (a *attributes) u16(kind uint16) uint16 { return uint16(a.number(kind, 2)) }
func (a *attributes) u32(kind uint16) uint32 { return uint32(a.number(kind, 4)) }
func (a *attributes) u64(kind uint16) uint64 { return a.number(kind, 8) }

// need32 is a number that the kernel always gives.
func (a *attributes) need32(kind uint16) uint32 {
	a.must(kind)
	return a.u32(kind)
}

// flag tells whether the only flag that is known is set.
func (a *attributes) flag(kind uint16) bool {
	n := a.u32(kind)
	if n > 1 {
		a.fail("attribute %d has flags %#x", kind, n)
	}
	return n == 1
}

// small is a 32-bit attribute whose value fits a byte.
func (a *attributes) small(kind uint16) uint8 {
	n := a.u32(kind)
	if n > 0xff {
		a.fail("attribute %d is %d", kind, n)
	}
	return uint8(n)
}

func (a *attributes) text(kind uint16) string {
	v, _ := a.get(kind)
	return text(v)
}

// name is a text that the kernel always gives.
func (a *attributes) name(kind uint16) string {
	s := text(a.must(kind))
	if s == "" {
		a.fail("attribute %d is empty", kind)
	}
	return s
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// reg is a register, as nft_parse_register in net/netfilter/nf_tables_api.c
// counts them.
func (a *attributes) reg(kind uint16) rules.Reg {
	switch n := a.need32(kind); {
	case n >= 1 && n <= 4: // NFT_REG_1 to NFT_REG_4
		return rules.Reg(4 * (n - 1))
	case n >= 8 && n <= 23: // NFT_REG32_00 to NFT_REG32_15
		return rules.Reg(n - 8)
	default:
		a.fail("register %d", n)
		return 0
	}
}

// regIf is a register that need not be there.
func (a *attributes) regIf(kind uint16) (rules.Reg, bool) {
	if !a.has(kind) {
		return 0, false
	}
	return a.reg(kind), true
}

// value is an NFTA_DATA_*: bytes, or a verdict.
func (a *attributes) value(kind uint16) ([]byte, *rules.Verdict) {
	d := open(a.must(kind))
	data, ok := d.get(1)
	var verdict *rules.Verdict
	if v, is := d.get(2); is {
		verdict = d.verdict(v)
	}
	if ok == (verdict != nil) {
		d.fail("not one of data and verdict")
	}
	if why := d.close(); why != "" {
		a.fail("attribute %d: %s", kind, why)
	}
	return data, verdict
}

// data is a value that is no verdict.
func (a *attributes) data(kind uint16) []byte {
	data, verdict := a.value(kind)
	if verdict != nil {
		a.fail("attribute %d is a verdict", kind)
	}
	return data
}

// dataIf is data that need not be there.
func (a *attributes) dataIf(kind uint16) []byte {
	if !a.has(kind) {
		return nil
	}
	return a.data(kind)
}

// verdict is an NFTA_VERDICT_*. The upper half of one that is not negative is a
// queue's number or an error's.
func (a *attributes) verdict(b []byte) *rules.Verdict {
	v := open(b)
	code := v.need32(1)
	out := &rules.Verdict{Kind: rules.VerdictKind(int32(code)), Chain: v.text(2), Code: code}
	if out.Kind >= 0 {
		out.Kind &= 0xff
	}
	switch out.Kind {
	case rules.Jump, rules.Goto:
		if out.Chain == "" {
			v.fail("jump to no chain")
		}
	case rules.Drop, rules.Accept, rules.Stolen, rules.Queue, rules.Continue, rules.Break, rules.Return:
	default:
		v.fail("verdict %d", int32(code))
	}
	if why := v.close(); why != "" {
		a.fail("verdict: %s", why)
	}
	return out
}

// userdata finds a text among what nft keeps for itself: kind, length, value
// (libnftnl's udata.h).
func userdata(b []byte, kind byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		value := b[2 : 2+int(b[1])]
		if b[0] == kind {
			return text(value)
		}
		b = b[2+len(value):]
	}
	return ""
}
