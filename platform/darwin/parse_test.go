package darwin

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/portable"
)

const netstatTCP = `Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
tcp4       0      0  192.168.1.5.52000      93.184.216.34.443      ESTABLISHED
tcp46      0      0  *.5000                 *.*                    LISTEN
tcp6       0      0  ::1.631                *.*                    LISTEN
tcp4       3    128  127.0.0.1.631          *.*                    LISTEN
tcp6       0      0  fe80::1%lo0.8021       fe80::2%lo0.50000      TIME_WAIT
`

const netstatUDP = `Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
udp4       0      0  *.5353                 *.*
udp6       0      0  *.*                    *.*
udp4       0      0  10.0.0.1.40000         10.0.0.2.53
`

func TestParseNetstat(t *testing.T) {
	ap := netip.MustParseAddrPort
	any4, any6 := ap("0.0.0.0:0"), ap("[::]:0")
	for _, c := range []struct {
		in   string
		want []host.Socket
	}{
		{netstatTCP, []host.Socket{
			{Network: "tcp", State: host.Estab, Local: ap("192.168.1.5:52000"), Remote: ap("93.184.216.34:443")},
			{Network: "tcp", State: host.Listen, Local: ap("[::]:5000"), Remote: any6},
			{Network: "tcp", State: host.Listen, Local: ap("[::1]:631"), Remote: any6, V6Only: true},
			{Network: "tcp", State: host.Listen, Local: ap("127.0.0.1:631"), Remote: any4, Queue: 3, Backlog: 128},
			{Network: "tcp", State: host.TimeWait, Local: ap("[fe80::1%lo0]:8021"), Remote: ap("[fe80::2%lo0]:50000"), V6Only: true},
		}},
		{netstatUDP, []host.Socket{
			{Network: "udp", State: host.Unconn, Local: ap("0.0.0.0:5353"), Remote: any4},
			{Network: "udp", State: host.Unconn, Local: any6, Remote: any6, V6Only: true},
			{Network: "udp", State: host.Estab, Local: ap("10.0.0.1:40000"), Remote: ap("10.0.0.2:53")},
		}},
		{"", nil},
	} {
		got, err := parseNetstat([]byte(c.in))
		if err != nil || len(got) != len(c.want) {
			t.Fatalf("%d entries, %v; want %d", len(got), err, len(c.want))
		}
		for i, want := range c.want {
			want.Inode = portable.Key(want)
			if got[i] != (portable.Entry{Socket: want, FD: -1}) {
				t.Errorf("got %+v, want %+v", got[i], want)
			}
		}
	}
	for _, bad := range []string{
		"tcp4 0 0 *.80", "tcp5 0 0 *.80 *.* LISTEN", "tcp4 x 0 *.80 *.* LISTEN", "tcp4 0 -1 *.80 *.* LISTEN",
		"tcp4 0 0 80 *.* LISTEN", "tcp4 0 0 *.65536 *.* LISTEN", "tcp4 0 0 1.2.3.80 *.* LISTEN", "tcp4 0 0 *.80 x.* LISTEN",
	} {
		if got, err := parseNetstat([]byte(bad)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

const lsofOutput = `p312
f5
tIPv4
PTCP
n127.0.0.1:631
TST=LISTEN
TQR=0
f6
tIPv6
PTCP
n[::1]:631
TST=LISTEN
p400
f12
tIPv6
PTCP
n*:5000
TST=LISTEN
f13
tIPv4
PUDP
n*:*
f14
tIPv4
PTCP
n10.0.0.1:50000->10.0.0.2:443
TST=ESTABLISHED
f15
tunix
n/tmp/x
`

func TestParseLsof(t *testing.T) {
	ap := netip.MustParseAddrPort
	any4, any6 := ap("0.0.0.0:0"), ap("[::]:0")
	want := []portable.Entry{
		{PID: 312, FD: 5, Socket: host.Socket{Network: "tcp", State: host.Listen, Local: ap("127.0.0.1:631"), Remote: any4}},
		{PID: 312, FD: 6, Socket: host.Socket{Network: "tcp", State: host.Listen, Local: ap("[::1]:631"), Remote: any6}},
		{PID: 400, FD: 12, Socket: host.Socket{Network: "tcp", State: host.Listen, Local: ap("[::]:5000"), Remote: any6}},
		{PID: 400, FD: 13, Socket: host.Socket{Network: "udp", State: host.Unconn, Local: any4, Remote: any4}},
		{PID: 400, FD: 14, Socket: host.Socket{Network: "tcp", State: host.Estab, Local: ap("10.0.0.1:50000"), Remote: ap("10.0.0.2:443")}},
	}
	got, err := parseLsof([]byte(lsofOutput))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range want {
		want[i].Socket.Inode = portable.Key(want[i].Socket)
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	for _, bad := range []string{"px\n", "p1\nf1\ntIPv4\nPTCP\nn80\n", "p1\nf1\ntIPv4\nPTCP\nn*:x\nf2\n", "p1\nf1\ntIPv4\nPTCP\nnx:1\np2\n", "p1\nf1\ntIPv4\nPTCP\nn*:1->x\n"} {
		if got, err := parseLsof([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// What netstat lists and what lsof finds is the same socket.
func TestHoldersOfNetstat(t *testing.T) {
	sockets, err := parseNetstat([]byte(netstatTCP))
	if err != nil {
		t.Fatal(err)
	}
	files, err := parseLsof([]byte(lsofOutput))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, s := range sockets {
		for _, f := range files {
			if s.Socket.Inode == f.Socket.Inode {
				found++
			}
		}
	}
	if found != 3 {
		t.Errorf("%d sockets have a holder, want 3", found)
	}
}

func FuzzParseNetstat(f *testing.F) {
	f.Add([]byte(netstatTCP))
	f.Add([]byte(netstatUDP))
	f.Add([]byte("tcp46 0 0 *.5000 *.* LISTEN"))
	f.Fuzz(func(t *testing.T, b []byte) { check(t, parseNetstat, b) })
}

func FuzzParseLsof(f *testing.F) {
	f.Add([]byte(lsofOutput))
	f.Add([]byte("p1\nf1\ntIPv6\nPUDP\nn*:*->*:1"))
	f.Fuzz(func(t *testing.T, b []byte) { check(t, parseLsof, b) })
}

func check(t *testing.T, parse func([]byte) ([]portable.Entry, error), b []byte) {
	list, err := parse(b)
	if err != nil {
		return
	}
	for _, e := range list {
		s := e.Socket
		if s.Network != "tcp" && s.Network != "udp" || !s.Local.IsValid() || !s.Remote.IsValid() || s.Inode == 0 || s.State == "" {
			t.Errorf("%+v", e)
		}
	}
}
