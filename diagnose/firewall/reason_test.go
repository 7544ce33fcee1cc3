package firewall

import (
	"net/netip"
	"testing"

	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/text"
)

// asking is a tracer for rules in nft's words, on a host with device eth0 and a
// program at queue 1.
func asking(t *testing.T, ruleset string) *Tracer {
	t.Helper()
	set, err := nfttext.Parse("test", ruleset, nfttext.Options{})
	if err != nil {
		t.Fatal(err)
	}
	facts := eval.Host{
		Listener: func(queue uint16) (bool, bool) { return queue == 1, true },
		Device: func(name string) (eval.Device, bool) {
			return eval.Device{Index: 2, Type: 1, MAC: []byte{2, 0, 0, 0, 0, 1}}, name == "eth0"
		},
	}
	return NewTracer(set, facts, &text.Printer{}, "")
}

var incoming = Packet{Proto: "tcp", Src: "10.0.0.9:40000", Dst: "10.0.0.1:80", IIF: "eth0", Way: "in"}

// The kernel of the lab has no expression queue: what it makes of one is told by
// NFQUEUE of iptables there, and here by nft's own words.
func TestUnreadQueue(t *testing.T) {
	for rule, want := range map[string]struct {
		verdict string
		queue   uint16
		unread  bool
	}{
		"tcp dport 80 queue num 5":               {"drop", 5, true},
		"tcp dport 80 queue num 5-7":             {"drop", 5, true},
		"tcp dport 80 queue num 5 bypass":        {"accept", 0, false},
		"tcp dport 80 queue num 1":               {"queue", 0, false},
		"tcp dport 80 queue num 0-2":             {"unknown", 0, false},
		"tcp dport 80 drop":                      {"drop", 0, false},
		"tcp dport 81 queue num 5; counter drop": {"drop", 0, false},
	} {
		trace, err := asking(t, "table ip f { chain c { type filter hook input priority 0; "+rule+"; }; }").Trace(incoming)
		if err != nil {
			t.Fatal(err)
		}
		queue, unread := trace.UnreadQueue()
		if trace.Verdict != want.verdict || queue != want.queue || unread != want.unread {
			t.Errorf("%s: %s, queue %d unread %t; want %+v", rule, trace.Verdict, queue, unread, want)
		}
	}
}

func TestInvalidState(t *testing.T) {
	for _, c := range []struct {
		name, chain    string
		invalid, early bool
	}{
		{"before tracking", "type filter hook prerouting priority -300; ct state invalid drop", true, true},
		{"after it", "type filter hook input priority 0; ct state invalid drop; tcp dport 80 drop", false, false},
		{"a rule on another state", "type filter hook input priority 0; ct state new drop", false, false},
		{"by a map", "type filter hook prerouting priority -300; ct state vmap { established : accept, invalid : drop }", true, true},
	} {
		trace, err := asking(t, "table ip f { chain c { "+c.chain+"; }; }").Trace(incoming)
		if err != nil {
			t.Fatal(err)
		}
		if trace.Verdict != "drop" || trace.InvalidState() != c.invalid || trace.Early() != c.early {
			t.Errorf("%s: %s, invalid %t, early %t", c.name, trace.Verdict, trace.InvalidState(), trace.Early())
		}
	}
}

// The answer belongs to its flow where conntrack looks for it in the zone that the
// flow's answers are in.
func TestZones(t *testing.T) {
	for _, c := range []struct{ there, back, want string }{
		{"", "", "accept"},
		{"ct zone set 5", "ct zone set 5", "accept"},
		{"ct zone set 5", "ct zone set 6", "drop"},
		{"ct zone set 5", "", "drop"},
		{"", "ct zone set 5", "drop"},
		{"ct original zone set 5", "", "accept"},
		{"ct original zone set 5", "ct original zone set 7", "accept"},
		{"ct reply zone set 5", "ct reply zone set 5", "accept"},
		{"ct reply zone set 5", "", "drop"},
		{"meta mark 1 ct zone set 5", "", "accept"},
	} {
		rule := func(s string) string {
			if s == "" {
				return ""
			}
			return "; " + s
		}
		look, err := asking(t, "table ip f { chain pre { type filter hook prerouting priority -300"+rule(c.there)+"; }; chain raw { type filter hook output priority -300"+rule(c.back)+
			"; }; chain out { type filter hook output priority 0; policy drop; ct state established accept; }; }").Look(incoming)
		if err != nil {
			t.Fatal(err)
		}
		if look.Back == nil || look.Back.Verdict != c.want {
			t.Errorf("%q there, %q back: %+v %s, want %s", c.there, c.back, look.Back, look.BackUnknown, c.want)
		}
	}
}

func TestResolution(t *testing.T) {
	own4, hop4, own6, hop6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::9")
	for _, c := range []struct {
		name, rules string
		stopped     [4]string // asking by ARP, by neighbour discovery; asked by either
	}{
		{"none", "", [4]string{}},
		{"only connections", "table ip6 f { chain c { type filter hook input priority 0; policy drop; ct state established accept; }; }", [4]string{"", "answer", "", "question"}},
		{"solicitations out", "table ip6 f { chain c { type filter hook output priority 0; icmpv6 type nd-neighbor-solicit drop; }; }", [4]string{"", "question", "", ""}},
		{"one target", "table ip6 f { chain c { type filter hook input priority 0; ip6 saddr fd00::8 icmpv6 type nd-neighbor-advert drop; }; }", [4]string{}},
		{"ARP requests in", "table arp f { chain c { type filter hook input priority 0; arp operation request drop; }; }", [4]string{"", "", "question", ""}},
		{"ARP replies", "table arp f { chain c { type filter hook input priority 0; arp operation reply drop; }; }", [4]string{"answer", "", "", ""}},
		{"IPv4 doesn't see ARP", "table ip f { chain c { type filter hook input priority 0; policy drop; }; }", [4]string{}},
	} {
		tracer := asking(t, c.rules)
		for i, r := range []Resolution{tracer.Ask("eth0", own4, hop4), tracer.Ask("eth0", own6, hop6), tracer.Asked("eth0", own4, hop4), tracer.Asked("eth0", own6, hop6)} {
			got := ""
			switch r.Stopped() {
			case nil:
			case r.Question:
				got = "question"
			default:
				got = "answer"
			}
			if got != c.stopped[i] || r.Open() != (got == "") {
				t.Errorf("%s, %d: stopped is the %q, want %q (%+v, %+v)", c.name, i, got, c.stopped[i], r.Question, r.Answer)
			}
		}
	}
}
