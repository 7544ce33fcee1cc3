package checks

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// connectionCause tells of a connection that has the port as its local one.
func connectionCause(p *diagnose.Pass, o occupant, who string, c *diagnose.Cause) {
	if o.State == host.TimeWait {
		timeWaitCause(o, c)
		return
	}
	if o.Local == o.Remote {
		c.Code = "port-self-connected"
		c.Title = fmt.Sprintf("%s is connected to itself: it tried port %d while nothing listened, and the kernel gave it just that port to connect from.", who, o.Local.Port())
		c.Fixes = append(withoutTimeWait(p, c.Fixes), reservePort(p)...)
		return
	}
	low, high, s, err := ephemeralRange(p)
	port := int(o.Local.Port())
	ours := err == nil && port >= low && port <= high
	theirs := err == nil && int(o.Remote.Port()) >= low && int(o.Remote.Port()) <= high
	if o.State == host.SynSent || o.Network == "udp" || ours && !theirs || peerListensHere(p, o) {
		c.Code = "port-held-by-connection"
		c.Fixes = withoutTimeWait(p, c.Fixes)
		c.Title = fmt.Sprintf("A connection of %s to %s has port %d as its own.", who, o.Remote, port)
		if ours {
			c.Evidence = append(c.Evidence, sysctlEvidence(s))
			c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf(": the kernel hands out %d-%d to whoever connects.", low, high)
			c.Fixes = append(reservePort(p), c.Fixes...)
		}
		return
	}
	c.Code = "port-lingering-connections"
	c.Title = fmt.Sprintf("A connection with %s (%s) that %s still has keeps the port, though nothing listens there any more.", o.Remote, o.State, who)
	if o.Inode == 0 {
		c.Title = fmt.Sprintf("A connection with %s that its process has closed (%s) keeps the port until the other end answers or gives up.", o.Remote, o.State)
	}
}

// withoutTimeWait has the connection reset before its process is told to end: the
// side that closes first would leave the port in TIME-WAIT.
func withoutTimeWait(p *diagnose.Pass, fixes []diagnose.Fix) []diagnose.Fix {
	if p.Flow.Network != "tcp" {
		return fixes
	}
	for i := range fixes {
		fixes[i].NeedsRoot = true
		fixes[i].Commands = append([][]string{closeConnections(p.Flow)}, fixes[i].Commands...)
	}
	return fixes
}

// peerListensHere reports whether the far end is a listener here, so that the
// connection went out from the port.
func peerListensHere(p *diagnose.Pass, o occupant) bool {
	if o.Network != "tcp" {
		return false
	}
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "tcp", Port: o.Remote.Port(), States: []host.State{host.Listen}})
	if err != nil {
		return false
	}
	addrs, err := p.Host.Addresses(p.Ctx)
	if err != nil || !o.Remote.Addr().Unmap().IsLoopback() && ownAddress(addrs, o.Remote.Addr().Unmap()) == nil {
		return false
	}
	for _, s := range socks {
		if s.Local.Addr().IsUnspecified() || s.Local.Addr().Unmap() == o.Remote.Addr().Unmap() {
			return true
		}
	}
	return false
}

// timeWaitCause: the side that closes first keeps the pair of addresses for a
// minute (TCP_TIMEWAIT_LEN). With SO_REUSEADDR on both servers, the old one and
// the new one, that does not matter (inet_bind_conflict).
func timeWaitCause(o occupant, c *diagnose.Cause) {
	c.Code = "port-time-wait"
	c.Title = fmt.Sprintf("A closed connection of %s to %s rests in TIME-WAIT, for at most 60 seconds, and its server had not set SO_REUSEADDR.", o.Local, o.Remote)
	c.Culprit = &diagnose.Culprit{Kind: "kernel", Name: "TIME-WAIT"}
	c.Fixes = []diagnose.Fix{{Title: "wait 60 seconds, and set SO_REUSEADDR in the server", Opens: "nothing", PredictedOutcome: diagnose.Bound}}
}

// reservePort keeps the kernel from handing out the port, and ends what has it.
func reservePort(p *diagnose.Pass) []diagnose.Fix {
	set, s := reservedPorts(p)
	port := p.Flow.Port()
	if s.Key == "" || set.has(port) {
		return nil
	}
	old := strings.Join(strings.Fields(s.Value), "")
	all := fmt.Sprint(port)
	if old != "" {
		all = old + "," + all
	}
	// A socket that was bound to the port by its program keeps it, ended or not.
	return []diagnose.Fix{{Title: "keep the kernel from handing out the port, and end the connection that has it; a program that asked for the port itself has it until it closes the socket",
		NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Unknown, Risk: "medium",
		Commands: [][]string{{"sysctl", "-w", s.Key + "=" + all}, closeConnections(p.Flow)},
		Undo:     [][]string{{"sysctl", "-w", s.Key + "=" + old}}}}
}

// closeConnections ends the connections that have the port as their own
// (ss(8) -K, INET_DIAG_DESTROY); listeners stay.
func closeConnections(f *diagnose.Flow) []string {
	kind := "-t"
	if f.Network == "udp" {
		kind = "-u"
	}
	return []string{"ss", "-K", kind, "state", "connected", "sport", "=", fmt.Sprintf(":%d", f.Port())}
}
