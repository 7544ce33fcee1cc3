package firewall_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/linux"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/text"
)

// here runs f on a host with two networks: 10.0.0.5/24 on va, 10.0.1.5/24 and
// 2001:db8::5/64 on vb, with a default route by va.
func here(t *testing.T, f func(*linux.Host)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and not unlocked: the thread ends with its namespace
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			t.Errorf("make a network namespace: %v", err)
			return
		}
		for line := range strings.Lines(`ip link set lo up
			ip link add va type veth peer name xa
			ip link add vb type veth peer name xb
			ip address add 10.0.0.5/24 broadcast + dev va
			ip address add 10.0.0.6/24 dev va
			ip address add 10.0.1.5/24 dev vb
			ip address add 2001:db8::5/64 dev vb nodad
			ip link set va up
			ip link set vb up
			ip link set xa up
			ip link set xb up
			ip route add default via 10.0.0.1
			ip route add unreachable 10.7.0.0/16`) {
			args := strings.Fields(line)
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", strings.TrimSpace(line), err, out)
				return
			}
		}
		h, err := linux.Open(linux.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		// The kernel routes IPv6 by a device, and to its address, a moment after it is up.
		for range 500 {
			r, err := h.RouteTo(context.Background(), host.RouteQuery{Destination: netip.MustParseAddr("2001:db8::9")})
			own, wrong := h.RouteTo(context.Background(), host.RouteQuery{Destination: netip.MustParseAddr("2001:db8::5")})
			if err == nil && r.Errno == "" && r.Device == "vb" && !r.LinkDown && wrong == nil && own.Type == "local" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		f(h)
	}()
	<-done
}

func TestFacts(t *testing.T) {
	here(t, func(h *linux.Host) {
		facts := firewall.Facts(context.Background(), h)
		for _, c := range []struct {
			address, device string
			only            bool
			want            uint8
		}{
			{"10.0.0.5", "", false, eval.Local},
			{"10.0.0.5", "va", true, eval.Local},
			{"10.0.0.5", "vb", true, eval.Unicast},
			{"10.0.0.255", "", false, eval.Broadcast},
			{"10.0.0.9", "", false, eval.Unicast},
			{"10.7.0.1", "", false, eval.Unicast}, // only the host's own addresses count
			{"127.8.8.8", "", false, eval.Local},
			{"224.0.0.1", "", false, eval.Multicast},
			{"255.255.255.255", "", false, eval.Broadcast},
			{"2001:db8::5", "", false, eval.Local},
			{"2001:db8::5", "vb", true, eval.Local},
			{"2001:db8::9", "", false, eval.Unicast},
			{"2001:db9::9", "", false, eval.Unreachable},
			{"ff02::1", "", false, eval.Multicast},
		} {
			if got, ok := facts.AddressType(netip.MustParseAddr(c.address), c.device, c.only); !ok || got != c.want {
				t.Errorf("type of %s on %q: %d, %v, want %d", c.address, c.device, got, ok, c.want)
			}
		}
		for _, c := range []struct{ device, to, want string }{
			{"va", "10.0.0.9", "10.0.0.5"}, {"va", "192.0.2.1", "10.0.0.5"}, {"vb", "10.0.1.9", "10.0.1.5"}, {"vb", "2001:db8::9", "2001:db8::5"},
		} {
			if got, ok := facts.Source(c.device, netip.MustParseAddr(c.to)); !ok || got != netip.MustParseAddr(c.want) {
				t.Errorf("source by %s to %s: %v, %v, want %s", c.device, c.to, got, ok, c.want)
			}
		}
		if d, ok := facts.Device("va"); !ok || d.Index == 0 || d.Kind != "veth" || d.Type != 1 || len(d.MAC) != 6 || len(d.Addresses) < 2 {
			t.Errorf("va: %+v, %v", d, ok)
		}
		if _, ok := facts.Device("none"); ok {
			t.Error("a device that isn't there is known")
		}
		if listens, ok := facts.Listener(7); listens || !ok {
			t.Errorf("queue 7: %v, %v", listens, ok)
		}
		if v, ok := facts.Sysctl("net/ipv4/ip_forward"); !ok || v != "0" {
			t.Errorf("ip_forward: %q, %v", v, ok)
		}
	})
}

// Without --way the host's own addresses and routes decide.
func TestRoutingDecides(t *testing.T) {
	here(t, func(h *linux.Host) {
		ctx := context.Background()
		fw, err := h.Firewall(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		tracer := firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), &text.Printer{}, "")
		for _, c := range []struct{ src, dst, iif, want string }{
			{"10.0.0.9", "10.0.0.5:80", "", "in va  accept passes"},
			{"10.0.0.5", "10.0.0.6:80", "", "local  lo accept passes"},
			{"10.0.0.5", "10.0.1.9:80", "", "out  vb accept passes"},
			{"10.0.0.5", "192.0.2.1:80", "", "out  va accept passes"},
			{"10.0.0.5", "10.7.0.1:80", "", "out   unknown net-unreachable"},
			{"10.0.0.9", "10.0.1.9:80", "", "forward va  drop timeout"}, // forwarding is off
			{"2001:db8::9", "[2001:db8::5]:80", "vb", "in vb  accept passes"},
		} {
			a, err := tracer.Trace(firewall.Packet{Proto: "tcp", Src: c.src, Dst: c.dst, IIF: c.iif})
			if err != nil {
				t.Errorf("%s > %s: %v", c.src, c.dst, err)
				continue
			}
			if got := strings.Join([]string{a.Asked.Way, a.Asked.IIF, a.Asked.OIF, a.Verdict, a.ClientSees}, " "); got != c.want {
				t.Errorf("%s > %s: %s, want %s (%s)", c.src, c.dst, got, c.want, a.Reason)
			}
		}
	})
}

// A rule of this host is asked with a packet to an address that it may not have,
// by a device that it may not have either.
func TestWhyLive(t *testing.T) {
	here(t, func(h *linux.Host) {
		c := exec.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader("table inet f {\nchain in {\ntype filter hook input priority 0; policy drop;\niif lo accept\ntcp dport 8000-8100 drop\ntcp dport 8080 accept\ntcp dport 22 accept\n}\n}\n")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("nft: %v: %s", err, out)
			return
		}
		ctx := context.Background()
		fw, err := h.Firewall(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		tracer := firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), &text.Printer{}, "")
		for asked, want := range map[string]firewall.Effect{"tcp dport 8080 accept": firewall.Shadowed, "tcp dport 22 accept": firewall.Effective} {
			doc := tracer.Why(asked)
			if doc == nil || len(doc.Rules) != 1 || doc.Rules[0].Effect != want {
				t.Errorf("%s: %+v, want %s", asked, doc, want)
			}
		}
	})
}
