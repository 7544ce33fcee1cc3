package firewall_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/linux"
	"github.com/portwhy/portwhy/rules/text"
)

// What rules ask of the socket that a packet is for is what the kernel finds.
func TestSockets(t *testing.T) {
	wire(t, func(h *linux.Host, far *netNS) {
		awaitAddress(t, far)
		ctx := context.Background()
		listen := func(network, address string, mark int, options ...int) {
			c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
				_ = raw.Control(func(fd uintptr) {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
					for _, o := range options {
						if err == nil {
							err = unix.SetsockoptInt(int(fd), unix.SOL_IP, o, 1)
						}
					}
				})
				return err
			}}
			l, err := c.Listen(ctx, network, address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
		listen("tcp", ":5001", 0)                              // both families
		listen("tcp4", "10.0.0.5:5002", 7)                     // one address
		listen("tcp4", "0.0.0.0:5003", 9, unix.IP_TRANSPARENT) // all of IPv4
		listen("tcp6", "[fd00::5]:5004", 3)                    // one address of IPv6
		for _, c := range []struct {
			rule, src, dst string
			passes         bool
		}{
			{"socket wildcard 1 drop", "10.0.0.9", "10.0.0.5:5001", false},
			{"socket wildcard 0 drop", "10.0.0.9", "10.0.0.5:5001", true},
			{"socket wildcard 1 drop", "10.0.0.9", "10.0.0.5:5002", true},
			{"socket wildcard 1 drop", "10.0.0.9", "10.0.0.5:5003", false},
			{"socket wildcard 1 drop", "fd00::9", "[fd00::5]:5001", false},
			{"socket wildcard 1 drop", "fd00::9", "[fd00::5]:5004", true},
			{"socket mark 0 drop", "10.0.0.9", "10.0.0.5:5001", false},
			{"socket mark 7 drop", "10.0.0.9", "10.0.0.5:5002", false},
			{"socket mark != 7 drop", "10.0.0.9", "10.0.0.5:5002", true},
			{"socket mark 3 drop", "fd00::9", "[fd00::5]:5004", false},
			{"socket transparent 1 drop", "10.0.0.9", "10.0.0.5:5003", false},
			{"socket transparent 1 drop", "10.0.0.9", "10.0.0.5:5002", true},
			{"socket transparent 0 drop", "10.0.0.9", "10.0.0.5:5002", false},
		} {
			script(t, "table inet a { chain c { type filter hook input priority 0; tcp flags syn / syn,ack "+c.rule+"; }\n}", "nft", "-f", "-")
			fw, err := h.Firewall(ctx)
			if err != nil {
				t.Errorf("%s: %v", c.rule, err)
				return
			}
			trace, err := firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), &text.Printer{}, "").Trace(firewall.Packet{Proto: "tcp", Src: c.src, Dst: c.dst})
			if err != nil {
				t.Errorf("%s: %v", c.rule, err)
				return
			}
			wait := 3 * time.Second
			if !c.passes {
				wait = 200 * time.Millisecond
			}
			var seen string
			far.run(func() { seen = tries("tcp", c.dst, wait) })
			if (seen == "passes") != c.passes || (trace.Verdict == "accept") != c.passes || trace.Verdict == "unknown" {
				t.Errorf("%s to %s: the client saw %s, the evaluator says %s %v; want passes: %v", c.rule, c.dst, seen, trace.Verdict, trace.Unknown, c.passes)
			}
			script(t, "flush ruleset", "nft", "-f", "-")
		}
		// No socket is at this port: nothing of one matches.
		script(t, "table inet a { chain c { type filter hook input priority 0; tcp dport 5009 socket mark != 99 drop; }\n}", "nft", "-f", "-")
		fw, err := h.Firewall(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		trace, err := firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), &text.Printer{}, "").Trace(firewall.Packet{Proto: "tcp", Src: "10.0.0.9", Dst: "10.0.0.5:5009"})
		var seen string
		far.run(func() { seen = tries("tcp", "10.0.0.5:5009", 3*time.Second) })
		if err != nil || trace.Verdict != "accept" || seen != "refused" {
			t.Errorf("without a socket: %v, %s, the client saw %s", err, trace.Verdict, seen)
		}
	})
}
