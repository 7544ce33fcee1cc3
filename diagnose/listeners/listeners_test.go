package listeners

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// fake answers a few questions; asking another one is a mistake of the test.
type fake struct {
	host.Host
	info       host.Info
	sockets    []host.Socket
	socketsErr map[string]error
	holders    host.Holders
	holdersErr error
	processes  []host.Process
	links      []host.Link
	linksErr   error
	addresses  []host.Address
	containers []host.Container

	asked []string
}

func (f *fake) Info(context.Context) (host.Info, error) { return f.info, nil }

func (f *fake) Sockets(_ context.Context, q host.SocketQuery) ([]host.Socket, error) {
	f.asked = append(f.asked, fmt.Sprintf("sockets %s %d %d", q.Network, q.Port, len(q.States)))
	var found []host.Socket
	for _, s := range f.sockets {
		if q.Match(s) {
			found = append(found, s)
		}
	}
	return found, f.socketsErr[q.Network]
}

func (f *fake) Holders(_ context.Context, q host.HolderQuery) (host.Holders, error) {
	f.asked = append(f.asked, fmt.Sprintf("holders of %d every %v", len(q.Inodes), q.Every))
	return f.holders, f.holdersErr
}

func (f *fake) Process(_ context.Context, pid int) (host.Process, error) {
	for _, p := range f.processes {
		if p.PID == pid {
			return p, nil
		}
	}
	return host.Process{}, host.ErrNotFound
}

func (f *fake) Processes(context.Context) ([]host.Process, error) {
	f.asked = append(f.asked, "processes")
	return f.processes, nil
}

func (f *fake) Links(context.Context) ([]host.Link, error)        { return f.links, f.linksErr }
func (f *fake) Addresses(context.Context) ([]host.Address, error) { return f.addresses, nil }

func (f *fake) Containers(context.Context) (host.Containers, error) {
	f.asked = append(f.asked, "containers")
	return host.Containers{List: f.containers}, nil
}

func socket(network, address string, inode uint64) host.Socket {
	s := host.Socket{Network: network, State: host.Listen, Local: netip.MustParseAddrPort(address), Inode: inode, UID: 33, Queue: 1, Backlog: 128}
	if network == "udp" {
		s.State = host.Unconn
	}
	return s
}

func TestRead(t *testing.T) {
	f := &fake{info: host.Info{NetNS: 9, Privileged: true},
		sockets: []host.Socket{socket("tcp", "[::]:443", 4), socket("tcp", "0.0.0.0:80", 1), socket("tcp", "0.0.0.0:80", 2), socket("udp", "0.0.0.0:53", 3),
			socket("udp", "0.0.0.0:0", 8), socket("tcp", "127.0.0.1:90", 5), socket("tcp", "127.0.0.1:91", 0)},
		holders: host.Holders{BySocket: map[uint64][]host.Holder{
			1: {{PID: 10, FD: 3, StartTicks: 1}, {PID: 10, FD: 4, StartTicks: 1}, {PID: 11, FD: 3, StartTicks: 1}}, 2: {{PID: 12, FD: 3, StartTicks: 1}},
			3: {{PID: 13, FD: 3, StartTicks: 1}}, 4: {{PID: 14, FD: 3, StartTicks: 1}}, 5: {{PID: 15, FD: 3, StartTicks: 1}}}},
		processes: []host.Process{{PID: 10, Name: "a", User: "root", StartTicks: 1, Args: []string{"a", "-x"}}, {PID: 11, Name: "b", StartTicks: 1}, {PID: 12, Name: "c", StartTicks: 1},
			{PID: 13, Name: "docker-proxy", StartTicks: 1}, {PID: 14, Name: "web", StartTicks: 1, Container: "0123456789ab"},
			{PID: 15, Name: "reused", StartTicks: 2}},
		containers: []host.Container{{ID: "0123456789abcdef", Name: "shop-web"}, {ID: "ff", Name: "dns",
			Ports: []host.PortMapping{{Network: "udp", Host: netip.MustParseAddrPort("0.0.0.0:53"), Container: 53}}}}}
	l, err := Read(context.Background(), f, Query{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range l.Listeners {
		pid := 0
		if o.PID != nil {
			pid = *o.PID
		}
		shared := ""
		for _, s := range o.Shared {
			shared += fmt.Sprintf(" %s/%d", s.Process, s.Inode)
		}
		got = append(got, fmt.Sprintf("%s %s %d %d %s %s%s", o.Network, o.Address, o.Port, pid, o.Process, o.Container, shared))
	}
	want := []string{
		"udp 0.0.0.0 53 13 docker-proxy dns",
		"tcp 0.0.0.0 80 10 a  b/1 c/2",
		"tcp 0.0.0.0 80 12 c  a/1",
		"tcp 127.0.0.1 90 0  ", // its pid is another process's by now
		"tcp 127.0.0.1 91 0  ", // in the kernel only
		"tcp :: 443 14 web shop-web",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if o := l.Listeners[1]; o.Cmdline != "a -x" || o.User != "root" || o.NetNS != 9 || o.Backlog != 128 || o.Queue != 1 || o.State != "" {
		t.Errorf("%+v", o)
	}
	if o := l.Listeners[3]; o.User != "33" {
		t.Errorf("the socket's user is not told: %+v", o)
	}
	if l.Listeners[0].Backlog != 0 {
		t.Error("a UDP socket has a backlog")
	}
	if len(l.Limits) != 1 || l.Limits[0].What != "which processes hold 1 of the 6 sockets" {
		t.Errorf("limits %+v", l.Limits)
	}
	if !slices.Contains(f.asked, "holders of 5 every true") {
		t.Errorf("asked %q", f.asked)
	}
}

func TestOnePortIsAskedAlone(t *testing.T) {
	f := &fake{sockets: []host.Socket{socket("tcp", "0.0.0.0:80", 1), socket("tcp", "0.0.0.0:81", 2)}}
	l, err := Read(context.Background(), f, Query{Port: 80})
	if err != nil || len(l.Listeners) != 1 {
		t.Fatalf("%v, %v", l, err)
	}
	want := []string{"sockets tcp 80 1", "sockets udp 80 1", "holders of 1 every false"}
	if !slices.Equal(f.asked, want) {
		t.Errorf("asked %q, want %q", f.asked, want)
	}
}

func TestAllStates(t *testing.T) {
	bound, peer := socket("tcp", "127.0.0.1:80", 1), socket("tcp", "127.0.0.1:80", 2)
	bound.State, peer.State, peer.Remote = host.BoundInactive, host.Estab, netip.MustParseAddrPort("127.0.0.1:999")
	l, err := Read(context.Background(), &fake{sockets: []host.Socket{peer, bound}}, Query{All: true})
	if err != nil || len(l.Listeners) != 2 {
		t.Fatalf("%v, %v", l, err)
	}
	if o := l.Listeners[0]; o.State != host.BoundInactive || o.RemotePort != 0 || len(o.Shared) != 0 {
		t.Errorf("%+v", o)
	}
	if o := l.Listeners[1]; o.State != host.Estab || o.RemoteAddress != "127.0.0.1" || o.RemotePort != 999 || o.Backlog != 0 {
		t.Errorf("%+v", o)
	}
}

func TestWhatCannotBeReadIsALimit(t *testing.T) {
	f := &fake{sockets: []host.Socket{socket("tcp", "0.0.0.0:80", 1)}, socketsErr: map[string]error{"udp": fs.ErrPermission}, holdersErr: fs.ErrPermission,
		linksErr: host.ErrUnsupported}
	l, err := Read(context.Background(), f, Query{})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Limits) != 3 || len(l.Listeners) != 1 || l.Listeners[0].PID != nil || l.Listeners[0].Reach != ReachAny {
		t.Errorf("%+v", l)
	}
	f.socketsErr["tcp"] = fs.ErrPermission
	if _, err := Read(context.Background(), f, Query{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("no sockets at all: %v", err)
	}
	unprivileged := &fake{sockets: []host.Socket{socket("tcp", "0.0.0.0:80", 1)}, holders: host.Holders{BySocket: map[uint64][]host.Holder{}, Unreadable: 3}}
	l, err = Read(context.Background(), unprivileged, Query{})
	if err != nil || len(l.Limits) != 1 || l.Limits[0].Needs != "root or CAP_SYS_PTRACE" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestReach(t *testing.T) {
	lo := host.Link{Index: 1, Name: "lo", Loopback: true, Up: true}
	eth := host.Link{Index: 2, Name: "eth0", Up: true}
	docker := host.Link{Index: 3, Name: "docker0", Kind: "bridge", Up: true}
	veth := host.Link{Index: 4, Name: "veth0", Kind: "veth", Master: 3, Up: true}
	lan := host.Link{Index: 5, Name: "br0", Kind: "bridge", Up: true}
	port := host.Link{Index: 6, Name: "eth1", Master: 5, Up: true}
	dummy := host.Link{Index: 7, Name: "dummy0", Kind: "dummy", Up: true}
	all := []host.Link{lo, eth, docker, veth, lan, port, dummy}
	addrs := []host.Address{}
	for link, a := range map[int]string{1: "127.0.0.1/8", 2: "10.1.0.5/24", 3: "172.17.0.1/16", 5: "192.168.1.2/24", 7: "203.0.113.9/32"} {
		addrs = append(addrs, host.Address{Prefix: netip.MustParsePrefix(a), Link: link})
	}
	for _, c := range []struct {
		address string
		device  int
		links   []host.Link
		want    Reach
	}{
		{"127.0.0.1", 0, all, ReachLoopback},
		{"127.9.9.9", 0, all, ReachLoopback},
		{"::1", 0, all, ReachLoopback},
		{"::ffff:127.0.0.1", 0, all, ReachLoopback},
		{"0.0.0.0", 0, all, ReachAny},
		{"::", 0, all, ReachAny},
		{"0.0.0.0", 1, all, ReachLoopback},
		{"0.0.0.0", 3, all, ReachHost},
		{"0.0.0.0", 2, all, ReachAny},
		{"0.0.0.0", 0, []host.Link{lo}, ReachLoopback},
		{"0.0.0.0", 0, []host.Link{lo, docker, {Index: 4, Kind: "veth", Master: 3}}, ReachHost},
		{"10.1.0.5", 0, all, ReachLAN},
		{"172.17.0.1", 0, all, ReachHost},
		{"192.168.1.2", 0, all, ReachLAN},
		{"203.0.113.9", 0, all, ReachHost},
		{"198.51.100.1", 0, all, ReachAny},
		{"100.64.1.1", 0, all, ReachLAN},
		{"100.128.1.1", 0, all, ReachAny},
		{"fe80::1", 0, all, ReachLAN},
		{"fd00::1", 0, all, ReachLAN},
		{"2001:db8::1", 0, all, ReachAny},
		{"224.0.0.251", 0, all, ReachLAN},
		{"255.255.255.255", 0, all, ReachLAN},
	} {
		var limits []host.Limit
		r := readReach(context.Background(), &fake{links: c.links, addresses: addrs}, &limits)
		if got := r.of(netip.MustParseAddr(c.address), c.device); got != c.want || limits != nil {
			t.Errorf("%s on device %d among %d links: %s, want %s", c.address, c.device, len(c.links), got, c.want)
		}
	}
}
