package xtables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// sample makes a filter table of IPv4 with one rule in INPUT, which jumps to
// chain c, policies that drop, and in c one rule with a match.
func sample() (info, blob []byte) {
	add := func(matches, target []byte) int {
		at := len(blob)
		e := make([]byte, 112)
		binary.NativeEndian.PutUint16(e[88:], uint16(112+len(matches)))
		binary.NativeEndian.PutUint16(e[90:], uint16(112+len(matches)+len(target)))
		binary.NativeEndian.PutUint64(e[96:], uint64(at))
		blob = append(append(append(blob, e...), matches...), target...)
		return at
	}
	extension := func(name string, size int) []byte {
		b := make([]byte, size)
		binary.NativeEndian.PutUint16(b, uint16(size))
		copy(b[2:], name)
		return b
	}
	standard := func(v int) []byte {
		b := extension("", 40)
		binary.NativeEndian.PutUint32(b[32:], uint32(int32(v)))
		return b
	}
	jump := standard(0)
	add(nil, jump) // INPUT
	input := add(nil, standard(-1))
	forward := add(nil, standard(-1))
	output := add(nil, standard(-1))
	name := extension("ERROR", 64)
	copy(name[32:], "c")
	add(nil, name)
	first := add(extension("comment", 288), extension("LOG", 64))
	add(nil, standard(-5))
	last := extension("ERROR", 64)
	copy(last[32:], "ERROR")
	add(nil, last)
	binary.NativeEndian.PutUint32(blob[112+32:], uint32(first))
	copy(blob[first+112+32:], "why")
	info = make([]byte, InfoSize(rules.IP))
	binary.NativeEndian.PutUint32(info[32:], 1<<1|1<<2|1<<3)
	for hook, at := range map[int][2]int{1: {0, input}, 2: {forward, forward}, 3: {output, output}} {
		binary.NativeEndian.PutUint32(info[36+4*hook:], uint32(at[0]))
		binary.NativeEndian.PutUint32(info[56+4*hook:], uint32(at[1]))
	}
	return info, blob
}

func TestDecodeEntries(t *testing.T) {
	info, blob := sample()
	table, err := DecodeEntries(rules.IP, "filter", info, blob, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Chains) != 4 || table.Chains[0].Policy != "drop" || table.Chains[3].Name != "c" || len(table.Chains[3].Rules) != 1 {
		t.Fatalf("%+v", table)
	}
	if got := describe(table.Chains[0].Rules[0]); got != "{} jump c" {
		t.Error(got)
	}
	if r := table.Chains[3].Rules[0]; describe(r) != "{} comment target" || r.About().Comment != "why" || r.About().Packets == 0 {
		t.Errorf("%s %+v", describe(r), r)
	}
}

// A long chain is read in parts: each rule is in its place all the same, and a
// wrong one is named.
func TestDecodeLongChain(t *testing.T) {
	const n, size = partLeast + 3, 112 + 288 + 64
	info, blob := sample()
	first := len(blob) - (112 + 64) - (112 + 40) - size
	long := slices.Clone(blob[:first])
	for i := range n {
		long = append(long, blob[first:first+size]...)
		binary.NativeEndian.PutUint64(long[first+i*size+96:], uint64(1000+i))
	}
	long = append(long, blob[first+size:]...)
	for _, room := range []int{0, 1, n, n + 4} {
		table, err := DecodeEntries(rules.IP, "filter", info, long, make([]rules.Rule, room))
		if err != nil {
			t.Fatal(err)
		}
		list := table.Chains[3].Rules
		if len(list) != n {
			t.Fatalf("with room for %d: %d rules, want %d", room, len(list), n)
		}
		for i, r := range list {
			if int(r.Number) != i+1 || r.About().Packets != uint64(1000+i) || describe(r) != "{} comment target" {
				t.Fatalf("with room for %d: rule %d: %s %+v", room, i+1, describe(r), r)
			}
		}
		if got := describe(table.Chains[0].Rules[0]); got != "{} jump c" {
			t.Errorf("with room for %d: %s", room, got)
		}
	}
	binary.NativeEndian.PutUint16(long[first+(n-2)*size+112:], 4)
	if _, err := DecodeEntries(rules.IP, "filter", info, long, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("rule %d: ", n-1)) {
		t.Errorf("%v, want one about rule %d", err, n-1)
	}
}

func TestDecodeEntriesRefused(t *testing.T) {
	put16, put32 := binary.NativeEndian.PutUint16, binary.NativeEndian.PutUint32
	var info, blob []byte
	for name, spoil := range map[string]func(){
		"short information":       func() { info = info[:80] },
		"no entries":              func() { blob = nil },
		"a hook of another table": func() { put32(info[32:], 1) },
		"chain begins outside":    func() { put32(info[40:], 1<<31) },
		"chain ends before":       func() { put32(info[40:], 304); put32(info[60:], 0) },
		"underflow in the middle": func() { put32(info[60:], 100) },
		"no policy":               func() { put32(blob[152+144:], 152) },
		"two chains are one":      func() { put32(info[40:], 304); put32(info[60:], 304) },
		"entry of no length":      func() { put16(blob[90:], 0) },
		"target before its end":   func() { put16(blob[88:], 8) },
		"entry longer than all":   func() { put16(blob[90:], 65535) },
		"jump into nothing":       func() { put32(blob[144:], 8) },
		"unknown verdict":         func() { put32(blob[144:], 0xfffffffc-5) },
		"target of no length":     func() { put16(blob[112:], 0) },
		"match of no length":      func() { put16(blob[4*152+176+112:], 0) },
		"match longer than all":   func() { put16(blob[4*152+176+112:], 500) },
		"chain without a name":    func() { blob[4*152+112+32] = 0 },
		"chain named INPUT":       func() { copy(blob[4*152+112+32:], "INPUT") },
		"cut off":                 func() { blob = blob[:len(blob)-10] },
	} {
		info, blob = sample()
		spoil()
		if table, err := DecodeEntries(rules.IP, "filter", info, blob, nil); !errors.Is(err, ErrEntries) {
			t.Errorf("%s: %+v, %v", name, table, err)
		}
	}
	info, blob = sample()
	if _, err := DecodeEntries(rules.Bridge, "filter", info, blob, nil); !errors.Is(err, ErrEntries) {
		t.Error(err)
	}
	if _, err := DecodeEntries(rules.IP, "broute", info, blob, nil); !errors.Is(err, ErrEntries) {
		t.Error(err)
	}
}

// TestDevice has what the kernel compares of a device's name.
func TestDevice(t *testing.T) {
	for _, c := range []struct {
		name string
		ones int
		not  bool
		want string
		ok   bool
	}{
		{"eth0", 5, false, "eth0", true},
		{"eth0", 16, false, "eth0", true},
		{"eth+", 3, false, "eth+", true},
		{"eth", 3, false, "eth+", true},
		{"+", 0, false, "", true},
		{"+", 0, true, "+", true},
		{"", 1, false, "", false},
		{"eth+", 5, false, "", false},
	} {
		name, mask := make([]byte, 16), make([]byte, 16)
		copy(name, c.name)
		for i := range c.ones {
			mask[i] = 0xff
		}
		d := decoder{names: map[string]string{}}
		if got, ok := d.device(name, mask, c.not); got != c.want || ok != c.ok {
			t.Errorf("%+v: %q, %v", c, got, ok)
		}
		if mask[15] = 1; c.ones < 16 {
			if got, ok := d.device(name, mask, c.not); ok {
				t.Errorf("%+v with a hole: %q", c, got)
			}
		}
	}
}

func FuzzDecodeEntries(f *testing.F) {
	info, blob := sample()
	f.Add(info, blob)
	f.Fuzz(func(t *testing.T, info, blob []byte) {
		for _, family := range []rules.Family{rules.IP, rules.IP6, rules.ARP} {
			if _, err := DecodeEntries(family, "filter", info, blob, nil); err != nil && !errors.Is(err, ErrEntries) {
				t.Error(err)
			}
		}
	})
}
