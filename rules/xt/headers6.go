package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of ip6t_opts.h and ip6t_srh.h: headers behind that of IPv6.

var header6Matches = []extension{
	{name: "dst", family: rules.IP6, size: 39, options: headerOptions("--dst-len", "--dst-opts")},
	{name: "hbh", family: rules.IP6, size: 39, options: headerOptions("--hbh-len", "--hbh-opts")},
	{name: "srh", rev: 0, family: rules.IP6, size: 10, old: true, options: segmentOptions(6)[:11]},
	{name: "srh", rev: 1, family: rules.IP6, size: 108, options: segmentOptions(104)},
}

func headerOptions(length, list string) []option {
	return []option{
		{names: []string{length}, value: integer(0, 4), on: bits8(4, 1), not: bits8(5, 1)},
		{names: []string{list}, value: headerOptionList, on: bits8(4, 2)}}
}

const (
	headerOptionsMax = 16   // IP6T_OPTS_OPTSNR
	anyLength        = 0xff // of an option without one
)

// headerOptionList is TYPE[:LENGTH],…
var headerOptionList = value{1, func(b *blob, _ bool, w []string) error {
	list := strings.Split(w[0], ",")
	if len(list) > headerOptionsMax {
		return fmt.Errorf("more than %d options", headerOptionsMax)
	}
	b.d[38] = byte(len(list))
	for i, s := range list {
		kind, length, has := strings.Cut(s, ":")
		k, err := number(kind, 0, 255)
		if err != nil {
			return err
		}
		n := uint64(anyLength)
		if has {
			if n, err = number(length, 0, 255); err != nil {
				return err
			}
		}
		b.put(6+2*i, 2, k<<8|n)
	}
	return nil
}, func(b *blob) (string, bool) {
	if b.d[38] < 1 || b.d[38] > headerOptionsMax {
		return "", false
	}
	var list []string
	for i := range int(b.d[38]) {
		v := b.u16(6 + 2*i)
		s := strconv.Itoa(int(v >> 8))
		if n := v & 0xff; n != anyLength {
			s += ":" + strconv.Itoa(int(n))
		}
		list = append(list, s)
	}
	return strings.Join(list, ","), true
}}

// segmentOptions have their flags at flags, and the inverted ones behind those.
func segmentOptions(flags int) []option {
	var list []option
	add := func(name string, v value) {
		mask := uint64(1) << len(list)
		list = append(list, option{names: []string{"--srh-" + name}, value: v, on: bits16(flags, mask), not: bits16(flags+2, mask)})
	}
	add("next-hdr", integer(0, 1))
	for i, field := range []string{"hdr-len", "segs-left", "last-entry"} {
		for _, relation := range []string{"-eq", "-gt", "-lt"} {
			add(field+relation, integer(1+i, 1))
		}
	}
	add("tag", integer(4, 2))
	for i, segment := range []string{"psid", "nsid", "lsid"} {
		add(segment, segmentAddress(8+16*i, 56+16*i))
	}
	return list
}

// segmentAddress is an address whose mask is always printed, as a length.
func segmentAddress(at, mask int) value {
	v := network(at, mask)
	v.print = func(b *blob) (string, bool) {
		n, ok := prefixLen(b.d[mask : mask+16])
		return b.addressText(at) + "/" + strconv.Itoa(n), ok
	}
	return v
}
