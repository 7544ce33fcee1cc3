package checks

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// certificateSoon is how close to its end a certificate is worth a warning.
const certificateSoon = 14 * 24 * time.Hour

var protocol = &diagnose.Check{
	ID: "protocol", Doc: "whether the application on the connection speaks what was asked for, and lets the client in",
	Codes: []string{"protocol-mismatch", "certificate-invalid", "app-denies", "proxy-backend-dead", "mtu-black-hole"},
	For:   diagnose.AskConnect, When: diagnose.Explain,
	Run: runProtocol,
}

func runProtocol(p *diagnose.Pass) error {
	f := p.Flow
	if f.Attempt != nil && f.Attempt.Ended != "" && len(p.Stopped()) == 0 {
		closed(p, diagnose.Cause{Outcome: diagnose.Connected, After: true, Culprit: serverOf(p),
			Evidence: []diagnose.Evidence{{Source: "probe", What: "the connection", Value: "accepted, then " + f.Attempt.Ended + " without a byte"}}}, f.Attempt.Ended)
		return nil
	}
	if f.Attempt == nil || f.Attempt.Talk == nil || f.Attempt.Errno != "" {
		p.Skip("nothing was said")
		return nil
	}
	for _, c := range p.Stopped() {
		if c.After {
			p.Skip("the connection is not served")
			return nil
		}
	}
	k := f.Attempt.Talk
	culprit := serverOf(p)
	evidence := []diagnose.Evidence{{Source: "probe", What: "asked " + k.Asked, Value: heard(*k)}}
	c := diagnose.Cause{Outcome: diagnose.Connected, After: true, Culprit: culprit, Evidence: evidence}
	switch {
	case k.TLS != nil && k.TLS.Problem != "":
		c.Code, c.Title = "certificate-invalid", certificateTitle(p.ServerName(), *k.TLS)
		c.Evidence = append(evidence, diagnose.Evidence{Source: "TLS", What: "certificate of " + k.TLS.Subject,
			Value: fmt.Sprintf("issuer %s, from %s to %s, for %s", k.TLS.Issuer, k.TLS.NotBefore.Format(time.DateOnly), k.TLS.NotAfter.Format(time.DateOnly), strings.Join(k.TLS.Names, " "))})
	case k.Denied != "":
		c.Code = "app-denies"
		c.Title = fmt.Sprintf("The network is fine; the application says no: %s", k.Denied)
	case k.OK && gatewayFailed(p, *k):
		c.Code = "proxy-backend-dead"
		c.Title = fmt.Sprintf("%s answers with HTTP %d: it is a proxy, and its backend does not serve.", nameOf(culprit), k.Status)
	case k.OK && (k.Status == 403 || k.Status == 503):
		c.Code = "app-denies"
		c.Title = fmt.Sprintf("The network is fine; the application says no with HTTP %d.", k.Status)
	case k.OK:
		p.OK("%s", heard(*k))
		if k.TLS != nil && !k.TLS.NotAfter.IsZero() {
			if left := k.TLS.NotAfter.Sub(p.Info.At); left < certificateSoon {
				p.Warn(diagnose.Finding{Code: "certificate-invalid", Culprit: culprit, Title: fmt.Sprintf("the certificate ends in %d days, on %s", int(left.Hours()/24), k.TLS.NotAfter.Format(time.DateOnly))})
			}
		}
		return nil
	case k.Heard != "" && k.Heard != k.Asked:
		c.Code = "protocol-mismatch"
		c.Title = fmt.Sprintf("%s was asked for, but %s answers there.", strings.ToUpper(k.Asked), strings.ToUpper(k.Heard))
		c.Outcome = diagnose.Connected
	case k.Errno == "EOF" || k.Errno == "ECONNRESET" || k.Errno == "EPIPE":
		closed(p, c, k.Errno)
		return nil
	case k.Errno == "ETIMEDOUT" && f.Attempt.Retransmits > 0:
		c.Code = "mtu-black-hole"
		c.Doubt, c.Ceiling = "loss for another reason looks alike", diagnose.Likely
		c.Title = fmt.Sprintf("Small packets pass and larger ones do not (%d unanswered retransmissions, path MTU %d): something on the way drops big packets and the ICMP that would say so.", f.Attempt.Retransmits, f.Attempt.PathMTU)
	case k.Errno == "ETIMEDOUT":
		c.Code = "protocol-mismatch"
		c.Title = fmt.Sprintf("The connection stands, but %s gets no answer: something else listens there, or it hangs.", strings.ToUpper(k.Asked))
		c.Doubt, c.Ceiling = "a slow application looks alike", diagnose.Likely
		if !greets[k.Asked] {
			c.Code = "listener-not-accepting"
			c.Title = fmt.Sprintf("%s took the connection and says nothing.", nameOf(culprit))
			if f.Listener == nil {
				c.Title = fmt.Sprintf("The connection to %s stands, but nothing answers: its server hangs, or speaks another protocol.", f.Addr())
				c.Doubt, c.Ceiling = "silence has many reasons", diagnose.Possible
			}
		}
	case k.TLS != nil && k.TLS.Alert != "":
		c.Code = "protocol-mismatch"
		c.Title = fmt.Sprintf("The TLS handshake fails: %s.", k.TLS.Alert)
	case k.Banner != "":
		c.Code = "protocol-mismatch"
		c.Title = fmt.Sprintf("%s was asked for, but what answers there does not speak it: %s", strings.ToUpper(k.Asked), strconv.Quote(k.Banner))
	default:
		p.OK("%s", heard(*k))
		return nil
	}
	p.Stop(c)
	return nil
}

// gatewayFailed: 502 and 504 are said by gateways only (RFC 9110, 15.6.3 and
// 15.6.5); 503 counts where a known proxy says it.
func gatewayFailed(p *diagnose.Pass, k host.Talk) bool {
	if k.Status == 502 || k.Status == 504 {
		return true
	}
	if k.Status != 503 || p.Flow.Listener == nil {
		return false
	}
	procs, _ := holdersOf(p, p.Flow.Listener.Inode)
	for _, proc := range procs {
		switch proc.Name {
		case "haproxy", "envoy", "traefik", "varnishd":
			return true
		}
	}
	return false
}

// greets are protocols in which the server speaks first, so that silence means
// it is none.
var greets = map[string]bool{"ssh": true, "smtp": true, "mysql": true, "ftp": true, "imap": true, "pop3": true}

// serverOf is the process that listens, where it is on this host.
func serverOf(p *diagnose.Pass) *diagnose.Culprit {
	if p.Flow.Listener != nil {
		c, _ := socketCulprit(p, *p.Flow.Listener)
		return c
	}
	return &diagnose.Culprit{Kind: "remote", Address: p.Flow.Addr().String()}
}

func nameOf(c *diagnose.Culprit) string {
	if c.PID != 0 {
		return fmt.Sprintf("%s (pid %d)", c.Name, c.PID)
	}
	return c.Address
}

func heard(k host.Talk) string {
	s := k.Heard
	if k.Status != 0 {
		s += fmt.Sprintf(" status %d", k.Status)
	}
	if k.Banner != "" {
		s += " " + strconv.Quote(k.Banner)
	}
	if k.Errno != "" {
		s += " then " + k.Errno
	}
	if k.TLS != nil && k.TLS.Alert != "" {
		s += " TLS: " + k.TLS.Alert
	}
	return strings.TrimSpace(s)
}

func certificateTitle(name string, t host.TLS) string {
	switch t.Problem {
	case "expired":
		return fmt.Sprintf("The certificate of %s ended on %s.", t.Subject, t.NotAfter.Format(time.DateOnly))
	case "not-yet-valid":
		return fmt.Sprintf("The certificate of %s begins on %s: a clock is wrong, or it was made for later.", t.Subject, t.NotBefore.Format(time.DateOnly))
	case "wrong-name":
		return fmt.Sprintf("The certificate is for %s, not for %s.", strings.Join(t.Names, ", "), name)
	case "unknown-issuer":
		return fmt.Sprintf("The certificate of %s was signed by %s, whom this host does not trust.", t.Subject, t.Issuer)
	}
	return fmt.Sprintf("The certificate of %s is not good: %s.", t.Subject, t.Problem)
}

// closed: the connection was taken and ended at once without a word.
func closed(p *diagnose.Pass, c diagnose.Cause, how string) {
	f := p.Flow
	if f.Listener != nil {
		procs, _ := holdersOf(p, f.Listener.Inode)
		for _, proc := range procs {
			if isProxy(proc) {
				c.Code = "proxy-backend-dead"
				c.Title = fmt.Sprintf("%s is only a proxy: it took the connection and ended it at once, as it does when its backend refuses.", describe(proc))
				c.Culprit = processCulprit(proc)
				c.Outcome = diagnose.Connected
				c.Doubt, c.Ceiling = "its backend was not seen", diagnose.Likely
				p.Stop(c)
				return
			}
		}
	}
	c.Code = "app-denies"
	c.Title = fmt.Sprintf("%s takes the connection and ends it at once (%s): the application says no, or speaks another protocol.", nameOf(c.Culprit), how)
	c.Doubt, c.Ceiling = "it gives no reason", diagnose.Likely
	p.Stop(c)
}

// isProxy reports whether a process only hands connections on.
func isProxy(proc host.Process) bool {
	switch proc.Name {
	case "docker-proxy", "rootlessport", "rootlesskit", "slirp4netns", "pasta", "pasta.avx2", "socat", "ssh", "kubectl", "haproxy", "stunnel", "stunnel4":
		return true
	}
	return false
}

// backend looks behind a proxy whose command line says where it hands on to.
var backend = &diagnose.Check{
	ID: "backend", Doc: "whether the backend that a userland proxy hands on to has a listener",
	Codes: []string{"proxy-backend-dead", "docker-chains-missing"},
	For:   diagnose.AskConnect,
	Run:   runBackend,
}

func runBackend(p *diagnose.Pass) error {
	f := p.Flow
	if f.Listener == nil || f.Network != "tcp" {
		p.Skip("no listener on this host")
		return nil
	}
	procs, _ := holdersOf(p, f.Listener.Inode)
	for _, proc := range procs {
		if isProxy(proc) {
			f.Watch = true
		}
		if proc.Name == "dockerd" || proc.Name == "docker-proxy" {
			if c := natForgotten(p); c != nil && dockerAlone(p, proc, *c) {
				return nil
			}
		}
		to := backendOf(proc)
		if !to.IsValid() {
			continue
		}
		evidence := []diagnose.Evidence{{Source: fmt.Sprintf("/proc/%d/cmdline", proc.PID), What: "backend", Value: to.String()}}
		listens, known := listensAt(p, "tcp", to)
		if !known || listens {
			p.OK("%s hands on to %s", describe(proc), to)
			return nil
		}
		c := diagnose.Cause{Code: "proxy-backend-dead", Outcome: diagnose.Connected, Also: []diagnose.Outcome{diagnose.Reset}, After: true, Culprit: processCulprit(proc),
			Evidence: append(evidence, diagnose.Evidence{Source: "sock_diag", What: "listener at " + to.String(), Value: "none"}),
			Title:    fmt.Sprintf("%s is only a proxy, and nothing listens where it hands on to: %s.", describe(proc), to)}
		if ns, h := namespaceWith(p, to.Addr()); h != nil {
			words, more := instead(p, h, f.Network, to)
			c.Evidence = append(c.Evidence, more...)
			c.Title = fmt.Sprintf("%s is only a proxy and hands on to %s in %s, %s.", describe(proc), to, placeName(p, ns), words)
		}
		p.Stop(c)
		return nil
	}
	p.OK("not a proxy with a known backend")
	return nil
}

// listensAt reports whether something listens at an address of this host or of
// one of its namespaces; known is false if the address is elsewhere.
func listensAt(p *diagnose.Pass, network string, to netip.AddrPort) (listens, known bool) {
	look := func(h host.Host) bool {
		addrs, err := h.Addresses(p.Ctx)
		if err != nil || ownAddress(addrs, to.Addr()) == nil {
			return false
		}
		socks, err := h.Sockets(p.Ctx, host.SocketQuery{Network: network, Port: to.Port(), States: listening(network)})
		if err != nil {
			return false
		}
		known = true
		listens = lookup(socks, to.Addr(), "") != nil
		return true
	}
	if look(p.Host) || to.Addr().IsLoopback() {
		return listens, known
	}
	inNamespaces(p, func(_ host.Namespace, h host.Host) bool { return !look(h) })
	return listens, known
}

// backendOf reads the backend from the command line of docker-proxy and socat.
func backendOf(proc host.Process) netip.AddrPort {
	switch proc.Name {
	case "docker-proxy":
		var ip, port string
		for i := 0; i+1 < len(proc.Args); i++ {
			switch proc.Args[i] {
			case "-container-ip":
				ip = proc.Args[i+1]
			case "-container-port":
				port = proc.Args[i+1]
			}
		}
		return addrPort(ip, port)
	case "socat":
		if len(proc.Args) < 3 {
			return netip.AddrPort{}
		}
		to := strings.ToUpper(proc.Args[len(proc.Args)-1])
		for _, prefix := range []string{"TCP:", "TCP4:", "TCP6:", "TCP-CONNECT:", "TCP4-CONNECT:", "TCP6-CONNECT:"} {
			if rest, ok := strings.CutPrefix(to, prefix); ok {
				rest, _, _ = strings.Cut(rest, ",")
				i := strings.LastIndexByte(rest, ':')
				if i < 0 {
					return netip.AddrPort{}
				}
				h := strings.Trim(rest[:i], "[]")
				if h == "LOCALHOST" {
					h = "127.0.0.1"
				}
				return addrPort(h, rest[i+1:])
			}
		}
	}
	return netip.AddrPort{}
}

func addrPort(ip, port string) netip.AddrPort {
	a, err := netip.ParseAddr(ip)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(n))
}
