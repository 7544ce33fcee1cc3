package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules/eval"
)

// A host that answers with the mark of what it answers, by another device.
func TestAnswering(t *testing.T) {
	var asked []uint32
	carries := func(there *Trace) Reply {
		mark, known := there.Mark()
		asked = append(asked, mark)
		if !known {
			return Reply{Unknown: "no mark"}
		}
		return Reply{Mark: mark, Out: "eth1"}
	}
	const pre = "table ip f { chain pre { type filter hook prerouting priority -150; "
	const out = "; }; chain out { type filter hook output priority 0; "
	for _, c := range []struct {
		name, ruleset string
		plain, told   string // the answer's verdict
	}{
		{"the mark is dropped", pre + "meta mark set 7" + out + "meta mark 7 drop; }; }", "accept", "drop"},
		{"another mark is dropped", pre + "meta mark set 7" + out + "meta mark 8 drop; }; }", "accept", "accept"},
		{"the mark of INPUT counts", "table ip f { chain in { type filter hook input priority 0; meta mark set 9" + out + "meta mark 9 drop; }; }", "accept", "drop"},
		{"the device that it leaves by", pre + "accept" + out + "oifname \"eth1\" drop; }; }", "accept", "drop"},
		{"and not the one that it came by", pre + "accept" + out + "oifname \"eth0\" drop; }; }", "drop", "accept"},
		{"a mark left to chance", pre + "meta mark set numgen random mod 2" + out + "drop; }; }", "drop", "no mark"},
	} {
		for told, want := range map[bool]string{false: c.plain, true: c.told} {
			tracer := asking(t, c.ruleset)
			if told {
				// What is changed of it answers the same.
				tracer = tracer.Answering(carries).Loose().Set("net/ipv4/ip_forward", "0")
			}
			look, err := tracer.LookFrom(incoming, []uint16{40000})
			if err != nil {
				t.Fatal(err)
			}
			got := look.BackUnknown
			if look.Back != nil {
				got = look.Back.Verdict
			}
			if got != want {
				t.Errorf("%s, told %t: %s, want %s", c.name, told, got, want)
			}
		}
	}
	if len(asked) == 0 {
		t.Error("the host was not asked")
	}
}

// A mark that depends on the client's port is not known of a client of any port.
func TestMarkByPort(t *testing.T) {
	look, err := asking(t, "table ip f { chain pre { type filter hook prerouting priority -150; tcp sport 40000 meta mark set 7; }; }").LookFrom(incoming, []uint16{40000, 40001})
	if err != nil {
		t.Fatal(err)
	}
	if _, known := look.There.Mark(); known || look.There.Verdict != "accept" {
		t.Errorf("known %t, %s", known, look.There.Verdict)
	}
}

func TestArrival(t *testing.T) {
	for _, c := range []struct {
		name, chain string
		mark        uint32
		known       bool
	}{
		{"none", "accept", 0, true},
		{"a mark", "meta mark set 7", 7, true},
		{"not that of a later rule for others", "meta mark set 7; tcp dport 81 meta mark set 8", 7, true},
		{"by chance", "meta mark set numgen random mod 2", 0, false},
		{"perhaps", "limit rate 1/second meta mark set 7", 0, false},
		{"for one port of the client's", "tcp sport 40000 meta mark set 7", 0, false},
		{"dropped", "meta mark set 7; drop", 0, true},
		{"dropped from one port", "tcp sport 40000 drop; meta mark set 7", 7, true},
	} {
		tracer := asking(t, "table ip f { chain pre { type filter hook prerouting priority -150; "+c.chain+"; }; chain in { type filter hook input priority 0; tcp dport 80 meta mark set 9; }; }")
		tracer.facts.Route = func(q eval.Query) (eval.Route, bool) { return eval.Route{Type: eval.Local, Out: "lo"}, true }
		mark, known, err := tracer.Arrival(incoming, []uint16{40000, 40001})
		if err != nil || known != c.known || known && mark != c.mark {
			t.Errorf("%s: mark %d, known %t (%v)", c.name, mark, known, err)
		}
	}
}

func TestMarker(t *testing.T) {
	for chain, want := range map[string]string{
		"accept":                           "",
		"meta mark set 7":                  "meta mark set 0x00000007",
		"meta mark set 7; meta mark set 8": "meta mark set 0x00000008",
		"meta mark set 7; ct mark set 9":   "meta mark set 0x00000007",
		"meta mark set 7 accept":           "meta mark set 0x00000007 accept",
		"meta mark set 7; ip dscp set 1":   "meta mark set 0x00000007",
	} {
		tracer := asking(t, "table ip f { chain out { type route hook output priority -150; "+chain+"; }; }")
		trace, err := tracer.Trace(Packet{Proto: "tcp", Src: "10.0.0.1:40000", Dst: "10.0.0.9:80", OIF: "eth0", Way: "out"})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if s := tracer.Marker(trace); s != nil {
			got = s.Text
		}
		if got != want {
			t.Errorf("%s: %q, want %q", chain, got, want)
		}
	}
}

// A mark that leads nowhere loses the packet, by no rule's verdict.
func TestLost(t *testing.T) {
	tracer := asking(t, "table ip f { chain out { type route hook output priority -150; tcp dport 80 meta mark set 7; }; }")
	tracer.facts.Route = func(q eval.Query) (eval.Route, bool) {
		if q.Mark == 7 {
			return eval.Route{Type: eval.Blackhole}, true
		}
		return eval.Route{Type: eval.Unicast, Out: "eth0"}, true
	}
	for port, lost := range map[uint16]bool{80: true, 81: false} {
		trace, err := tracer.of(tracer.set).Trace(Packet{Proto: "tcp", Src: "10.0.0.1:40000", Dst: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), port).String(), OIF: "eth0", Way: "out"})
		if err != nil || trace.Lost() != lost {
			t.Errorf("%d: lost %t (%v)", port, trace.Lost(), err)
		}
	}
}

// The mark that the first packet leaves at its connection is known when the answer
// comes.
func TestFlowMark(t *testing.T) {
	for _, c := range []struct {
		name, pre, out string
		back           string
		mark           uint32
		known          bool
	}{
		{"given back", "ct mark set 7", "meta mark set ct mark", "accept", 7, true},
		{"none", "accept", "meta mark set ct mark", "accept", 0, true},
		{"decides", "ct mark set 7", "ct mark 7 drop", "drop", 0, true},
		{"another", "ct mark set 7", "ct mark 8 drop", "accept", 0, true},
		{"left to chance", "ct mark set numgen random mod 2", "meta mark set ct mark", "accept", 0, false},
		{"decides by chance", "ct mark set numgen random mod 2", "ct mark 1 drop", "unknown", 0, true},
	} {
		look, err := asking(t, "table ip f { chain pre { type filter hook prerouting priority -150; "+c.pre+"; }; chain out { type filter hook output priority -150; "+c.out+"; }; }").Look(incoming)
		if err != nil {
			t.Fatal(err)
		}
		mark, known := look.Back.Mark()
		if look.Back.Verdict != c.back || known != c.known || known && mark != c.mark {
			t.Errorf("%s: %s, mark %d known %t", c.name, look.Back.Verdict, mark, known)
		}
	}
}

// What is routed by a mark that isn't known may go anywhere.
func TestAstray(t *testing.T) {
	for rule, want := range map[string]bool{
		"meta mark set 7":                   false,
		"meta mark set numgen random mod 2": true,
		"accept":                            false,
	} {
		for _, way := range []string{"out", "forward", "in"} {
			p := Packet{Proto: "tcp", Src: "10.0.0.1:40000", Dst: "10.0.0.9:80", Way: way}
			if way != "out" {
				p.IIF = "eth0"
			}
			if way != "in" {
				p.OIF = "eth0"
			}
			trace, err := asking(t, "table ip f { chain out { type route hook output priority -150; "+rule+"; }; chain pre { type filter hook prerouting priority -150; "+rule+"; }; }").Trace(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := trace.Astray(); got != (want && way != "in") {
				t.Errorf("%s, %s: %t", rule, way, got)
			}
		}
	}
}

// A reset that is dropped in turn is heard by nobody.
func TestReset(t *testing.T) {
	for out, sees := range map[string]string{
		"accept":                         "refused",
		"drop":                           "timeout",
		"ct state established drop":      "refused",
		"ct state related drop":          "timeout",
		"tcp flags & rst == rst drop":    "timeout",
		"tcp flags syn drop":             "refused",
		"ct mark 7 drop":                 "timeout",
		"limit rate 1/second drop":       "refused",
		"ip daddr 10.0.0.9 accept; drop": "refused",
	} {
		look, err := asking(t, "table ip f { chain in { type filter hook input priority 0; ct mark set 7; reject with tcp reset; }; chain out { type filter hook output priority 0; "+out+"; }; }").Look(incoming)
		if err != nil {
			t.Fatal(err)
		}
		if look.There.ClientSees != sees || (look.There.Reset != nil) != (sees == "timeout") {
			t.Errorf("%s: %s", out, look.There.ClientSees)
		}
	}
}

// What says that nothing takes a datagram is an error of ICMP, that belongs to its
// connection: rules on that decide, not those on UDP.
func TestRefusal(t *testing.T) {
	for _, c := range []struct{ pre, out, back string }{
		{"accept", "udp sport 53 drop", "accept"},
		{"accept", "meta l4proto icmp drop", "drop"},
		{"accept", "icmp type destination-unreachable icmp code port-unreachable drop", "drop"},
		{"accept", "icmp type echo-request drop", "accept"},
		{"accept", "ct state established drop", "accept"},
		{"accept", "ct state related drop", "drop"},
		{"accept", "ct state new drop", "accept"},
		{"accept", "ct direction reply drop", "drop"},
		{"accept", "ct original proto-dst 53 drop", "drop"},
		{"accept", "meta length > 100 drop", "unknown"},
		{"ct mark set 7", "ct mark 7 drop", "drop"},
		{"accept", "ip daddr 10.0.0.9 drop", "drop"},
		{"notrack", "ct state related drop", "accept"},
		{"notrack", "ct state invalid drop", "drop"},
		{"ct zone set 4", "ct state invalid drop", "drop"},
	} {
		tracer := asking(t, "table ip f { chain pre { type filter hook prerouting priority -350; "+c.pre+"; }; chain in { type filter hook input priority 0; "+strings.Replace(c.pre, "notrack", "accept", 1)+"; }; chain out { type filter hook output priority 0; "+c.out+"; }; }")
		look, err := tracer.Answering(func(*Trace) Reply { return Reply{Refused: true} }).Look(Packet{Proto: "udp", Src: "10.0.0.9:40000", Dst: "10.0.0.1:53", IIF: "eth0", Way: "in"})
		if err != nil {
			t.Fatal(err)
		}
		if look.Back == nil {
			t.Errorf("%s, %s: %s", c.pre, c.out, look.BackUnknown)
		} else if look.Back.Verdict != c.back || !look.Back.Refusal() {
			t.Errorf("%s, %s: %s %v, want %s", c.pre, c.out, look.Back.Verdict, look.Back.Unknown, c.back)
		}
	}
}

// An error that rejects a packet and is dropped in turn is heard by nobody.
func TestRejectingError(t *testing.T) {
	for _, c := range []struct{ pre, out, sees string }{
		{"accept", "accept", "host-unreachable"},
		{"accept", "icmp code admin-prohibited drop", "timeout"},
		{"accept", "icmp code port-unreachable drop", "host-unreachable"},
		{"accept", "tcp sport 80 drop", "host-unreachable"},
		{"accept", "ct state related drop", "timeout"},
		{"ct zone set 4", "ct state related drop", "timeout"},
		{"notrack", "ct state related drop", "host-unreachable"},
		{"notrack", "ct state invalid drop", "timeout"},
		{"accept", "ip daddr 10.0.0.9 drop", "timeout"},
	} {
		look, err := asking(t, "table ip f { chain pre { type filter hook prerouting priority -300; "+c.pre+"; }; chain in { type filter hook input priority 0; reject with icmp admin-prohibited; }; chain out { type filter hook output priority 0; "+c.out+"; }; }").Look(incoming)
		if err != nil {
			t.Fatal(err)
		}
		if got := look.There; got.ClientSees != c.sees || (got.Reset != nil) != (c.sees == "timeout") || got.Reset != nil && !got.Reset.Refusal() {
			t.Errorf("%s, %s: %s, want %s", c.pre, c.out, got.ClientSees, c.sees)
		}
	}
}
