package preflight

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/checks"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
)

// machine is a host with a few sockets, processes and containers; what it is not
// told of it doesn't have.
type machine struct {
	host.Host
	info       host.Info
	sockets    []host.Socket
	holders    map[uint64]host.Process
	containers host.Containers
	claims     host.Claims
	excluded   []host.PortRange
}

func (m *machine) Info(context.Context) (host.Info, error) { return m.info, nil }

func (m *machine) Sockets(_ context.Context, q host.SocketQuery) ([]host.Socket, error) {
	var list []host.Socket
	for _, s := range m.sockets {
		if q.Match(s) {
			list = append(list, s)
		}
	}
	return list, nil
}

func (m *machine) SocketOptions(context.Context, int, int) (host.SocketOptions, error) {
	return host.SocketOptions{}, host.ErrUnsupported
}

func (m *machine) Holders(_ context.Context, q host.HolderQuery) (host.Holders, error) {
	h := host.Holders{BySocket: map[uint64][]host.Holder{}}
	for _, inode := range q.Inodes {
		if p, ok := m.holders[inode]; ok {
			h.BySocket[inode] = []host.Holder{{PID: p.PID, FD: 3}}
		}
	}
	return h, nil
}

func (m *machine) Process(_ context.Context, pid int) (host.Process, error) {
	for _, p := range m.holders {
		if p.PID == pid {
			return p, nil
		}
	}
	return host.Process{}, host.ErrNotFound
}

func (m *machine) Processes(context.Context) ([]host.Process, error) {
	var list []host.Process
	for _, p := range m.holders {
		list = append(list, p)
	}
	return list, nil
}

func (m *machine) Containers(context.Context) (host.Containers, error) { return m.containers, nil }
func (m *machine) Claims(context.Context) (host.Claims, error)         { return m.claims, nil }
func (m *machine) Links(context.Context) ([]host.Link, error)          { return nil, nil }
func (m *machine) Units(context.Context) ([]host.Unit, error)          { return nil, host.ErrUnsupported }
func (m *machine) Addresses(context.Context) ([]host.Address, error) {
	return []host.Address{{Prefix: netip.MustParsePrefix("127.0.0.1/8"), Device: "lo"}, {Prefix: netip.MustParsePrefix("::1/128"), Device: "lo"}}, nil
}
func (m *machine) ExcludedPorts(context.Context, string) ([]host.PortRange, error) {
	return m.excluded, nil
}
func (m *machine) RouteTo(context.Context, host.RouteQuery) (host.Route, error) {
	return host.Route{Type: "unicast"}, nil
}
func (m *machine) Namespaces(context.Context) (host.NamespaceList, error) {
	return host.NamespaceList{}, host.ErrUnsupported
}
func (m *machine) Programs(context.Context, string) (host.Programs, error) {
	return host.Programs{}, host.ErrUnsupported
}
func (m *machine) Unit(context.Context, string) (host.Unit, error) {
	return host.Unit{}, host.ErrUnsupported
}
func (m *machine) Cgroup(context.Context, string) (host.Cgroup, error) {
	return host.Cgroup{}, host.ErrUnsupported
}
func (m *machine) Sysctl(_ context.Context, key string) (host.Sysctl, error) {
	values := map[string]string{"net.ipv4.ip_local_port_range": "32768\t60999", "net.ipv4.ip_unprivileged_port_start": "1024"}
	return host.Sysctl{Key: key, Value: values[key]}, nil
}

func listen(address string, inode uint64) host.Socket {
	return host.Socket{Network: "tcp", State: host.Listen, Local: netip.MustParseAddrPort(address), Inode: inode, Backlog: 128}
}

func newMachine() *machine {
	return &machine{info: host.Info{OS: "linux", UID: 1000, InitUserNS: true, NetNS: 1}, holders: map[uint64]host.Process{}}
}

func preflight(t *testing.T, m *machine, o Options, declared ...Declared) *Report {
	t.Helper()
	o.NoProbe, o.Checks = true, checks.All()
	rep, err := Run(context.Background(), m, Input{Declared: declared}, o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// severities of the findings with their codes.
func summary(rep *Report) string {
	s := ""
	for _, f := range rep.Findings {
		s += string(f.Severity) + " " + f.Code + "; "
	}
	return s
}

func TestHeld(t *testing.T) {
	m := newMachine()
	m.sockets = []host.Socket{listen("0.0.0.0:8080", 7)}
	m.holders[7] = host.Process{PID: 99, Name: "nginx", Args: []string{"nginx"}, Cwd: "/srv/shop"}
	rep := preflight(t, m, Options{}, want(t, "web 8080/tcp"), want(t, "api 8081/tcp"))
	if got := summary(rep); got != "error port-in-use; " || rep.Status != diagnose.Broken {
		t.Fatalf("%s %v", got, rep.Status)
	}
	f := rep.Findings[0]
	if f.Culprit == nil || f.Culprit.PID != 99 || len(f.Fixes) < 2 || rep.Ports[0].Result != Clashes || rep.Ports[1].Result != Free {
		t.Errorf("%+v %+v", f, rep.Ports)
	}
	// Its own program has it.
	own := want(t, "nginx 8080/tcp")
	own.Kind, own.Program = "nginx", "nginx"
	if rep := preflight(t, m, Options{}, own); summary(rep) != "note port-in-use; " || rep.Ports[0].Result != Own || rep.Status != diagnose.OK {
		t.Errorf("own program: %s", summary(rep))
	}
	// A process that was started where the .env lies is most likely the program.
	env := want(t, "PORT 8080/tcp")
	env.Kind, env.Dir, env.Doubt = "env", "/srv/shop", "a variable"
	if rep := preflight(t, m, Options{}, env); summary(rep) != "note port-in-use; " {
		t.Errorf("own .env: %s", summary(rep))
	}
	env.Dir = "/srv/sho"
	if rep := preflight(t, m, Options{}, env); summary(rep) != "warning port-in-use; " || rep.Status != diagnose.Warning {
		t.Errorf("another .env: %s", summary(rep))
	}
	// The file says another port than its program has.
	own.Ports = plan.One(9090)
	if rep := preflight(t, m, Options{}, own); summary(rep) != "warning config-not-applied; " {
		t.Errorf("another port: %s", summary(rep))
	}
}

func TestContainers(t *testing.T) {
	m := newMachine()
	m.sockets = []host.Socket{listen("0.0.0.0:8080", 7)}
	m.holders[7] = host.Process{PID: 99, Name: "docker-proxy", Args: []string{"docker-proxy"}}
	m.containers.List = []host.Container{{ID: "abc", Name: "p-web-1", Engine: "docker", State: "running", Project: "p", Service: "web", NetNS: 2,
		Ports: []host.PortMapping{{Network: "tcp", Host: netip.MustParseAddrPort("0.0.0.0:8080"), Container: 80}}}}
	if rep := preflight(t, m, Options{}, want(t, "web 8080/tcp")); summary(rep) != "note port-in-use; " || rep.Ports[0].Result != Own {
		t.Errorf("its own container: %s", summary(rep))
	}
	if rep := preflight(t, m, Options{}, want(t, "api 8080/tcp")); summary(rep) != "error port-in-use; " {
		t.Errorf("another service's container: %s", summary(rep))
	}
	// Without a right to ask the engine it can't be told whose container it is.
	list := m.containers
	m.containers = host.Containers{Limits: []host.Limit{{What: "containers", Why: "permission denied"}}}
	if rep := preflight(t, m, Options{}, want(t, "web 8080/tcp")); summary(rep) != "unknown port-in-use; " || rep.Ports[0].Result != Undecided || rep.Status != diagnose.StatusUnknown {
		t.Errorf("somebody's container: %s %s", summary(rep), rep.Ports[0].Result)
	}
	m.containers = list
	m.containers.List[0].Project = "other"
	rep := preflight(t, m, Options{}, want(t, "web 8080/tcp"))
	if summary(rep) != "error port-in-use; " || rep.Findings[0].Culprit.Container != "abc" {
		t.Errorf("another project's container: %s", summary(rep))
	}
	// Published by rules alone: the bind would work, the engine refuses.
	m.sockets = nil
	if rep := preflight(t, m, Options{}, want(t, "web 8080/tcp")); summary(rep) != "error port-in-use; " || rep.Ports[0].Result != Clashes {
		t.Errorf("without a socket: %s", summary(rep))
	}
	m.containers.List[0].Project = "p"
	if rep := preflight(t, m, Options{}, want(t, "web 8080/tcp")); summary(rep) != "" || rep.Ports[0].Result != Own {
		t.Errorf("its own, without a socket: %s", summary(rep))
	}
}

func TestPrivileged(t *testing.T) {
	m := newMachine()
	if rep := preflight(t, m, Options{}, want(t, "web 80/tcp")); summary(rep) != "" {
		t.Errorf("the engine runs as root: %s", summary(rep))
	}
	uid := uint32(1000)
	if rep := preflight(t, m, Options{UID: &uid}, want(t, "web 80/tcp")); summary(rep) != "error port-privileged; " {
		t.Errorf("a rootless engine: %s", summary(rep))
	}
	own := want(t, "web 80/tcp")
	own.Kind = "procfile"
	if rep := preflight(t, m, Options{}, own); summary(rep) != "error port-privileged; " {
		t.Errorf("a Procfile: %s", summary(rep))
	}
}

func TestAddressesAndRanges(t *testing.T) {
	m := newMachine()
	if rep := preflight(t, m, Options{}, want(t, "web 192.0.2.1 80/tcp")); summary(rep) != "error address-not-local; " {
		t.Errorf("a foreign address: %s", summary(rep))
	}
	external := want(t, "web 192.0.2.1 80/tcp")
	external.Elsewhere = true
	if rep := preflight(t, m, Options{}, external); summary(rep) != "" || rep.Ports[0].Result != Unasked {
		t.Errorf("an address of the network: %s", summary(rep))
	}
	if rep := preflight(t, m, Options{}, want(t, "web 40000/tcp")); summary(rep) != "note port-in-ephemeral-range; " || rep.Status != diagnose.OK {
		t.Errorf("an ephemeral port: %s", summary(rep))
	}
	if rep := preflight(t, m, Options{}, want(t, "web 80/sctp")); len(rep.Limits) == 0 || rep.Ports[0].Result != Unasked {
		t.Errorf("SCTP: %+v", rep)
	}
	m.excluded = []host.PortRange{{First: 8000, Last: 8100}}
	if rep := preflight(t, m, Options{}, want(t, "web 8080/tcp")); summary(rep) != "error port-excluded; " {
		t.Errorf("an excluded range: %s", summary(rep))
	}
}

// An IPv6 wildcard that leaves IPv4 alone has nothing to do with who has that.
func TestV6Only(t *testing.T) {
	m := newMachine()
	m.sockets = []host.Socket{listen("0.0.0.0:8080", 1)}
	six := want(t, "web :: 8080/tcp")
	if rep := preflight(t, m, Options{}, six); summary(rep) != "" {
		t.Errorf("held for IPv4: %s", summary(rep))
	}
	six.V6Only = false
	if rep := preflight(t, m, Options{}, six); rep.Status != diagnose.Broken {
		t.Errorf("it wants both: %s", summary(rep))
	}
	six.V6Only = true
	m.sockets = []host.Socket{listen("[::]:8080", 1)}
	if rep := preflight(t, m, Options{}, six); rep.Status != diagnose.Broken {
		t.Errorf("held for IPv6: %s", summary(rep))
	}
}

// A thousand idle ports don't cost a thousand binds.
func TestManyPorts(t *testing.T) {
	m := newMachine()
	m.sockets = []host.Socket{listen("0.0.0.0:2500", 1)}
	var all []Declared
	for n := 2000; n < 3000; n++ {
		d := want(t, "web 1/tcp")
		d.Ports, d.Line = plan.One(uint16(n)), n
		all = append(all, d)
	}
	rep := preflight(t, m, Options{}, all...)
	if len(rep.Findings) != 1 || rep.Findings[0].Port != 2500 {
		t.Errorf("%s", summary(rep))
	}
}

// A long range costs a question only for the ports that anything has.
func TestLongRange(t *testing.T) {
	m := newMachine()
	m.sockets = []host.Socket{listen("0.0.0.0:15000", 1), listen("0.0.0.0:16000", 2), listen("0.0.0.0:9", 3)}
	rep := preflight(t, m, Options{}, want(t, "web 10000-20000/tcp"))
	if len(rep.Findings) != 2 || rep.Findings[0].Port != 15000 || rep.Findings[1].Port != 16000 {
		t.Errorf("%s", summary(rep))
	}
	if rep := preflight(t, m, Options{}, want(t, "web 10000-20000/tcp any")); summary(rep) != "" {
		t.Errorf("any of a long range: %s", summary(rep))
	}
	if rep := preflight(t, m, Options{}, want(t, "web 15000-15001/tcp any x2")); summary(rep) != "error port-owner-hidden; " && summary(rep) != "error port-kernel-owned; " && summary(rep) != "error port-in-use; " {
		t.Errorf("two of two, one is held: %s", summary(rep))
	}
}

func TestUnknown(t *testing.T) {
	m := newMachine()
	rep, err := Run(context.Background(), m, Input{Unknown: []Unknown{{File: "f", Line: 1, Title: "not known", Needs: "x"}, {File: "f", Line: 2, Title: "left out", Note: true}}},
		Options{Checks: checks.All(), NoProbe: true})
	if err != nil || summary(rep) != "unknown facts-missing; note port-not-published; " || rep.Status != diagnose.StatusUnknown {
		t.Errorf("%s %v", summary(rep), err)
	}
	// What clashes is certain all the same.
	rep, err = Run(context.Background(), m, Input{Declared: []Declared{want(t, "a 1024/tcp"), want(t, "b 1024/tcp")}, Unknown: []Unknown{{File: "f", Title: "not known"}}}, Options{Checks: checks.All(), NoProbe: true})
	if err != nil || rep.Status != diagnose.Broken {
		t.Errorf("%s %v", summary(rep), err)
	}
}

type broken struct{ host.Host }

func (broken) Info(context.Context) (host.Info, error) { return host.Info{}, errors.New("no") }

func TestRunFails(t *testing.T) {
	if _, err := Run(context.Background(), broken{}, Input{}, Options{}); err == nil {
		t.Error("no host, no error")
	}
}
