package eval

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
)

// structure packs fields as the kernel lays them out; a negative number is that
// many bytes of padding.
func structure(fields ...any) []byte {
	var b []byte
	for _, f := range fields {
		switch f := f.(type) {
		case byte:
			b = append(b, f)
		case uint16:
			b = binary.NativeEndian.AppendUint16(b, f)
		case uint32:
			b = binary.NativeEndian.AppendUint32(b, f)
		case string:
			b = append(b, f...)
		case []byte:
			b = append(b, f...)
		case int:
			b = append(b, make([]byte, -f)...)
		}
	}
	return b
}

func sized(b []byte, size int) []byte { return append(b, make([]byte, size-len(b))...) }

// bytesHost has facts that textHost lacks.
func bytesHost() Host {
	h := textHost()
	h.Socket = func(p *Packet) (*Socket, bool) {
		port, _ := p.Port(true)
		switch port {
		case 5000:
			return &Socket{Transparent: true, Mark: 9, Cgroup: "/a/b"}, true
		case 5001:
			return &Socket{Wildcard: true, Mark: 9}, true
		}
		return nil, true
	}
	h.Route = func(q Query) (Route, bool) {
		switch {
		case q.Dst.IsLoopback():
			return Route{Type: Local, Out: "lo", HasRealm: q.Src.IsLoopback()}, true
		case q.Dst.String() == "10.0.0.1" && q.Mark == 7:
			return Route{Type: Unicast, Out: "eth0", Realm: 4, HasRealm: true}, true
		case q.Dst.String() == "10.0.0.1":
			return Route{Type: Unicast, Out: "eth1"}, true
		}
		return Route{}, true
	}
	h.Now = time.Date(2026, 11, 29, 0, 30, 0, 0, time.UTC) // a Sunday
	return h
}

func matchOf(ext string, rev uint8, data []byte) *rules.Match {
	return &rules.Match{Ext: ext, Rev: rev, Data: data}
}

// withPort gives packet() another destination port, from another address.
func withPort(port uint16, from string) *Packet {
	p := packet()
	binary.BigEndian.PutUint16(p.Data[22:], port)
	copy(p.Data[12:], netip.MustParseAddr(from).AsSlice())
	p.In = "eth0"
	return p
}

func later(p *Packet) *Packet {
	p.Data[7] = 2
	return p
}

func established(p *Packet) *Packet {
	p.State = Established
	return p
}

// Structures decide of a packet to this host: Reject is a match, Drop a packet
// that the match itself loses.
func TestMatchBytes(t *testing.T) {
	str := func(from, to uint16, algo, pattern string, flags byte) []byte {
		return structure(from, to, sized([]byte(algo), 16), sized([]byte(pattern), 128), byte(len(pattern)), flags, -10)
	}
	u32 := func(invert byte, numbers []any, values ...uint32) []byte {
		location := sized(structure(numbers...), 88)
		var ranges []byte
		for _, v := range values {
			ranges = append(ranges, structure(v)...)
		}
		test := structure(location, sized(ranges, 88), byte(len(numbers)), byte(len(values)/2), -2)
		return structure(sized(test, 180*11), byte(1), invert, -2)
	}
	at := func(number uint32, op byte) []byte { return structure(number, op, -3) }
	program := func(lines ...[4]uint32) []byte {
		var b []byte
		for _, l := range lines {
			b = append(b, structure(uint16(l[0]), byte(l[1]), byte(l[2]), l[3])...)
		}
		return structure(uint16(len(lines)), -2, sized(b, 512), -12)
	}
	state := func(has, inv, states, status uint16) []byte {
		return structure(-146, has, inv, states, status, -14)
	}
	cgroup := func(path string, invert byte) []byte {
		return structure(byte(1), byte(0), invert, byte(0), sized([]byte(path), 512), -12)
	}
	clock := func(from, to, days uint32, weekdays, flags byte) []byte {
		return structure(uint32(0), ^uint32(0), from, to, days, weekdays, flags, -2)
	}
	const all = 0xfffffffe
	plain := func() *Packet { return withPort(5000, "127.0.0.1") }
	for _, c := range []struct {
		name   string
		match  *rules.Match
		packet *Packet
		want   Verdict
	}{
		{"a revision that is not known", matchOf("mark", 7, make([]byte, 16)), plain(), Unknown},
		{"a structure that is too short", matchOf("mark", 1, make([]byte, 4)), plain(), Unknown},
		{"nothing is known of it", matchOf("magic", 0, nil), plain(), Unknown},
		{"limit", matchOf("limit", 0, make([]byte, 40)), plain(), Unknown},
		{"quota", matchOf("quota", 0, make([]byte, 24)), plain(), Unknown},
		{"ipvs", matchOf("ipvs", 0, make([]byte, 48)), plain(), Unknown},
		{"text behind the start", matchOf("string", 1, str(12, 65535, "bm", "\x7f\x00\x00\x01", 0)), plain(), Reject},
		{"text that begins too early", matchOf("string", 1, str(13, 16, "bm", "\x7f\x00\x00\x01", 0)), plain(), Accept},
		{"text that ends too late", matchOf("string", 1, str(0, 15, "kmp", "\x7f\x00\x00\x01", 0)), plain(), Accept},
		{"text that ends in time", matchOf("string", 1, str(0, 16, "kmp", "\x7f\x00\x00\x01", 0)), plain(), Reject},
		{"no text", matchOf("string", 1, str(0, 65535, "bm", "zzz", 1)), plain(), Reject},
		{"text by another algorithm", matchOf("string", 1, str(0, 65535, "fsm", "zzz", 0)), plain(), Unknown},
		{"letters of Latin-1", matchOf("string", 1, str(0, 65535, "bm", "\xc4", 2)), &Packet{Family: rules.IP, In: "eth0", Data: packetBytes(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, []byte{0xe4})}, Reject},
		{"u32", matchOf("u32", 0, u32(0, []any{at(0, 0), at(24, 2), at(15, 0)}, 5, 5)), plain(), Reject},
		{"u32 at an offset", matchOf("u32", 0, u32(0, []any{at(0, 0), at(22, 2), at(60, 0), at(0, 3), at(16, 2)}, 6000, 6000)), plain(), Reject},
		{"u32 beyond the packet", matchOf("u32", 0, u32(0, []any{at(26, 0)}, 0, 0xffffffff)), plain(), Accept},
		{"u32 not beyond the packet", matchOf("u32", 0, u32(1, []any{at(26, 0)}, 0, 0xffffffff)), plain(), Reject},
		{"u32 that wraps around", matchOf("u32", 0, u32(0, []any{at(0, 0), at(0xfffffff0, 3)}, 0, 0xffffffff)), plain(), Accept},
		{"a program", matchOf("bpf", 0, program([4]uint32{0x30, 0, 0, 9}, [4]uint32{0x15, 0, 1, 17}, [4]uint32{6, 0, 0, 1}, [4]uint32{6, 0, 0, 0})), plain(), Reject},
		{"a program that divides by zero", matchOf("bpf", 0, program([4]uint32{0, 0, 0, 1}, [4]uint32{0x3c, 0, 0, 0}, [4]uint32{6, 0, 0, 1})), plain(), Accept},
		{"a program that reads beyond the packet", matchOf("bpf", 0, program([4]uint32{0x20, 0, 0, 100}, [4]uint32{6, 0, 0, 1})), plain(), Accept},
		{"a program that asks for the device", matchOf("bpf", 0, program([4]uint32{0x20, 0, 0, 0xfffff008}, [4]uint32{6, 0, 0, 1})), plain(), Unknown},
		{"a program without an end", matchOf("bpf", 0, program([4]uint32{0, 0, 0, 1})), plain(), Unknown},
		{"a pinned program", matchOf("bpf", 1, structure(uint16(2), uint16(0), -524)), plain(), Unknown},
		{"state of old", matchOf("state", 0, structure(uint32(New), -4)), plain(), Reject},
		{"state, established", matchOf("conntrack", 3, state(askState, 0, uint16(Established), 0)), established(plain()), Reject},
		{"mapped or established", matchOf("conntrack", 3, state(askState, 0, uint16(Established)|stateDNAT, 0)), established(plain()), Reject},
		{"mapped, who knows", matchOf("conntrack", 3, state(askState, 0, stateDNAT, 0)), established(plain()), Unknown},
		{"not mapped as it is new", matchOf("conntrack", 3, state(askState, 0, stateDNAT, 0)), plain(), Accept},
		{"status of what exists", matchOf("conntrack", 3, state(askStatus, 0, 0, 2)), established(plain()), Unknown},
		{"no answer seen", matchOf("conntrack", 3, state(askStatus, askStatus, 0, 2)), plain(), Reject},
		{"first direction", matchOf("conntrack", 1, structure(-146, uint16(askDirection), uint16(0), -2)), plain(), Reject},
		{"the other direction", matchOf("conntrack", 2, structure(-146, uint16(askDirection), uint16(askDirection), -4, -2)), plain(), Accept},
		{"when it expires", matchOf("conntrack", 3, state(askExpires, 0, 0, 0)), plain(), Unknown},
		{"what it has carried", matchOf("connbytes", 0, make([]byte, 24)), plain(), Unknown},
		{"a label to be set", matchOf("connlabel", 0, structure(uint16(77), uint16(2))), plain(), Reject},
		{"a label that none set", matchOf("connlabel", 0, structure(uint16(77), uint16(0))), plain(), Accept},
		{"labels of what exists", matchOf("connlabel", 0, structure(uint16(77), uint16(0))), established(plain()), Unknown},
		{"no helper", matchOf("helper", 0, structure(uint32(1), sized([]byte("ftp"), 32))), plain(), Reject},
		{"transparent", matchOf("socket", 1, structure(byte(1), -7)), plain(), Reject},
		{"not transparent", matchOf("socket", 2, structure(byte(1|2), -7)), withPort(5001, "127.0.0.1"), Accept},
		{"wildcard", matchOf("socket", 0, nil), withPort(5001, "127.0.0.1"), Accept},
		{"wildcard or not", matchOf("socket", 3, structure(byte(2), -7)), withPort(5001, "127.0.0.1"), Reject},
		{"no socket", matchOf("socket", 3, structure(byte(0), -7)), withPort(5002, "127.0.0.1"), Accept},
		{"group of what arrives", matchOf("cgroup", 2, cgroup("a", 0)), plain(), Unknown},
		{"the realm of the source", matchOf("realm", 0, structure(uint32(0), ^uint32(0), byte(0), -3)), withPort(5000, "127.0.0.1"), Reject},
		{"a realm that is not known", matchOf("realm", 0, structure(uint32(0), ^uint32(0), byte(0), -3)), withPort(5000, "10.0.0.1"), Unknown},
		{"the way back leads elsewhere", matchOf("rpfilter", 0, structure(byte(0), -7)), withPort(5000, "10.0.0.1"), Accept},
		{"the way back leads somewhere", matchOf("rpfilter", 0, structure(byte(1), -7)), withPort(5000, "10.0.0.1"), Reject},
		{"no way back", matchOf("rpfilter", 0, structure(byte(1), -7)), withPort(5000, "10.0.0.9"), Accept},
		{"an address of this host", matchOf("rpfilter", 0, structure(byte(0), -7)), withPort(5000, "127.0.0.5"), Accept},
		{"an address of this host is taken", matchOf("rpfilter", 0, structure(byte(1|4), -7)), withPort(5000, "127.0.0.5"), Reject},
		{"not by IPsec", matchOf("policy", 0, structure(-304, uint16(1|4), uint16(0), -4)), plain(), Reject},
		{"by IPsec", matchOf("policy", 0, structure(-304, uint16(1), uint16(0), -4)), plain(), Accept},
		{"at night", matchOf("time", 0, clock(23*3600, 3600, all, 0xfe, 0)), plain(), Reject},
		{"in the night of Saturday", matchOf("time", 0, clock(23*3600, 3600, all, 1<<6, 2)), plain(), Reject},
		{"on Sunday only", matchOf("time", 0, clock(0, 86399, all, 1<<7, 0)), plain(), Reject},
		{"on the 29th", matchOf("time", 0, clock(0, 86399, 1<<29, 0xfe, 0)), plain(), Reject},
		{"on the 28th", matchOf("time", 0, clock(0, 86399, 1<<28, 0xfe, 0)), plain(), Accept},
		{"by the kernel's zone", matchOf("time", 0, clock(0, 86399, all, 0xfe, 1)), plain(), Unknown},
		{"the MSS of a later fragment", matchOf("tcpmss", 0, structure(uint16(0), uint16(9), byte(0), -3)), later(plain()), Drop},
		{"ports of a later fragment", matchOf("udp", 0, structure(uint16(0), ^uint16(0), uint16(0), ^uint16(0), byte(0), -7)), later(plain()), Accept},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := chains("accept", list{{c.match, &rules.Reject{}}})
			m := Compile(set, bytesHost())
			got := m.Trace(In, c.packet)
			if c.packet.fragment() { // on its way it would be put together first
				got = m.Hook(rules.Input, c.packet)
			}
			if got.Verdict != c.want {
				t.Errorf("verdict %q, want %q, doubts %v", got.Verdict, c.want, got.Doubts)
			}
		})
	}
}

// What this host sends: its process and control group.
func TestSenderBytes(t *testing.T) {
	owner := func(low, high, glow, ghigh uint32, match, inv byte) *rules.Match {
		return matchOf("owner", 1, structure(low, high, glow, ghigh, match, inv, -6))
	}
	cgroup := func(path string, invert byte) *rules.Match {
		return matchOf("cgroup", 2, structure(byte(1), byte(0), invert, byte(0), sized([]byte(path), 512), -12))
	}
	for _, c := range []struct {
		name  string
		match *rules.Match
		want  Verdict
	}{
		{"its user", owner(1000, 1005, 0, 0, 1, 0), Reject},
		{"not its user", owner(1000, 1005, 0, 0, 1, 1), Accept},
		{"its group", owner(0, 0, 50, 50, 2, 0), Reject},
		{"maybe one of its groups", owner(0, 0, 60, 60, 2|8, 0), Unknown},
		{"none of the groups that count", owner(0, 0, 60, 60, 2, 0), Accept},
		{"a socket", owner(0, 0, 0, 0, 4, 0), Reject},
		{"no socket", owner(0, 0, 0, 0, 4, 4), Accept},
		{"below a group", cgroup("a", 0), Reject},
		{"the very group", cgroup("/a/b", 0), Reject},
		{"a group with a like name", cgroup("/a/b2", 0), Accept},
		{"not a group", cgroup("/c", 1), Reject},
		{"the root", cgroup("/", 0), Reject},
		{"a class", matchOf("cgroup", 0, structure(uint32(1), uint32(0))), Unknown},
		{"a policy over loopback", matchOf("policy", 0, structure(-304, uint16(2|4), uint16(0), -4)), Reject},
		{"no MAC yet", matchOf("mac", 0, make([]byte, 16)), Accept},
		{"a realm", matchOf("realm", 0, structure(uint32(3), uint32(7), byte(1), -7)), Reject},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := chains("accept", list{{c.match, &rules.Reject{}}})
			set.Tables[0].Chains[0].Hook = rules.Output
			p := packet()
			p.In, p.Out, p.UID, p.GID, p.HasOwner = "", "lo", 1003, 50, true
			got := Compile(set, bytesHost()).Trace(Through, p)
			if got.Verdict != c.want {
				t.Errorf("verdict %q, want %q, doubts %v", got.Verdict, c.want, got.Doubts)
			}
		})
	}
}

// Targets by their structures: what becomes of the packet, and its mark.
func TestTargetBytes(t *testing.T) {
	target := func(ext string, rev uint8, fields ...any) *rules.Target {
		return &rules.Target{Ext: ext, Rev: rev, Data: structure(fields...)}
	}
	marked := func(v uint32) rule {
		return rule{matchOf("mark", 1, structure(v, ^uint32(0), byte(0), -7)), &rules.Reject{}}
	}
	port := func(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
	to := rule{&rules.Payload{Base: 1, Offset: 16, Len: 4, Reg: 0}, &rules.Cmp{Data: []byte{127, 0, 0, 9}},
		&rules.Payload{Base: 2, Offset: 2, Len: 2, Reg: 0}, &rules.Cmp{Data: port(77)}, &rules.Reject{}}
	nat := func(t *rules.Target, then ...rule) *rules.Ruleset {
		set := chains("accept", then)
		set.Tables[0].Chains = append(set.Tables[0].Chains, &rules.Chain{Name: "n", Hook: rules.Prerouting, Type: "nat", Priority: -100, Policy: "accept",
			Rules: []*rules.Rule{{Exprs: rules.ListOf(t)}}})
		return set
	}
	for _, c := range []struct {
		name string
		set  *rules.Ruleset
		want Verdict
	}{
		{"a target that is not known", chains("accept", list{{target("MAGIC", 0)}}), Unknown},
		{"a target that is not known, before a drop", chains("accept", list{{target("MAGIC", 0)}, {drop}}), Unknown},
		{"one that is too short", chains("accept", list{{target("MARK", 2, uint32(1))}}), Unknown},
		{"an error", chains("accept", list{{target("ERROR", 0, make([]byte, 32))}}), Drop},
		{"an answer that there is none of", chains("accept", list{{target("REJECT", 0, uint32(4), -4)}}), Drop},
		{"a listener", chains("accept", list{{target("NFQUEUE", 0, uint16(1), -6)}}), Queue},
		{"no listener", chains("accept", list{{target("NFQUEUE", 1, uint16(2), uint16(1), -4)}}), Drop},
		{"no listener to pass by", chains("drop", list{{target("NFQUEUE", 2, uint16(2), uint16(1), uint16(1), -2)}}), Accept},
		{"no listener at any of several", chains("accept", list{{target("NFQUEUE", 1, uint16(2), uint16(3), -4)}}), Drop},
		{"a listener at some of several", chains("accept", list{{target("NFQUEUE", 1, uint16(0), uint16(3), -4)}}), Unknown},
		{"no listener with flags", chains("drop", list{{target("NFQUEUE", 3, uint16(2), uint16(1), uint16(1), -2)}}), Accept},
		{"mark", chains("accept", list{{target("MARK", 2, uint32(5), uint32(0xff))}, marked(5)}), Reject},
		{"a mark that is not known, set as a whole", chains("accept", list{
			{&rules.Numgen{Modulus: 9}, &rules.Meta{Key: metaMark, Write: true}}, {target("MARK", 2, uint32(5), ^uint32(0))}, marked(5)}), Reject},
		{"a mark that is not known, set in part", chains("accept", list{
			{&rules.Numgen{Modulus: 9}, &rules.Meta{Key: metaMark, Write: true}}, {target("MARK", 2, uint32(5), uint32(0xff))}, marked(5)}), Unknown},
		{"a set that the packet has changed", chains("accept", list{{target("SET", 1, uint16(3), byte(1), byte(0), uint16(noSet), uint16(0))},
			{matchOf("set", 1, structure(uint16(3), byte(1), byte(0), -4)), drop}}), Unknown},
		{"a socket's mark", chains("accept", list{{matchOf("socket", 3, structure(byte(4), -7))}, marked(9)}), Reject},
		{"TPROXY", chains("accept", list{{target("TPROXY", 1, uint32(1), uint32(1), -16, uint16(0), -6)}}), Unknown},
		{"TPROXY and a drop", chains("drop", list{{target("TPROXY", 0, uint32(1), uint32(1), -4, uint16(0), -2)}}), Unknown},
		{"mapped, revision 0", nat(target("DNAT", 0, uint32(1), uint32(3), []byte{127, 0, 0, 9}, []byte{127, 0, 0, 9}, port(77), port(77), -4), to), Reject},
		{"mapped, revision 1", nat(target("DNAT", 1, uint32(3), []byte{127, 0, 0, 9}, -12, []byte{127, 0, 0, 9}, -12, port(77), port(77)), to), Reject},
		{"mapped, revision 2", nat(target("DNAT", 2, uint32(3), []byte{127, 0, 0, 9}, -12, []byte{127, 0, 0, 9}, -12, port(77), port(77), port(0), -2), to), Reject},
		{"an extension of ebtables", func() *rules.Ruleset {
			set := chains("accept", list{{target("mark", 0, uint32(1), uint32(1), -8)}})
			set.Tables[0].Family = rules.Inet
			return set
		}(), Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := withPort(5000, "127.0.0.1")
			if got := Compile(c.set, bytesHost()).Trace(In, p); got.Verdict != c.want {
				t.Errorf("verdict %q, want %q, doubts %v", got.Verdict, c.want, got.Doubts)
			}
		})
	}
}

// Structures are from outside: whatever they hold, nothing panics.
func FuzzExtensions(f *testing.F) {
	var names []string
	for _, table := range matchTables {
		for name := range table {
			names = append(names, name)
		}
	}
	for _, table := range targetTables {
		for name := range table {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i := range names {
		f.Add(uint8(i), uint8(i%4), i%2 == 0, slices.Repeat([]byte{byte(i)}, 4120), packet().Data)
		f.Add(uint8(i), uint8(0), true, slices.Repeat([]byte{0xff}, 2000), append([]byte{0x60, 0, 0, 0, 0, 20, 43, 64}, make([]byte, 60)...))
	}
	f.Fuzz(func(t *testing.T, which, rev uint8, six bool, data, packet []byte) {
		name := names[int(which)%len(names)]
		p := &Packet{Family: rules.IP, Data: packet, In: "eth0"}
		if six {
			p.Family = rules.IP6
		}
		set := chains("accept", list{{&rules.Match{Ext: name, Rev: rev, Data: data}, drop}, {&rules.Target{Ext: name, Rev: rev, Data: data}}})
		set.Tables[0].Family = rules.Inet
		for _, hook := range []rules.Hook{rules.Prerouting, rules.Input, rules.Output} {
			set.Tables[0].Chains[0].Hook = hook
			m := Compile(set, bytesHost())
			m.Hook(hook, p)
			m.Trace(In, p)
			m.Trace(Through, p)
		}
	})
}
