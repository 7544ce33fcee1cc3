package nfttext_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// bytecode is an expression as `nft --debug=netlink` prints it. log's level 4
// is not written.
func bytecode(t *rules.Table, e rules.Expr) string {
	switch e := e.(type) {
	case *rules.Inner:
		return fmt.Sprintf("inner type %d hdrsize %d flags %x [ %s ]", e.Type, e.HdrSize, e.Flags, bytecode(t, e.Exprs[0]))
	case *rules.Immediate:
		if e.Verdict != nil {
			return "immediate reg 0 " + verdictText(e.Verdict)
		}
		return fmt.Sprintf("immediate %s %s", reg(e.Dest), data(e.Data))
	case *rules.Payload:
		base := []string{"link", "network", "transport", "inner", "unknown"}[e.Base]
		if e.Write {
			return fmt.Sprintf("payload write %s => %db @ %s header + %d csum_type %d csum_off %d csum_flags 0x%x", reg(e.Reg), e.Len, base, e.Offset, e.CsumType, e.CsumOffset, e.CsumFlags)
		}
		return fmt.Sprintf("payload load %db @ %s header + %d => %s", e.Len, base, e.Offset, reg(e.Reg))
	case *rules.Cmp:
		return fmt.Sprintf("cmp %s %s %s", []string{"eq", "neq", "lt", "lte", "gt", "gte"}[e.Op], reg(e.Source), data(e.Data))
	case *rules.Range:
		return fmt.Sprintf("range %s %s %s %s", []string{"eq", "neq"}[e.Op], reg(e.Source), data(e.From), data(e.To))
	case *rules.Bitwise:
		switch e.Op {
		case 0:
			return fmt.Sprintf("bitwise %s = ( %s & %s ) ^ %s", reg(e.Dest), reg(e.Source), data(e.Mask), data(e.Xor))
		case 1, 2:
			return fmt.Sprintf("bitwise %s = ( %s %s %s )", reg(e.Dest), reg(e.Source), []string{"", "<<", ">>"}[e.Op], data(e.Data))
		}
	case *rules.Byteorder:
		return fmt.Sprintf("byteorder %s = %s(%s, %d, %d)", reg(e.Dest), []string{"ntoh", "hton"}[e.Op], reg(e.Source), e.Size, e.Len)
	case *rules.Meta:
		key := words.KeyByNumber(words.MetaKeys, e.Key).Name
		if k, ok := metaNames[key]; ok {
			key = k
		}
		if e.Write {
			return "meta set " + key + " with " + reg(e.Reg)
		}
		return "meta load " + key + " => " + reg(e.Reg)
	case *rules.CT:
		key := ctNames[e.Key]
		dir := ""
		if e.Dir >= 0 {
			dir = " , dir " + []string{"original", "reply"}[e.Dir]
		}
		if e.Write {
			return "ct set " + key + " with " + reg(e.Reg) + dir
		}
		return "ct load " + key + " => " + reg(e.Reg) + dir
	case *rules.Lookup:
		s := "lookup " + reg(e.Source) + " set " + setName(e.Set)
		switch set := t.Set(e.Set); {
		case set != nil && set.Verdicts:
			s += " dreg 0"
		case e.HasDest:
			s += " d" + reg(e.Dest)
		}
		if e.Invert {
			s += " 0x1"
		}
		return s
	case *rules.Dynset:
		s := fmt.Sprintf("dynset %s %s set %s", []string{"add", "update", "delete"}[e.Op], strings.Replace(reg(e.Key), "reg", "reg_key", 1), setName(e.Set))
		if e.HasData {
			s += " " + strings.Replace(reg(e.Data), "reg", "sreg_data", 1)
		}
		if e.TimeoutMS != 0 {
			s += fmt.Sprintf(" timeout %dms", e.TimeoutMS)
		}
		for _, x := range e.Exprs {
			s += " expr [ " + bytecode(t, x) + " ]"
		}
		return s
	case *rules.Exthdr:
		op := []string{"ipv6 ", "tcpopt ", "ipv4 ", "", ""}[e.Op]
		switch {
		case e.Reset:
			return fmt.Sprintf("exthdr reset %s%d", op, e.Type)
		case e.Write:
			return fmt.Sprintf("exthdr write %s%s => %db @ %d + %d", op, reg(e.Reg), e.Len, e.Type, e.Offset)
		}
		present := ""
		if e.Flags&1 != 0 {
			present = " present"
		}
		return fmt.Sprintf("exthdr load %s%db @ %d + %d%s => %s", op, e.Len, e.Type, e.Offset, present, reg(e.Reg))
	case *rules.Fib:
		var flags []string
		for _, f := range words.FibFlags {
			if e.Flags&uint32(f.Value) != 0 {
				flags = append(flags, f.Name)
			}
		}
		result := words.Name(words.FibResults, uint64(e.Result))
		if e.Flags&words.FibPresent != 0 {
			result += " present"
		}
		return "fib " + strings.Join(flags, " . ") + " " + result + " => " + reg(e.Dest)
	case *rules.RT:
		return "rt load " + []string{"classid", "nexthop4", "nexthop6", "tcpmss", "ipsec"}[e.Key] + " => " + reg(e.Dest)
	case *rules.Socket:
		return "socket load " + []string{"transparent", "mark", "wildcard", "cgroupv2"}[e.Key] + " => " + reg(e.Dest)
	case *rules.OSF:
		return "osf d" + reg(e.Dest)
	case *rules.Hash:
		s := "hash " + reg(e.Dest) + " = "
		if e.Type == 1 {
			s += fmt.Sprintf("symhash() %% mod %d", e.Modulus)
		} else {
			s += fmt.Sprintf("jhash(%s, %d, 0x%x) %% mod %d", reg(e.Source), e.Len, e.Seed, e.Modulus)
		}
		return s + offset(e.Offset)
	case *rules.Numgen:
		return fmt.Sprintf("numgen %s = %s mod %d%s", reg(e.Dest), []string{"inc", "random"}[e.Type], e.Modulus, offset(e.Offset))
	case *rules.Limit:
		return fmt.Sprintf("limit rate %d/%s burst %d type %s flags 0x%x", e.Rate, words.Name(words.TimeUnits, e.Unit), e.Burst, []string{"packets", "bytes"}[e.Type], bit(e.Invert))
	case *rules.Quota:
		return fmt.Sprintf("quota bytes %d consumed %d flags %d", e.Bytes, e.Used, bit(e.Invert))
	case *rules.ConnLimit:
		return fmt.Sprintf("connlimit count %d flags %d", e.Count, bit(e.Invert))
	case *rules.Last:
		if !e.Set {
			return "last never"
		}
		return fmt.Sprintf("last %d", e.MS)
	case *rules.Counter:
		return fmt.Sprintf("counter pkts %d bytes %d", e.Packets, e.Bytes)
	case *rules.Log:
		return logText(e)
	case *rules.Notrack:
		return "notrack"
	case *rules.Reject:
		return fmt.Sprintf("reject type %d code %d", e.Type, e.Code)
	case *rules.NAT:
		s := "nat " + []string{"snat", "dnat"}[e.Type] + " " + e.Family.String()
		return s + regs("addr_min", e.HasAddrMin, e.AddrMin, "addr_max", e.HasAddrMax && e.AddrMax != e.AddrMin, e.AddrMax) + protos(e.HasProtoMin, e.ProtoMin, e.HasProtoMax, e.ProtoMax, e.Flags)
	case *rules.Masq:
		return "masq" + protos(e.HasProtoMin, e.ProtoMin, e.HasProtoMax, e.ProtoMax, e.Flags)
	case *rules.Redir:
		return "redir" + protos(e.HasProtoMin, e.ProtoMin, e.HasProtoMax, e.ProtoMax, e.Flags)
	case *rules.TProxy:
		s := "tproxy"
		if e.Family == rules.IP || e.Family == rules.IP6 {
			s += " " + e.Family.String()
		}
		return s + regs("addr", e.HasAddr, e.Addr, "port", e.HasPort, e.Port)
	case *rules.Synproxy:
		return fmt.Sprintf("synproxy mss %d wscale %d", e.MSS, e.Wscale)
	case *rules.QueueTo:
		s := fmt.Sprintf("queue num %d", e.Num)
		switch {
		case e.HasSource:
			s = "queue " + strings.Replace(reg(e.Source), "reg", "sreg_qnum", 1)
		case e.Total > 1:
			s += fmt.Sprintf("-%d", e.Num+e.Total-1)
		}
		for i, f := range []string{" bypass", " fanout"} {
			if e.Flags&(1<<i) != 0 {
				s += f
			}
		}
		return s
	case *rules.Dup:
		return "dup" + strings.ReplaceAll(regs("sreg_addr", e.HasAddr, e.Addr, "sreg_dev", e.HasDev, e.Dev), " reg", "")
	case *rules.Fwd:
		s := "fwd" + strings.ReplaceAll(regs("sreg_dev", true, e.Dev, "sreg_addr", e.HasAddr, e.Addr), " reg", "")
		if e.HasAddr {
			s += fmt.Sprintf(" nfproto %d", e.Family)
		}
		return s
	case *rules.FlowOffload:
		return "flow_offload " + e.Table
	case *rules.ObjRef:
		if e.Set != "" {
			return "objref s" + reg(e.Source) + " set " + setName(e.Set)
		}
		return fmt.Sprintf("objref type %d name %s", e.Type, e.Object)
	case *rules.XFRM:
		key := []string{"", "daddr4", "daddr6", "saddr4", "saddr6", "reqid", "spi"}[e.Key]
		return fmt.Sprintf("xfrm load %s %d %s => %s", []string{"in", "out"}[e.Dir], e.SPNum, key, reg(e.Dest))
	}
	return fmt.Sprintf("%s %+v", e.Name(), e)
}

var metaNames = map[string]string{
	"length": "len", "ibrname": "bri_iifname", "obrname": "bri_oifname", "random": "prandom", "ipsec": "secpath",
	"ibrpvid": "bri_iifpvid", "ibrvproto": "bri_iifvproto",
}

var ctNames = []string{"state", "direction", "status", "mark", "secmark", "expiration", "helper", "l3protocol", "src", "dst", "protocol",
	"proto_src", "proto_dst", "label", "packets", "bytes", "avgpkt", "zone", "event", "src_ip", "dst_ip", "src_ip6", "dst_ip6", "unknown"}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func offset(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" offset %d", n)
}

// reg numbers a register as nft does: 1 to 4 are of 16 bytes, 8 to 23 of four.
func reg(r rules.Reg) string {
	if r%4 == 0 {
		return fmt.Sprintf("reg %d", 1+r/4)
	}
	return fmt.Sprintf("reg %d", 8+r)
}

// data is in words, as a little-endian machine reads them.
func data(b []byte) string {
	var s []string
	for ; len(b) > 0; b = b[min(4, len(b)):] {
		var w [4]byte
		copy(w[:], b)
		s = append(s, fmt.Sprintf("0x%08x", binary.LittleEndian.Uint32(w[:])))
	}
	return strings.Join(s, " ")
}

func verdictText(v *rules.Verdict) string {
	switch v.Kind {
	case rules.Jump:
		return "jump -> " + v.Chain
	case rules.Goto:
		return "goto -> " + v.Chain
	}
	return map[rules.VerdictKind]string{rules.Accept: "accept", rules.Drop: "drop", rules.Return: "return", rules.Continue: "continue"}[v.Kind]
}

func setName(name string) string {
	if rest, ok := strings.CutPrefix(name, "__"); ok {
		return "__" + strings.TrimRight(rest, "0123456789") + "%d"
	}
	return name
}

func regs(a string, hasA bool, ra rules.Reg, b string, hasB bool, rb rules.Reg) string {
	s := ""
	if hasA {
		s += " " + a + " " + reg(ra)
	}
	if hasB {
		s += " " + b + " " + reg(rb)
	}
	return s
}

func protos(hasMin bool, low rules.Reg, hasMax bool, high rules.Reg, flags uint32) string {
	// The kernel adds the end of ranges, and that addresses and ports are given.
	s := regs("proto_min", hasMin, low, "proto_max", hasMax && high != low, high)
	if flags &^= words.NATMapIPs | words.NATPorts; flags != 0 {
		s += fmt.Sprintf(" flags 0x%x", flags)
	}
	return s
}

func logText(l *rules.Log) string {
	s := "log"
	if l.Prefix != "" {
		s += " prefix " + l.Prefix
	}
	switch {
	case l.HasGroup:
		s += fmt.Sprintf(" group %d snaplen %d qthreshold %d", l.Group, l.Snaplen, l.Threshold)
	case l.Level != words.LogLevelDefault:
		s += fmt.Sprintf(" level %d", l.Level)
	}
	for i, f := range []string{"tcpseq", "tcpopt", "ipopt", "uid", "nflog", "macdecode"} {
		if l.LogFlags&(1<<i) != 0 {
			s += " " + f
		}
	}
	return s
}

const udp4789 = "meta load l4proto => reg 1; cmp eq reg 1 0x00000011; payload load 2b @ transport header + 2 => reg 1; cmp eq reg 1 0x0000b512; "

// Where versions of nft differ, or a shorter way would do something else.
func TestBytecode(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"tcp sport 1 tcp dport 2", "meta load l4proto => reg 1; cmp eq reg 1 0x00000006; payload load 4b @ transport header + 0 => reg 1; cmp eq reg 1 0x02000100"},
		{"ip saddr 10.0.0.1 counter ip daddr 10.0.0.2", "payload load 4b @ network header + 12 => reg 1; cmp eq reg 1 0x0100000a; counter pkts 0 bytes 0; payload load 4b @ network header + 16 => reg 1; cmp eq reg 1 0x0200000a"},
		{"udp dport 4789 vxlan vni 10", udp4789 + "inner type 1 hdrsize 8 flags f [ payload load 3b @ unknown header + 4 => reg 1 ]; cmp eq reg 1 0x000a0000"},
		{"udp dport 4789 vxlan ip saddr 10.0.0.0/24 vxlan tcp dport 80 ip saddr 10.0.0.1", udp4789 +
			"inner type 1 hdrsize 8 flags f [ meta load protocol => reg 1 ]; cmp eq reg 1 0x00000008; " +
			"inner type 1 hdrsize 8 flags f [ payload load 3b @ network header + 12 => reg 1 ]; cmp eq reg 1 0x0000000a; " +
			"inner type 1 hdrsize 8 flags f [ meta load l4proto => reg 1 ]; cmp eq reg 1 0x00000006; " +
			"inner type 1 hdrsize 8 flags f [ payload load 2b @ transport header + 2 => reg 1 ]; cmp eq reg 1 0x00005000; " +
			"payload load 4b @ network header + 12 => reg 1; cmp eq reg 1 0x0100000a"},
		{"gre icmp type echo-reply", "meta load l4proto => reg 1; cmp eq reg 1 0x0000002f; inner type 3 hdrsize 4 flags c [ meta load protocol => reg 1 ]; " +
			"cmp eq reg 1 0x00000008; inner type 3 hdrsize 4 flags c [ meta load l4proto => reg 1 ]; cmp eq reg 1 0x00000001; " +
			"inner type 3 hdrsize 4 flags c [ payload load 1b @ transport header + 0 => reg 1 ]; cmp eq reg 1 0x00000000"},
		{"gretap ether saddr 62:87:4d:d6:19:05", "meta load l4proto => reg 1; cmp eq reg 1 0x0000002f; " +
			"inner type 4 hdrsize 4 flags e [ payload load 6b @ link header + 6 => reg 1 ]; cmp eq reg 1 0xd64d8762 0x00000519"},
		{"comp flags 0", "meta load l4proto => reg 1; cmp eq reg 1 0x0000006c; payload load 1b @ transport header + 1 => reg 1; cmp eq reg 1 0x00000000"},
		{"tcp option maxseg size set rt mtu", "rt load tcpmss => reg 1; byteorder reg 1 = hton(reg 1, 2, 2); exthdr write tcpopt reg 1 => 2b @ 2 + 2"},
		{"ip saddr & 0xff == 1", "payload load 4b @ network header + 12 => reg 1; bitwise reg 1 = ( reg 1 & 0xff000000 ) ^ 0x00000000; cmp eq reg 1 0x01000000"},
		{"skuid root", "meta load skuid => reg 1; cmp eq reg 1 0x00000000"},
		{"tcp dport @marks", "meta load l4proto => reg 1; cmp eq reg 1 0x00000006; payload load 2b @ transport header + 2 => reg 1; lookup reg 1 set marks"},
		{"ip saddr . 22 @c", "payload load 4b @ network header + 12 => reg 1; immediate reg 9 0x00001600; lookup reg 1 set c"},
		{"add @dyn4 { 10.0.0.1 }", "immediate reg 1 0x0100000a; dynset add reg_key 1 set dyn4"},
		{"update @dynmap2 { ip saddr : 10.0.0.1 . 80 }", "payload load 4b @ network header + 12 => reg 1; immediate reg 2 0x0100000a; immediate reg 13 0x00005000; dynset update reg_key 1 set dynmap2 sreg_data 2"},
	} {
		text := "table ip t {" + declared + "\tmap dynmap2 { type ipv4_addr : ipv4_addr . inet_service; flags dynamic; }\n\tchain k {\n" + c.rule + "\n}\n}\n"
		r := parse(t, text)
		if r == nil {
			continue
		}
		var lines []string
		for _, e := range r.Tables[0].Chain("k").Rules[0].Exprs.All() {
			lines = append(lines, bytecode(r.Tables[0], e))
		}
		if got := strings.Join(lines, "; "); got != c.want {
			t.Errorf("%s\n is   %s\n want %s", c.rule, got, c.want)
		}
	}
}
