//go:build linux

package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	maxFirewallFile  = 4 << 20 // bytes
	maxFirewallText  = 16 << 20
	maxFirewallFiles = 500
	maxIncludes      = 8 // deep
)

// firewallFiles are where firewalls are configured, in the order in which each
// tool reads its own.
var firewallFiles = []string{
	"/etc/nftables.conf", "/etc/nftables/*.nft", "/etc/nftables.d/*.nft", "/etc/sysconfig/nftables.conf",
	"/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/iptables/iptables.rules", "/etc/iptables/ip6tables.rules", "/etc/iptables/ipsets",
	"/etc/iptables/rules-save", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables", "/etc/sysconfig/ipset", "/etc/ipset.conf",
	"/etc/iptables.rules", "/etc/iptables.up.rules", "/etc/ip6tables.up.rules",
	"/etc/default/ufw", "/etc/ufw/ufw.conf", "/etc/ufw/*.rules", "/lib/ufw/user.rules", "/lib/ufw/user6.rules",
	"/etc/firewalld/firewalld.conf", "/etc/firewalld/direct.xml", "/etc/firewalld/zones/*.xml", "/etc/firewalld/policies/*.xml",
	"/usr/lib/firewalld/zones/*.xml", "/usr/lib/firewalld/policies/*.xml",
	"/etc/fail2ban/jail.conf", "/etc/fail2ban/jail.d/*.conf", "/etc/fail2ban/jail.local", "/etc/fail2ban/jail.d/*.local",
	"/etc/docker/daemon.json",
}

// FirewallFiles reads what is there of [firewallFiles], and what the files of
// nftables include.
func (h *Host) FirewallFiles(ctx context.Context) (host.FirewallFiles, error) {
	return readFirewallFiles(ctx, "")
}

// firewallTree reads files below a root directory, within bounds that hold for
// all of them together.
type firewallTree struct {
	dir     configTree
	list    []host.File
	seen    map[string]bool
	text    int    // bytes read
	denied  string // the first file that was
	skipped string // the first that is not plain, or too large
	full    bool
}

func readFirewallFiles(ctx context.Context, root string) (host.FirewallFiles, error) {
	t := &firewallTree{dir: configTree{root: root}, seen: map[string]bool{}}
	for _, pattern := range firewallFiles {
		if err := ctx.Err(); err != nil {
			return host.FirewallFiles{}, fmt.Errorf("read the firewall's files: %w", err)
		}
		t.add(pattern, 0)
	}
	result := host.FirewallFiles{List: t.list}
	if t.denied != "" {
		result.Limits = append(result.Limits, host.Limit{What: "where the firewall is configured: " + clean(t.denied, 200), Why: "permission denied", Needs: "root"})
	}
	if t.skipped != "" {
		result.Limits = append(result.Limits, host.Limit{What: "where the firewall is configured: " + clean(t.skipped, 200),
			Why: fmt.Sprintf("it is over %d MiB, or no plain file", maxFirewallFile>>20), Needs: "a look at the file itself"})
	}
	if t.full {
		result.Limits = append(result.Limits, host.Limit{What: "further files of the firewall's configuration",
			Why: fmt.Sprintf("more than %d files or %d MiB", maxFirewallFiles, maxFirewallText>>20), Needs: "a look at the files themselves"})
	}
	return result, nil
}

// included is an include of nft(8).
var included = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^\s*include\s+"([^"\n]+)"`) })

func (t *firewallTree) add(pattern string, depth int) {
	for _, name := range t.dir.glob(pattern) {
		if t.seen[name] || t.full {
			continue
		}
		t.seen[name] = true
		data, _, err := readRegular(t.dir.root+name, maxFirewallFile)
		switch {
		case os.IsPermission(err):
			t.denied = cmp.Or(t.denied, name)
		case errors.Is(err, fs.ErrInvalid):
			t.skipped = cmp.Or(t.skipped, name)
		case err != nil:
		case len(t.list) == maxFirewallFiles || t.text+len(data) > maxFirewallText:
			t.full = true
		default:
			text := clean(string(data), maxFirewallFile)
			if strings.HasPrefix(name, "/etc/fail2ban/") {
				text = jailLines(text)
			}
			if name == "/etc/docker/daemon.json" {
				text = dockerSettings(text)
			}
			t.text += len(data)
			t.list = append(t.list, host.File{Path: name, Text: text})
			if depth < maxIncludes && strings.Contains(name, "nftables") {
				for _, m := range included().FindAllStringSubmatch(text, -1) {
					t.include(name, m[1], depth+1)
				}
			}
		}
	}
}

// include reads what a file of nftables names. A relative path starts at nft's
// directory of includes, /etc.
func (t *firewallTree) include(from, pattern string, depth int) {
	switch {
	case path.IsAbs(pattern):
	case strings.HasPrefix(pattern, "./"):
		pattern = path.Join(path.Dir(from), pattern)
	default:
		pattern = path.Join("/etc", pattern)
	}
	t.add(path.Clean(pattern), depth)
}

// jailLine is a section of fail2ban's jail.conf(5), or a setting that says what
// the jail does. Others may hold keys of services that are told of bans.
var jailLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*(\[[^\]]*\]|(enabled|port|protocol|filter|banaction|bantime|maxretry|findtime|ignoreip)\s*[=:].*)$`)
})

func jailLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !jailLine().MatchString(line) {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// dockerSetting is a setting of dockerd(8) that says what it does to the firewall.
// Others may hold the keys of registries and proxies.
var dockerSetting = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`"(iptables|ip6tables|userland-proxy|firewall-backend|ip-forward|icc)"\s*:\s*("\w*"|\w+)`)
})

func dockerSettings(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(dockerSetting().FindAllString(line, -1), " ")
	}
	return strings.Join(lines, "\n")
}
