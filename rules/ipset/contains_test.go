package ipset

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
)

// packet is one from 10.1.2.3 port 5 to 10.4.5.6 port 80, or the same of IPv6.
func packet(f rules.Family) *Packet {
	p := &Packet{Family: rules.IP, Src: netip.MustParseAddr("10.1.2.3"), Dst: netip.MustParseAddr("10.4.5.6"), Protocol: protoTCP,
		Ports: true, SrcPort: 5, DstPort: 80, Ethernet: true, SrcMAC: [6]byte{2, 0, 0, 0, 0, 1}, DstMAC: [6]byte{2, 0, 0, 0, 0, 2},
		In: "eth0", Out: "eth1", Mark: 0x15}
	if f == rules.IP6 {
		p.Family, p.Src, p.Dst = f, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	}
	return p
}

// TestContains has what can't be compared with ipset test: the sides of the
// packet, types that a kernel may lack, doubts, and packets without a field.
func TestContains(t *testing.T) {
	src, both := [3]bool{true, true, true}, [3]bool{true, false, false}
	for _, c := range []struct {
		name, text string // of set s
		q          Question
		change     func(p *Packet)
		want       bool
		why        string
	}{
		{"source", "create s hash:ip\nadd s 10.1.2.3", Question{Dim: 1, Src: src}, nil, true, ""},
		{"destination", "create s hash:ip\nadd s 10.1.2.3", Question{Dim: 1}, nil, false, ""},
		{"too few parts", "create s hash:ip,port\nadd s 10.1.2.3,5", Question{Dim: 1, Src: src}, nil, false, ""},
		{"more parts", "create s hash:ip\nadd s 10.1.2.3", Question{Dim: 3, Src: src}, nil, true, ""},
		{"other family", "create s hash:ip family inet6\nadd s ::1", Question{Dim: 1, Src: src}, nil, false, ""},
		{"mixed sides", "create s hash:ip,port\nadd s 10.1.2.3,80", Question{Dim: 2, Src: both}, nil, true, ""},
		{"MAC", "create s hash:mac\nadd s 02:00:00:00:00:01", Question{Dim: 1, Src: src}, nil, true, ""},
		{"no Ethernet", "create s hash:mac\nadd s 02:00:00:00:00:01", Question{Dim: 1, Src: src}, func(p *Packet) { p.Ethernet = false }, false, ""},
		{"MAC unknown", "create s hash:mac\nadd s 02:00:00:00:00:01", Question{Dim: 1, Src: src}, func(p *Packet) { p.Unknown = SourceMAC }, false, "Ethernet"},
		{"address and MAC", "create s hash:ip,mac\nadd s 10.4.5.6,02:00:00:00:00:02", Question{Dim: 2}, nil, true, ""},
		{"bitmap without MAC", "create s bitmap:ip,mac range 10.4.0.0/16\nadd s 10.4.5.6", Question{Dim: 2}, nil, true, ""},
		{"bitmap, no Ethernet", "create s bitmap:ip,mac range 10.4.0.0/16\nadd s 10.4.5.6", Question{Dim: 2}, func(p *Packet) { p.Ethernet = false }, false, ""},
		{"mark", "create s hash:ip,mark markmask 0xf0\nadd s 10.1.2.3,0x1f", Question{Dim: 2, Src: src}, nil, true, ""},
		{"other mark", "create s hash:ip,mark\nadd s 10.1.2.3,0x14", Question{Dim: 2, Src: src}, nil, false, ""},
		{"two networks", "create s hash:net,net\nadd s 10.1.0.0/16,10.4.0.0/16", Question{Dim: 2, Src: both}, nil, true, ""},
		{"two networks, first longest", "create s hash:net,net\nadd s 10.1.2.0/24,10.0.0.0/8 nomatch\nadd s 10.1.0.0/16,10.4.5.6", Question{Dim: 2, Src: both}, nil, false, ""},
		{"two networks, then second", "create s hash:net,net\nadd s 10.1.2.0/24,10.0.0.0/8 nomatch\nadd s 10.1.2.0/24,10.4.5.6", Question{Dim: 2, Src: both}, nil, true, ""},
		{"networks and port", "create s hash:net,port,net\nadd s 10.1.0.0/16,tcp:80,10.4.0.0/16", Question{Dim: 3, Src: both}, nil, true, ""},
		{"bitmask", "create s hash:ip bitmask 255.0.0.255\nadd s 10.9.9.3", Question{Dim: 1, Src: src}, nil, true, ""},
		{"nomatch", "create s hash:net\nadd s 10.0.0.0/8\nadd s 10.1.0.0/16 nomatch", Question{Dim: 1, Src: src}, nil, false, ""},
		{"return nomatch", "create s hash:net\nadd s 10.0.0.0/8\nadd s 10.1.0.0/16 nomatch", Question{Dim: 1, Src: src, ReturnNomatch: true}, nil, true, ""},
		{"return nomatch of a match", "create s hash:net\nadd s 10.0.0.0/8", Question{Dim: 1, Src: src, ReturnNomatch: true}, nil, false, ""},
		{"return nomatch without networks", "create s hash:ip\nadd s 10.1.2.3", Question{Dim: 1, Src: src, ReturnNomatch: true}, nil, true, ""},
		{"device", "create s hash:net,iface\nadd s 10.0.0.0/8,eth0", Question{Dim: 2, Src: src}, nil, true, ""},
		{"device out", "create s hash:net,iface\nadd s 10.0.0.0/8,eth1", Question{Dim: 2}, nil, true, ""},
		{"no device", "create s hash:net,iface\nadd s 10.0.0.0/8,eth0", Question{Dim: 2, Src: src}, func(p *Packet) { p.In = "" }, false, ""},
		{"bridge port", "create s hash:net,iface\nadd s 10.0.0.0/8,physdev:p1", Question{Dim: 2, Src: src, Physdev: true}, func(p *Packet) { p.BridgeIn = "p1" }, true, ""},
		{"device of a narrower network", "create s hash:net,iface\nadd s 10.0.0.0/8,eth0\nadd s 10.1.0.0/16,eth1", Question{Dim: 2, Src: src}, nil, false, ""},
		{"fragment", "create s hash:ip,port\nadd s 10.1.2.3,5", Question{Dim: 2, Src: src}, func(p *Packet) { p.Ports = false }, false, ""},
		{"fragment of GRE", "create s hash:ip,port\nadd s 10.1.2.3,gre:0", Question{Dim: 2, Src: src}, func(p *Packet) { p.Ports, p.Protocol = false, 47 }, true, ""},
		{"port unknown", "create s hash:ip,port\nadd s 10.1.2.3,5", Question{Dim: 2, Src: src}, func(p *Packet) { p.Unknown = SourcePort }, false, "port is not known"},
		{"port of another side unknown", "create s hash:ip,port\nadd s 10.1.2.3,5", Question{Dim: 2, Src: src}, func(p *Packet) { p.Unknown = DestinationPort }, true, ""},
		{"bitmap of ports, SCTP", "create s bitmap:port range 0-9\nadd s 5", Question{Dim: 1, Src: src}, func(p *Packet) { p.Protocol = protoSCTP }, false, ""},
		{"bitmap of ports", "create s bitmap:port range 0-9\nadd s 3-5", Question{Dim: 1, Src: src}, nil, true, ""},
		{"timeout", "create s hash:ip timeout 9\nadd s 10.1.2.3 timeout 7", Question{Dim: 1, Src: src}, nil, true, "another 7 s"},
		{"timeout of the set", "create s hash:ip timeout 9\nadd s 10.1.2.3", Question{Dim: 1, Src: src}, nil, true, "times out"},
		{"no timeout", "create s hash:ip timeout 9\nadd s 10.1.2.3 timeout 0", Question{Dim: 1, Src: src}, nil, true, ""},
		{"timeout before another", "create s hash:net timeout 9\nadd s 10.1.2.3 timeout 7\nadd s 10.0.0.0/8 timeout 0", Question{Dim: 1, Src: src}, nil, true, ""},
		{"nomatch that times out", "create s hash:net timeout 9\nadd s 10.1.2.3 timeout 7 nomatch\nadd s 10.0.0.0/8 timeout 0", Question{Dim: 1, Src: src}, nil, false, "another 7 s"},
		{"counters", "create s hash:ip counters\nadd s 10.1.2.3", Question{Dim: 1, Src: src, Counters: true}, nil, true, "counters"},
		{"no counters", "create s hash:ip\nadd s 10.1.2.3", Question{Dim: 1, Src: src, Counters: true}, nil, true, ""},
		{"list", "create a hash:ip\nadd a 10.1.2.3\ncreate b hash:ip,port\ncreate s list:set\nadd s b\nadd s a", Question{Dim: 1, Src: src}, nil, true, ""},
		{"list without", "create a hash:ip\ncreate s list:set\nadd s a", Question{Dim: 1, Src: src}, nil, false, ""},
		{"list of the unknown", "create s list:set\nadd s a", Question{Dim: 1, Src: src}, nil, false, "a in s is not known"},
		{"list in itself", "create s list:set\nadd s s", Question{Dim: 1, Src: src}, nil, false, "list in lists"},
		{"too many", "create s hash:ip maxelem 2\nadd s 10.0.0.0/8", Question{Dim: 1, Src: src}, nil, false, "more than 2"},
	} {
		list, err := Parse("f", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		p := packet(rules.IP)
		if c.change != nil {
			c.change(p)
		}
		a := New(list).Contains("s", c.q, p)
		if a.Found != c.want || !strings.Contains(a.Why, c.why) || (a.Why == "") != (c.why == "") {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

func TestUnknownSet(t *testing.T) {
	s := New([]*rules.IPSet{
		{Name: "a", Index: 7, Type: "hash:net,port", Family: rules.IP},
		{Name: "b", Index: 8, Type: "hash:brand,new", Known: true},
	})
	q := Question{Dim: 2, Src: [3]bool{true, true, true}}
	if a := s.ContainsIndex(7, q, packet(rules.IP)); a.Why == "" {
		t.Errorf("nobody to ask: %+v", a)
	}
	asked := ""
	s.Test = func(set *rules.IPSet, entry string) (bool, bool) {
		asked = set.Name + " " + entry
		return true, true
	}
	if a := s.ContainsIndex(7, q, packet(rules.IP)); a != (Answer{Found: true}) || asked != "a 10.1.2.3,tcp:5" {
		t.Errorf("%+v, asked for %s", a, asked)
	}
	for _, a := range []Answer{s.ContainsIndex(8, q, packet(rules.IP)), s.ContainsIndex(9, q, packet(rules.IP)), s.Contains("c", q, packet(rules.IP))} {
		if a.Why == "" {
			t.Errorf("%+v", a)
		}
	}
}

// A set of which only the head is known is asked for one entry where that is an
// answer; else all sets are read, once.
func TestUnread(t *testing.T) {
	for _, c := range []struct {
		name, text  string
		q           Question
		lasts, want bool
		read        int
	}{
		{"found", "create s hash:ip\nadd s 10.1.2.3", Question{}, true, true, 0},
		{"not found", "create s hash:ip,port\nadd s 10.1.2.3,6", Question{}, true, false, 0},
		{"of the other family", "create s hash:ip family inet6", Question{}, true, false, 0},
		{"it may time out", "create s hash:ip timeout 9\nadd s 10.1.2.3 timeout 0", Question{}, false, true, 1},
		{"counters", "create s hash:ip\nadd s 10.1.2.3", Question{Counters: true}, true, true, 1},
		{"exceptions", "create s hash:net\nadd s 10.1.2.0/24 nomatch\nadd s 10.0.0.0/8", Question{ReturnNomatch: true}, true, true, 1},
		{"a mask of marks", "create s hash:ip,mark markmask 0xf0\nadd s 10.1.2.3,0x10", Question{}, false, true, 1},
		{"a range", "create s bitmap:port range 0-9\nadd s 5", Question{}, true, true, 1},
		{"a list", "create a hash:ip\nadd a 10.1.2.3\ncreate s list:set\nadd s a", Question{}, true, true, 1},
		{"a list of what may time out", "create a hash:ip\nadd a 10.1.2.3\ncreate s list:set\nadd s a", Question{}, false, true, 1},
	} {
		list, err := Parse("f", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var heads []*rules.IPSet
		for _, s := range list {
			heads = append(heads, &rules.IPSet{Name: s.Name, Type: s.Type, Family: s.Family, Index: unknownIndex, Unread: true})
		}
		c.q.Dim, c.q.Src = 3, [3]bool{true, true, true}
		sets, read := New(heads), 0
		if a := sets.Contains("s", c.q, packet(rules.IP)); c.read > 0 && a.Why == "" {
			t.Errorf("%s: nobody to ask: %+v", c.name, a)
		}
		sets = New(heads)
		sets.Test = func(set *rules.IPSet, entry string) (bool, bool) {
			if c.lasts {
				return strings.Contains(c.text, "add "+set.Name+" "+strings.ReplaceAll(entry, "tcp:", "")), true
			}
			return false, false
		}
		sets.Read = func() []*rules.IPSet { read++; return list }
		for range 2 {
			if a := sets.Contains("s", c.q, packet(rules.IP)); a != (Answer{Found: c.want}) || read != c.read {
				t.Errorf("%s: %+v, read %d times", c.name, a, read)
			}
		}
	}
}

// An entry that ends is certain if the sets were just read and it stays for as
// long as the answer is wanted.
func TestEntryEnds(t *testing.T) {
	list, err := Parse("s", []byte("create s hash:ip timeout 600\nadd s 10.1.2.3 timeout 60\n"))
	if err != nil {
		t.Fatal(err)
	}
	for holds, certain := range map[time.Duration]bool{0: false, 10 * time.Second: true, 60 * time.Second: false} {
		sets := New(list)
		sets.Holds = holds
		if got := sets.Contains("s", Question{Dim: 1, Src: [3]bool{true}}, packet(rules.IP)); !got.Found || (got.Why == "") != certain {
			t.Errorf("within %v: %+v, want certain %v", holds, got, certain)
		}
	}
}
