package nft

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// helper reads NFTA_CT_HELPER_*.
func helper(a *attributes) rules.Expr {
	return &rules.Helper{Kind: a.name(1), L3: a.family16(2), L4: a.u8(3)}
}

// family16 is a family in an attribute of 16 bits, which the kernel always gives.
func (a *attributes) family16(kind uint16) rules.Family {
	a.must(kind)
	n := a.u16(kind)
	if n > 0xff {
		a.fail("family %d", n)
	}
	return rules.Family(n)
}

// timeout reads NFTA_CT_TIMEOUT_*. In its data are the seconds of each state.
func timeout(a *attributes) rules.Expr {
	e := &rules.Timeout{L3: a.family16(1), L4: a.u8(2)}
	d := open(a.must(3))
	for d.has(uint16(len(e.Seconds) + 1)) {
		e.Seconds = append(e.Seconds, d.u32(uint16(len(e.Seconds)+1)))
	}
	if why := d.close(); why != "" {
		a.fail("seconds: %s", why)
	}
	return e
}

// expectation reads NFTA_CT_EXPECT_*. The kernel gives the milliseconds in the
// host's order.
func expectation(a *attributes) rules.Expr {
	e := &rules.Expectation{L3: a.family16(1), L4: a.u8(2), Port: a.u16(3), Size: a.u8(5)}
	if v := a.must(4); len(v) == 4 {
		e.TimeoutMS = binary.NativeEndian.Uint32(v)
	} else {
		a.fail("attribute 4 has %d bytes, not 4", len(v))
	}
	return e
}

func secmark(a *attributes) rules.Expr { return &rules.Secmark{Context: a.name(1)} }

// tunnelKey reads NFTA_TUNNEL_KEY_*.
func tunnelKey(a *attributes) rules.Expr {
	e := &rules.TunnelKey{ID: a.u32(1), Flags: a.u32(4), TOS: a.u8(5), TTL: a.u8(6), Sport: a.u16(7), Dport: a.u16(8)}
	e.Options, _ = a.get(9)
	four, is4 := a.get(2)
	six, is6 := a.get(3)
	if is4 == is6 {
		a.fail("not one of IPv4 and IPv6")
		return e
	}
	d := open(four)
	size := 4
	if is6 {
		d, size = open(six), 16
		e.FlowLabel = d.u32(3)
	}
	e.Src, _ = d.get(1)
	if e.Dst = d.must(2); len(e.Dst) != size || e.Src != nil && len(e.Src) != size {
		d.fail("an address has not %d bytes", size)
	}
	if why := d.close(); why != "" {
		a.fail("addresses: %s", why)
	}
	return e
}

// inner reads NFTA_INNER_*: an expression that is run on what a tunnel carries.
func inner(a *attributes) rules.Expr {
	a.skip(1)
	e := &rules.Inner{Type: a.need32(2), Flags: a.need32(3), HdrSize: a.u32(4)}
	switch x := expression(a.must(5)).(type) {
	case *rules.Payload:
		e.Exprs = rules.Exprs{x}
		if x.Write {
			a.fail("a store into what a tunnel carries")
		}
	case *rules.Meta:
		e.Exprs = rules.Exprs{x}
		if x.Write {
			a.fail("a store into what a tunnel carries")
		}
	case *rules.Opaque:
		a.fail("%s: %s", x.Kind, x.Why)
	default:
		a.fail("%s within it", x.Name())
	}
	return e
}
