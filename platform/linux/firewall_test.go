//go:build linux

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// within runs a command in a network namespace.
func within(t *testing.T, name string, args ...string) string {
	t.Helper()
	return command(t, "nsenter", append([]string{"--net=/run/netns/" + name}, args...)...)
}

// TestLookingChangesNothing asks everything of a namespace in which nothing has
// been asked yet, and compares.
func TestLookingChangesNothing(t *testing.T) {
	name, h := labNetNS(t, "nothing")
	state := func() string {
		modules, err := os.ReadFile("/proc/modules")
		if errors.Is(err, fs.ErrNotExist) {
			t.Log("this kernel loads no modules (CONFIG_MODULES), so the list of modules can't tell a change")
		}
		s := string(modules)
		for _, file := range []string{"ip_tables_names", "ip6_tables_names", "arp_tables_names", "netfilter/nf_log", "netlink"} {
			s += file + "\n" + within(t, name, "cat", "/proc/net/"+file)
		}
		// Sockets of netlink that come and go have addresses; the kernel's have port 0.
		var kept []string
		for line := range strings.Lines(s) {
			if f := strings.Fields(line); len(f) == 10 && (f[2] != "0" || f[0] == "sk") {
				continue
			} else if len(f) == 10 {
				line = f[1] + "\n"
			}
			kept = append(kept, line)
		}
		return strings.Join(kept, "") + within(t, name, "sysctl", "-a", "--pattern", "^net.netfilter.nf_conntrack_(count|max)")
	}
	before := state()
	ctx := t.Context()
	for what, err := range map[string]error{
		"links":      second(h.Links(ctx)),
		"legacy":     second(h.ReadLegacy()),
		"ipsets":     second(h.IPSets(ctx)),
		"addresses":  second(h.Addresses(ctx)),
		"routes":     second(h.Routes(ctx)),
		"rules":      second(h.Rules(ctx)),
		"neighbours": second(h.Neighbours(ctx)),
		"qdiscs":     second(h.Qdiscs(ctx)),
		"transforms": second(h.Transforms(ctx)),
		"route":      second(h.RouteTo(ctx, query("127.0.0.1"))),
		"sysctl":     second(h.Sysctl(ctx, "net.ipv4.ip_forward")),
		"counters":   second(h.Counters(ctx)),
		"namespaces": second(h.Namespaces(ctx)),
		"firewall":   second(h.Firewall(ctx)),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := state(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if ruleset := within(t, name, "nft", "list", "ruleset"); ruleset != "" {
		t.Errorf("rules: %s", ruleset)
	}
}

func second[T any](_ T, err error) error { return err }

func TestFirewallLimit(t *testing.T) {
	for _, c := range []struct {
		err    error
		limits int
		fails  bool
	}{
		{nil, 0, false},
		{fmt.Errorf("x: %w", host.ErrUnsupported), 0, false},
		{fmt.Errorf("x: %w", unix.EPERM), 1, false},
		{fmt.Errorf("x: %w", fs.ErrPermission), 1, false},
		{errModuleUnknown, 1, false},
		{errTableChanged, 1, false},
		{errMalformed, 0, true},
	} {
		limits, err := firewallLimit("x", c.err)
		if len(limits) != c.limits || (err != nil) != c.fails {
			t.Errorf("%v: %+v, %v", c.err, limits, err)
		}
	}
}

func FuzzTableNames(f *testing.F) {
	f.Add([]byte("filter\nnat\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range tableNames(b) {
			if name == "" || len(name) >= xtNameSize {
				t.Errorf("%q", name)
			}
		}
	})
}
