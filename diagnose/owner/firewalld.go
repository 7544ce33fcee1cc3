package owner

import (
	"encoding/xml"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// zonePart is a chain of a zone or of a policy between zones.
type zonePart struct {
	zone, policy string
	forward      bool   // for what is forwarded
	part         string // pre, log, deny, allow, post; empty: the zone's own chain, with its target
}

// zoneOf takes a chain's name apart: filter_IN_public_deny, IN_public_deny where
// iptables is the backend, filter_IN_policy_NAME_pre.
func zoneOf(t *rules.Table, chain string) (zonePart, bool) {
	var z zonePart
	name, ok := "", false
	for _, prefix := range []string{"filter_IN_", "filter_FWD_", "filter_FWDI_", "filter_FWDO_", "filter_OUT_", "nat_PRE_", "mangle_PRE_", "IN_", "FWDI_", "FWDO_", "FWD_"} {
		if name, ok = strings.CutPrefix(chain, prefix); ok {
			z.forward = strings.Contains(prefix, "FWD")
			break
		}
	}
	if !ok {
		return z, false
	}
	// A zone's name may itself end like a part: its own chain is then there.
	if at := strings.LastIndexByte(name, '_'); at > 0 && slices.Contains([]string{"pre", "log", "deny", "allow", "post"}, name[at+1:]) &&
		t.Chain(strings.TrimSuffix(chain, name[at:])) != nil {
		name, z.part = name[:at], name[at+1:]
	}
	if policy, ok := strings.CutPrefix(name, "policy_"); ok {
		z.policy = policy
	} else {
		z.zone = name
	}
	return z, true
}

// what names the zone or policy.
func (z zonePart) what() string {
	if z.policy != "" {
		return "policy " + strconv.Quote(z.policy)
	}
	return "zone " + strconv.Quote(z.zone)
}

// option chooses the zone or policy for firewall-cmd.
func (z zonePart) option() string {
	if z.policy != "" {
		return "--policy=" + z.policy
	}
	return "--zone=" + z.zone
}

// firewalld tells a rule of firewalld's.
func (f *Facts) firewalld(o *Owner, p *place, flow Flow) {
	z, ok := zoneOf(p.table, p.chain.Name)
	if !ok {
		o.Says = "a rule of its framework, which holds for all zones"
		if strings.HasSuffix(p.chain.Name, "PREROUTING") {
			o.Says = "the answer would not leave by the device that the packet came in by (IPv6_rpfilter)"
			const file = "/etc/firewalld/firewalld.conf"
			if line := f.fileLike(file, "IPv6_rpfilter="); line > 0 {
				o.File, o.Line = file, line
			}
		}
		return
	}
	o.Name = host.Clean([]byte(z.zone+z.policy), maxWords)
	saved := f.zoneFile(z)
	o.File, o.Line = saved.path, saved.line
	rich := z.part == "deny" || z.part == "pre" || z.part == "log"
	switch {
	case rich:
		o.Says = "a rich rule of " + z.what()
		if r := saved.richFor(flow); r != nil {
			o.Line = r.line
			o.Evidence = append(o.Evidence, f.line(saved.path, r.line))
		} else {
			o.File, o.Line = "", 0
		}
		if o.Line == 0 && saved.path != "" {
			o.Evidence = append(o.Evidence, diagnose.Evidence{Source: "firewalld", What: z.what(), Value: "the permanent configuration doesn't have that rule: it ends with the next reload"})
		}
	case z.forward:
		o.Says = z.what() + " doesn't forward it"
	default:
		o.Says = fmt.Sprintf("%s doesn't have port %d/%s open", z.what(), flow.Port, flow.Network)
		if port := saved.portFor(flow); port > 0 {
			o.Evidence = append(o.Evidence, f.line(saved.path, port),
				diagnose.Evidence{Source: "firewalld", What: z.what(), Value: "the permanent configuration has the port, the one that runs hasn't: not loaded yet"})
		}
		if other := f.openIn(p.table, z, flow); other != "" {
			o.Code = "firewall-zone"
			o.Says += fmt.Sprintf("; zone %s has, but is not the one for this packet", strconv.Quote(other))
		}
	}
	o.Fixes = z.fixes(flow, rich)
}

// fixes open the port in the zone, or for a rule that comes before that, let the
// flow pass before the rule.
func (z zonePart) fixes(flow Flow, rich bool) []Fix {
	if z.forward || flow.Hook != rules.Input || !flow.Src.IsValid() || z.zone+z.policy == "" || strings.HasPrefix(z.zone+z.policy, "-") {
		return nil
	}
	port := fmt.Sprintf("%d/%s", flow.Port, flow.Network)
	title, opens := "open the port in "+z.what(), port+" to everyone in "+z.what()
	add, remove := "--add-port="+port, "--remove-port="+port
	if rich || z.policy != "" {
		family := "ipv6"
		if flow.Src.Is4() {
			family = "ipv4"
		}
		rule := fmt.Sprintf(`rule priority="-32768" family="%s" source address="%s" port port="%d" protocol="%s" accept`, family, flow.Src.WithZone(""), flow.Port, flow.Network)
		title, opens = "accept it before that rule in "+z.what(), fmt.Sprintf("%s to %s", port, flow.Src)
		add, remove = "--add-rich-rule="+rule, "--remove-rich-rule="+rule
	}
	now := diagnose.Fix{Title: title + ", until the next reload", NeedsRoot: true, Opens: opens,
		Commands: [][]string{{"firewall-cmd", z.option(), add}}, Undo: [][]string{{"firewall-cmd", z.option(), remove}}}
	forGood := now
	forGood.Title, forGood.Persistent = title+", now and for good", true
	forGood.Commands = append(slices.Clone(now.Commands), []string{"firewall-cmd", "--permanent", z.option(), add})
	forGood.Undo = append(slices.Clone(now.Undo), []string{"firewall-cmd", "--permanent", z.option(), remove})
	return []Fix{{Fix: now, Effect: Accepts}, {Fix: forGood, Effect: Accepts}}
}

// openIn is another zone that has the flow's port open.
func (f *Facts) openIn(t *rules.Table, than zonePart, flow Flow) string {
	for _, c := range t.Chains {
		z, ok := zoneOf(t, c.Name)
		if !ok || z.part != "allow" || z.zone == "" || z.zone == than.zone || !strings.Contains(c.Name, "IN_") {
			continue
		}
		for _, r := range c.Rules {
			if opens(words(f.text(t, c, r)), flow) {
				return z.zone
			}
		}
	}
	return ""
}

// opens reports whether a rule's text accepts a port of the flow's protocol, as
// firewalld writes it: tcp dport 8080-8090 accept.
func opens(text []string, flow Flow) bool {
	if len(text) == 0 || text[len(text)-1] != "accept" && text[len(text)-1] != "ACCEPT" {
		return false
	}
	for i := 2; i < len(text); i++ {
		if text[i-1] == "dport" && text[i-2] == flow.Network || text[i-1] == "--dport" && slices.Contains(text, flow.Network) {
			return inPorts(strings.ReplaceAll(text[i], ":", "-"), flow.Port)
		}
	}
	return false
}

// inPorts reports whether N or N-M has a port.
func inPorts(s string, port uint16) bool {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	a, err1 := strconv.ParseUint(low, 10, 16)
	b, err2 := strconv.ParseUint(high, 10, 16)
	return err1 == nil && err2 == nil && uint64(port) >= a && uint64(port) <= b
}

// zoneFile is a zone or policy as it is saved (firewalld.zone(5)).
type zoneFile struct {
	path     string
	line     int // of the element
	ports    []zonePort
	rich     []richRule
	services []string // by name
}

type zonePort struct {
	line            int
	ports, protocol string
}

// richRule is what of a rich rule decides whether it stops a flow.
type richRule struct {
	line            int
	family, source  string
	ports, protocol string
	stops           bool // drop or reject
}

// zoneFile finds the file of a zone or policy. One in /etc replaces the one that
// came with firewalld.
func (f *Facts) zoneFile(z zonePart) zoneFile {
	name := "zones/" + z.zone + ".xml"
	if z.policy != "" {
		name = "policies/" + z.policy + ".xml"
	}
	for _, in := range []string{"/etc/firewalld/", "/usr/lib/firewalld/"} {
		for _, file := range f.Files {
			if file.Path == in+name {
				return parseZone(file)
			}
		}
	}
	return zoneFile{}
}

// parseZone reads a zone or policy. What is not XML ends it.
func parseZone(file host.File) zoneFile {
	z := zoneFile{path: file.Path}
	d := xml.NewDecoder(strings.NewReader(file.Text))
	d.Strict = true
	var rule *richRule
	for {
		line, _ := d.InputPos()
		token, err := d.RawToken()
		if err != nil {
			return z
		}
		switch e := token.(type) {
		case xml.StartElement:
			// Where an element starts, not where what is before it ended.
			if text := strings.TrimLeft(file.Text[:d.InputOffset()], " \t\r\n"); text != "" {
				line = 1 + strings.Count(file.Text[:strings.LastIndexByte(file.Text[:d.InputOffset()], '<')+1], "\n")
			}
			z.element(e, line, &rule)
		case xml.EndElement:
			if e.Name.Local == "rule" && rule != nil {
				z.rich = append(z.rich, *rule)
				rule = nil
			}
		}
	}
}

func (z *zoneFile) element(e xml.StartElement, line int, rule **richRule) {
	has := map[string]string{}
	for _, a := range e.Attr {
		has[a.Name.Local] = a.Value
	}
	switch name := e.Name.Local; {
	case (name == "zone" || name == "policy") && z.line == 0:
		z.line = line
	case name == "rule":
		*rule = &richRule{line: line, family: has["family"]}
	case *rule == nil && name == "port":
		z.ports = append(z.ports, zonePort{line, has["port"], has["protocol"]})
	case *rule == nil && (name == "service" || name == "include"):
		z.services = append(z.services, has["name"])
	case *rule == nil:
	case name == "source":
		(*rule).source = has["address"]
		if has["address"] == "" || strings.EqualFold(has["invert"], "true") {
			(*rule).source = "?"
		}
	case name == "port":
		(*rule).ports, (*rule).protocol = has["port"], has["protocol"]
	case name == "drop" || name == "reject":
		(*rule).stops = true
	case name == "service" || name == "protocol" || name == "destination":
		(*rule).source = "?"
	}
}

// portFor is the line that opens the flow's port, 0 if none does.
func (z zoneFile) portFor(flow Flow) int {
	for _, p := range z.ports {
		if p.protocol == flow.Network && inPorts(p.ports, flow.Port) {
			return p.line
		}
	}
	return 0
}

// richFor is the one rich rule that stops the flow, nil if there is none or there
// are several.
func (z zoneFile) richFor(flow Flow) *richRule {
	var found *richRule
	for i, r := range z.rich {
		if !r.stops || !r.isFor(flow) {
			continue
		}
		if found != nil {
			return nil
		}
		found = &z.rich[i]
	}
	return found
}

func (r richRule) isFor(flow Flow) bool {
	switch {
	case r.family == "ipv4" && !flow.Src.Is4(), r.family == "ipv6" && flow.Src.Is4():
		return false
	case r.ports != "" && (r.protocol != flow.Network || !inPorts(r.ports, flow.Port)):
		return false
	case r.source == "":
		return true
	}
	if a, err := netip.ParseAddr(r.source); err == nil {
		return a == flow.Src
	}
	net, err := netip.ParsePrefix(r.source)
	return err == nil && net.Contains(flow.Src)
}
