package render_test

import (
	"net/netip"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// at is when all reports of these tests were made.
var at = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time {
	t := at.Add(-d)
	return &t
}

func blank(input, name string, port uint16) *diagnose.Report {
	return &diagnose.Report{Schema: diagnose.ReportSchema, Tool: diagnose.Tool{Name: "portwhy", Version: "v1.2.3"}, At: at, DurationMS: 3.25,
		Host: diagnose.HostSummary{OS: "linux", Kernel: "6.1.0-18-amd64", Hostname: "web1", Privileged: true}, Question: diagnose.AskConnect,
		Target: diagnose.TargetReport{Input: input, Network: "tcp", Host: name, Port: port, Addresses: []netip.Addr{}},
		Flows:  []diagnose.FlowReport{}, Causes: []diagnose.Cause{}, Findings: []diagnose.Finding{}, Fixes: []diagnose.Fix{}, Limits: []host.Limit{}}
}

func flow(to string, port uint16, o diagnose.Outcome, errno string, took time.Duration) diagnose.FlowReport {
	return diagnose.FlowReport{Network: "tcp", Source: to, Destination: to, Port: port, Interface: "lo",
		Observed:  &diagnose.Observed{Outcome: o, Errno: errno, AfterUS: took.Microseconds()},
		Predicted: diagnose.Predicted{Outcome: o, Check: "socket"},
		Checks: []diagnose.CheckResult{
			{ID: "name", Result: diagnose.ResultPass, Detail: "localhost is " + to, DurationUS: 12},
			{ID: "route", Result: diagnose.ResultPass, Detail: "local, by lo", DurationUS: 31, Trace: []string{"local " + to + " dev lo table local"}},
			{ID: "xfrm", Result: diagnose.ResultSkip, Detail: "loopback", DurationUS: 1},
			{ID: "socket", Result: diagnose.ResultStop, Detail: "no socket has this port", DurationUS: 40},
		}}
}

func broken(r *diagnose.Report, o diagnose.Outcome, causes ...diagnose.Cause) *diagnose.Report {
	r.Status, r.Outcome, r.Causes = diagnose.Broken, o, causes
	r.RootCause = &causes[0]
	return r
}

// noListener is the sketch "Nothing there, and a likely slip".
func noListener() *diagnose.Report {
	r := blank("62893", "localhost", 62893)
	r.Target.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	r.Flows = []diagnose.FlowReport{flow("127.0.0.1", 62893, diagnose.Refused, "ECONNREFUSED", 90*time.Microsecond),
		flow("::1", 62893, diagnose.Refused, "ECONNREFUSED", 80*time.Microsecond)}
	r.Fixes = []diagnose.Fix{{ID: "1", Cause: "no-listener", Title: "ask for the port on which it listens", Commands: [][]string{{"portwhy", "62983"}},
		Undo: [][]string{}, Check: "none", Risk: "low"}}
	r.Findings = []diagnose.Finding{{Code: "listener-other-port", Severity: diagnose.SeverityNote,
		Title: "node (pid 4242) listens on 127.0.0.1:62983: transposed digits?"}}
	return broken(r, diagnose.Refused, diagnose.Cause{Code: "no-listener", Title: "Nothing listens on port 62893.", Confidence: diagnose.Proven,
		Because: "prediction and observation agree: refused (ECONNREFUSED)", Explains: true, Outcome: diagnose.Refused,
		Evidence:     []diagnose.Evidence{{Source: "sock_diag", What: "TCP sockets with this port, in any state", Value: "none"}},
		Destinations: []string{"127.0.0.1:62893", "[::1]:62893"}})
}

// inUse is the sketch "Who holds my port".
func inUse() *diagnose.Report {
	r := blank(":8080", "*", 8080)
	r.Question = diagnose.AskBind
	r.Host.Privileged = false
	r.Target.Addresses = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	r.Flows = []diagnose.FlowReport{flow("0.0.0.0", 8080, diagnose.InUse, "EADDRINUSE", 9*time.Microsecond),
		flow("::", 8080, diagnose.InUse, "EADDRINUSE", 8*time.Microsecond)}
	r.FreePorts = []uint16{8082, 8083, 8090}
	r.Fixes = []diagnose.Fix{{ID: "1", Cause: "port-in-use", Title: "stops the compose service", Commands: [][]string{{"docker", "compose", "-p", "shop", "stop", "web"}},
		Undo: [][]string{{"docker", "compose", "-p", "shop", "start", "web"}}, NeedsRoot: true, Check: "none", Risk: "medium"}}
	return broken(r, diagnose.InUse, diagnose.Cause{Code: "port-in-use", Title: `Docker container "shop-web-1" publishes port 8080.`, Confidence: diagnose.Proven,
		Because: "prediction and observation agree: in-use (EADDRINUSE)", Explains: true, Outcome: diagnose.InUse,
		Culprit: &diagnose.Culprit{Kind: "container", Name: "docker-proxy", PID: 6853, Container: "shop-web-1", User: "root", Started: ago(16 * time.Minute),
			Cmdline: "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.18.0.2 -container-port 80"},
		Evidence: []diagnose.Evidence{{Source: "sock_diag", What: "tcp socket", Value: "LISTEN 0.0.0.0:8080 queue 0 of 4096 inode 18"}}})
}

// twoBlockers would not be mended by the first fix alone.
func twoBlockers() *diagnose.Report {
	r := blank("10.9.0.1:80", "10.9.0.1", 80)
	r.Target.Addresses = []netip.Addr{netip.MustParseAddr("10.9.0.1")}
	r.Flows = []diagnose.FlowReport{flow("10.9.0.1", 80, diagnose.Timeout, "ETIMEDOUT", 3*time.Second)}
	c := diagnose.Cause{Code: "link-no-carrier", Title: "eth1 has no carrier.", Confidence: diagnose.Likely, Because: "predicted from facts; nothing was observed",
		Explains: true, Outcome: diagnose.Timeout, Culprit: &diagnose.Culprit{Kind: "link", Device: "eth1"}, Evidence: []diagnose.Evidence{},
		Destinations: []string{"10.9.0.1:80"}}
	then := diagnose.Cause{Code: "no-listener", Title: "Nothing listens on port 80.", Confidence: diagnose.Likely, Outcome: diagnose.Refused,
		Evidence: []diagnose.Evidence{}, Destinations: []string{"10.9.0.1:80"}}
	for range 6 {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "rtnetlink", What: "link eth1", Value: "up, no carrier"})
	}
	r.Limits = []host.Limit{{What: "the far end of the cable", Why: "it is not on this host", Needs: "a look at it"}}
	return broken(r, diagnose.Timeout, c, then)
}

func healthy() *diagnose.Report {
	r := blank("localhost:5432", "localhost", 5432)
	r.Target.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	r.Flows = []diagnose.FlowReport{flow("127.0.0.1", 5432, diagnose.Connected, "", 210*time.Microsecond)}
	r.Outcome = diagnose.Connected
	r.Server = &diagnose.Culprit{Kind: "process", PID: 911, Name: "postgres", Unit: "postgresql@15-main.service"}
	return r
}

func warned() *diagnose.Report {
	r := blank("https://localhost:8443", "localhost", 8443)
	r.Target.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	r.Flows = []diagnose.FlowReport{flow("127.0.0.1", 8443, diagnose.Connected, "", 1800*time.Microsecond)}
	r.Outcome, r.Status = diagnose.Connected, diagnose.Warning
	r.Server = &diagnose.Culprit{Kind: "process", PID: 812, Name: "nginx"}
	r.Findings = []diagnose.Finding{{Code: "certificate-invalid", Severity: diagnose.SeverityWarning, Title: "certificate ends in 6 days"}}
	return r
}

func differs() *diagnose.Report {
	r := blank("db1:5432", "db1", 5432)
	r.Target.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	r.Flows = []diagnose.FlowReport{flow("192.0.2.7", 5432, diagnose.Refused, "ECONNREFUSED", 30*time.Millisecond)}
	r.Status, r.Outcome = diagnose.StatusUnknown, diagnose.Refused
	r.Findings = []diagnose.Finding{{Code: "prediction-differs", Severity: diagnose.SeverityWarning,
		Title: "192.0.2.7:5432: refused (ECONNREFUSED) was observed, but nothing that was read of this host explains it"}}
	return r
}

func predicted() *diagnose.Report {
	r := blank("unix:///run/x.sock", "", 0)
	r.Target.Network, r.Target.Path = "unix", "/run/x.sock"
	r.Flows = []diagnose.FlowReport{{Network: "unix", Destination: "/run/x.sock", Checks: []diagnose.CheckResult{}}}
	return broken(r, diagnose.Refused, diagnose.Cause{Code: "unix-socket-stale", Title: "/run/x.sock is a socket that nobody holds.", Confidence: diagnose.Likely,
		Explains: true, Outcome: diagnose.Refused, Because: "predicted from facts; nothing was observed", Evidence: []diagnose.Evidence{},
		Culprit: &diagnose.Culprit{Kind: "config", File: "/etc/app.conf", Line: 7, Text: "listen /run/x.sock"}})
}
