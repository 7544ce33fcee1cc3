package firewall_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/linux"
	"github.com/portwhy/portwhy/rules/text"
)

// What a client is told of an answer is what its connect(2), or its read of a
// connected UDP socket, gets from the kernel.
func TestClientSees(t *testing.T) {
	wire(t, func(h *linux.Host, far *netNS) {
		for _, path := range []string{"/proc/sys/net/ipv4/icmp_ratelimit", "/proc/sys/net/ipv6/icmp/ratelimit"} {
			if err := os.WriteFile(path, []byte("0"), 0); err != nil {
				t.Logf("answers may come late: %v", err)
			}
		}
		awaitAddress(t, far)
		ctx := context.Background()
		for _, c := range []struct{ rule, proto, src, dst, with, sees string }{
			{"reject with tcp reset", "tcp", "10.0.0.9", "10.0.0.5:5001", "tcp-reset", "refused"},
			{"reject", "tcp", "10.0.0.9", "10.0.0.5:5001", "icmp-port-unreachable", "refused"},
			{"reject", "udp", "10.0.0.9", "10.0.0.5:5001", "icmp-port-unreachable", "refused"},
			{"reject with icmp host-unreachable", "tcp", "10.0.0.9", "10.0.0.5:5001", "icmp-host-unreachable", "host-unreachable"},
			{"reject with icmp host-prohibited", "tcp", "10.0.0.9", "10.0.0.5:5001", "icmp-host-prohibited", "host-unreachable"},
			{"reject with icmp admin-prohibited", "tcp", "10.0.0.9", "10.0.0.5:5001", "icmp-admin-prohibited", "host-unreachable"},
			{"reject with icmp admin-prohibited", "udp", "10.0.0.9", "10.0.0.5:5001", "icmp-admin-prohibited", "host-unreachable"},
			{"reject with icmp net-unreachable", "tcp", "10.0.0.9", "10.0.0.5:5001", "icmp-net-unreachable", "net-unreachable"},
			{"reject with icmp net-prohibited", "tcp", "10.0.0.9", "10.0.0.5:5001", "icmp-net-prohibited", "net-unreachable"},
			{"reject with icmp prot-unreachable", "tcp", "10.0.0.9", "10.0.0.5:5001", "icmp-prot-unreachable", "unknown"},
			{"reject with tcp reset", "tcp", "fd00::9", "[fd00::5]:5001", "tcp-reset", "refused"},
			{"reject", "udp", "fd00::9", "[fd00::5]:5001", "icmpv6-port-unreachable", "refused"},
			{"reject with icmpv6 no-route", "udp", "fd00::9", "[fd00::5]:5001", "icmpv6-no-route", "timeout"},
			{"reject with icmpv6 addr-unreachable", "udp", "fd00::9", "[fd00::5]:5001", "icmpv6-addr-unreachable", "timeout"},
			{"reject with icmp host-unreachable", "udp", "10.0.0.9", "10.0.0.5:5001", "icmp-host-unreachable", "timeout"},
			{"reject with icmp net-prohibited", "udp", "10.0.0.9", "10.0.0.5:5001", "icmp-net-prohibited", "net-unreachable"},
			// On the way out of this host.
			{"reject", "tcp", "10.0.0.5", "10.0.0.9:5001", "icmp-port-unreachable", "refused"},
			{"reject with icmp host-unreachable", "tcp", "10.0.0.5", "10.0.0.9:5001", "icmp-host-unreachable", "host-unreachable"},
			{"reject with tcp reset", "tcp", "10.0.0.5", "10.0.0.9:5001", "tcp-reset", "refused"},
			{"reject", "udp", "10.0.0.5", "10.0.0.9:5001", "icmp-port-unreachable", "denied"},
			{"reject with icmpv6 no-route", "udp", "fd00::5", "[fd00::9]:5001", "icmpv6-no-route", "denied"},
			{"drop", "tcp", "10.0.0.5", "10.0.0.9:5001", "", "timeout"},
			{"drop", "udp", "10.0.0.5", "10.0.0.9:5001", "", "denied"},
			{"reject with icmpv6 admin-prohibited", "tcp", "fd00::9", "[fd00::5]:5001", "icmpv6-admin-prohibited", "denied"},
			{"reject with icmpv6 admin-prohibited", "udp", "fd00::9", "[fd00::5]:5001", "icmpv6-admin-prohibited", "denied"},
			{"reject with icmpv6 policy-fail", "udp", "fd00::9", "[fd00::5]:5001", "icmpv6-policy-fail", "denied"},
			{"reject with icmpv6 reject-route", "udp", "fd00::9", "[fd00::5]:5001", "icmpv6-reject-route", "denied"},
			{"drop", "tcp", "10.0.0.9", "10.0.0.5:5001", "", "timeout"},
			{"drop", "udp", "10.0.0.9", "10.0.0.5:5001", "", "timeout"},
		} {
			// The reset that a host sends to itself, by lo, must not meet the rule.
			where := "input priority 0"
			out := strings.HasSuffix(c.src, "5")
			if out {
				where = "output priority 0"
			}
			script(t, "table inet a { chain c { type filter hook "+where+"; oif != lo meta l4proto "+c.proto+" "+c.rule+"; }\n}", "nft", "-f", "-")
			fw, err := h.Firewall(ctx)
			if err != nil {
				t.Errorf("%s: %v", c.rule, err)
				return
			}
			trace, err := firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), &text.Printer{}, "").Trace(
				firewall.Packet{Proto: c.proto, Src: netip.AddrPortFrom(netip.MustParseAddr(c.src), sourcePort).String(), Dst: c.dst})
			if err != nil {
				t.Errorf("%s: %v", c.rule, err)
				return
			}
			with := ""
			if trace.RejectWith != nil {
				with = *trace.RejectWith
			}
			// Over this cable an answer may come while connect(2) is still at work: it
			// counts with the second attempt, a second later.
			wait := 3 * time.Second
			if c.sees == "timeout" {
				wait = 300 * time.Millisecond
			}
			var seen string
			if out {
				seen = tries(c.proto, c.dst, wait)
			} else {
				far.run(func() { seen = tries(c.proto, c.dst, wait) })
			}
			if with != c.with || trace.ClientSees != c.sees || seen != c.sees {
				t.Errorf("%s of %s: told %s, %s; the client saw %s; want %s, %s", c.rule, c.proto, with, trace.ClientSees, seen, c.with, c.sees)
			}
			script(t, "flush ruleset", "nft", "-f", "-")
		}
	})
}

// tries connects, or sends a datagram and waits, and names the error.
func tries(network, to string, wait time.Duration) string {
	c, err := (&net.Dialer{Timeout: wait}).Dial(network, to)
	if err == nil {
		defer c.Close()
		if network == "tcp" {
			return "passes"
		}
		if _, err = c.Write([]byte("hello")); err == nil {
			if err = c.SetReadDeadline(time.Now().Add(wait)); err == nil {
				_, err = c.Read(make([]byte, 8))
			}
		}
	}
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		switch errno {
		case syscall.ECONNREFUSED:
			return "refused"
		case syscall.EHOSTUNREACH:
			return "host-unreachable"
		case syscall.ENETUNREACH:
			return "net-unreachable"
		case syscall.EACCES, syscall.EPERM:
			return "denied"
		case syscall.ENOPROTOOPT:
			return "unknown"
		}
		return errno.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

// awaitAddress waits until the far host can send over IPv6.
func awaitAddress(t *testing.T, far *netNS) {
	for range 300 {
		var err error
		far.run(func() { _, err = net.DialTimeout("tcp", "[fd00::5]:9", 200*time.Millisecond) })
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("IPv6 doesn't come up")
}
