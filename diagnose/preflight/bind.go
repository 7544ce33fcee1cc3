package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/checks"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
)

// question is one bind to ask the engine about.
type question struct {
	network, host string
	address       netip.Addr
	port          uint16
	root          bool
}

// closeLook is up to how many ports of a range are each asked; of a longer one
// only those that anything has.
const closeLook = 16

func destination(d Declared, port uint16) netip.AddrPort {
	a := d.Address
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(a, port)
}

// rootKinds are opened by root: the container engine, systemd, or servers that
// give up their rights afterwards.
var rootKinds = []string{"compose", "kubernetes", "systemd", "nginx", "apache", "sshd", "haproxy", "squid", "dnsmasq"}

func (r *run) uid(d Declared) *uint32 {
	if r.options.UID != nil {
		return r.options.UID
	}
	if slices.Contains(rootKinds, d.Kind) && r.info.UID != 0 && r.info.OS == "linux" {
		root := uint32(0)
		return &root
	}
	return nil
}

// ask runs the engine once for each question.
func (r *run) ask(d Declared, port uint16, uid *uint32) (*diagnose.Report, error) {
	q := question{network: d.Network, host: d.Named, address: d.Address, port: port, root: uid != nil}
	if have := r.asked[q]; have != nil {
		return have, nil
	}
	alike := q
	if alike.port = 0; port < 1024 {
		alike.port = 1
	}
	idle := r.idle(d.Network, port)
	if have := r.alike[alike]; idle && have != nil && len(r.asked) >= eachAsked {
		return have, nil
	}
	t := diagnose.Target{Input: fmt.Sprintf("%s://%s", d.Network, netip.AddrPortFrom(d.Address, port)), Network: d.Network, Host: d.Named, Addr: d.Address, Port: port}
	switch {
	case d.Named != "":
	case d.Address.IsValid():
		t.Host = d.Address.String()
	default:
		t.Host, t.AnyHost = "localhost", true
	}
	o := diagnose.Options{Question: diagnose.AskBind, NoProbe: r.options.NoProbe, Timeout: r.options.Timeout, UID: uid, Version: r.options.Version}
	// Only root can try for somebody else.
	o.NoProbe = o.NoProbe || uid != nil && *uid != r.info.UID && r.info.UID != 0
	rep, err := diagnose.Run(r.ctx, r.host, t, r.options.Checks, o)
	if err != nil {
		return nil, err
	}
	r.asked[q] = rep
	if idle && rep.Status == diagnose.OK && len(rep.Findings) == 0 {
		r.alike[alike] = rep
	}
	return rep, nil
}

// eachAsked is how many questions are asked one by one. After that a port that
// nothing has gets the answer of one like it: the same address and rights.
const eachAsked = 64

// idle reports whether nothing at all has the port.
func (r *run) idle(network string, port uint16) bool {
	if r.taken == nil || r.taken[network][port] {
		return false
	}
	return !slices.ContainsFunc(r.excluded[network], func(e host.PortRange) bool { return e.First <= port && port <= e.Last })
}

// onHost asks whether this host would give the port, or each of the range.
func (r *run) onHost(i int) error {
	d := r.declared[i]
	if r.results[i] == "" {
		r.results[i] = Free
	}
	if d.Elsewhere || d.Network != "tcp" && d.Network != "udp" {
		if r.results[i] == Free {
			r.results[i] = Unasked
		}
		if d.Network == "sctp" {
			r.limit(host.Limit{What: "whether SCTP ports are free", Why: "sockets of SCTP are not read", Needs: "ss -S"})
		}
		return nil
	}
	ports := r.closer(d)
	before := len(r.findings)
	stopped := 0
	for _, port := range ports {
		clashes, err := r.one(i, port)
		if err != nil {
			return err
		}
		if clashes {
			stopped++
		} else if d.Any && max(d.Replicas, 1) == 1 {
			break
		}
	}
	switch {
	case stopped == 0:
	case d.Any && d.Ports.Len()-stopped >= max(d.Replicas, 1):
		// Another port of the range is free: what was found is no clash.
		r.findings = r.findings[:before]
	case d.Doubt == "":
		r.results[i] = Clashes
	}
	return nil
}

// closer are the ports of a declared range that need to be asked.
func (r *run) closer(d Declared) []uint16 {
	var list []uint16
	for n := int(d.Ports.First); n <= int(d.Ports.Last); n++ {
		if d.Ports.Len() <= closeLook || n == int(d.Ports.First) || r.taken == nil && len(list) < closeLook || r.taken[d.Network][uint16(n)] {
			list = append(list, uint16(n))
		}
		if len(list) == maxAsked {
			r.limit(host.Limit{What: fmt.Sprintf("ports %d to %d", n+1, d.Ports.Last), Why: fmt.Sprintf("more than %d ports of one range are in use", maxAsked), Needs: "mend those that are told"})
			break
		}
	}
	return list
}

// maxAsked bounds the questions about one range.
const maxAsked = 256

// one asks about one port, and reports whether it can't be had.
func (r *run) one(i int, port uint16) (stopped bool, err error) {
	d := r.declared[i]
	rep, err := r.ask(d, port, r.options.UID)
	if err != nil {
		return false, err
	}
	if uid := r.uid(d); uid != nil && r.options.UID == nil && slices.ContainsFunc(rep.Causes, func(c diagnose.Cause) bool { return c.Code == "port-privileged" }) {
		if rep, err = r.ask(d, port, uid); err != nil {
			return false, err
		}
	}
	for _, l := range rep.Limits {
		r.limit(l)
	}
	causes := slices.DeleteFunc(slices.Clone(rep.Causes), func(c diagnose.Cause) bool { return r.harmless(d, c) })
	if own := r.own(d, causes); own != "" {
		r.results[i] = Own
		f := about(d, "port-in-use", plan.Note, port)
		f.Title = own
		r.find(f)
		return false, nil
	}
	for _, f := range rep.Findings {
		if !slices.ContainsFunc(causes, func(c diagnose.Cause) bool { return c.Code == f.Code }) {
			stopped = r.finding(i, port, f) || stopped
		}
	}
	if len(causes) == 0 && rep.Status == diagnose.StatusUnknown && len(rep.Causes) == 0 {
		r.undecided(i, port, rep)
	}
	for _, c := range causes {
		stopped = r.clash(i, port, c, rep) || stopped
	}
	return stopped, nil
}

// harmless reports whether a cause doesn't hold for what is declared.
func (r *run) harmless(d Declared, c diagnose.Cause) bool {
	switch c.Code {
	case "ipv6-disabled", "address-not-local":
		// A family that the host doesn't have is left out of a wildcard.
		return !d.Address.IsValid() && d.Named == ""
	}
	if !d.V6Only || d.Address != netip.IPv6Unspecified() || c.Culprit == nil {
		return false
	}
	at, err := netip.ParseAddrPort(c.Culprit.Address)
	return err == nil && (at.Addr().Is4() || at.Addr().Is4In6())
}

// clash tells of one cause, and reports whether it surely keeps the port away.
func (r *run) clash(i int, port uint16, c diagnose.Cause, rep *diagnose.Report) bool {
	d := r.declared[i]
	f := about(d, c.Code, plan.Error, port)
	f.Culprit, f.Evidence = c.Culprit, c.Evidence
	f.Title = strings.TrimSuffix(c.Title, ".")
	if c.Confidence == diagnose.Possible {
		f.Severity = plan.Unknown
		f.Title = "perhaps: " + f.Title
	}
	if r.perhapsOwn(d, c) {
		f.Severity = plan.Unknown
		f.Title += fmt.Sprintf("; whether that is %s itself can't be seen", d.Who())
	}
	if d.Doubt != "" {
		f.Severity = plan.Warning
		f.Title += "; but " + d.Doubt
	}
	if f.Severity == plan.Unknown && r.results[i] == Free {
		r.results[i] = Undecided
	}
	if c.Outcome == diagnose.InUse || c.Code == "port-excluded" {
		r.other(&f, d, port)
	}
	for _, fix := range rep.Fixes {
		if fix.Cause == c.Code {
			f.Fixes = append(f.Fixes, fix)
		}
	}
	r.find(f)
	return f.Severity != plan.Unknown
}

// perhapsOwn reports whether what has the port may be what declares it, for all
// that can be seen: then it is no clash.
func (r *run) perhapsOwn(d Declared, c diagnose.Cause) bool {
	hidden := c.Code == "port-owner-hidden"
	switch {
	case d.Kind == "compose":
		return hidden || !r.allContainers && c.Culprit != nil && checks.Publishes(c.Culprit.Name)
	case d.Kind == "kubernetes":
		return false
	}
	return hidden
}

// finding takes over what the engine noticed, and reports whether it is a clash.
func (r *run) finding(i int, port uint16, have diagnose.Finding) bool {
	d := r.declared[i]
	f := about(d, have.Code, plan.Note, port)
	f.Title, f.Culprit, f.Evidence = have.Title, have.Culprit, have.Evidence
	switch {
	case have.Code == "facts-missing":
		return false // the limits say it
	case have.Code == "port-in-use" && have.Culprit != nil && have.Culprit.Kind == "container":
		// The bind would work, but the engine keeps its own list of ports.
		if r.same(d, have.Culprit) != "" {
			r.results[i] = Own
			return false
		}
		f.Severity = plan.Warning
		if d.Kind == "compose" && d.Doubt == "" {
			f.Severity = plan.Error
			r.other(&f, d, port)
		}
	case have.Severity == diagnose.SeverityWarning:
		f.Severity = plan.Warning
	}
	r.find(f)
	return f.Severity == plan.Error
}

func (r *run) undecided(i int, port uint16, rep *diagnose.Report) {
	if r.results[i] == Free {
		r.results[i] = Undecided
	}
	d := r.declared[i]
	f := about(d, "facts-missing", plan.Unknown, port)
	f.Title = fmt.Sprintf("whether %d/%s can be had could not be determined", port, d.Network)
	if len(rep.Limits) > 0 {
		f.Title += ": " + rep.Limits[0].What + ": " + rep.Limits[0].Why
	}
	r.find(f)
}

func (r *run) container(id string) *host.Container {
	i := slices.IndexFunc(r.containers, func(c host.Container) bool { return c.ID == id && id != "" })
	if i < 0 {
		return nil
	}
	return &r.containers[i]
}

// own says why what has the port is no clash: it is what declares it.
func (r *run) own(d Declared, causes []diagnose.Cause) string {
	if len(causes) == 0 {
		return ""
	}
	said := ""
	for _, c := range causes {
		if c.Culprit == nil {
			return ""
		}
		why := r.same(d, c.Culprit)
		if why == "" {
			return ""
		}
		said = why
	}
	return said
}

func (r *run) same(d Declared, c *diagnose.Culprit) string {
	switch {
	case c.Kind == "container":
		if own := r.container(c.Container); own != nil && d.Project != "" && own.Project == d.Project && own.Service == d.Service {
			return fmt.Sprintf("the container %q of this project has it already, and up replaces it", own.Name)
		}
	case c.Kind == "unit" && d.Unit != "" && c.Unit == d.Unit:
		return fmt.Sprintf("%s has it already", c.Unit)
	case c.Kind == "process" && d.Program != "" && (serves(c.Name, d.Program) || d.Unit != "" && c.Unit == d.Unit):
		return fmt.Sprintf("%s (pid %d) has it already", c.Name, c.PID)
	case c.Kind == "process" && (d.Kind == "env" || d.Kind == "procfile") && d.Dir != "" && within(c.Cwd, d.Dir):
		return fmt.Sprintf("%s (pid %d), started in %s, has it already: it seems to be this program itself", c.Name, c.PID, c.Cwd)
	}
	return ""
}

func within(dir, parent string) bool {
	return dir == parent || strings.HasPrefix(dir, strings.TrimSuffix(parent, "/")+"/") && parent != "/"
}
