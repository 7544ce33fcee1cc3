//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// files measures how saved rules are read: how long it takes, and how much
// memory the command needs for a large file.
func (f *firewallBench) files() error {
	f.title("saved rules")
	path := filepath.Join(f.dir, "saved")
	if err := writeFile(path, func(w io.Writer) { saved(w, fileRules) }); err != nil {
		return err
	}
	if err := f.within(fmt.Sprintf("parse %d rules of iptables-save", fileRules), "ms of CPU", 1e6, parseTime.Seconds()*1e3, false, "parse", path); err != nil {
		return err
	}
	for _, one := range []struct {
		what  string
		write func(w io.Writer)
	}{
		{"iptables-save", func(w io.Writer) { saved(w, largeFile/68) }},
		{"iptables-save, networks to drop", func(w io.Writer) { savedDrops(w, largeFile/36) }},
		{"nft list ruleset", func(w io.Writer) { listed(w, largeFile/75) }},
		{"nft -j list ruleset", func(w io.Writer) { listedJSON(w, largeFile/387) }},
		{"ipset save", func(w io.Writer) { savedSet(w, largeFile/19) }},
		{"ipset save, a set of 1,000,000", func(w io.Writer) { savedSet(w, manyElements) }},
		{"nft list ruleset, a set of 1,000,000", listedSet},
	} {
		if err := writeFile(path, one.write); err != nil {
			return err
		}
		if err := f.memory(one.what, path); err != nil {
			return err
		}
	}
	return nil
}

// savedDrops writes the shortest rules that are common, as iptables-save does.
func savedDrops(w io.Writer, n int) {
	fmt.Fprint(w, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	for i := range n {
		fmt.Fprintf(w, "-A INPUT -s %d.%d.%d.0/24 -j DROP\n", 1+i>>16, i>>8&0xff, i&0xff)
	}
	fmt.Fprint(w, "COMMIT\n")
}

// listedJSON writes rules of nftables, as nft -j lists them.
func listedJSON(w io.Writer, n int) {
	fmt.Fprint(w, `{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}, `+
		`{"table": {"family": "inet", "name": "f", "handle": 1}}, {"chain": {"family": "inet", "table": "f", "name": "c", "handle": 1, `+
		`"type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}`)
	for i := range n {
		fmt.Fprintf(w, `, {"rule": {"family": "inet", "table": "f", "chain": "c", "handle": %d, "expr": [`+
			`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.%d.%d.%d"}}, `+
			`{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": %d}}, `+
			`{"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}}`, i+2, i>>16&0xff, i>>8&0xff, i&0xff, 1+i%60000)
	}
	fmt.Fprint(w, "]}")
}

// listedSet writes a set as nft lists it.
func listedSet(w io.Writer) {
	fmt.Fprint(w, "table ip f {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { ")
	for i := 0; i < manyElements; i += 2 {
		addresses(w, i, i+2)
		fmt.Fprint(w, "\n\t\t\t     ")
	}
	fmt.Fprint(w, "192.168.0.1 }\n\t}\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n")
}

// memory measures the peak of the command, when it reads a file to trace one
// packet, as a multiple of the file's size.
func (f *firewallBench) memory(what, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	c, err := measure([]string{f.o.portwhy, "trace", "--rules", path, "--way", "in", "--iif", "eth0", "--proto", "tcp", "--src", "192.0.2.1:40000", "--dst", "127.0.0.1:65000"})
	if err != nil {
		return err
	}
	times := float64(c.peak<<10) / float64(info.Size())
	state := "met"
	if times > fileFactor {
		state, f.met = "MISSED", false
	}
	fmt.Fprintf(f.out, "trace by %d MB of %s\t%s\t%s\t\t\t\t\t%d MB\t%.1f of its size, ≤ %d %s\n", info.Size()>>20, what,
		millis(c.wall), millis(c.cpu), c.peak>>10, times, fileFactor, state)
	return nil
}
