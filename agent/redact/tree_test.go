package redact

import (
	"net"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func someAddress() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		starts := []string{"10.0.0.0", "172.16.0.0", "192.168.1.0", "100.64.0.0", "127.0.0.0", "169.254.0.0", "224.0.0.0", "255.255.255.0", "203.0.113.0", "8.8.8.0", "172.32.0.0",
			"::", "::1", "fe80::", "fe80::1:2:ff:fe00:0", "fd00:1::", "2001:db8::", "2600::", "ff02::1:ff00:0", "ff02::", "64:ff9b::", "2002::", "::ffff:10.0.0.0"}
		a := netip.MustParseAddr(rapid.SampledFrom(starts).Draw(t, "start"))
		b := a.AsSlice()
		for n := rapid.IntRange(0, len(b)).Draw(t, "free"); n > 0; n-- {
			b[len(b)-n] ^= rapid.Byte().Draw(t, "byte")
		}
		out, _ := netip.AddrFromSlice(b)
		return out
	})
}

func someKey(t *rapid.T) []byte { return rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(t, "key") }

// Two addresses share as many leading bits afterwards as before, so different
// ones stay different.
func TestPrefixesAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAddresses(someKey(t))
		x, y := someAddress().Draw(t, "x"), someAddress().Draw(t, "y")
		if x.BitLen() != y.BitLen() {
			return
		}
		before, after := common(bitsOf(x), bitsOf(y)), common(bitsOf(a.addr(x)), bitsOf(a.addr(y)))
		if before != after {
			t.Fatalf("%s and %s share %d bits, %s and %s %d", x, y, before, a.addr(x), a.addr(y), after)
		}
	})
}

// classes are what an address is for.
func classes(a netip.Addr) (c [12]bool) {
	in := func(s string) bool { return netip.MustParsePrefix(s).Contains(a) }
	return [12]bool{a.IsPrivate(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.IsUnspecified(), in("100.64.0.0/10"), in("10.0.0.0/8"), in("172.16.0.0/12"),
		in("240.0.0.0/4"), in("2001:db8::/32") || in("203.0.113.0/24"), in("2000::/3"), in("::ffff:0:0/96")}
}

func TestClassesAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAddresses(someKey(t))
		x := someAddress().Draw(t, "x")
		y := a.addr(x)
		if classes(x) != classes(y) {
			t.Fatalf("%s became %s", x, y)
		}
		if x.Is4() && (x.IsLoopback() || x.IsMulticast() || x.IsLinkLocalUnicast() || x.IsUnspecified()) && x != y {
			t.Fatalf("%s became %s", x, y)
		}
		if x.Is4In6() && a.addr(x.Unmap()) != y.Unmap() {
			t.Fatalf("%s became %s, but %s became %s", x, y, x.Unmap(), a.addr(x.Unmap()))
		}
	})
}

// An address is in a range if and only if its image is between those of the ends.
func TestRangesAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAddresses(someKey(t))
		var ranges [][2]netip.Addr
		for range rapid.IntRange(1, 4).Draw(t, "ranges") {
			x, y := someAddress().Draw(t, "x"), someAddress().Draw(t, "y")
			if x.BitLen() != y.BitLen() || x.Is4In6() || y.Is4In6() {
				continue
			}
			if y.Less(x) {
				x, y = y, x
			}
			a.permutation(x).keepRange(bitsOf(x), bitsOf(y))
			ranges = append(ranges, [2]netip.Addr{x, y})
		}
		z := someAddress().Draw(t, "z")
		for _, r := range ranges {
			if z.BitLen() != r[0].BitLen() {
				continue
			}
			before := !z.Less(r[0]) && !r[1].Less(z)
			x, y, in := a.addr(r[0]), a.addr(r[1]), a.addr(z)
			if after := !in.Less(x) && !y.Less(in); before != after {
				t.Fatalf("%s in %s-%s: %v; %s in %s-%s: %v", z, r[0], r[1], before, in, x, y, after)
			}
		}
	})
}

// A mask with holes selects the same addresses.
func TestMasksAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAddresses(someKey(t))
		m := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mask")
		x, y := someAddress().Draw(t, "x"), someAddress().Draw(t, "y")
		if !x.Is4() || !y.Is4() {
			return
		}
		data := x.AsSlice()
		for i := range data {
			data[i] &= m[i]
		}
		same := func(b []byte) bool {
			for i := range b {
				if b[i]&m[i] != data[i] {
					return false
				}
			}
			return true
		}
		p := place{kind: ip4, data: data, mask: m}
		before := same(y.AsSlice())
		p.see(a)
		p.change(&Redactor{addresses: a, tally: newTally()})
		if after := same(a.addr(y).AsSlice()); before != after {
			t.Fatalf("%s selected by %x of %s: %v, afterwards %v (%x)", y, m, x, before, after, data)
		}
	})
}

func TestMACAddresses(t *testing.T) {
	a := newAddresses(make([]byte, KeySize))
	for _, s := range []string{"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", "33:33:00:00:00:01"} {
		old, _ := net.ParseMAC(s)
		if got := a.hardware(old).String(); got != s {
			t.Errorf("%s became %s", s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		old := net.HardwareAddr(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "mac"))
		got := a.hardware(old)
		if old[0]&3 != got[0]&3 {
			t.Fatalf("%s became %s: another kind", old, got)
		}
	})
	tunnel := net.HardwareAddr{10, 0, 0, 5}
	if got := a.hardware(tunnel); got.String() == tunnel.String() || got[0] != 10 {
		t.Errorf("the address of a tunnel, 10.0.0.5, became %v", got)
	}
}

// Nothing is left of most addresses, and two keys give two images.
func TestAddressesChange(t *testing.T) {
	a, b := newAddresses(NewKey()), newAddresses(NewKey())
	same, alike := 0, 0
	for i := range 256 {
		x := netip.AddrFrom4([4]byte{93, 184, byte(i), 34})
		if a.addr(x) == x {
			same++
		}
		if a.addr(x) == b.addr(x) {
			alike++
		}
	}
	if same > 2 || alike > 2 {
		t.Errorf("of 256 addresses %d stayed, %d are the same under two keys", same, alike)
	}
}

func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// More ranges than can be kept are an error, not other ranges.
func TestTooManyRanges(t *testing.T) {
	p := newPermutation(make([]byte, KeySize), "4", 32)
	for i := range mostRegions + 5 {
		p.below(bitString{byte(i >> 8), byte(i)}, 16)
	}
	if !p.full() || len(p.regions) > mostRegions {
		t.Errorf("full: %v, %d regions", p.full(), len(p.regions))
	}
}
