//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Sizes of the firewalls that are measured.
const (
	manyRules    = 50_000
	manyChains   = 2_000
	chainRules   = 10
	manyElements = 1_000_000
	fileRules    = 5_000
	largeFile    = 100 << 20 // bytes
)

// Goals of what has nothing to be compared with.
const (
	verdictTime = time.Millisecond
	rulesRate   = 20e6 // in a second
	parseTime   = 50 * time.Millisecond
	fileFactor  = 4 // of a file's size, in memory
)

// runFirewall measures how rules are read, asked and shown. Each part loads rules of
// its own into this namespace, and takes them out again.
func runFirewall(out io.Writer, o options) (met bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "portwhy-bench")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	f := &firewallBench{out: out, o: o, self: self, dir: dir, met: true}
	for _, part := range []struct {
		needs string
		run   func() error
	}{
		{"iptables-legacy-restore", f.legacy}, {"nft", f.native}, {"iptables-nft-restore", f.iptablesNFT}, {"nft", f.chains},
		{"nft", f.set}, {"ipset", f.ipset}, {"", f.files},
	} {
		if part.needs != "" {
			if _, err := exec.LookPath(part.needs); err != nil {
				fmt.Fprintf(out, "%s is not installed\n", part.needs)
				continue
			}
		}
		if err := part.run(); err != nil {
			return false, err
		}
	}
	return f.met, nil
}

// firewallBench is a measurement of the firewall part. This program itself, run
// as a child, reads rules through the adapter and nothing else.
type firewallBench struct {
	out       io.Writer
	o         options
	self, dir string
	met       bool
}

func (f *firewallBench) title(format string, args ...any) {
	fmt.Fprintf(f.out, "\n"+format+"\n"+heading, args...)
}

func (f *firewallBench) child(args ...string) []string {
	return append([]string{f.self, "-child"}, args...)
}

// pair is like [pair], and remembers whether a goal is missed.
func (f *firewallBench) pair(what string, ours, theirs []string, g goal) error {
	ok, err := pair(f.out, what, ours, theirs, f.o.pairs, g)
	f.met = f.met && ok
	return err
}

// show compares the pages that the tools write. That of portwhy has the rules of
// all tools.
func (f *firewallBench) show(theirs ...string) error {
	return f.pair("portwhy rules: "+strings.Join(theirs, " "), []string{f.o.portwhy, "rules"}, theirs, goal{})
}

// load writes rules to a file and has a tool read it.
func (f *firewallBench) load(argv []string, write func(w io.Writer)) error {
	path := filepath.Join(f.dir, "rules")
	if err := writeFile(path, write); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = file
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.500s", strings.Join(argv, " "), err, out)
	}
	return os.Remove(path)
}

func writeFile(path string, write func(w io.Writer)) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	write(w)
	return errors.Join(w.Flush(), file.Close())
}

// counted checks that a child has read so many rules: a fast wrong answer is not
// worth measuring.
func (f *firewallBench) counted(want int) error {
	got, err := f.ask("read")
	if err == nil && int(got) != want {
		err = fmt.Errorf("%.0f rules were read, there are %d", got, want)
	}
	return err
}

// ask runs a child and returns the number that it prints.
func (f *firewallBench) ask(args ...string) (float64, error) {
	argv := f.child(args...)
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// within measures something within a child, which tells a number: met if it is
// at most (or, for a rate, at least) the goal.
func (f *firewallBench) within(what, unit string, scale, goal float64, rate bool, args ...string) error {
	var list []float64
	for range f.o.pairs {
		v, err := f.ask(args...)
		if err != nil {
			return err
		}
		list = append(list, v/scale)
	}
	v := median(list, func(f float64) float64 { return f })
	bound, met := "≤", v <= goal
	if rate {
		bound, met = "≥", v >= goal
	}
	state := "met"
	if !met {
		state, f.met = "MISSED", false
	}
	fmt.Fprintf(f.out, "%s\t%.2f %s\t\t\t\t\t\t\t%s %g %s %s\n", what, v, unit, bound, goal, unit, state)
	return nil
}

func (f *firewallBench) rate(what string, args ...string) error {
	return f.within(what, "M rules/s of CPU", 1e6, rulesRate/1e6, true, append([]string{"pass"}, args...)...)
}

func (f *firewallBench) flushNFT() error {
	return f.load([]string{"nft", "flush", "ruleset"}, func(io.Writer) {})
}

// saved writes rules of iptables: of different addresses and ports.
func saved(w io.Writer, n int) {
	fmt.Fprint(w, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	for i := range n {
		fmt.Fprintf(w, "-A INPUT -s 10.%d.%d.%d/32 -p tcp -m tcp --dport %d -j ACCEPT\n", i>>16&0xff, i>>8&0xff, i&0xff, 1+i%60000)
	}
	fmt.Fprint(w, "COMMIT\n")
}

func (f *firewallBench) legacy() error {
	f.title("iptables-legacy: %d rules in one chain", manyRules)
	if err := f.load([]string{"iptables-legacy-restore"}, func(w io.Writer) { saved(w, manyRules) }); err != nil {
		return err
	}
	if err := f.counted(manyRules); err != nil {
		return err
	}
	if err := f.pair("read and decode: iptables-legacy-save", f.child("read"), []string{"iptables-legacy-save"}, goal{wall: 1}); err != nil {
		return err
	}
	if err := f.show("iptables-legacy-save"); err != nil {
		return err
	}
	if err := f.diagnosis("iptables-legacy-save"); err != nil {
		return err
	}
	if err := f.rate("one packet past all rules, stopped by their addresses", "127.0.0.1"); err != nil {
		return err
	}
	if err := f.rate("the same, stopped by their ports", "10.0.0.1"); err != nil {
		return err
	}
	return f.load([]string{"iptables-legacy-restore"}, func(w io.Writer) { saved(w, 0) })
}

// listed writes rules of nftables, as nft lists them.
func listed(w io.Writer, n int) {
	fmt.Fprint(w, "table inet f {\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n")
	for i := range n {
		fmt.Fprintf(w, "\t\tip saddr 10.%d.%d.%d tcp dport %d counter packets 0 bytes 0 accept\n", i>>16&0xff, i>>8&0xff, i&0xff, 1+i%60000)
	}
	fmt.Fprint(w, "\t}\n}\n")
}

func (f *firewallBench) native() error {
	f.title("nftables: %d rules of family inet in one chain, each with a counter", manyRules)
	if err := f.load([]string{"nft", "-f", "-"}, func(w io.Writer) { listed(w, manyRules) }); err != nil {
		return err
	}
	if err := f.counted(manyRules); err != nil {
		return err
	}
	if err := f.pair("read and decode: nft -j list ruleset", f.child("read"), []string{"nft", "-j", "list", "ruleset"}, goal{wall: 0.5, peak: 0.4}); err != nil {
		return err
	}
	if err := f.show("nft", "list", "ruleset"); err != nil {
		return err
	}
	if err := f.rate("one packet past all rules, stopped by their addresses", "127.0.0.1"); err != nil {
		return err
	}
	return f.flushNFT()
}

func (f *firewallBench) iptablesNFT() error {
	f.title("iptables-nft: %d rules in one chain", manyRules)
	if err := f.load([]string{"iptables-nft-restore"}, func(w io.Writer) { saved(w, manyRules) }); err != nil {
		return err
	}
	if err := f.counted(manyRules); err != nil {
		return err
	}
	if err := f.pair("read and decode: nft -j list ruleset", f.child("read"), []string{"nft", "-j", "list", "ruleset"}, goal{wall: 1. / 3}); err != nil {
		return err
	}
	if err := f.pair("the same: iptables-nft-save", f.child("read"), []string{"iptables-nft-save"}, goal{}); err != nil {
		return err
	}
	if err := f.diagnosis("iptables-nft-save"); err != nil {
		return err
	}
	if err := f.show("iptables-nft-save"); err != nil {
		return err
	}
	if err := f.rate("one packet past all rules, stopped by their addresses", "127.0.0.1"); err != nil {
		return err
	}
	return f.flushNFT()
}

func (f *firewallBench) chains() error {
	f.title("nftables: %d chains of %d rules", manyChains, chainRules)
	if err := f.load([]string{"nft", "-f", "-"}, func(w io.Writer) {
		fmt.Fprint(w, "table inet f {\n")
		for c := range manyChains {
			fmt.Fprintf(w, " chain c%d {\n", c)
			for i := range chainRules {
				fmt.Fprintf(w, "  ip saddr 10.%d.%d.%d tcp dport %d counter accept\n", c>>8, c&0xff, i, 1+c)
			}
			fmt.Fprint(w, " }\n")
		}
		fmt.Fprint(w, " chain entry {\n type filter hook input priority 0\n")
		for c := range manyChains {
			fmt.Fprintf(w, "  jump c%d\n", c)
		}
		fmt.Fprint(w, " }\n}\n")
	}); err != nil {
		return err
	}
	if err := f.counted(manyChains * (chainRules + 1)); err != nil {
		return err
	}
	if err := f.pair("read and decode: nft list ruleset", f.child("read"), []string{"nft", "list", "ruleset"}, goal{wall: 0.5}); err != nil {
		return err
	}
	if err := f.show("nft", "list", "ruleset"); err != nil {
		return err
	}
	return f.flushNFT()
}

func addresses(w io.Writer, from, to int) {
	for i := from; i < to; i++ {
		fmt.Fprintf(w, "10.%d.%d.%d, ", i>>16&0xff, i>>8&0xff, i&0xff)
	}
}

func (f *firewallBench) set() error {
	f.title("nftables: a set of %d addresses", manyElements)
	if err := f.load([]string{"nft", "-f", "-"}, func(w io.Writer) {
		fmt.Fprint(w, "table ip f {\n set s { type ipv4_addr; }\n chain c {\n type filter hook input priority 0\n ip saddr @s drop\n }\n}\n")
		for i := 0; i < manyElements; i += 1000 {
			fmt.Fprint(w, "add element ip f s { ")
			addresses(w, i, i+1000)
			fmt.Fprint(w, "}\n")
		}
	}); err != nil {
		return err
	}
	if err := f.verdicts(); err != nil {
		return err
	}
	return f.flushNFT()
}

func (f *firewallBench) ipset() error {
	f.title("ipset: a set of %d addresses", manyElements)
	if err := f.load([]string{"ipset", "restore"}, func(w io.Writer) { savedSet(w, manyElements) }); err != nil {
		return err
	}
	rule := []string{"iptables-legacy", "-A", "INPUT", "-m", "set", "--match-set", "s", "src", "-j", "DROP"}
	if err := f.load(rule, func(io.Writer) {}); err != nil {
		return err
	}
	if err := f.verdicts(); err != nil {
		return err
	}
	rule[1] = "-D"
	if err := f.load(rule, func(io.Writer) {}); err != nil {
		return err
	}
	return f.load([]string{"ipset", "destroy"}, func(io.Writer) {})
}

// verdicts measures how long an answer takes that a large set decides.
func (f *firewallBench) verdicts() error {
	goal := verdictTime.Seconds() * 1e3
	if err := f.within("read the rules and trace a packet, in-process", "ms", 1e6, goal, false, "trace", "10.7.7.7", "drop"); err != nil {
		return err
	}
	return f.within("trace a packet, the rules were read before", "ms", 1e6, goal, false, "ask", "10.7.7.7", "drop")
}

func savedSet(w io.Writer, n int) {
	fmt.Fprintf(w, "create s hash:ip family inet hashsize 1024 maxelem %d\n", n)
	for i := range n {
		fmt.Fprintf(w, "add s 10.%d.%d.%d\n", i>>16&0xff, i>>8&0xff, i&0xff)
	}
}
