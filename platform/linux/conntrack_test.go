//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

func TestTrackedLive(t *testing.T) {
	name, h := labNetNS(t, "track")
	command(t, "ip", "netns", "exec", name, "nft", "add table ip t; add chain ip t out { type nat hook output priority -100; }; add rule ip t out udp dport 7001 redirect to :7002")
	err := h.inNamespace(func() error {
		for _, from := range []string{"127.0.0.1:6001", "127.0.0.1:6002"} {
			c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:7001")))
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]int{"127.0.0.1:6001": 1, "127.0.0.1:0": 2, "127.0.0.1:6003": 0, "127.0.0.2:0": 0} {
		q := host.TrackQuery{Network: "udp", Source: netip.MustParseAddrPort(from), Destination: netip.MustParseAddrPort("127.0.0.1:7001")}
		got, err := h.Tracked(t.Context(), q)
		if err != nil || len(got) != want {
			t.Errorf("from %s: %d flows, %v; want %d", from, len(got), err, want)
		}
		for _, flow := range got {
			if flow.ReplySource.Port() != 7002 || flow.Answered || flow.Expires <= 0 || flow.Expires > time.Minute || flow.Network != "udp" {
				t.Errorf("from %s: %+v, want it led to port 7002 and not answered", from, flow)
			}
		}
	}
}

func TestParseTracked(t *testing.T) {
	v6 := netip.MustParseAddr("2001:db8::1").AsSlice()
	ends := func(kind uint16) nla {
		return nested(kind, nested(ctaTupleIP, nla{3, v6}, nla{4, v6}),
			nested(ctaTupleProto, nla{ctaProtoNum, []byte{6}}, nla{ctaProtoSrcPort, []byte{0, 80}}, nla{ctaProtoDstPort, []byte{1, 0}}))
	}
	got, err := parseTracked(nlmsg(head(4, nil), ends(ctaTupleOrig), ends(ctaTupleReply), nla{ctaStatus, binary.BigEndian.AppendUint32(nil, 6)},
		nla{ctaTimeout, []byte{0, 0, 0, 9}}, nla{ctaZone, []byte{0, 7}}, nested(ctaProtoInfo, nested(1, nla{1, []byte{3}}))))
	at := netip.MustParseAddrPort("[2001:db8::1]:80")
	to := netip.MustParseAddrPort("[2001:db8::1]:256")
	want := host.Tracked{Network: "tcp", Source: at, Destination: to, ReplySource: at, ReplyDestination: to, Answered: true, Assured: true,
		State: "ESTABLISHED", Expires: 9 * time.Second, Zone: 7}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][]byte{nil, nlmsg(head(4, nil), nla{ctaStatus, nil}), nlmsg(head(4, nil), nested(ctaTupleOrig, nested(ctaTupleIP, nla{1, []byte{1}})))} {
		if _, err := parseTracked(bad); !errors.Is(err, errMalformed) {
			t.Errorf("%x: error %v", bad, err)
		}
	}
}

func TestParseVirtual(t *testing.T) {
	const text = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A4D0001:0050 rr persistent 300
  -> 0A580002:1F90      Masq    1      0          0         
  -> 0A580003:1F90      Route   0      0          0         
UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 wlc 
FWM  0000000A rr
`
	want := []host.VirtualService{
		{Network: "tcp", Address: netip.MustParseAddrPort("10.77.0.1:80"), Scheduler: "rr", Servers: []host.RealServer{
			{Address: netip.MustParseAddrPort("10.88.0.2:8080"), Forward: "Masq", Weight: 1}, {Address: netip.MustParseAddrPort("10.88.0.3:8080"), Forward: "Route"}}},
		{Network: "udp", Address: netip.MustParseAddrPort("[2001:db8::1]:53"), Scheduler: "wlc"},
		{Mark: 10, Scheduler: "rr"},
	}
	if got, err := parseVirtual([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"TCP zz:50 rr\n", "  -> 0A580002:1F90 Masq 1 0 0\n", "TCP 0A4D0001:0050 rr\n -> 0A580002:1F90 Masq x 0 0\n", "XXX 0A4D0001:0050 rr\n", "FWM z rr\n"} {
		if _, err := parseVirtual([]byte(bad)); !errors.Is(err, errVirtual) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func FuzzTracked(f *testing.F) {
	f.Add(nlmsg(head(4, nil), nested(ctaTupleOrig, nested(ctaTupleIP, nla{1, []byte{1, 2, 3, 4}}))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseTracked(b); err != nil && !errors.Is(err, errMalformed) {
			t.Errorf("error %v", err)
		}
	})
}

func FuzzVirtual(f *testing.F) {
	f.Add([]byte("TCP  0A4D0001:0050 rr\n  -> 0A580002:1F90      Masq    1      0          0\n"))
	f.Add([]byte("UDP  [2001:0db8::1]:0035 wlc\nFWM  0000000A rr\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := parseVirtual(b); err == nil && len(list) > maxVirtual {
			t.Errorf("%d services", len(list))
		}
	})
}
