package cli_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
	"github.com/portwhy/portwhy/rules"
)

type answered struct {
	View     uint64 `json:"view"`
	Question string `json:"question"`
	Args     any    `json:"args"`
	Answer   any    `json:"answer,omitempty"`
	Error    string `json:"error,omitempty"`
	Kind     string `json:"kind,omitempty"`
}

func allSockets(network string) host.SocketQuery {
	q := host.SocketQuery{Network: network}
	if network == "tcp" {
		q.States = []host.State{host.Estab, host.SynSent, host.SynRecv, host.FinWait1, host.FinWait2, host.TimeWait, host.Unconn,
			host.CloseWait, host.LastAck, host.Listen, host.Closing, host.BoundInactive}
	}
	return q
}

// hostile is the name that a process gave itself.
const hostile = "\x1b]0;x\x07\u202egnp"

// smallHost is a host that is made up: a loopback link, a web server with two
// workers on all addresses, another program with a hostile name, one on a
// virtual bridge, and nothing else.
func smallHost() []answered {
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	lo, br := netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("172.17.0.1/16")
	tcp := func(address string, inode uint64, uid uint32) host.Socket {
		return host.Socket{Network: "tcp", State: host.Listen, Local: netip.MustParseAddrPort(address), Inode: inode, UID: uid, Backlog: 511, NetNS: 4026531840}
	}
	process := func(pid int, name, user, unit string, args ...string) host.Process {
		return host.Process{PID: pid, Name: name, User: user, Unit: unit, Args: args, State: "S", StartTicks: uint64(pid), Started: at.Add(-time.Hour)}
	}
	lookup := func(priority, table int) host.RouteRule {
		return host.RouteRule{Priority: priority, Family: 4, Action: "lookup", Table: table, UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1}
	}
	connected := host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:80"), Timeout: 3 * time.Second, Name: "127.0.0.1"}
	refused := connected
	refused.Address = netip.MustParseAddrPort("127.0.0.1:81")
	return []answered{
		{Question: "info", Answer: host.Info{OS: "linux", Kernel: "6.1.0", Hostname: "small", Privileged: true, NetNS: 4026531840, At: at}},
		{Question: "sockets", Args: allSockets("tcp"), Answer: []host.Socket{tcp("0.0.0.0:80", 11, 0), tcp("127.0.0.1:8080", 12, 1000), tcp("172.17.0.1:53", 13, 0), tcp("127.0.0.1:2049", 14, 0)}},
		{Question: "sockets", Args: allSockets("udp"), Answer: []host.Socket{}},
		{Question: "sockets", Args: allSockets("unix"), Answer: []host.Socket{}},
		{Question: "holders", Args: host.HolderQuery{Every: true}, Answer: host.Holders{BySocket: map[uint64][]host.Holder{
			11: {{PID: 100, FD: 6, StartTicks: 100}, {PID: 101, FD: 6, StartTicks: 101}, {PID: 102, FD: 6, StartTicks: 102}},
			12: {{PID: 200, FD: 3, StartTicks: 200}}, 13: {{PID: 300, FD: 4, StartTicks: 300}}}}},
		{Question: "processes", Answer: []host.Process{process(100, "nginx", "root", "nginx.service", "nginx: master process"),
			process(101, "nginx", "www-data", "nginx.service"), process(102, "nginx", "www-data", "nginx.service"),
			process(200, hostile, "joe", "", hostile, "--port", "8080\n"), process(300, "dnsmasq", "dnsmasq", "", "dnsmasq")}},
		{Question: "links", Answer: []host.Link{{Index: 1, Name: "lo", Up: true, Carrier: true, Loopback: true}, {Index: 2, Name: "eth0", Up: true, Carrier: true},
			{Index: 3, Name: "docker0", Kind: "bridge", Up: true}, {Index: 4, Name: "veth1", Kind: "veth", Master: 3, Up: true}}},
		{Question: "addresses", Answer: []host.Address{{Prefix: lo, Link: 1, Device: "lo", Scope: "host"}, {Prefix: br, Link: 3, Device: "docker0", Scope: "global"}}},
		{Question: "routes", Answer: []host.Route{{Destination: netip.MustParsePrefix("127.0.0.0/8"), Type: "local", Table: 255, Device: "lo", Link: 1, Source: lo.Addr()},
			{Destination: netip.MustParsePrefix("127.0.0.1/32"), Type: "local", Table: 255, Device: "lo", Link: 1, Source: lo.Addr()},
			{Destination: netip.MustParsePrefix("0.0.0.0/0"), Type: "unicast", Table: 254, Device: "eth0", Link: 2, Gateway: netip.MustParseAddr("10.0.0.1")}}},
		{Question: "rules", Answer: []host.RouteRule{lookup(0, 255), lookup(32766, 254)}},
		{Question: "neighbours", Answer: []host.Neighbour{}},
		{Question: "qdiscs", Answer: []host.Qdisc{}},
		{Question: "transforms", Answer: []host.Transform{}},
		{Question: "sysctl", Args: "net.ipv4.ip_local_port_range", Answer: host.Sysctl{Key: "net.ipv4.ip_local_port_range", Value: "32768 60999"}},
		{Question: "firewall", Answer: host.Firewall{Rules: &rules.Ruleset{}}},
		{Question: "programs", Args: "", Answer: host.Programs{}},
		{Question: "namespaces", Answer: host.NamespaceList{Namespaces: []host.Namespace{{Inode: 4026531840, Current: true, Host: true}}}},
		{Question: "containers", Answer: host.Containers{}},
		{Question: "claims", Answer: host.Claims{}},
		{Question: "units", Error: "not supported on this system", Kind: "unsupported"},
		{Question: "connect", Args: connected, Answer: host.Attempt{Elapsed: 200 * time.Microsecond, Accepted: "yes"}},
		{Question: "connect", Args: refused, Answer: host.Attempt{Errno: "ECONNREFUSED", Elapsed: 90 * time.Microsecond}},
	}
}

func recorded(answers []answered) ([]byte, error) {
	return json.MarshalIndent(map[string]any{"schema": replay.Schema, "tool": "portwhy test", "at": "2026-11-22T09:30:00Z", "answers": answers}, "", " ")
}

// writeRecordings puts small.json and faulty relatives into each script's directory.
func writeRecordings(env *testscript.Env) error {
	small, err := recorded(smallHost())
	if err != nil {
		return err
	}
	noInfo, err := recorded(smallHost()[1:])
	if err != nil {
		return err
	}
	files := map[string]string{
		"small.json":     string(small),
		"no-info.json":   string(noInfo),
		"cut.json":       string(small[:len(small)/2]),
		"comma.json":     "{\n \"schema\": \"portwhy.snapshot/v1\",,\n}",
		"type.json":      "{\"schema\": \"portwhy.snapshot/v1\",\n \"answers\": {}}",
		"report.json":    `{"schema": "portwhy.report/v1"}`,
		"unnamed.json":   `{}`,
		"list.json":      `[]`,
		"null.json":      `null`,
		"empty.json":     "",
		"binary.json":    "\x00\xff\xfe",
		"info-list.json": `{"schema": "portwhy.snapshot/v1", "answers": [{"view": 0, "question": "info", "args": null, "answer": []}]}`,
		"no-args.json":   `{"schema": "portwhy.snapshot/v1", "answers": [{"view": 0, "question": "info"}]}`,
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
