//go:build linux

package linux

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules"
	iptables "github.com/portwhy/portwhy/rules/xtables"
)

// legacyText has what iptables-legacy takes for both families, with XX for an
// address and NN for a network.
const legacyText = `*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[7:8] -A PREROUTING -p udp -j ACCEPT
COMMIT
*mangle
:OUTPUT DROP [5:6]
-A OUTPUT -m mark ! --mark 0x1/0xff -o eth+ -j RETURN
COMMIT
*filter
:INPUT DROP [3:4]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:a - [0:0]
:empty - [0:0]
:z - [0:0]
-A INPUT ! -s NN -d XX -p tcp -m tcp --sport 1:9 ! --dport 22 -j a
-A INPUT -s XX,NN -d XX,NN -g z
-A INPUT
-A FORWARD ! -i lo ! -o eth0 ! -p udp
-A a -p 47 -j z
-A a -p tcp --syn -j empty
-I a 2 -p udp --dport 53 -m udp --sport 53 -j DROP
-A z -j QUEUE
COMMIT
`

// inOwnNamespace runs f on a thread with a network namespace of its own.
func inOwnNamespace(t testing.TB, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	onThreadOfItsOwn(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("make a network namespace: %v", err)
			return
		}
		f()
	})
}

func run(t testing.TB, input string, args ...string) []byte {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Errorf("%v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// The same rules read from the kernel's tables and from what iptables-save
// writes of them are the same model.
func TestLegacyLikeSave(t *testing.T) {
	for _, tool := range []string{"iptables-legacy", "ip6tables-legacy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs", tool)
		}
	}
	inOwnNamespace(t, func() {
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		if set, err := h.ReadLegacy(); err != nil || len(set.Tables) != 0 {
			t.Errorf("a new namespace has %+v, %v", set, err)
		}
		v4 := strings.NewReplacer("XX", "10.1.2.3", "NN", "192.0.2.0/255.255.255.0").Replace(legacyText) +
			"*nat\n-A OUTPUT -d 10.1.2.3/255.0.255.0 -f -j ACCEPT\nCOMMIT\n"
		v6 := strings.NewReplacer("XX", "2001:db8::1", "NN", "fe80::/10").Replace(legacyText)
		run(t, v4, "iptables-legacy-restore", "-c")
		run(t, v6, "ip6tables-legacy-restore", "-c")
		live, err := h.ReadLegacy()
		if err != nil {
			t.Error(err)
			return
		}
		if len(live.Tables) != 7 {
			t.Errorf("%d tables", len(live.Tables))
		}
		saved := append(run(t, "", "iptables-legacy-save", "-c"), run(t, "", "ip6tables-legacy-save", "-c")...)
		text, err := iptables.Parse("saved", saved, 0)
		if err != nil {
			t.Errorf("%v\n%s", err, saved)
			return
		}
		written, err := iptables.Parse("written", []byte(v4), rules.IP)
		if err != nil {
			t.Error(err)
			return
		}
		written6, err := iptables.Parse("written", []byte(v6), rules.IP6)
		if err != nil {
			t.Error(err)
			return
		}
		written.Merge(written6)
		for _, table := range live.Tables {
			sameTable(t, "saved", table, text)
			sameTable(t, "written", table, written)
		}
	})
}

// Files of well-known tools are given to iptables-legacy-restore: the kernel has
// what was read from them.
func TestLegacyFiles(t *testing.T) {
	for _, tool := range []string{"iptables-legacy-restore", "ip6tables-legacy-restore", "ipset"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs", tool)
		}
	}
	files, err := filepath.Glob("../../rules/xtables/testdata/*.rules")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	compared, unknown := 0, 0
	for _, file := range files {
		inOwnNamespace(t, func() {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
				return
			}
			set, err := iptables.Parse(file, text, 0)
			if err != nil {
				t.Error(err)
				return
			}
			run(t, "create blocklist hash:ip", "ipset", "restore")
			run(t, string(text), map[rules.Family]string{rules.IP: "iptables", rules.IP6: "ip6tables"}[set.Tables[0].Family]+"-legacy-restore", "-c")
			h, err := Open(Options{})
			if err != nil {
				t.Error(err)
				return
			}
			live, err := h.ReadLegacy()
			if err != nil {
				t.Error(err)
				return
			}
			for _, table := range live.Tables {
				forgetUnknown(table, set, &compared, &unknown)
				sameTable(t, file, table, set)
			}
		})
	}
	t.Logf("%d rules compared, %d have extensions that are not known", compared, unknown)
}

// forgetUnknown takes out of both what text can't tell: extensions that package
// xt doesn't know, and the numbers of sets.
func forgetUnknown(live *rules.Table, set *rules.Ruleset, compared, unknown *int) {
	for _, table := range set.Tables {
		if table.Name != live.Name {
			continue
		}
		byName(table)
		for i, c := range table.Chains {
			for j, r := range c.Rules {
				same := true
				for _, e := range r.Exprs.All() {
					_, opaque := e.(*rules.Opaque)
					m, match := e.(*rules.Match)
					same = same && !opaque && !(match && m.Sets != nil)
				}
				if *compared++; same {
					continue
				}
				*unknown++
				r.Exprs = rules.List{}
				if i < len(live.Chains) && j < len(live.Chains[i].Rules) {
					live.Chains[i].Rules[j].Exprs = rules.List{}
				}
			}
		}
	}
}

// byName puts the user's chains in the order in which iptables gives them to the
// kernel.
func byName(table *rules.Table) {
	slices.SortStableFunc(table.Chains, func(a, b *rules.Chain) int {
		if a.Base() || b.Base() {
			return 0
		}
		return strings.Compare(a.Name, b.Name)
	})
}

func TestLegacyARP(t *testing.T) {
	if _, err := exec.LookPath("arptables-legacy"); err != nil {
		t.Skip("needs arptables-legacy")
	}
	inOwnNamespace(t, func() {
		for _, args := range []string{"-N c", "-A INPUT -s 10.0.0.1 -j c", "-A c -j mangle --mangle-ip-s 10.0.0.2", "-P OUTPUT DROP"} {
			run(t, "", append([]string{"arptables-legacy"}, strings.Fields(args)...)...)
		}
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		set, err := h.ReadLegacy()
		if err != nil || len(set.Tables) != 1 || len(set.Tables[0].Chains) != 4 {
			t.Errorf("%+v, %v", set, err)
			return
		}
		chains := set.Tables[0].Chains
		if set.Tables[0].Family != rules.ARP || chains[1].Policy != "drop" || len(chains[0].Rules) != 1 || len(chains[3].Rules) != 1 {
			t.Errorf("%+v", set.Tables[0])
			return
		}
		if v, ok := at(chains[0].Rules[0].Exprs.All(), 1).(rules.Verdict); !ok || v.Chain != "c" {
			t.Errorf("%+v", chains[0].Rules[0].Exprs)
		}
		if target, ok := at(chains[3].Rules[0].Exprs.All(), 1).(*rules.Target); !ok || target.Ext != "mangle" {
			t.Errorf("%+v", chains[3].Rules[0].Exprs)
		}
	})
}

// Random rules are given to iptables-legacy-restore and to the parser: the kernel
// has what was read from the text.
func TestLegacyRandom(t *testing.T) {
	if _, err := exec.LookPath("iptables-legacy-restore"); err != nil {
		t.Skip("needs iptables-legacy-restore")
	}
	r := rand.New(rand.NewSource(1))
	inOwnNamespace(t, func() {
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		for round := range 60 {
			family, tool := rules.IP, "iptables-legacy"
			if round%2 == 1 {
				family, tool = rules.IP6, "ip6tables-legacy"
			}
			text := randomRules(r, family)
			run(t, text, tool+"-restore", "-c")
			live, err := h.ReadLegacy()
			if err != nil {
				t.Error(err)
				return
			}
			for _, from := range []string{text, string(run(t, "", tool+"-save", "-c"))} {
				set, err := iptables.Parse("text", []byte(from), family)
				if err != nil {
					t.Errorf("%v\n%s", err, from)
					return
				}
				for _, table := range live.Tables {
					if table.Family == family {
						sameTable(t, "text", table, set)
					}
				}
			}
			if t.Failed() {
				t.Logf("%s", text)
				return
			}
		}
	})
}

// randomRules makes a table as people write it: with options in any order and
// form.
func randomRules(r *rand.Rand, family rules.Family) string {
	one := func(list ...string) string { return list[r.Intn(len(list))] }
	address := func() string {
		if family == rules.IP6 {
			return one("::1", "2001:db8::/32", "fe80::1/ffff::", "2001:DB8::5/0x40", "::/0", "any/0", "::ffff:1.2.3.4")
		}
		return one("10.1.2.3", "10/8", "192.0.2.0/255.255.255.0", "1.2.3.4/255.0.255.0", "0/0", "any/0", "172.16.1/0x10", "010.0.0.1")
	}
	protocol := func() string {
		return one("tcp", "UDP", "6", "0x11", "sctp", "gre", "esp", "ah", "all", "2", "udplite", "icmp", "ipv6-icmp", "icmpv6", "253", "ospf")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*filter\n:INPUT %s [1:2]\n:FORWARD ACCEPT [0:0]\n:c0 - [0:0]\n:c1 - [0:0]\n:c2 - [0:0]\n", one("ACCEPT", "DROP"))
	for range 30 {
		chain := r.Intn(3)
		var options []string
		add := func(chance int, option string) {
			if r.Intn(chance) == 0 {
				options = append(options, option)
			}
		}
		not := one("", "", "! ")
		list := address()
		if not == "" && r.Intn(3) == 0 {
			list += "," + address()
		}
		add(2, not+one("-s ", "--source ", "--src ")+list)
		if !strings.Contains(list, ",") {
			add(2, one("", "! ")+one("-d ", "--dst ", "--destination ")+address())
		}
		// For IPv6, iptables-save doesn't write -p all, which the kernel keeps.
		if p := protocol(); p == "all" && family == rules.IP {
			add(2, "-p all")
		} else if p != "all" {
			add(2, one("", "! ")+one("-p ", "--protocol ", "--proto ")+p)
		}
		add(3, one("", "! ")+one("-i ", "--in-interface ")+one("eth0", "eth+", "lo", "br-1234567890ab"))
		add(3, one("", "! ")+one("-o ", "--out-interface ")+one("eth0", "wg+", "a"))
		add(3, "-m mark "+one("", "! ")+"--mark "+one("1", "0x10/0xf0", "7/7"))
		add(6, one("-c 3 4", "-c 7,8"))
		if family == rules.IP {
			add(6, one("", "! ")+one("-f", "--fragments"))
		}
		switch target := one("ACCEPT", "DROP", "RETURN", "c", "goto", "none"); {
		case target == "c" && chain < 2:
			options = append(options, one("-j ", "--jump ")+fmt.Sprintf("c%d", chain+1))
		case target == "goto" && chain < 2:
			options = append(options, one("-g ", "--goto ")+fmt.Sprintf("c%d", chain+1))
		case target[0] < 'a':
			options = append(options, one("-j ", "--jump ")+target)
		}
		r.Shuffle(len(options), func(i, j int) { options[i], options[j] = options[j], options[i] })
		name := []string{"FORWARD", "c1", "c2"}[chain]
		if chain > 0 {
			name = fmt.Sprintf("c%d", chain)
		}
		command := one("-A ", "--append ", "-A", "[9:10] -A ", "-I ", "--insert=")
		if strings.Contains(strings.Join(options, " "), "-c") {
			command = "-A "
		}
		fmt.Fprintf(&b, "%s%s %s\n", command, name, strings.Join(options, one(" ", "  ", "\t")))
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// sameTable compares a live table with the one of its name in a set that was
// read from text. Only text has lines and files; counters are compared where
// the text has them.
func sameTable(t *testing.T, from string, live *rules.Table, set *rules.Ruleset) {
	t.Helper()
	for _, table := range set.Tables {
		if table.Family != live.Family || table.Name != live.Name {
			continue
		}
		if len(table.Chains) != len(live.Chains) {
			t.Errorf("%s: table %s has %d chains, live %d", from, live.Name, len(table.Chains), len(live.Chains))
			return
		}
		for i, c := range table.Chains {
			sameChain(t, from+": table "+table.Family.String()+" "+table.Name, live.Chains[i], c)
		}
		return
	}
	t.Errorf("%s: there is no table %s %s", from, live.Family, live.Name)
}

func sameChain(t *testing.T, from string, live, text *rules.Chain) {
	t.Helper()
	a, b := *live, *text
	a.Rules, b.Rules = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s: chain %+v, live %+v", from, b, a)
	}
	if len(live.Rules) != len(text.Rules) {
		t.Errorf("%s: chain %s has %d rules, live %d", from, text.Name, len(text.Rules), len(live.Rules))
		return
	}
	for i := range live.Rules {
		a, b := *live.Rules[i], *text.Rules[i]
		of, told := a.About(), b.About()
		if !told.Counted {
			of.Counted, of.Packets, of.Bytes = false, 0, 0
		}
		told.File, b.Text, b.Line = "", "", 0
		a.Tell(of)
		b.Tell(told)
		exprs, other := a.Exprs.All(), b.Exprs.All()
		a.Exprs, b.Exprs = rules.ListOf(exprs...), rules.ListOf(other...)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: chain %s: %s", from, text.Name, text.Rules[i].Text)
			for j := range max(len(exprs), len(other)) {
				t.Errorf("  text %+v, live %+v", at(other, j), at(exprs, j))
			}
		}
	}
}

func at(exprs []rules.Expr, i int) any {
	if i >= len(exprs) {
		return "nothing"
	}
	if v, ok := exprs[i].(*rules.Immediate); ok {
		return *v.Verdict
	}
	return exprs[i]
}
