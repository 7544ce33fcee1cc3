//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	vnetlink "github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// nlheader makes a whole message of netlink(7).
func nlheader(kind, flags uint16, seq, port uint32, data []byte) []byte {
	b := number(uint32(16 + len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(append(b, number(seq)...), number(port)...)
	b = append(b, data...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

func TestParseAnswer(t *testing.T) {
	const multi = unix.NLM_F_MULTI
	refused := int32(-int32(unix.EPERM))
	for name, c := range map[string]struct {
		in          [][]byte
		replies     int
		done        bool
		interrupted bool
		errno       unix.Errno
	}{
		"one":               {in: [][]byte{nlheader(16, 0, 1, 2, []byte("x"))}, replies: 1, done: true},
		"a part":            {in: [][]byte{nlheader(16, multi, 1, 2, nil), nlheader(16, multi, 1, 2, nil)}, replies: 2},
		"the end":           {in: [][]byte{nlheader(16, multi, 1, 2, nil), nlheader(unix.NLMSG_DONE, multi, 1, 2, number(0))}, replies: 1, done: true},
		"a failed end":      {in: [][]byte{nlheader(unix.NLMSG_DONE, multi, 1, 2, number(uint32(refused)))}, done: true, errno: unix.EPERM},
		"refused":           {in: [][]byte{nlheader(unix.NLMSG_ERROR, 0, 1, 2, number(uint32(refused)))}, done: true, errno: unix.EPERM},
		"acknowledged":      {in: [][]byte{nlheader(unix.NLMSG_ERROR, 0, 1, 2, number(0))}, done: true},
		"an end of nothing": {in: [][]byte{nlheader(unix.NLMSG_DONE, 0, 1, 2, nil)}, done: true},
		"interrupted":       {in: [][]byte{nlheader(16, multi|unix.NLM_F_DUMP_INTR, 1, 2, nil)}, replies: 1, interrupted: true},
		"another question":  {in: [][]byte{nlheader(unix.NLMSG_DONE, 0, 9, 2, nil), nlheader(16, multi, 9, 2, nil)}},
		"another's":         {in: [][]byte{nlheader(unix.NLMSG_DONE, 0, 1, 9, nil)}},
		"no operation":      {in: [][]byte{nlheader(unix.NLMSG_NOOP, 0, 1, 2, nil)}},
		"odd length":        {in: [][]byte{nlheader(16, multi, 1, 2, []byte("abc")), nlheader(16, multi, 1, 2, []byte("a"))}, replies: 2},
	} {
		got, err := parseAnswer(slices.Concat(c.in...), 1, 2)
		if err != nil || len(got.replies) != c.replies || got.done != c.done || got.interrupted != c.interrupted || got.errno != c.errno {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := parseAnswer(nlheader(unix.NLMSG_OVERRUN, 0, 1, 2, nil), 1, 2); !errors.Is(err, errMalformed) {
		t.Errorf("overrun: %v", err)
	}
}

// TestForgedAnswers: who is not the kernel is not heard, whatever he knows.
func TestForgedAnswers(t *testing.T) {
	_, h := labNetNS(t, "forged")
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	forger, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer forger.close()
	link := nlmsg(head(16, map[int]byte{4: 99}), nla{unix.IFLA_IFNAME, []byte("forged\x00")})
	for _, m := range [][]byte{
		nlheader(unix.RTM_NEWLINK, unix.NLM_F_MULTI, 1, c.port, link),
		nlheader(unix.NLMSG_DONE, unix.NLM_F_MULTI, 1, c.port, number(0)),
		{1, 2, 3},
	} {
		if err := unix.Sendto(forger.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: c.port}); err != nil {
			t.Fatal(err)
		}
	}
	names, err := c.deviceNames(t.Context())
	if err != nil || names[99] != "" || names[1] != "lo" {
		t.Errorf("%v, %v", names, err)
	}
}

// TestChangingTables reads while everything changes: each answer is either whole
// or says that it isn't.
func TestChangingTables(t *testing.T) {
	name, h := labNetNS(t, "churn")
	inLab(t, name, "link add near type veth peer name far\nlink set near up\nlink set far up\naddr add 10.77.0.1/16 dev near")
	ns, err := netns.GetFromName(name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	handle, err := vnetlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	near, err := handle.LinkByName("near")
	if err != nil {
		t.Fatal(err)
	}
	change := func(n int, add bool) {
		address, err := vnetlink.ParseAddr(fmt.Sprintf("10.78.%d.%d/32", n/250, n%250+1))
		if err != nil {
			t.Error(err)
		} else if add {
			err = handle.AddrAdd(near, address)
		} else {
			err = handle.AddrDel(near, address)
		}
		if err != nil {
			t.Errorf("change an address: %v", err)
		}
	}
	const steady, moving = 1500, 200
	for n := range steady {
		change(n, true)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for round := 0; ; round++ {
			for n := range moving {
				select {
				case <-stop:
					return
				default:
				}
				change(steady+n, round%2 == 0)
			}
		}
	}()
	whole, changed := 0, 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		addresses, err := h.Addresses(t.Context())
		if err == nil {
			whole++
			kept := map[netip.Prefix]int{}
			for _, a := range addresses {
				kept[a.Prefix]++
			}
			for n := range steady {
				if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 78, byte(n / 250), byte(n%250 + 1)}), 32); kept[p] != 1 {
					t.Fatalf("%s is there %d times", p, kept[p])
				}
			}
		} else if errors.Is(err, errTableChanged) {
			changed++
		} else {
			t.Fatal(err)
		}
		if _, err := h.Routes(t.Context()); err != nil && !errors.Is(err, errTableChanged) {
			t.Fatal(err)
		}
		if _, err := h.RouteTo(t.Context(), host.RouteQuery{Destination: netip.MustParseAddr("10.77.0.9")}); err != nil && !errors.Is(err, errTableChanged) {
			t.Fatal(err)
		}
	}
	close(stop)
	<-done
	t.Logf("%d whole lists, %d that kept changing", whole, changed)
}
