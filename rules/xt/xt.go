// Package xt holds extensions of iptables(8): between the words that
// iptables-save writes and the structures that the kernel keeps (xt_tcpudp.h,
// xt_mark.h). It knows the matches tcp, udp and mark, and no target.
package xt

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// ParseMatch reads the options that follow -m name, up to the first token that
// is none of the extension's, and says how many tokens it took. The family and
// protocol change nothing in the extensions known so far.
func ParseMatch(_ rules.Family, name string, args []string, _ uint16) (rules.Match, int, error) {
	m := rules.Match{Ext: name}
	var set func(opt string, not bool, val []string) error
	var arity map[string]int
	switch name {
	case "tcp", "udp":
		m.Data = make([]byte, 16)
		binary.NativeEndian.PutUint16(m.Data[2:], 0xffff)
		binary.NativeEndian.PutUint16(m.Data[6:], 0xffff)
		arity = map[string]int{"--sport": 1, "--source-port": 1, "--dport": 1, "--destination-port": 1}
		if name == "tcp" {
			arity["--tcp-flags"] = 2
			arity["--syn"] = 0
		}
		set = func(opt string, not bool, val []string) error { return setPorts(m.Data, name, opt, not, val) }
	case "mark":
		m.Rev, m.Data = 1, make([]byte, 16)
		arity = map[string]int{"--mark": 1}
		set = func(_ string, not bool, val []string) error { return setMark(m.Data, not, val[0]) }
	default:
		return rules.Match{}, 0, fmt.Errorf("match %s: %w", name, ErrUnknown)
	}
	n, seen := 0, map[string]bool{}
	for n < len(args) {
		at, not := n, args[n] == "!"
		if not {
			at++
		}
		if at >= len(args) {
			break
		}
		opt := args[at]
		count, ok := arity[opt]
		if !ok {
			break
		}
		if len(args)-at-1 < count {
			return rules.Match{}, n, fmt.Errorf("match %s: %s lacks its value", name, opt)
		}
		if seen[opt] {
			return rules.Match{}, n, fmt.Errorf("match %s: %s is given twice", name, opt)
		}
		seen[opt] = true
		if err := set(opt, not, args[at+1:at+1+count]); err != nil {
			return rules.Match{}, n, fmt.Errorf("match %s: %s: %w", name, opt, err)
		}
		n = at + 1 + count
	}
	if name == "mark" && n == 0 {
		return rules.Match{}, 0, fmt.Errorf("match mark: --mark is missing")
	}
	return m, n, nil
}

// MatchText is the match as iptables-save writes it; false if it isn't known.
func MatchText(_ rules.Family, m *rules.Match) (string, bool) {
	if len(m.Data) != 16 {
		return "", false
	}
	switch {
	case (m.Ext == "tcp" || m.Ext == "udp") && m.Rev == 0:
		return portsText(m.Ext, m.Data)
	case m.Ext == "mark" && m.Rev == 1 && m.Data[8] <= 1:
		mark, mask := binary.NativeEndian.Uint32(m.Data), binary.NativeEndian.Uint32(m.Data[4:])
		s := "-m mark" + bang(m.Data[8] == 1) + fmt.Sprintf(" --mark 0x%x", mark)
		if mask != 0xffffffff {
			s += fmt.Sprintf("/0x%x", mask)
		}
		return s, true
	}
	return "", false
}

// ParseTarget is ParseMatch for targets. It knows none yet.
func ParseTarget(_ rules.Family, name string, _ []string, _ uint16) (rules.Target, int, error) {
	return rules.Target{}, 0, fmt.Errorf("target %s: %w", name, ErrUnknown)
}

// TargetText is MatchText for targets. It knows none yet.
func TargetText(rules.Family, *rules.Target) (string, bool) { return "", false }

var flagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

func setPorts(d []byte, name, opt string, not bool, val []string) error {
	// struct xt_tcp ends in option, flg_mask, flg_cmp, invflags; xt_udp in invflags.
	inv := 8
	if name == "tcp" {
		inv = 11
	}
	off, bit := 0, byte(1)
	switch opt {
	case "--syn", "--tcp-flags":
		bit, d[9], d[10] = 4, 0x17, 0x02
		if opt == "--tcp-flags" {
			var err error
			if d[9], err = flags(val[0]); err != nil {
				return err
			}
			if d[10], err = flags(val[1]); err != nil {
				return err
			}
		}
	default:
		if strings.HasPrefix(opt, "--d") {
			off, bit = 4, 2
		}
		lo, hi, ranged := strings.Cut(val[0], ":")
		if !ranged {
			hi = lo
		} else if lo == "" {
			lo = "0"
		}
		if ranged && hi == "" {
			hi = "65535"
		}
		a, err := strconv.ParseUint(lo, 10, 16)
		if err != nil {
			return err
		}
		b, err := strconv.ParseUint(hi, 10, 16)
		if err != nil {
			return err
		}
		if a > b {
			return fmt.Errorf("%s ends before it starts", val[0])
		}
		binary.NativeEndian.PutUint16(d[off:], uint16(a))
		binary.NativeEndian.PutUint16(d[off+2:], uint16(b))
	}
	if not {
		d[inv] |= bit
	}
	return nil
}

func portsText(name string, d []byte) (string, bool) {
	inv := d[8]
	if name == "tcp" {
		inv = d[11]
		if d[8] != 0 || inv&^7 != 0 || d[9]&^0x3f != 0 || d[10]&^0x3f != 0 {
			return "", false
		}
	} else if inv&^3 != 0 {
		return "", false
	}
	s := "-m " + name
	for i, opt := range []string{" --sport ", " --dport "} {
		a, b := binary.NativeEndian.Uint16(d[4*i:]), binary.NativeEndian.Uint16(d[4*i+2:])
		if a == 0 && b == 0xffff {
			continue
		}
		s += bang(inv&(1<<i) != 0) + opt + strconv.Itoa(int(a))
		if a != b {
			s += ":" + strconv.Itoa(int(b))
		}
	}
	if name == "tcp" && (d[9] != 0 || inv&4 != 0) {
		s += bang(inv&4 != 0) + " --tcp-flags " + flagText(d[9]) + " " + flagText(d[10])
	}
	return s, true
}

func setMark(d []byte, not bool, val string) error {
	v, m, masked := strings.Cut(val, "/")
	mark, err := strconv.ParseUint(v, 0, 32)
	if err != nil {
		return err
	}
	mask := uint64(0xffffffff)
	if masked {
		if mask, err = strconv.ParseUint(m, 0, 32); err != nil {
			return err
		}
	}
	binary.NativeEndian.PutUint32(d, uint32(mark))
	binary.NativeEndian.PutUint32(d[4:], uint32(mask))
	if not {
		d[8] = 1
	}
	return nil
}

func flags(s string) (byte, error) {
	var f byte
next:
	for w := range strings.SplitSeq(s, ",") {
		switch w {
		case "ALL":
			f |= 0x3f
			continue
		case "NONE":
			continue
		}
		for i, n := range flagNames {
			if w == n {
				f |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("unknown flag %q", w)
	}
	return f, nil
}

func flagText(f byte) string {
	var on []string
	for i, n := range flagNames {
		if f&(1<<i) != 0 {
			on = append(on, n)
		}
	}
	if on == nil {
		return "NONE"
	}
	return strings.Join(on, ",")
}

func bang(not bool) string {
	if not {
		return " !"
	}
	return ""
}
