package checks

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var someAddrs = []string{"0.0.0.0", "127.0.0.1", "10.7.0.1", "::", "::1", "fd07::1", "::ffff:0.0.0.0", "::ffff:127.0.0.1"}

func drawClaimant(t *rapid.T, name string, states []host.State) claimant {
	flag := rapid.SampledFrom([]tristate{yes, no})
	return claimant{network: rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, name+" network"),
		addr:      netip.MustParseAddr(rapid.SampledFrom(someAddrs).Draw(t, name+" address")),
		v6only:    flag.Draw(t, name+" v6only"),
		state:     rapid.SampledFrom(states).Draw(t, name+" state"),
		uid:       rapid.Uint32Range(0, 1).Draw(t, name+" uid"),
		device:    rapid.IntRange(0, 2).Draw(t, name+" device"),
		reuseAddr: flag.Draw(t, name+" reuseaddr"), reusePort: flag.Draw(t, name+" reuseport")}
}

// TestNotKnowingNeverMisleads: what is said with a fact missing must hold
// whatever that fact is.
func TestNotKnowingNeverMisleads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asking := drawClaimant(t, "asking", []host.State{host.BoundInactive})
		holder := drawClaimant(t, "holder", []host.State{host.Listen, host.BoundInactive, host.Estab, host.TimeWait})
		truth := conflict(asking, holder)
		if truth == unknown {
			t.Fatal("all facts are known, but not the answer")
		}
		less := holder
		for _, forget := range []func(){func() { less.v6only = unknown }, func() { less.reuseAddr = unknown }, func() { less.reusePort = unknown }, func() { less.device = -1 }} {
			if rapid.Bool().Draw(t, "forget") {
				forget()
			}
		}
		if said := conflict(asking, less); said != unknown && said != truth {
			t.Fatalf("said %v of %+v and %+v, but it is %v with %+v", said, asking, less, truth, holder)
		}
	})
}

func TestTristate(t *testing.T) {
	all := []tristate{unknown, no, yes}
	for _, a := range all {
		for _, b := range all {
			if a.and(b) != b.and(a) || a.or(b) != a.not().and(b.not()).not() {
				t.Errorf("%v and %v", a, b)
			}
		}
		if a.and(no) != no || a.or(yes) != yes || a.and(yes) != a || a.or(no) != a || a.not().not() != a {
			t.Errorf("%v", a)
		}
	}
}

func TestPortClass(t *testing.T) {
	for port, want := range map[uint16]string{1: "well-known", 1023: "well-known", 1024: "registered", 49151: "registered", 49152: "dynamic", 65535: "dynamic"} {
		if got := portClass(port); got != want {
			t.Errorf("%d is %s, want %s", port, got, want)
		}
	}
}

func TestPick(t *testing.T) {
	none := func(uint16) bool { return false }
	low := func(n uint16) bool { return n < 1024 }
	for _, test := range []struct {
		asked uint16
		taken func(uint16) bool
		want  []uint16
	}{
		{8080, none, []uint16{8081, 8082, 8083}},
		{8088, none, []uint16{8089, 9088, 10088}},
		{8080, func(n uint16) bool { return n/10 == 808 }, []uint16{9080, 10080, 11080}},
		{80, low, []uint16{8080, 8081, 8082}},
		{443, low, []uint16{8443, 8444, 8445}},
		{65535, none, []uint16{65534, 65533, 65532}},
		{65535, func(n uint16) bool { return n > 32767 }, []uint16{8000, 8001, 8002}},
		{3000, func(uint16) bool { return true }, nil},
	} {
		if got := pick(test.asked, test.taken); !slices.Equal(got, test.want) {
			t.Errorf("instead of %d: %v, want %v", test.asked, got, test.want)
		}
	}
}

func TestPickGivesFreeOnesOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked := rapid.Uint16Range(1, 65535).Draw(t, "asked")
		from := rapid.Uint16().Draw(t, "from")
		to := rapid.Uint16Range(from, 65535).Draw(t, "to")
		taken := func(n uint16) bool { return n >= from && n <= to }
		got := pick(asked, taken)
		if len(got) > offered {
			t.Fatalf("%d ports", len(got))
		}
		for i, n := range got {
			if n == 0 || n == asked || taken(n) || slices.Contains(got[:i], n) {
				t.Fatalf("instead of %d: %v, with %d-%d taken", asked, got, from, to)
			}
		}
		if len(got) == 0 && to-from < 30000 {
			t.Fatalf("nothing instead of %d, though only %d-%d is taken", asked, from, to)
		}
	})
}

func TestOneSlip(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"10.0.0.5", "10.0.0.6", true}, {"10.0.0.5", "10.0.0.55", true}, {"10.0.0.55", "10.0.0.5", true}, {"10.0.0.51", "10.0.0.15", true},
		{"10.0.0.5", "10.0.0.5", false}, {"10.0.0.5", "10.0.1.6", false}, {"10.0.0.5", "192.168.0.1", false}, {"10.1.0.5", "10.0.0.5", true}, {"1", "", true}, {"", "", false},
	} {
		if got := oneSlip(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: %v", test.a, test.b, got)
		}
	}
}

func FuzzOneSlip(f *testing.F) {
	f.Add("10.0.0.5", "10.0.0.6")
	f.Add("fd00::1", "fd00::11")
	f.Fuzz(func(t *testing.T, a, b string) {
		if oneSlip(a, b) != oneSlip(b, a) {
			t.Errorf("%q and %q: the order counts", a, b)
		}
	})
}

func TestRestricts(t *testing.T) {
	for _, test := range []struct {
		families []string
		family   string
		want     bool
	}{
		{nil, "AF_INET", false},
		{[]string{"AF_UNIX", "AF_INET"}, "AF_INET", false},
		{[]string{"AF_UNIX", "AF_INET"}, "AF_INET6", true},
		{[]string{"~AF_INET6"}, "AF_INET", false},
		{[]string{"~AF_INET6"}, "AF_INET6", true},
		{[]string{"none"}, "AF_UNIX", true},
	} {
		if got := restricts(test.families, test.family); got != test.want {
			t.Errorf("%v for %s: %v", test.families, test.family, got)
		}
	}
}

func TestDeniedBy(t *testing.T) {
	at := func(network, addr string) *diagnose.Flow {
		return &diagnose.Flow{Network: network, Destination: netip.MustParseAddrPort(addr)}
	}
	for _, test := range []struct {
		rules []string
		flow  *diagnose.Flow
		want  string
	}{
		{nil, at("tcp", "0.0.0.0:80"), ""},
		{[]string{"deny any"}, at("tcp", "0.0.0.0:80"), "deny any"},
		{[]string{"deny any", "allow tcp:80"}, at("tcp", "0.0.0.0:80"), ""},
		{[]string{"deny any", "allow tcp:80"}, at("udp", "0.0.0.0:80"), "deny any"},
		{[]string{"deny ipv6:tcp:80-90"}, at("tcp", "[::]:85"), "deny ipv6:tcp:80-90"},
		{[]string{"deny ipv6:tcp:80-90"}, at("tcp", "0.0.0.0:85"), ""},
		{[]string{"deny ipv4"}, at("tcp", "0.0.0.0:85"), "deny ipv4"},
		{[]string{"deny tcp:81"}, at("tcp", "0.0.0.0:85"), ""},
		{[]string{"deny tcp:x"}, at("tcp", "0.0.0.0:85"), ""},
	} {
		if got := deniedBy(test.rules, test.flow); got != test.want {
			t.Errorf("%v for %s: %q, want %q", test.rules, test.flow, got, test.want)
		}
	}
}

func TestArgument(t *testing.T) {
	for name, want := range map[string]bool{"": false, "-p": false, "--all": false, "web": true, "a-b": true} {
		if argument(name) != want {
			t.Errorf("%q", name)
		}
	}
}

func FuzzBindRule(f *testing.F) {
	for _, seed := range []string{"any", "ipv4:tcp:80", "ipv6:udp:1-65535", "tcp", ":::", "9-1", "ipv4:any:80:80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, what string) {
		flow := &diagnose.Flow{Network: "tcp", Destination: netip.MustParseAddrPort("127.0.0.1:80")}
		if got := deniedBy([]string{"deny " + what, "allow any"}, flow); got != "" {
			t.Errorf("%q denies what is allowed", got)
		}
		if bindRuleCovers(what, flow) && !bindRuleCovers(what+":any", flow) {
			t.Errorf("%q covers less with any", what)
		}
	})
}

// A master is told to end before its workers, whatever their numbers are, and what
// hostile lists say of parents ends.
func TestParentsFirst(t *testing.T) {
	for _, c := range []struct{ pids, parents, want []int }{
		{[]int{8, 13}, []int{1, 8}, []int{8, 13}},
		{[]int{7, 30000, 9}, []int{30000, 1, 7}, []int{30000, 7, 9}},
		{[]int{5, 4, 6}, []int{1, 1, 1}, []int{5, 4, 6}},
		{[]int{5, 6}, []int{6, 5}, []int{5, 6}},
		{[]int{5}, []int{5}, []int{5}},
	} {
		var all []host.Process
		for i := range c.pids {
			all = append(all, host.Process{PID: c.pids[i], PPID: c.parents[i]})
		}
		var got []int
		for _, proc := range parentsFirst(all) {
			got = append(got, proc.PID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v of %v: %v, want %v", c.pids, c.parents, got, c.want)
		}
	}
}
