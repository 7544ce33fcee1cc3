package xt

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_HMARK.h and ip6t_NPT.h.

var hashTargets = []extension{
	{name: "HMARK", size: 60, options: []option{
		{names: []string{"--hmark-src-prefix"}, value: hashPrefix(0), on: hashBit(0)},
		{names: []string{"--hmark-dst-prefix"}, value: hashPrefix(16), on: hashBit(1)},
		{names: []string{"--hmark-spi"}, value: hashNumber(36, 4), on: hashBit(2)},
		{names: []string{"--hmark-spi-mask"}, value: hashNumber(32, 4), on: hashBit(3)},
		{names: []string{"--hmark-sport"}, value: hashNumber(36, 2), on: hashBit(4)},
		{names: []string{"--hmark-dport"}, value: hashNumber(38, 2), on: hashBit(5)},
		{names: []string{"--hmark-sport-mask"}, value: hashNumber(32, 2), on: hashBit(6)},
		{names: []string{"--hmark-dport-mask"}, value: hashNumber(34, 2), on: hashBit(7)},
		{names: []string{"--hmark-proto-mask"}, value: value{1, integer(44, 2).parse, func(b *blob) (string, bool) {
			return fmt.Sprintf("0x%02x", b.u16(44)), true
		}}, on: hashBit(8)},
		{names: []string{"--hmark-rnd"}, value: wideHex(48), on: hashBit(9), need: true},
		{names: []string{"--hmark-mod"}, value: integerIn(52, 4, 1, maxOf(4)), on: hashBit(10), need: true},
		{names: []string{"--hmark-offset"}, value: integer(56, 4), on: hashBit(11)},
		{names: []string{"--hmark-tuple"}, value: hashTuple, shown: func(b *blob) bool { return b.has(hashBit(12)) }},
	}},
	{name: "SNPT", family: rules.IP6, size: 36, options: prefixOptions},
	{name: "DNPT", family: rules.IP6, size: 36, options: prefixOptions},
}

// hashBit is a bit of xt_hmark_info's flags, XT_HMARK_*.
func hashBit(n int) bit { return bits32(40, 1<<n) }

// hashPrefix is a mask by its length.
func hashPrefix(at int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		n, err := number(w[0], 0, uint64(8*b.addressLen()))
		if err == nil {
			copy(b.d[at:at+16], prefixMask(int(n), 16))
			b.fillMask(at)
		}
		return err
	}, func(b *blob) (string, bool) {
		n, ok := prefixLen(b.d[at : at+b.addressLen()])
		return fmt.Sprint(n), ok
	}}
}

// fillMask makes a whole mask of IPv4 one of all 16 bytes, as iptables does.
func (b *blob) fillMask(at int) {
	if n, ok := prefixLen(b.d[at : at+b.addressLen()]); ok && n == 8*b.addressLen() {
		copy(b.d[at:], prefixMask(128, 16))
	}
}

// hashNumber is a number in network order.
func hashNumber(at, size int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		v, err := number(w[0], 0, maxOf(size))
		b.putNet(at, size, v)
		return err
	}, func(b *blob) (string, bool) {
		if size == 2 {
			return fmt.Sprintf("0x%04x", b.net16(at)), true
		}
		return fmt.Sprintf("0x%08x", binary.BigEndian.Uint32(b.d[at:])), true
	}}
}

func (b *blob) putNet(at, size int, v uint64) {
	if size == 2 {
		putNet16(b.d[at:], uint16(v))
	} else {
		binary.BigEndian.PutUint32(b.d[at:], uint32(v))
	}
}

// hashTuple is a list of what is hashed whole; ct takes it from the connection.
var hashTuple = value{1, func(b *blob, _ bool, w []string) error {
	for name := range strings.SplitSeq(w[0], ",") {
		switch name {
		case "src":
			copy(b.d[0:], prefixMask(128, 16))
			b.set(hashBit(0))
		case "dst":
			copy(b.d[16:], prefixMask(128, 16))
			b.set(hashBit(1))
		case "sport":
			b.putNet(32, 2, 0xffff)
			b.set(hashBit(6))
		case "dport":
			b.putNet(34, 2, 0xffff)
			b.set(hashBit(7))
		case "spi":
			b.putNet(32, 4, 0xffffffff)
			b.set(hashBit(3))
		case "ct":
			b.set(hashBit(12))
		default:
			return fmt.Errorf("%q is not src, dst, sport, dport, spi or ct", name)
		}
	}
	return nil
}, func(*blob) (string, bool) { return "ct", true }}

var prefixOptions = []option{
	{names: []string{"--src-pfx"}, value: prefix(0, 32), shown: always, need: true},
	{names: []string{"--dst-pfx"}, value: prefix(16, 33), shown: always, need: true},
}

// prefix is address/length, with nothing behind the length.
func prefix(at, length int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		address, n, masked := strings.Cut(w[0], "/")
		if !masked {
			n = "128"
		}
		bits, err := number(n, 0, 128)
		if err != nil {
			return err
		}
		b.d[length] = byte(bits)
		return b.putAddress(at, address)
	}, func(b *blob) (string, bool) {
		return fmt.Sprintf("%s/%d", b.addressText(at), b.d[length]), b.d[length] <= 128
	}}
}
