package nfttext_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nfttext"
)

var (
	upstream = flag.String("nftables", "", "directory of nftables' sources, for its tests/py")
	verbose  = flag.Bool("differences", false, "print each rule whose bytecode differs")
)

// upstreamCase is a rule of nftables' own tests, with all that the file
// declares before it.
type upstreamCase struct {
	file, family, setup, table, chain, rule string
	bytecode                                []string
	ok                                      bool
}

// The rules of nftables' tests/py have the bytecode that nft makes of them
// beside them. They are not part of this repository: -nftables says where they are.
func TestUpstreamBytecode(t *testing.T) {
	if *upstream == "" {
		t.Skip("-nftables doesn't say where nftables' sources are")
	}
	cases := readUpstream(t, filepath.Join(*upstream, "tests/py"))
	var same, unsure, differ, refused, accepted, rejected int
	reasons := map[string]int{}
	// nft-test.py sets this time zone.
	o := nfttext.Options{Options: compile.Options{Location: time.FixedZone("UTC-2", 2*3600), Unequal: compile.UnequalApart}}
	for _, c := range cases {
		text := c.setup + fmt.Sprintf("add rule %s %s %s %s\n", c.family, c.table, c.chain, c.rule)
		r, err := nfttext.Parse("test", text, o)
		if !c.ok {
			if err != nil {
				rejected++
			} else {
				accepted++
				if *verbose {
					t.Logf("%s (%s): %s\n is accepted", c.file, c.family, c.rule)
				}
			}
			continue
		}
		if err != nil {
			refused++
			reasons[err.Error()]++
			if *verbose {
				t.Logf("%s (%s): %s\n %v", c.file, c.family, c.rule, err)
			}
			continue
		}
		got := lastRule(r, c)
		switch {
		case slices.Equal(got, c.bytecode):
			same++
			continue
		case slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "Why:") }):
			unsure++
			continue
		}
		differ++
		if *verbose {
			t.Logf("%s (%s): %s\n want %s\n got  %s", c.file, c.family, c.rule, strings.Join(c.bytecode, "\n      "), strings.Join(got, "\n      "))
		}
	}
	t.Logf("%d rules compile to nft's bytecode, %d are in part not known, %d have another, %d are refused; of those that nft refuses %d are, %d are not", same, unsure, differ, refused, rejected, accepted)
	if *verbose {
		for _, k := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int { return reasons[b] - reasons[a] }) {
			t.Logf("%d times: %s", reasons[k], k)
		}
	}
	// Those that differ are of newer versions than the one whose ways package compile has.
	if total := same + unsure + differ + refused; same*100 < total*95 || (differ+refused)*100 > total {
		t.Errorf("%d of %d", same, total)
	}
}

// lastRule is the bytecode of the rule that was added, with the elements of the
// sets that were made for it.
func lastRule(r *rules.Ruleset, c upstreamCase) []string {
	for _, t := range r.Tables {
		if t.Name != c.table || t.Family.String() != c.family {
			continue
		}
		rs := t.Chain(c.chain).Rules
		var lines []string
		for _, e := range rs[len(rs)-1].Exprs.All() {
			lines = append(lines, bytecode(t, e))
			name := ""
			switch e := e.(type) {
			case *rules.Lookup:
				name = e.Set
			case *rules.ObjRef:
				name = e.Set
			}
			if s := t.Set(name); s != nil && s.Anonymous {
				lines = append(lines, elementLines(s)...)
			}
		}
		return lines
	}
	return nil
}

func elementLines(s *rules.Set) []string {
	var lines []string
	for _, e := range s.Elements.All() {
		line := "element " + strings.ReplaceAll(data(e.Key), "0x", "")
		if e.KeyEnd != nil {
			line += " - " + strings.ReplaceAll(data(e.KeyEnd), "0x", "")
		}
		line += " : "
		switch {
		case e.Verdict != nil:
			line += verdictText(e.Verdict) + " "
		case e.Data != nil:
			line += strings.ReplaceAll(data(e.Data), "0x", "") + " "
		}
		flags := 0
		if e.End {
			flags = 1
		}
		if e.CatchAll {
			flags = 2
		}
		lines = append(lines, strings.Join(strings.Fields(line+fmt.Sprint(flags)), " "))
	}
	slices.Sort(lines)
	return lines
}

func readUpstream(t *testing.T, dir string) []upstreamCase {
	files, err := filepath.Glob(dir + "/*/*.t")
	if err != nil {
		t.Fatal(err)
	}
	more, _ := filepath.Glob(dir + "/*/*.t.netdev")
	var cases []upstreamCase
	for _, f := range append(files, more...) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		payloads := map[string]map[string][]string{}
		found, _ := filepath.Glob(f + ".payload*")
		for _, p := range found {
			if !strings.HasSuffix(p, ".got") {
				payloads[strings.TrimPrefix(strings.TrimPrefix(p, f+".payload"), ".")] = readPayload(t, p)
			}
		}
		chains := map[string]string{}
		type target struct{ family, table, chain string }
		var targets []target
		setup := map[string]string{}
		var list []upstreamCase
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' || line[0] == '-' {
				continue
			}
			part := strings.Split(line[1:], ";")
			add := func(format string, args ...any) {
				if !strings.HasSuffix(line, ";ok") {
					return
				}
				for _, x := range targets {
					all := append([]any{x.family + " " + x.table}, args...)
					setup[x.family] += "add " + fmt.Sprintf(format, all...) + "\n"
				}
			}
			switch line[0] {
			case ':':
				chains[part[0]] = part[1]
			case '*':
				first, _, _ := strings.Cut(part[2], ",")
				x := target{part[0], part[1], first}
				targets = append(targets, x)
				setup[x.family] += fmt.Sprintf("table %s %s {\n", x.family, x.table)
				for name := range strings.SplitSeq(part[2], ",") {
					setup[x.family] += fmt.Sprintf("chain %s { %s; }\n", name, chains[name])
				}
				setup[x.family] += "chain c1 { }\nchain c2 { }\n}\n"
			case '!':
				name, spec, _ := strings.Cut(part[0], " ")
				kind := "set"
				if strings.Contains(spec, " : ") {
					kind = "map"
				}
				spec = strings.Replace(strings.Replace(spec, " flags ", "; flags ", 1), " timeout ", "; timeout ", 1)
				add(kind+" %s %s { %s; }", name, spec)
			case '?':
				name, elements, _ := strings.Cut(part[0], " ")
				add("element %s %s { %s }", name, elements)
			case '%':
				name, spec, _ := strings.Cut(strings.TrimSuffix(line[1:], ";ok"), " type ")
				words := strings.Fields(spec)
				n := 1
				if words[0] == "ct" {
					n = 2
				}
				add(strings.Join(words[:n], " ")+" %s %s %s", name, strings.Join(words[n:], " "))
			default:
				rule, _, ok := strings.Cut(line, ";ok")
				if !ok {
					rule, _, ok = strings.Cut(line, ";fail")
					if !ok {
						t.Fatalf("%s: %s", f, line)
					}
					for _, x := range targets {
						list = append(list, upstreamCase{file: f, family: x.family, table: x.table, chain: x.chain, rule: rule})
					}
					continue
				}
				for _, x := range targets {
					want, ok := payloads[x.family][rule]
					if !ok {
						want, ok = payloads[""][rule]
					}
					if ok {
						list = append(list, upstreamCase{file: f, family: x.family, table: x.table, chain: x.chain, rule: rule, bytecode: want, ok: true})
					}
				}
			}
		}
		for i := range list {
			list[i].setup, list[i].file = setup[list[i].family], strings.TrimPrefix(list[i].file, dir+"/")
		}
		cases = append(cases, list...)
	}
	return cases
}

// readPayload reads the bytecode of each rule of a file. The elements of a set
// stand before the expressions: they are put behind the one that uses the set.
func readPayload(t *testing.T, file string) map[string][]string {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	rule := ""
	var sets [][]string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "# "):
			rule, sets = line[2:], nil
			all[rule] = []string{}
		case strings.HasPrefix(line, "element"):
			var list []string
			for e := range strings.SplitSeq(line, "[end]") {
				if f := strings.Fields(e); len(f) > 0 && f[0] == "element" {
					list = append(list, strings.Join(f, " "))
				}
			}
			slices.Sort(list)
			sets = append(sets, list)
		case strings.HasPrefix(line, "["):
			x := strings.TrimSuffix(strings.TrimPrefix(line, "[ "), " ]")
			x = strings.Replace(x, "log level 4", "log", 1)
			// The kernel tells no direction of a protocol.
			if strings.HasPrefix(x, "ct load protocol") {
				x, _, _ = strings.Cut(x, " , dir")
			}
			if i := strings.LastIndex(x, " flags 0x"); i > 0 && (strings.HasPrefix(x, "nat") || strings.HasPrefix(x, "redir") || strings.HasPrefix(x, "masq")) {
				if flags, _ := strconv.ParseUint(x[i+9:], 16, 32); flags&^3 == 0 {
					x = x[:i]
				} else {
					x = fmt.Sprintf("%s flags 0x%x", x[:i], flags&^3)
				}
			}
			all[rule] = append(all[rule], x)
			if strings.Contains(x, "%d") && len(sets) > 0 {
				all[rule] = append(all[rule], sets[0]...)
				sets = sets[1:]
			}
		}
	}
	return all
}

// The listings that nftables' shell tests expect, and its examples, are read.
func TestUpstreamFiles(t *testing.T) {
	if *upstream == "" {
		t.Skip("-nftables doesn't say where nftables' sources are")
	}
	files, err := filepath.Glob(filepath.Join(*upstream, "tests/shell/testcases/*/dumps/*.nft"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(*upstream, "files/nftables/*.nft"))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, f := range append(files, more...) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		include := func(pattern string) ([]nfttext.File, error) {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(f), pattern))
			return []nfttext.File{{Name: pattern, Text: string(b)}}, err
		}
		if _, err := nfttext.Parse(filepath.Base(f), string(b), nfttext.Options{Include: include}); err != nil {
			t.Logf("%v", err)
		} else {
			read++
		}
	}
	t.Logf("%d of %d files are read", read, len(files)+len(more))
}
