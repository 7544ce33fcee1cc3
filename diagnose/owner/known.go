package owner

import (
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// sign is how a manager's rules are told from others: by names that it gives.
// A pattern that ends in * stands for all names that begin so. What is for the
// star names the thing that the rule is about, if the sign says so.
type sign struct {
	manager string
	table   string // of nftables
	chain   string
	set     string // of nftables or ipset
	comment string
	thing   string // what the star stands for: jail, device, …
	backend rules.Backend
}

// signs are tried in their order. The names are those in the sources of each
// manager: of its rules, not of its configuration.
var signs = []sign{
	{manager: "ufw", chain: "ufw-*"},
	{manager: "ufw", chain: "ufw6-*"},

	{manager: "fail2ban", table: "f2b-table", set: "addr-set-*", thing: "jail"},
	{manager: "fail2ban", table: "f2b-table", set: "addr6-set-*", thing: "jail"},
	{manager: "fail2ban", table: "f2b-table"},
	{manager: "fail2ban", chain: "f2b-*", thing: "jail"},
	{manager: "fail2ban", chain: "fail2ban-*", thing: "jail"},
	{manager: "fail2ban", set: "f2b-*", thing: "jail"},
	{manager: "fail2ban", set: "fail2ban-*", thing: "jail"},

	{manager: "crowdsec", table: "crowdsec*"},
	{manager: "crowdsec", chain: "CROWDSEC_CHAIN*"},
	{manager: "crowdsec", set: "crowdsec-*"},
	{manager: "crowdsec", set: "crowdsec6-*"},
	{manager: "sshguard", table: "sshguard"},
	{manager: "sshguard", chain: "sshguard"},
	{manager: "sshguard", set: "sshguard*"},

	{manager: "firewalld", table: "firewalld"},
	{manager: "firewalld", table: "firewalld_policy_drop"},

	{manager: "docker", chain: "DOCKER", backend: rules.IptablesNFT},
	{manager: "docker", chain: "DOCKER", backend: rules.IptablesLegacy},
	{manager: "docker", chain: "DOCKER-*"},
	{manager: "docker", table: "docker-bridges"},
	{manager: "podman", chain: "NETAVARK*"},
	{manager: "podman", table: "netavark"},
	{manager: "podman", chain: "CNI-*", comment: `name: "podman*`},

	{manager: "kubelet", chain: "KUBE-KUBELET-*"},
	{manager: "kube-router", chain: "KUBE-ROUTER-*"},
	{manager: "kube-router", chain: "KUBE-NWPLCY-*"},
	{manager: "kube-router", chain: "KUBE-POD-FW-*"},
	{manager: "kube-proxy", chain: "KUBE-*"},
	{manager: "kube-proxy", table: "kube-proxy"},
	{manager: "calico", chain: "cali-*"},
	{manager: "calico", table: "calico"},
	{manager: "calico", comment: "cali:*"},
	{manager: "cilium", chain: "CILIUM_*"},
	{manager: "flannel", chain: "FLANNEL-*"},
	{manager: "flannel", table: "flannel-*"},
	{manager: "weave", chain: "WEAVE*"},
	{manager: "antrea", chain: "ANTREA-*"},
	{manager: "aws-vpc-cni", chain: "AWS-*"},
	{manager: "cni", chain: "CNI-*"},
	{manager: "istio", chain: "ISTIO_*"},

	{manager: "tailscale", chain: "ts-input"},
	{manager: "tailscale", chain: "ts-forward"},
	{manager: "tailscale", chain: "ts-postrouting"},
	{manager: "wg-quick", table: "wg-quick-*", thing: "device"},
	{manager: "wg-quick", comment: "wg-quick(8) rule for *", thing: "device"},
	{manager: "mullvad", table: "mullvad"},
	{manager: "nordvpn", comment: "nordvpn*"},
	{manager: "opensnitch", table: "opensnitch"},
	{manager: "opensnitch", chain: "opensnitch-*"},
	{manager: "portmaster", chain: "PORTMASTER-*"},

	{manager: "libvirt", chain: "LIBVIRT_*"},
	{manager: "libvirt", table: "libvirt_network"},
	{manager: "lxd", table: "lxd"},
	{manager: "lxd", comment: "generated for LXD network *", thing: "network"},
	{manager: "incus", table: "incus"},
	{manager: "incus", comment: "generated for Incus network *", thing: "network"},
	{manager: "NetworkManager", table: "nm-shared-*", thing: "device"},
	{manager: "NetworkManager", chain: "sh-in-*", thing: "device"},
	{manager: "NetworkManager", chain: "sh-fw-*", thing: "device"},
	{manager: "systemd", table: "io.systemd.nat"},
	{manager: "miniupnpd", chain: "MINIUPNPD*"},
	{manager: "miniupnpd", table: "miniupnpd"},
	{manager: "openwrt", table: "fw4"},
}

// ownChains are chains that a manager makes for others to fill.
var ownChains = map[string]bool{"DOCKER-USER": true}

// byTable are managers whose chains have plain names: all chains of a table are
// theirs if it has these.
var byTable = []struct {
	manager string
	chains  []string
}{
	{"csf", []string{"LOCALINPUT", "DENYIN"}},
	{"csf", []string{"LOCALINPUT", "LOGDROPIN"}},
	{"shorewall", []string{"shorewall", "dynamic"}},
	{"firewalld", []string{"INPUT_ZONES", "FORWARD_ZONES"}}, // with iptables as its backend
}

// setsPolicy are managers that set the policy of the built-in chain that leads
// to theirs.
var setsPolicy = map[string]bool{"ufw": true, "csf": true, "shorewall": true}

// matches reports whether a pattern is for a name, and what its star stands for.
func matches(pattern, name string) (rest string, ok bool) {
	if prefix, star := strings.CutSuffix(pattern, "*"); star {
		return strings.CutPrefix(name, prefix)
	}
	return "", pattern == name
}

// matches reports whether a rule has the sign, and what it names.
func (s sign) matches(p *place) (name string, ok bool) {
	if s.backend != "" && s.backend != p.table.Backend {
		return "", false
	}
	has := func(pattern string, names ...string) bool {
		if pattern == "" {
			return true
		}
		for _, n := range names {
			if rest, ok := matches(pattern, n); ok {
				if rest != "" {
					name = rest
				}
				return true
			}
		}
		return false
	}
	if !has(s.table, p.table.Name) || !has(s.chain, p.chain.Name) || !has(s.set, p.sets()...) || !has(s.comment, p.comment()) {
		return "", false
	}
	if s.table != "" && p.table.Backend != rules.NFT {
		return "", false
	}
	if s.thing == "" {
		name = ""
	}
	return name, true
}

// manager says whose rule or policy it is by the names around it, and the name
// of what it is about; empty if they don't tell.
func (p *place) manager() (manager, name string) {
	if ownChains[p.chain.Name] {
		return "", ""
	}
	for _, s := range signs {
		if name, ok := s.matches(p); ok {
			return s.manager, name
		}
	}
	for _, t := range byTable {
		all := true
		for _, c := range t.chains {
			all = all && p.table.Chain(c) != nil
		}
		if all && (p.rule != nil || setsPolicy[t.manager]) {
			return t.manager, ""
		}
	}
	if p.rule == nil && p.table.Backend != rules.NFT {
		return p.policyManager(), ""
	}
	return "", ""
}

// policyManager says who set a built-in chain's policy: one to whose chains it
// leads.
func (p *place) policyManager() string {
	manager := ""
	for _, r := range p.chain.Rules {
		to := p.table.Chain(target(r))
		if to == nil {
			continue
		}
		switch m, _ := (&place{table: p.table, chain: to}).manager(); {
		case setsPolicy[m]:
			return m
		case m == "docker" || to.Name == "DOCKER-USER":
			if p.chain.Name == "FORWARD" {
				manager = "docker" // it sets that policy when it turns forwarding on
			}
		}
	}
	return manager
}

// target is the chain that a rule leads to.
func target(r *rules.Rule) string {
	for _, e := range r.Exprs.All() {
		if i, ok := e.(*rules.Immediate); ok && i.Verdict != nil {
			return i.Verdict.Chain
		}
	}
	return ""
}
