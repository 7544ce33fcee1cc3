package xt

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// struct xt_sctp_info of xt_sctp.h.

const (
	sctpMap   = 8 // 64 words, of which 8 count
	sctpKind  = sctpMap + 4*64
	sctpFlags = sctpKind + 4
	sctpCount = sctpFlags + 12
	sctpHas   = sctpCount + 4
	sctpNot   = sctpHas + 4
)

var sctpMatches = []extension{{name: "sctp", size: sctpNot + 4, init: func(b *blob) {
	for i := range 4 { // 0xff: the flags of no chunk
		b.d[sctpFlags+3*i] = 0xff
	}
}, options: []option{
	{names: []string{"--sport", "--source-port"}, value: ports(4, 6), on: bits32(sctpHas, 1), not: bits32(sctpNot, 1)},
	{names: []string{"--dport", "--destination-port"}, value: ports(0, 2), on: bits32(sctpHas, 2), not: bits32(sctpNot, 2)},
	{names: []string{"--chunk-types"}, value: sctpChunks, on: bits32(sctpHas, 4), not: bits32(sctpNot, 4)}}}}

// sctpTypes are the chunks and the letters of their flags, from the highest bit.
var sctpTypes = []struct {
	text  string
	typ   uint8
	flags string
}{
	{"DATA", 0, "----IUBE"}, {"INIT", 1, ""}, {"INIT_ACK", 2, ""}, {"SACK", 3, ""}, {"HEARTBEAT", 4, ""}, {"HEARTBEAT_ACK", 5, ""},
	{"ABORT", 6, "-------T"}, {"SHUTDOWN", 7, ""}, {"SHUTDOWN_ACK", 8, ""}, {"ERROR", 9, ""}, {"COOKIE_ECHO", 10, ""}, {"COOKIE_ACK", 11, ""},
	{"ECN_ECNE", 12, ""}, {"ECN_CWR", 13, ""}, {"SHUTDOWN_COMPLETE", 14, "-------T"}, {"I_DATA", 64, "----IUBE"}, {"RE_CONFIG", 130, ""},
	{"PAD", 132, ""}, {"ASCONF", 193, ""}, {"ASCONF_ACK", 128, ""}, {"FORWARD_TSN", 192, ""}, {"I_FORWARD_TSN", 194, ""},
}

var sctpKinds = []name{{"any", 1}, {"all", 2}, {"only", 4}}

func (b *blob) chunk(typ int) bit { return bits32(sctpMap+4*(typ/32), 1<<(typ%32)) }

var sctpChunks = value{2, func(b *blob, _ bool, w []string) error {
	kind, err := named(sctpKinds, w[0])
	if err != nil {
		return err
	}
	b.put(sctpKind, 4, kind)
	switch {
	case strings.EqualFold(w[1], "ALL"):
		for i := range 256 {
			b.d[sctpMap+i] = 0xff
		}
		return nil
	case strings.EqualFold(w[1], "NONE"):
		return nil
	}
	for s := range strings.SplitSeq(w[1], ",") {
		text, flags, _ := strings.Cut(s, ":")
		if err := b.addChunk(text, flags); err != nil {
			return err
		}
	}
	return nil
}, func(b *blob) (string, bool) {
	kind, ok := nameOf(sctpKinds, b.uint(sctpKind, 4))
	if !ok || b.u32(sctpCount) > 4 {
		return "", false
	}
	set, all := 0, true
	for _, c := range b.d[sctpMap:sctpKind] {
		if c != 0 {
			set++
		}
		all = all && c == 0xff
	}
	if set == 0 {
		return kind + " NONE", true
	}
	if all {
		return kind + " ALL", true
	}
	var list []string
	left := [256]byte(b.d[sctpMap:sctpKind])
	rest := &blob{d: append(make([]byte, sctpMap), left[:]...)}
	for typ := range 256 {
		for _, t := range sctpTypes {
			if int(t.typ) == typ && b.has(b.chunk(typ)) {
				list = append(list, t.text+b.chunkFlags(typ, t.flags))
				bit := b.chunk(typ)
				rest.put(bit.at, 4, rest.uint(bit.at, 4)&^bit.mask)
			}
		}
	}
	for _, c := range rest.d {
		if c != 0 {
			return "", false
		}
	}
	return kind + " " + strings.Join(list, ","), true
}}

func (b *blob) addChunk(text, flags string) error {
	for i, t := range sctpTypes {
		if !strings.EqualFold(t.text, text) {
			continue
		}
		b.set(b.chunk(int(t.typ)))
		for _, c := range flags {
			at := strings.IndexRune(t.flags, []rune(strings.ToUpper(string(c)))[0])
			if at < 0 || c == '-' {
				return fmt.Errorf("%s has no flag %c", t.text, c)
			}
			// iptables puts the place in its table, not the type: for I_DATA it differs.
			place, n := 0, int(b.u32(sctpCount))
			for place < n && int(b.d[sctpFlags+3*place]) != i {
				place++
			}
			if place == 4 {
				return fmt.Errorf("more than 4 chunks have flags")
			}
			if place == n {
				b.put(sctpCount, 4, uint64(n+1))
			}
			b.d[sctpFlags+3*place] = byte(i)
			b.d[sctpFlags+3*place+2] |= 0x80 >> at
			if c >= 'A' && c <= 'Z' {
				b.d[sctpFlags+3*place+1] |= 0x80 >> at
			}
		}
		return nil
	}
	return fmt.Errorf("chunk %q is not known", text)
}

func (b *blob) chunkFlags(typ int, letters string) string {
	s := ""
	for i := range int(b.u32(sctpCount)) {
		at := sctpFlags + 3*i
		if int(b.d[at]) != typ {
			continue
		}
		for j, c := range letters {
			switch {
			case b.d[at+2]&(0x80>>j) == 0:
			case b.d[at+1]&(0x80>>j) != 0:
				s += string(c)
			default:
				s += strings.ToLower(string(c))
			}
		}
	}
	if s != "" {
		s = ":" + s
	}
	return s
}

// SCTP is what xt_sctp_info has; ports that don't count are 0 to 65535. HasChunks
// says that the chunk types count too: see xt_sctp.h.
type SCTP struct {
	Source, Dest       PortRange
	NotSource, NotDest bool
	HasChunks          bool
}

// DecodeSCTP reads the match sctp.
func DecodeSCTP(m *rules.Match) (SCTP, bool) {
	b, ok := decode(m, "sctp", 0, padded(sctpNot+4))
	if !ok {
		return SCTP{}, false
	}
	has, not := b.u32(sctpHas), b.u32(sctpNot)
	s := SCTP{PortRange{0, 0xffff}, PortRange{0, 0xffff}, not&1 != 0, not&2 != 0, has&4 != 0}
	if has&1 != 0 {
		s.Source = PortRange{b.u16(4), b.u16(6)}
	}
	if has&2 != 0 {
		s.Dest = PortRange{b.u16(0), b.u16(2)}
	}
	return s, true
}
