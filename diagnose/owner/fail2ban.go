package owner

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// fail2ban tells a ban, and how to end it.
func (f *Facts) fail2ban(o *Owner, p *place, flow Flow) {
	if o.Name == "" {
		return
	}
	o.File, o.Line = f.jail(o.Name)
	// The ipset of IPv6 has the jail's name and a 6.
	if jail, six := strings.CutSuffix(o.Name, "6"); o.File == "" && six && p.family == rules.IP6 && p.table.Backend != rules.NFT {
		if file, line := f.jail(jail); file != "" {
			o.Name, o.File, o.Line = jail, file, line
		}
	}
	o.Name = host.Clean([]byte(o.Name), maxWords)
	banned := p.banned(flow)
	if banned == "" {
		o.Says = "a rule of jail " + strconv.Quote(o.Name)
		return
	}
	o.Says = fmt.Sprintf("jail %s has banned %s", strconv.Quote(o.Name), banned)
	if strings.HasPrefix(o.Name, "-") {
		return
	}
	o.Fixes = append(o.Fixes, Fix{Fix: diagnose.Fix{Title: "end the ban; it comes again if the address fails again", NeedsRoot: true, Opens: "what the jail guards to " + banned,
		Commands: [][]string{{"fail2ban-client", "set", o.Name, "unbanip", banned}}, Undo: [][]string{{"fail2ban-client", "set", o.Name, "banip", banned}}}, Effect: Removes})
}

// banned is the address or network that the rule is about; empty if it is not the
// flow's.
func (p *place) banned(flow Flow) string {
	if e := p.element(flow); e != nil && !e.port {
		return e.text
	}
	if p.rule != nil && flow.Src.IsValid() && len(p.sets()) == 0 {
		return flow.Src.WithZone("").String()
	}
	return ""
}

// jail is where a jail is configured: fail2ban reads jail.conf, jail.d/*.conf,
// jail.local and jail.d/*.local, and what comes later counts (jail.conf(5)).
func (f *Facts) jail(name string) (file string, line int) {
	for _, have := range f.Files {
		if !strings.HasPrefix(have.Path, "/etc/fail2ban/") {
			continue
		}
		number := 0
		for text := range strings.Lines(have.Text) {
			number++
			section, ok := strings.CutPrefix(strings.TrimSpace(text), "[")
			if section, closed := strings.CutSuffix(section, "]"); ok && closed && section == name {
				file, line = path.Clean(have.Path), number
			}
		}
	}
	return file, line
}

// unban are the managers that ban addresses and have a command to end it.
var unban = map[string]struct{ undo, do []string }{
	"crowdsec": {[]string{"cscli", "decisions", "add", "--ip"}, []string{"cscli", "decisions", "delete", "--ip"}},
	"csf":      {[]string{"csf", "-d"}, []string{"csf", "-dr"}},
}

// ban tells a rule of a manager whose configuration is not read.
func ban(o *Owner, p *place, flow Flow) {
	switch commands, bans := unban[o.Manager]; {
	case bans:
		banned := p.banned(flow)
		if banned == "" {
			return
		}
		o.Says = "it has banned " + banned
		o.Fixes = append(o.Fixes, Fix{Fix: diagnose.Fix{Title: "end the ban", NeedsRoot: true, Opens: "all ports to " + banned,
			Commands: [][]string{join(commands.do, []string{banned})}, Undo: [][]string{join(commands.undo, []string{banned})}}, Effect: Removes})
	case o.Manager == "wg-quick" && o.Name != "" && !strings.HasPrefix(o.Name, "-"):
		o.Name = host.Clean([]byte(o.Name), maxWords)
		o.Says = fmt.Sprintf("while the tunnel %s is up, only it may be used", strconv.Quote(o.Name))
		o.Fixes = append(o.Fixes, Fix{Fix: diagnose.Fix{Title: "take the tunnel down", NeedsRoot: true, Opens: "what goes past the tunnel", Risk: "medium",
			Commands: [][]string{{"wg-quick", "down", o.Name}}, Undo: [][]string{{"wg-quick", "up", o.Name}}}})
	}
}
