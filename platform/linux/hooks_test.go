//go:build linux

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
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

func TestHooksLive(t *testing.T) {
	name, h := labNetNS(t, "hooks")
	hooks, err := h.Hooks(t.Context())
	if err != nil || len(hooks.List) != 0 || len(hooks.Limits) != 0 {
		t.Fatalf("empty: %+v, %v", hooks, err)
	}
	inLab(t, name, "link add near type veth peer name far")
	rules := t.TempDir() + "/rules"
	if err := os.WriteFile(rules, []byte(`
table inet f {
	chain in { type filter hook input priority -5; policy drop;
		tcp dport 80 accept
		jump other
		jump other
	}
	chain other { tcp dport 81 drop; tcp dport 82 drop; }
	chain out { type route hook output priority 0; policy accept; }
}
table netdev n {
	chain i { type filter hook ingress devices = { near, far } priority 7; drop; }
}
table arp a { chain x { type filter hook output priority 0; }; }
table ip sleeping { flags dormant; chain x { type filter hook input priority 0; drop; }; }
table ip nat { chain PREROUTING { type nat hook prerouting priority -100; } ; chain mine { type filter hook input priority 3; }; }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, name, "nft", "-f", rules)
	within(t, name, "iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "DROP")
	within(t, name, "iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "9", "-j", "REDIRECT")
	within(t, name, "ip6tables-legacy", "-P", "FORWARD", "DROP")
	within(t, name, "ip6tables-legacy", "-A", "INPUT", "-m", "tcp", "-p", "tcp", "--dport", "9", "-j", "DROP")
	within(t, name, "ip6tables-legacy", "-A", "INPUT", "-j", "ACCEPT")
	hooks, err = h.Hooks(t.Context())
	if err != nil || len(hooks.Limits) != 0 {
		t.Fatalf("%+v, %v", hooks, err)
	}
	for _, want := range []host.Hook{
		{Backend: "nft", Family: "inet", Table: "f", Chain: "in", Hook: "input", Priority: -5, Policy: "drop", Type: "filter", Rules: 3},
		{Backend: "nft", Family: "inet", Table: "f", Chain: "out", Hook: "output", Policy: "accept", Type: "route"},
		{Backend: "nft", Family: "netdev", Table: "n", Chain: "i", Hook: "ingress", Priority: 7, Policy: "accept", Type: "filter", Rules: 1, Device: "near far"},
		{Backend: "nft", Family: "arp", Table: "a", Chain: "x", Hook: "output", Policy: "accept", Type: "filter"},
		{Backend: "nft", Family: "ip", Table: "nat", Chain: "PREROUTING", Hook: "prerouting", Priority: -100, Policy: "accept", Type: "nat"},
		{Backend: "nft", Family: "ip", Table: "nat", Chain: "mine", Hook: "input", Priority: 3, Policy: "accept", Type: "filter"},
		{Backend: "iptables-nft", Family: "ip", Table: "filter", Chain: "INPUT", Hook: "input", Policy: "accept", Type: "filter", Rules: 1},
		{Backend: "iptables-legacy", Family: "ip", Table: "nat", Chain: "OUTPUT", Hook: "output", Priority: -100, Policy: "accept", Type: "nat", Rules: 1},
		{Backend: "iptables-legacy", Family: "ip", Table: "nat", Chain: "POSTROUTING", Hook: "postrouting", Priority: 100, Policy: "accept", Type: "nat"},
		{Backend: "iptables-legacy", Family: "ip6", Table: "filter", Chain: "INPUT", Hook: "input", Policy: "accept", Type: "filter", Rules: 2},
		{Backend: "iptables-legacy", Family: "ip6", Table: "filter", Chain: "FORWARD", Hook: "forward", Policy: "drop", Type: "filter"},
		{Backend: "iptables-legacy", Family: "ip6", Table: "filter", Chain: "OUTPUT", Hook: "output", Policy: "accept", Type: "filter"},
	} {
		i := slices.Index(hooks.List, want)
		if i < 0 {
			// The order of devices is the kernel's.
			other := want
			other.Device = "far near"
			i = slices.Index(hooks.List, other)
		}
		if i < 0 {
			t.Errorf("missing %+v", want)
			continue
		}
		hooks.List = slices.Delete(hooks.List, i, i+1)
	}
	for _, rest := range hooks.List {
		// What the tools made besides: the other chains of their tables.
		if rest.Rules != 0 || rest.Policy != "accept" || !strings.HasPrefix(rest.Backend, "iptables-") {
			t.Errorf("too many: %+v", rest)
		}
	}
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
		"hooks":      second(h.Hooks(ctx)),
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

func TestHooksLimit(t *testing.T) {
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
		limits, err := hooksLimit("x", c.err)
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
