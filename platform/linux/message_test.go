//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// nla is an attribute of a message that a test makes.
type nla struct {
	kind  uint16
	value []byte
}

// nlmsg makes a message: a header of some length and attributes.
func nlmsg(header []byte, attributes ...nla) []byte {
	b := slices.Clone(header)
	for _, a := range attributes {
		b = putAttribute(b, a.kind, a.value)
	}
	return b
}

// nested is an attribute of attributes.
func nested(kind uint16, attributes ...nla) nla { return nla{kind, nlmsg(nil, attributes...)} }

// head makes a header of n bytes, with some set.
func head(n int, set map[int]byte) []byte {
	b := make([]byte, n)
	for at, v := range set {
		b[at] = v
	}
	return b
}

func number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// parsers are all decoders of messages, by name.
func parsers() map[string]func([]byte) error {
	return map[string]func([]byte) error{
		"link":      func(b []byte) error { _, err := parseLink(b); return err },
		"nsid":      func(b []byte) error { _, err := parseNamespaceNumber(b); return err },
		"address":   func(b []byte) error { _, err := parseAddress(b); return err },
		"route":     func(b []byte) error { _, err := parseRoute(b); return err },
		"rule":      func(b []byte) error { _, err := parseRule(b); return err },
		"neighbour": func(b []byte) error { _, _, err := parseNeighbour(b); return err },
		"qdisc":     func(b []byte) error { _, _, err := parseQdisc(b); return err },
		"policy":    func(b []byte) error { _, _, err := parsePolicy(b); return err },
		"state":     func(b []byte) error { _, _, err := parseState(b); return err },
		"filter":    func(b []byte) error { _, _, err := parseFilter(b); return err },
		"answer":    func(b []byte) error { _, err := parseAnswer(b, 1, 2); return err },
	}
}

// TestMalformedMessages: each field that is too short is an error.
func TestMalformedMessages(t *testing.T) {
	link, route, qdisc := head(16, nil), head(12, map[int]byte{0: unix.AF_INET}), head(20, nil)
	rule := head(12, map[int]byte{0: unix.AF_INET})
	address := nla{unix.IFA_LOCAL, []byte{10, 0, 0, 1}}
	netem := nla{tcaKind, []byte("netem\x00")}
	for _, c := range []struct {
		name, parser string
		b            []byte
	}{
		{"short header", "link", make([]byte, 15)},
		{"attribute too long", "link", append(link, 200, 0, 3, 0)},
		{"attribute too short", "link", append(link, 3, 0, 3, 0)},
		{"MTU", "link", nlmsg(link, nla{unix.IFLA_MTU, []byte{1, 2}})},
		{"master", "link", nlmsg(link, nla{unix.IFLA_MASTER, nil})},
		{"parent", "link", nlmsg(link, nla{unix.IFLA_LINK, nil})},
		{"namespace of the peer", "link", nlmsg(link, nla{unix.IFLA_LINK_NETNSID, []byte{1}})},
		{"statistics", "link", nlmsg(link, nla{unix.IFLA_STATS64, make([]byte, 63)})},
		{"port state", "link", nlmsg(link, nested(unix.IFLA_LINKINFO, nla{unix.IFLA_INFO_SLAVE_KIND, []byte("bridge")},
			nested(unix.IFLA_INFO_SLAVE_DATA, nla{iflaBrportState, nil})))},
		{"port isolation", "link", nlmsg(link, nested(unix.IFLA_LINKINFO, nla{unix.IFLA_INFO_SLAVE_KIND, []byte("bridge")},
			nested(unix.IFLA_INFO_SLAVE_DATA, nla{iflaBrportIsolated, nil})))},
		{"a bridge's setting", "link", nlmsg(link, nested(unix.IFLA_LINKINFO, nla{unix.IFLA_INFO_KIND, []byte("bridge")},
			nested(unix.IFLA_INFO_DATA, nla{unix.IFLA_BR_VLAN_FILTERING, nil})))},
		{"XDP", "link", nlmsg(link, nested(unix.IFLA_XDP, nla{unix.IFLA_XDP_ATTACHED, nil}))},
		{"XDP program", "link", nlmsg(link, nested(unix.IFLA_XDP, nla{unix.IFLA_XDP_SKB_PROG_ID, []byte{1}}))},
		{"number", "nsid", nlmsg(make([]byte, 4), nla{unix.NETNSA_NSID, []byte{1}})},
		{"short header", "address", make([]byte, 7)},
		{"no address", "address", make([]byte, 8)},
		{"address", "address", nlmsg(head(8, nil), nla{unix.IFA_LOCAL, []byte{1, 2, 3}})},
		{"far address", "address", nlmsg(head(8, nil), address, nla{unix.IFA_ADDRESS, []byte{1, 2, 3}})},
		{"length", "address", nlmsg(head(8, map[int]byte{1: 33}), address)},
		{"flags", "address", nlmsg(head(8, nil), address, nla{unix.IFA_FLAGS, []byte{1}})},
		{"short header", "route", make([]byte, 11)},
		{"destination", "route", nlmsg(route, nla{unix.RTA_DST, []byte{1}})},
		{"length", "route", nlmsg(head(12, map[int]byte{0: unix.AF_INET, 1: 33}))},
		{"table", "route", nlmsg(route, nla{unix.RTA_TABLE, []byte{1}})},
		{"device", "route", nlmsg(route, nla{unix.RTA_OIF, []byte{1}})},
		{"gateway", "route", nlmsg(route, nla{unix.RTA_GATEWAY, []byte{1}})},
		{"gateway of another family", "route", nlmsg(route, nla{unix.RTA_VIA, []byte{1}})},
		{"source", "route", nlmsg(route, nla{unix.RTA_PREFSRC, []byte{1}})},
		{"metric", "route", nlmsg(route, nla{unix.RTA_PRIORITY, []byte{1}})},
		{"MTU", "route", nlmsg(route, nested(unix.RTA_METRICS, nla{unix.RTAX_MTU, []byte{1}}))},
		{"short way", "route", nlmsg(route, nla{unix.RTA_MULTIPATH, []byte{9, 0, 0}})},
		{"way too long", "route", nlmsg(route, nla{unix.RTA_MULTIPATH, []byte{9, 0, 0, 0, 1, 0, 0, 0}})},
		{"way of no length", "route", nlmsg(route, nla{unix.RTA_MULTIPATH, []byte{0, 0, 0, 0, 1, 0, 0, 0}})},
		{"gateway of a way", "route", nlmsg(route, nla{unix.RTA_MULTIPATH, nlmsg([]byte{13, 0, 0, 0, 1, 0, 0, 0}, nla{unix.RTA_GATEWAY, []byte{1}})})},
		{"short header", "rule", make([]byte, 11)},
		{"destination", "rule", nlmsg(rule, nla{fraDst, []byte{1}})},
		{"source", "rule", nlmsg(rule, nla{fraSrc, []byte{1}})},
		{"length", "rule", nlmsg(head(12, map[int]byte{1: 40}), nla{fraDst, []byte{1, 2, 3, 4}})},
		{"goto", "rule", nlmsg(rule, nla{fraGoto, []byte{1}})},
		{"priority", "rule", nlmsg(rule, nla{fraPriority, []byte{1}})},
		{"mark", "rule", nlmsg(rule, nla{fraFwmark, []byte{1}})},
		{"mask", "rule", nlmsg(rule, nla{fraFwmask, []byte{1}})},
		{"table", "rule", nlmsg(rule, nla{fraTable, []byte{1}})},
		{"suppressed length", "rule", nlmsg(rule, nla{fraSuppressPrefix, []byte{1}})},
		{"suppressed group", "rule", nlmsg(rule, nla{fraSuppressGroup, []byte{1}})},
		{"VRF", "rule", nlmsg(rule, nla{fraL3mdev, nil})},
		{"users", "rule", nlmsg(rule, nla{fraUIDRange, number(1)})},
		{"protocol", "rule", nlmsg(rule, nla{fraIPProto, nil})},
		{"source ports", "rule", nlmsg(rule, nla{fraSportRange, []byte{1, 0}})},
		{"destination ports", "rule", nlmsg(rule, nla{fraDportRange, []byte{1, 0}})},
		{"DSCP", "rule", nlmsg(rule, nla{fraDSCP, nil})},
		{"mask of ports", "rule", nlmsg(rule, nla{fraSportMask, nil})},
		{"mask of DSCP", "rule", nlmsg(rule, nla{fraDSCPMask, nil})},
		{"short header", "neighbour", make([]byte, 11)},
		{"no address", "neighbour", make([]byte, 12)},
		{"address", "neighbour", nlmsg(head(12, nil), nla{unix.NDA_DST, []byte{1}})},
		{"short header", "qdisc", make([]byte, 19)},
		{"packets", "qdisc", nlmsg(qdisc, nested(tcaStats2, nla{tcaStatsBasic, make([]byte, 11)}))},
		{"more packets", "qdisc", nlmsg(qdisc, nested(tcaStats2, nla{tcaStatsPkt64, make([]byte, 7)}))},
		{"drops", "qdisc", nlmsg(qdisc, nested(tcaStats2, nla{tcaStatsQueue, make([]byte, 11)}))},
		{"netem", "qdisc", nlmsg(qdisc, netem, nla{tcaOptions, make([]byte, 23)})},
		{"delay", "qdisc", nlmsg(qdisc, netem, nla{tcaOptions, nlmsg(make([]byte, 24), nla{tcaNetemLatency64, number(1)})})},
		{"loss by states", "qdisc", nlmsg(qdisc, netem, nla{tcaOptions, nlmsg(make([]byte, 24), nested(tcaNetemLoss, nla{netemLossGI, make([]byte, 19)}))})},
		{"loss by bursts", "qdisc", nlmsg(qdisc, netem, nla{tcaOptions, nlmsg(make([]byte, 24), nested(tcaNetemLoss, nla{netemLossGE, make([]byte, 15)}))})},
		{"short header", "policy", make([]byte, 167)},
		{"length", "policy", head(168, map[int]byte{40: unix.AF_INET, 42: 33})},
		{"template", "policy", nlmsg(head(168, nil), nla{xfrmaTemplate, make([]byte, 65)})},
		{"short header", "state", make([]byte, 223)},
		{"short header", "filter", make([]byte, 19)},
		{"program", "filter", nlmsg(qdisc, nla{tcaKind, []byte("bpf\x00")}, nested(tcaOptions, nla{tcaBPFID, []byte{1}}))},
		{"short header", "answer", make([]byte, 15)},
		{"length too short", "answer", append(number(15), make([]byte, 12)...)},
		{"length too long", "answer", append(number(17), make([]byte, 12)...)},
	} {
		if err := parsers()[c.parser](c.b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %s: error %v", c.parser, c.name, err)
		}
	}
}

func TestParseNetem(t *testing.T) {
	options := make([]byte, 24)
	copy(options, number(1562500)) // ticks of 64 ns: 100 ms
	copy(options[8:], number(1<<31))
	message := func(attributes ...nla) []byte {
		return nlmsg(head(20, map[int]byte{4: 3, 10: 1, 12: 255, 13: 255, 14: 255, 15: 255}),
			nla{tcaKind, []byte("netem\x00")}, nla{tcaOptions, nlmsg(options, attributes...)},
			nested(tcaStats2, nla{tcaStatsBasic, append(make([]byte, 8), number(5)...)}, nla{tcaStatsPkt64, append(number(7), 0, 0, 0, 0)},
				nla{tcaStatsQueue, slices.Concat(number(1), number(60), number(4), number(0), number(0))}))
	}
	want := host.Qdisc{Kind: "netem", Handle: "1:", Parent: "root", Loss: 50, Delay: 100e6, Packets: 7, Drops: 4, Backlog: 60}
	if got, index, err := parseQdisc(message()); err != nil || index != 3 || got != want {
		t.Errorf("got %+v on %d, %v", got, index, err)
	}
	half, all := number(1<<31), number(1<<32-1)
	want.Delay, want.Loss = 5, 50
	burst := slices.Concat(half, half, number(0), number(0))
	if got, _, err := parseQdisc(message(nla{tcaNetemLatency64, append(number(5), 0, 0, 0, 0)},
		nested(tcaNetemLoss, nla{netemLossGE, burst}))); err != nil || got != want {
		t.Errorf("bursts: %+v, %v", got, err)
	}
	want.Loss = 100
	if got, _, err := parseQdisc(message(nla{tcaNetemLatency64, append(number(5), 0, 0, 0, 0)},
		nested(tcaNetemLoss, nla{netemLossGI, slices.Concat(all, number(0), number(0), half, number(0))}))); err != nil || got != want {
		t.Errorf("states: %+v, %v", got, err)
	}
	for n, want := range map[uint32]string{0xffffffff: "root", 0xfffffff1: "ingress", 0x00010010: "1:10"} {
		if got := tcParent(n); got != want {
			t.Errorf("%x: %s", n, got)
		}
	}
}

func TestIPsecStates(t *testing.T) {
	message := head(224, map[int]byte{56: 10, 57: 5, 59: 2, 75: 9, 76: 50, 208: 4, 212: unix.AF_INET, 214: xfrmModeTunnel})
	state, larval, err := parseState(message)
	want := template{destination: netip.MustParseAddr("10.5.0.2"), protocol: 50, mode: xfrmModeTunnel, request: 4}
	if err != nil || larval || state != want {
		t.Fatalf("%+v %v %v", state, larval, err)
	}
	message[75] = 0
	if _, larval, _ := parseState(message); !larval {
		t.Error("a state without SPI is not larval")
	}
	other := func(change func(*template)) template {
		c := want
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		demand []template
		states []template
		want   bool
	}{
		"the same":              {[]template{want}, []template{want}, true},
		"none demanded":         {nil, []template{want}, false},
		"no state":              {[]template{want}, nil, false},
		"optional":              {[]template{other(func(t *template) { t.optional = true })}, nil, true},
		"another request":       {[]template{other(func(t *template) { t.request = 5 })}, []template{want}, false},
		"any request":           {[]template{other(func(t *template) { t.request = 0 })}, []template{want}, true},
		"another end":           {[]template{other(func(t *template) { t.destination = netip.MustParseAddr("10.5.0.3") })}, []template{want}, false},
		"any end":               {[]template{other(func(t *template) { t.destination = netip.IPv4Unspecified() })}, []template{want}, true},
		"another protocol":      {[]template{other(func(t *template) { t.protocol = 51 })}, []template{want}, false},
		"transport":             {[]template{other(func(t *template) { t.mode = 0; t.destination = netip.IPv4Unspecified() })}, []template{want}, false},
		"one of two is missing": {[]template{want, other(func(t *template) { t.protocol = 51 })}, []template{want}, false},
	} {
		if got := served(c.demand, c.states); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestParseXDP(t *testing.T) {
	for name, c := range map[string]struct {
		in   nla
		want []uint32
	}{
		"one, old kernel": {nested(unix.IFLA_XDP, nla{unix.IFLA_XDP_ATTACHED, []byte{2}}, nla{unix.IFLA_XDP_PROG_ID, number(7)}), []uint32{7}},
		"two": {nested(unix.IFLA_XDP, nla{unix.IFLA_XDP_ATTACHED, []byte{4}}, nla{unix.IFLA_XDP_DRV_PROG_ID, number(7)},
			nla{unix.IFLA_XDP_SKB_PROG_ID, number(8)}), []uint32{7, 8}},
		"none": {nested(unix.IFLA_XDP, nla{unix.IFLA_XDP_ATTACHED, []byte{0}}), nil},
	} {
		if m, err := parseLink(nlmsg(head(16, nil), c.in)); err != nil || !slices.Equal(m.xdp, c.want) {
			t.Errorf("%s: %v, %v", name, m.xdp, err)
		}
	}
}

func TestOpaqueRules(t *testing.T) {
	for name, c := range map[string]struct {
		in     nla
		opaque bool
	}{
		"a tunnel":       {nla{fraTunID, make([]byte, 8)}, true},
		"a flow label":   {nla{fraFlowLabel, number(1)}, true},
		"one port":       {nla{fraSportMask, []byte{0xff, 0xff}}, false},
		"ports by a bit": {nla{fraDportMask, []byte{0xff, 0x0f}}, true},
		"whole DSCP":     {nla{fraDSCPMask, []byte{0x3f}}, false},
		"part of DSCP":   {nla{fraDSCPMask, []byte{0x30}}, true},
	} {
		if r, err := parseRule(nlmsg(head(12, map[int]byte{0: unix.AF_INET}), c.in)); err != nil || r.Opaque != c.opaque {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := parseRule(nlmsg(head(12, nil), nla{fraDSCP, []byte{0x2e}})); err != nil || r.TOS != 0xb8 {
		t.Errorf("DSCP: %+v, %v", r, err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(nlmsg(head(16, map[int]byte{4: 2, 8: 1}), nla{unix.IFLA_IFNAME, []byte("eth0\x00")}, nla{unix.IFLA_MTU, number(1500)},
		nested(unix.IFLA_LINKINFO, nla{unix.IFLA_INFO_KIND, []byte("veth")}), nested(unix.IFLA_XDP, nla{unix.IFLA_XDP_ATTACHED, []byte{1}})))
	f.Add(nlmsg(head(12, map[int]byte{0: unix.AF_INET, 1: 24}), nla{unix.RTA_DST, []byte{10, 0, 0, 0}},
		nla{unix.RTA_MULTIPATH, nlmsg([]byte{16, 0, 0, 0, 1, 0, 0, 0}, nla{unix.RTA_GATEWAY, []byte{10, 0, 0, 1}})}))
	f.Add(nlmsg(head(12, map[int]byte{0: unix.AF_INET6}), nla{fraUIDRange, make([]byte, 8)}, nla{fraIifname, []byte("lo\x00")}))
	f.Add(nlmsg(head(20, nil), nla{tcaKind, []byte("netem\x00")}, nla{tcaOptions, make([]byte, 40)}))
	f.Add(nlmsg(head(168, map[int]byte{40: unix.AF_INET6}), nla{xfrmaTemplate, make([]byte, 128)}))
	f.Add(append(number(16), make([]byte, 12)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, parse := range parsers() {
			if err := parse(b); err != nil && !errors.Is(err, errMalformed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		netlinkListed(b, unix.NETLINK_XFRM)
	})
}
