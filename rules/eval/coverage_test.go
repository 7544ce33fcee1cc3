package eval

import (
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
	vocabulary "github.com/portwhy/portwhy/rules/words"
)

// coverage reads the tables of COVERAGE.md under a heading: name and class.
func coverage(t *testing.T, heading string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../COVERAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(b), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("COVERAGE.md has no %q", heading)
	}
	part, _, _ = strings.Cut(part, "\n#")
	table := map[string]string{}
	for line := range strings.Lines(part) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 || strings.Contains(line, "---") {
			continue
		}
		name, class := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
		switch class {
		case "eval":
		case "evaluated", "bracketed":
			table[name] = class
		default:
			t.Errorf("%s is %q in COVERAGE.md", name, class)
		}
	}
	return table
}

// knowing is a host of which everything is known.
func knowing() Host {
	devices := map[string]Device{
		"eth0": {Index: 2, Type: 1, Group: 3, Kind: "veth", MAC: []byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Master: "br0", PVID: 1},
		"eth1": {Index: 4, Type: 1, Group: 3, Kind: "veth", MAC: []byte{2, 0, 0, 0, 0, 2}, MTU: 1500, Master: "br0"},
		"br0":  {Index: 5, Type: 1, Kind: "bridge", MAC: []byte{2, 0, 0, 0, 0, 4}, Bridge: &Bridge{VLANFiltering: true, VLANProtocol: 0x8100}, MTU: 1500},
		"lan":  {Index: 6, Type: 1, Group: 3, Kind: "dummy", MAC: []byte{2, 0, 0, 0, 0, 3}, MTU: 1500},
	}
	return Host{
		Device:      func(name string) (Device, bool) { d, ok := devices[name]; return d, ok },
		Route:       func(Query) (Route, bool) { return Route{Type: Unicast, Out: "lan", Realm: 7, HasRealm: true}, true },
		AddressType: func(netip.Addr, string, bool) (uint8, bool) { return Local, true },
		Source:      func(string, netip.Addr) (netip.Addr, bool) { return netip.MustParseAddr("10.0.0.3"), true },
		Sysctl:      func(string) (string, bool) { return "", true },
		Listener:    func(uint16) (bool, bool) { return false, true },
		Socket:      func(*Packet) (*Socket, bool) { return &Socket{Cgroup: "/a"}, true },
		Now:         time.Unix(1e9, 0),
	}
}

// decided tells whether what an expression loads, compared with something, is
// decided by a host of which everything is known; of expressions that accept at
// the end, whether it is decided that they come there.
func decided(t *testing.T, family rules.Family, hook rules.Hook, way Way, six bool, e ...rules.Expr) bool {
	t.Helper()
	p := &Packet{Family: rules.IP, Data: tcp4(2), HasOwner: true, UID: 5}
	if six {
		p.Family = rules.IP6
		p.Data = append([]byte{0x60, 0, 0, 0, 0, 20, 6, 64}, make([]byte, 52)...)
		p.Data[23], p.Data[39], p.Data[52], p.Data[53] = 1, 2, 0x50, 2
	}
	switch {
	case family == rules.Bridge:
		p.In, p.Out, p.Link = "eth0", "eth1", make([]byte, 14)
	case way == Out:
		p.Out = "lan"
	default:
		p.In, p.Link = "lan", append([]byte{2, 0, 0, 0, 0, 3}, make([]byte, 8)...)
	}
	table := standAt(family, hook, 50, append(e, &rules.Cmp{Data: []byte{1}}, drop)...)
	if e[len(e)-1] == rules.Expr(accept) { // what goes on is accepted, and nothing else
		table.Chains[0].Policy = "drop"
	}
	table.Sets = []*rules.Set{{Name: "s", KeyLen: 4, Known: true}}
	m := Compile(&rules.Ruleset{Tables: []*rules.Table{table}}, knowing())
	var got Result
	if family == rules.Bridge {
		got = m.HookOf(family, hook, p)
	} else {
		got = m.Trace(way, p)
	}
	if got.Verdict == Unknown && len(got.Doubts) == 0 {
		t.Errorf("%+v is unknown without a reason", e)
	}
	return got.Verdict != Unknown
}

// check holds a table to what is decided of each name.
func check(t *testing.T, heading string, names []string, decides func(name string) bool) {
	t.Helper()
	table := coverage(t, heading)
	for _, name := range names {
		class, ok := table[name]
		if !ok {
			t.Errorf("%s: COVERAGE.md has no %s", heading, name)
			continue
		}
		if decides(name) != (class == "evaluated") {
			t.Errorf("%s: COVERAGE.md says %s of %s", heading, class, name)
		}
		delete(table, name)
	}
	for name := range maps.Keys(table) {
		t.Errorf("%s: COVERAGE.md has %s, which there isn't", heading, name)
	}
}

func names(keys []vocabulary.Key) (list []string) {
	for _, k := range keys {
		list = append(list, k.Name)
	}
	return list
}

// Every key is evaluated or not as COVERAGE.md says.
func TestCoverageOfKeys(t *testing.T) {
	check(t, "### Keys of meta", names(vocabulary.MetaKeys), func(name string) bool {
		k := vocabulary.KeyByName(vocabulary.MetaKeys, name)
		e := &rules.Meta{Key: k.Number}
		switch {
		case strings.HasPrefix(name, "ibr") || strings.HasPrefix(name, "obr"):
			return decided(t, rules.Bridge, rules.Forward, "", false, e)
		case strings.HasPrefix(name, "oif") || name == "skuid" || name == "skgid" || name == "cgroup" || name == "rtclassid":
			return decided(t, rules.IP, rules.Postrouting, Out, false, e)
		}
		return decided(t, rules.IP, rules.Prerouting, In, false, e)
	})
	check(t, "### Keys of ct", names(vocabulary.CTKeys), func(name string) bool {
		k := vocabulary.KeyByName(vocabulary.CTKeys, name)
		return decided(t, rules.Inet, rules.Output, Out, strings.HasPrefix(name, "ip6"), &rules.CT{Key: k.Number, Dir: -1})
	})
	check(t, "### Keys of rt", names(vocabulary.RTKeys), func(name string) bool {
		k := vocabulary.KeyByName(vocabulary.RTKeys, name)
		return decided(t, rules.Inet, rules.Output, Out, strings.HasPrefix(name, "ip6"), &rules.RT{Key: k.Number})
	})
	check(t, "### Keys of socket", names(vocabulary.SocketKeys), func(name string) bool {
		k := vocabulary.KeyByName(vocabulary.SocketKeys, name)
		return decided(t, rules.IP, rules.Prerouting, In, false, &rules.Socket{Key: k.Number})
	})
	headers := []string{exthdrIP6: "ipv6", exthdrTCP: "tcpopt", exthdrIP: "ipv4", exthdrSCTP: "sctp", exthdrDCCP: "dccp"}
	check(t, "### What exthdr looks through", headers, func(name string) bool {
		op := uint32(slices.Index(headers, name))
		return decided(t, rules.Inet, rules.Prerouting, In, name == "ipv6", &rules.Exthdr{Op: op, Type: 7, Len: 1, Flags: headerPresent})
	})
	objects := []string{objectCounter: "counter", objectQuota: "quota", objectHelper: "ct helper", objectLimit: "limit", objectConnLimit: "connlimit",
		objectTunnel: "tunnel", objectTimeout: "ct timeout", objectSecmark: "secmark", objectExpect: "ct expectation", objectSynproxy: "synproxy"}
	check(t, "### Objects", objects[1:], func(name string) bool {
		number := uint32(slices.Index(objects, name))
		return decided(t, rules.IP, rules.Output, Out, false, &rules.ObjRef{Object: "o", Type: number}, accept)
	})
}

// expressions are all of the model but opaque, as rules that accept if they go
// on; those that COVERAGE.md lists by extension are not run.
func expressions() map[string][]rules.Expr {
	load := &rules.Immediate{Data: []byte{1, 0, 0, 0}}
	one := &rules.Immediate{Data: []byte{10, 0, 0, 3}}
	tcp := rules.Exprs{&rules.Payload{Base: 1, Len: 1}}
	return map[string][]rules.Expr{
		"immediate": {load}, "cmp": {load, &rules.Cmp{Data: []byte{1}}}, "range": {load, &rules.Range{From: []byte{0}, To: []byte{2}}},
		"bitwise":   {load, &rules.Bitwise{Len: 1, Mask: []byte{1}, Xor: []byte{0}}},
		"byteorder": {load, &rules.Byteorder{Len: 4, Size: 4}}, "payload": {&rules.Payload{Base: 1, Len: 1}},
		"meta": {&rules.Meta{Key: metaMark}}, "ct": {&rules.CT{Dir: -1}}, "rt": {&rules.RT{Key: 1}}, "socket": {&rules.Socket{}},
		"xfrm": {&rules.XFRM{}}, "tunnel": {&rules.Tunnel{}}, "exthdr": {&rules.Exthdr{Op: exthdrTCP, Type: 2, Len: 2}},
		"fib": {&rules.Fib{Result: fibResultType, Flags: fibDestination}}, "inner": {&rules.Inner{Flags: innerNetwork, Exprs: tcp}},
		"osf": {&rules.OSF{}}, "hash": {load, &rules.Hash{Len: 4, Modulus: 9, HasSeed: true}}, "numgen": {&rules.Numgen{Modulus: 2}},
		"lookup": {load, &rules.Lookup{Set: "s"}}, "dynset": {load, &rules.Dynset{Set: "s"}}, "objref": {&rules.ObjRef{Object: "o", Type: objectCounter}},
		"counter": {&rules.Counter{}}, "log": {&rules.Log{}}, "last": {&rules.Last{}}, "limit": {&rules.Limit{}}, "quota": {&rules.Quota{}},
		"connlimit": {&rules.ConnLimit{}}, "notrack": {&rules.Notrack{}}, "reject": {&rules.Reject{}}, "nat": {one, &rules.NAT{Type: 1, Family: rules.IP, HasAddrMin: true}},
		"masq": {&rules.Masq{}}, "redir": {&rules.Redir{}}, "tproxy": {&rules.TProxy{}}, "synproxy": {&rules.Synproxy{}},
		"queue": {&rules.QueueTo{}}, "dup": {&rules.Dup{}}, "fwd": {&rules.Fwd{}}, "flow_offload": {&rules.FlowOffload{Table: "f"}},
		"match": nil, "target": nil, "arptables": nil, "iptables": {&rules.IPTables{Out: "lan"}},
	}
}

// Every expression of the model is in COVERAGE.md, and evaluated or not as that
// says.
func TestCoverageOfExpressions(t *testing.T) {
	source, err := os.ReadFile("../expr.go")
	if err != nil {
		t.Fatal(err)
	}
	all := expressions()
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^func \(\*\w+\) Name\(\) string +\{ return "(\w+)" \}`).FindAllStringSubmatch(string(source), -1) {
		list = append(list, m[1])
	}
	if len(list) < 40 {
		t.Fatalf("only %v", list)
	}
	check(t, "## Expressions", list, func(name string) bool {
		exprs, ok := all[name]
		if !ok {
			t.Errorf("%s is not tried", name)
		}
		if exprs == nil {
			return true
		}
		if name == "numgen" || name == "osf" {
			exprs = append(exprs, &rules.Cmp{Data: []byte{7}})
		}
		return decided(t, rules.IP, rules.Output, Out, false, append(exprs, accept)...)
	})
}
