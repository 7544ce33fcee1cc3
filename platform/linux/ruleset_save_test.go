//go:build linux

package linux

import (
	"context"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
	"github.com/portwhy/portwhy/rules/text"
	iptables "github.com/portwhy/portwhy/rules/xtables"
)

var saveTools = []string{"iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft"}

func needSaveTools(t *testing.T) {
	t.Helper()
	for _, tool := range append([]string{"ipset", "nft"}, saveTools...) {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs", tool)
		}
	}
}

func toolFamily(tool string) rules.Family {
	if strings.HasPrefix(tool, "ip6") {
		return rules.IP6
	}
	return rules.IP
}

// saveLines are the rules of the corpora for one family, by table.
func saveLines(t testing.TB, family rules.Family) map[string][]string {
	t.Helper()
	digit := map[rules.Family]string{rules.IP: "4", rules.IP6: "6"}[family]
	all := map[string][]string{}
	for _, file := range []string{"../../rules/text/testdata/iptables.txt", "../../rules/xt/testdata/lines.txt"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
			if len(f) == 3 && strings.Contains(f[0], digit) && f[0] != "#" {
				all[f[1]] = append(all[f[1]], "-A "+f[2])
			}
		}
	}
	return all
}

// restore loads rules into a table; of rules that are refused all others.
func restore(tool, table string, lines []string) (refused int) {
	c := exec.Command(tool+"-restore", "--noflush", "-c")
	c.Stdin = strings.NewReader("*" + table + "\n" + strings.Join(lines, "\n") + "\nCOMMIT\n")
	if c.Run() == nil {
		return 0
	}
	if len(lines) == 1 {
		return 1
	}
	half := len(lines) / 2
	return restore(tool, table, lines[:half]) + restore(tool, table, lines[half:])
}

// Each rule of the corpora is printed as the tool saves it that made it.
func TestPrintedLikeSave(t *testing.T) {
	needSaveTools(t)
	for _, tool := range saveTools {
		t.Run(tool, func(t *testing.T) {
			inOwnNamespace(t, func() {
				for _, set := range []string{"blue hash:ip", "green hash:ip,port", "red hash:ip,port,ip"} {
					for suffix, inet := range map[string]string{"": "inet", "6": "inet6"} {
						name, kind, _ := strings.Cut(set, " ")
						run(t, "", "ipset", "create", name+suffix, kind, "family", inet, "counters", "skbinfo")
					}
				}
				for table, lines := range saveLines(t, toolFamily(tool)) {
					chains := []string{":c1 - [0:0]", ":c2 - [0:0]", ":B - [0:0]"}
					if refused := restore(tool, table, append(chains, lines...)); refused > 0 {
						t.Logf("%s: table %s: %d of %d rules are refused here", tool, table, refused, len(lines))
					}
				}
				if n := comparePrinted(t, tool, false); n < 230 {
					t.Errorf("%s: only %d lines", tool, n)
				}
			})
		})
	}
}

// Files of well-known tools, with the counters that they have.
func TestPrintedFilesLikeSave(t *testing.T) {
	needSaveTools(t)
	files, err := filepath.Glob("../../rules/xtables/testdata/*.rules")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, tool := range saveTools {
				if strings.HasPrefix(tool, "ip6") != strings.Contains(file, "6") {
					continue
				}
				inOwnNamespace(t, func() {
					run(t, "create blocklist hash:ip", "ipset", "restore")
					// A table of nftables is iptables-nft's if it has a built-in chain.
					whole := strings.Replace(string(b), "*filter\n", "*filter\n:INPUT ACCEPT [0:0]\n", 1)
					run(t, whole, tool+"-restore", "-c")
					comparePrinted(t, tool, true)
				})
			}
		})
	}
}

// Random rules, as people write them.
func TestPrintedRandomLikeSave(t *testing.T) {
	needSaveTools(t)
	r := rand.New(rand.NewSource(3))
	for _, tool := range saveTools {
		t.Run(tool, func(t *testing.T) {
			inOwnNamespace(t, func() {
				for range 3 {
					lines := strings.Split(strings.TrimSuffix(randomRules(r, toolFamily(tool)), "COMMIT\n"), "\n")
					restore(tool, "filter", lines[1:])
					if comparePrinted(t, tool, true); t.Failed() {
						return
					}
				}
			})
		})
	}
}

// Rules that nft has added to a table of iptables-nft: those of the first list
// iptables-nft-save takes for its own; of the second it drops something or gives
// up, so that they are printed as nft writes them.
func TestPrintedForeignRules(t *testing.T) {
	needSaveTools(t)
	theirs := strings.Split(`ip saddr 10.0.0.0/8 tcp dport 22 accept
ip saddr 10.1.2.3 ip daddr 192.168.0.0/15 counter drop
ip protocol udp udp sport 53
ip protocol != tcp
tcp dport 5-9 counter jump c1
tcp dport != 5-9 goto c1
tcp sport >= 1024
tcp sport < 1024 tcp dport > 80
tcp flags & (syn | ack) == syn
tcp flags & (fin | syn) != syn tcp dport 80
udp sport 67 udp dport 68
meta pkttype broadcast drop
meta pkttype != host
meta mark 0x5
meta mark & 0xff != 0x10 return
ip ttl 64
ip ttl != 5
ip ttl < 5
ip ttl >= 5
icmp type echo-request accept
icmp type 3 icmp code 4
iifname "eth*" oifname != "wg0"
iifname "eth0\\*"
limit rate 10/minute burst 7 packets accept
limit rate 100/hour
log group 5 prefix "a b"
log group 2 snaplen 64 queue-threshold 3
ip saddr & 255.0.255.0 == 10.0.1.0
ip frag-off & 0x1fff != 0
meta nftrace set 1
ip daddr 1.2.3.4 comment "by nft"`, "\n")
	ours := strings.Split(`iif "lo" accept
tcp dport { 22, 80 } accept
ip saddr @s drop
log prefix "to syslog"
limit rate 1500/second
limit rate over 5/second
limit rate 5 kbytes/second
tcp dport 22 tcp dport 80
ip saddr 10.0.0.1 ip saddr != 10.0.0.2
ct state established accept
icmp type != echo-request
ip protocol != tcp th dport 5
meta mark set 5
udp length 5
ip dscp 3
meta nftrace set 1 accept
counter counter
reject
ct count 5
meta length 5
tcp flags & ecn == 0`, "\n")
	inOwnNamespace(t, func() {
		run(t, "*filter\n:INPUT DROP [3:4]\n:c1 - [0:0]\nCOMMIT\n", "iptables-nft-restore", "-c")
		run(t, "add rule ip filter INPUT "+strings.Join(theirs, "\nadd rule ip filter INPUT ")+"\n", "nft", "-f", "-")
		comparePrinted(t, "iptables-nft", false)
		run(t, "add set ip filter s { type ipv4_addr; }\nadd counter ip filter n\nadd rule ip filter c1 "+strings.Join(ours, "\nadd rule ip filter c1 ")+"\n", "nft", "-f", "-")
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		all, err := h.ReadNFT(context.Background())
		if err != nil || len(all.Tables) != 1 {
			t.Error(all, err)
			return
		}
		printed := (&text.Printer{Interface: func(uint32) string { return "" }}).Table(all.Tables[0])
		if !strings.HasPrefix(printed, "# \tcounter n {\n") || !strings.Contains(printed, "# \tset s {\n# \t\ttype ipv4_addr\n# \t}\n*filter\n") {
			t.Errorf("the counter and set are not said:\n%s", printed)
		}
		if n := strings.Count(printed, "\n-A c1 [nft] "); n != len(ours) {
			t.Errorf("%d of %d rules are nft's:\n%s", n, len(ours), printed)
		}
	})
}

// comparePrinted compares what is printed of the namespace's tables with what
// the tool saves, and says how many lines that were.
func comparePrinted(t *testing.T, tool string, counters bool) int {
	t.Helper()
	family := toolFamily(tool)
	h, err := Open(Options{})
	if err != nil {
		t.Error(err)
		return 0
	}
	all, err := everything(h)
	if err != nil {
		t.Error(err)
		return 0
	}
	ipset.NameSets(all)
	args := []string{tool + "-save"}
	if counters {
		args = append(args, "-c")
	}
	saved := map[string][]string{}
	for table := range strings.SplitAfterSeq(string(run(t, "", args...)), "COMMIT\n") {
		lines := slices.DeleteFunc(strings.SplitAfter(table, "\n"), func(l string) bool { return l == "" || l[0] == '#' })
		if len(lines) > 0 {
			saved[strings.TrimSpace(lines[0][1:])] = lines
		}
	}
	n := 0
	p := &text.Printer{Counters: counters}
	for _, table := range all.Tables {
		if table.Family != family || !strings.HasSuffix(tool, strings.TrimPrefix(string(table.Backend), "iptables")) {
			continue
		}
		printed := p.Table(table)
		got, want := strings.SplitAfter(printed, "\n"), append(saved[table.Name], "")
		n += len(want)
		if len(got) != len(want) {
			t.Errorf("%s: table %s has %d lines, want %d\n%s", tool, table.Name, len(got), len(want), printed)
			continue
		}
		whole := true
		for i := range want {
			// A mask that is given has 4 bytes, the default of recent and connlimit all 16.
			whole = whole && !strings.Contains(got[i], " --mask ") && !strings.Contains(got[i], " --connlimit-mask ")
			if got[i] != want[i] {
				t.Errorf("%s: table %s\n got %s\nwant %s", tool, table.Name, got[i], want[i])
			}
		}
		if table.Backend == rules.IptablesLegacy && whole {
			readAgain(t, table, (&text.Printer{Counters: true}).Table(table))
		}
		delete(saved, table.Name)
	}
	if len(saved) != 0 {
		t.Errorf("%s: not printed: %v", tool, saved)
	}
	return n
}

// readAgain compares a live table with what is read from its text.
func readAgain(t *testing.T, table *rules.Table, printed string) {
	t.Helper()
	set, err := iptables.Parse("printed", []byte(printed), table.Family)
	if err != nil {
		t.Errorf("%v\n%s", err, printed)
		return
	}
	numberless(table)
	sameTable(t, "printed", table, set)
}

// numberless takes the numbers of ipsets out of live rules, which text doesn't
// tell.
func numberless(table *rules.Table) {
	for _, c := range table.Chains {
		for _, r := range c.Rules {
			exprs := r.Exprs.All()
			for i, e := range exprs {
				switch e := e.(type) {
				case *rules.Match:
					if e.Ext == "set" {
						again := *e
						again.Data = append([]byte{0xff, 0xff}, e.Data[2:]...)
						exprs[i] = &again
					}
				case *rules.Target:
					if e.Ext == "SET" {
						again := *e
						again.Data = slices.Clone(e.Data)
						for at := 0; at < 12; at += 4 {
							again.Data[at], again.Data[at+1] = 0xff, 0xff
						}
						exprs[i] = &again
					}
				}
			}
			r.Exprs = rules.ListOf(exprs...)
		}
	}
}
