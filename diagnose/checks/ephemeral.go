package checks

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// smallRange is how few ephemeral ports are a warning: below it a busy client
// of one server runs dry in TIME-WAIT within a minute at 16 connections a second.
const smallRange = 1000

var ephemeral = &diagnose.Check{
	ID: "source-port", Doc: "whether a local port is left for the connection to leave from",
	Codes: []string{"ephemeral-exhausted", "port-range-small"},
	For:   diagnose.AskConnect,
	Run:   runEphemeral,
}

func runEphemeral(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() || f.From.IsValid() {
		p.Skip("no port needed")
		return nil
	}
	low, high, s, err := ephemeralRange(p)
	if err != nil {
		return err
	}
	reserved, rs := reservedPorts(p)
	size := 0
	for port := low; port <= high; port++ {
		if !reserved.has(uint16(port)) {
			size++
		}
	}
	evidence := []diagnose.Evidence{sysctlEvidence(s)}
	if rs.Value != "" {
		evidence = append(evidence, sysctlEvidence(rs))
	}
	if size >= smallRange {
		p.OK("%d ephemeral ports (%d-%d)", size, low, high)
		if size > 8192 {
			return nil // cannot run dry below what one probe would notice
		}
	}
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, RemotePort: f.Port()})
	if err != nil {
		return err
	}
	used := map[uint16]bool{}
	timeWait := 0
	for _, s := range socks {
		if s.Remote.Addr().Unmap() == f.Addr() && s.State != host.Listen && int(s.Local.Port()) >= low && int(s.Local.Port()) <= high {
			used[s.Local.Port()] = true
			if s.State == host.TimeWait {
				timeWait++
			}
		}
	}
	evidence = append(evidence, diagnose.Evidence{Source: "sock_diag", What: "local ports in use towards " + f.String(), Value: fmt.Sprintf("%d of %d (%d in TIME-WAIT)", len(used), size, timeWait)})
	if len(used) >= size {
		c := diagnose.Cause{Code: "ephemeral-exhausted", Outcome: diagnose.AddressUnavailable, Culprit: sysctlCulprit(s), Evidence: evidence,
			Title: fmt.Sprintf("All %d ephemeral ports (%d-%d) are in use towards %s, so no connection can leave.", size, low, high, f),
			Fixes: []diagnose.Fix{{Title: "widen the range", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Connected, Risk: "low",
				Commands: [][]string{{"sysctl", "-w", "net.ipv4.ip_local_port_range=32768 60999"}},
				Undo:     [][]string{{"sysctl", "-w", "net.ipv4.ip_local_port_range=" + strings.Join(strings.Fields(s.Value), " ")}}}}}
		if size == 0 {
			c.Title = fmt.Sprintf("No ephemeral port is left: %s reserves the whole range %d-%d.", rs.Key, low, high)
			c.Culprit = sysctlCulprit(rs)
			c.Fixes = nil
		}
		p.Stop(c)
		return nil
	}
	if size < smallRange {
		p.Warn(diagnose.Finding{Code: "port-range-small", Culprit: sysctlCulprit(s), Evidence: evidence,
			Title: fmt.Sprintf("only %d ephemeral ports (%d-%d): that many connections to one server at a time", size, low, high)})
		p.OK("%d of %d ephemeral ports in use", len(used), size)
	}
	return nil
}

// ephemeralRange reads net.ipv4.ip_local_port_range, which holds for IPv6 too.
func ephemeralRange(p *diagnose.Pass) (low, high int, s host.Sysctl, err error) {
	s, err = p.Host.Sysctl(p.Ctx, "net.ipv4.ip_local_port_range")
	if err != nil {
		return 0, 0, s, err
	}
	fields := strings.Fields(s.Value)
	if len(fields) != 2 {
		return 0, 0, s, fmt.Errorf("net.ipv4.ip_local_port_range is %q, not two numbers", s.Value)
	}
	low, err = strconv.Atoi(fields[0])
	if err == nil {
		high, err = strconv.Atoi(fields[1])
	}
	if err != nil {
		return 0, 0, s, fmt.Errorf("net.ipv4.ip_local_port_range is %q: %w", s.Value, err)
	}
	return low, high, s, nil
}

// portSet is a list of ports and ranges as in ip_local_reserved_ports.
type portSet [][2]uint16

func (s portSet) has(port uint16) bool {
	for _, r := range s {
		if port >= r[0] && port <= r[1] {
			return true
		}
	}
	return false
}

// reservedPorts reads net.ipv4.ip_local_reserved_ports: "8080,9000-9010".
func reservedPorts(p *diagnose.Pass) (portSet, host.Sysctl) {
	s, err := p.Host.Sysctl(p.Ctx, "net.ipv4.ip_local_reserved_ports")
	if err != nil {
		return nil, host.Sysctl{}
	}
	return parsePortSet(s.Value), s
}

func parsePortSet(text string) portSet {
	var set portSet
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
		from, to, ranged := strings.Cut(item, "-")
		if !ranged {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if err1 == nil && err2 == nil && a <= b {
			set = append(set, [2]uint16{uint16(a), uint16(b)})
		}
	}
	return set
}
