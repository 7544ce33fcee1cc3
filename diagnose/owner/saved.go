package owner

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/xtables"
)

// saver is what loads a file of rules at boot; empty if the file is none.
func saver(file string) string {
	switch {
	case strings.HasPrefix(file, "/etc/ufw/") || strings.HasPrefix(file, "/lib/ufw/"):
		if path.Ext(file) == ".rules" {
			return "ufw"
		}
	case file == "/etc/iptables/rules.v4" || file == "/etc/iptables/rules.v6":
		return "netfilter-persistent"
	case strings.Contains(path.Base(file), "tables") && strings.HasPrefix(file, "/etc/") && !strings.Contains(file, "nftables") || file == "/etc/iptables/rules-save":
		return "iptables"
	case strings.Contains(file, "nftables"):
		return "nftables"
	}
	return ""
}

// familyOf is the family of iptables that a file is for, by its name.
func familyOf(file string) rules.Family {
	base := path.Base(file)
	if strings.Contains(base, "v6") || strings.Contains(base, "6tables") || strings.HasSuffix(base, "6.rules") {
		return rules.IP6
	}
	return rules.IP
}

// fromFile looks for the line of a file from which the rule or policy comes, in
// those of one saver or, if that is empty, in all. It returns the file's saver.
func (f *Facts) fromFile(o *Owner, p *place, only string) string {
	for _, file := range f.Files {
		kind := saver(file.Path)
		if kind == "" || only != "" && only != kind || (kind == "nftables") != (p.table.Backend == rules.NFT) {
			continue
		}
		name, line := file.Path, 0
		if kind == "nftables" {
			name, line = f.nftLine(file, p)
		} else if familyOf(file.Path) == p.table.Family {
			line = f.iptablesLine(file, p)
		}
		if line > 0 {
			o.File, o.Line = name, line
			o.Evidence = append(o.Evidence, f.line(name, line))
			return kind
		}
	}
	return ""
}

// line is a line of a file, as evidence.
func (f *Facts) line(file string, number int) diagnose.Evidence {
	return diagnose.Evidence{Source: file, What: fmt.Sprintf("line %d", number), Value: host.Clean([]byte(strings.TrimSpace(f.lineText(file, number))), maxWords)}
}

func (f *Facts) lineText(file string, number int) string {
	for _, other := range f.Files {
		if other.Path != file {
			continue
		}
		n := 0
		for line := range strings.Lines(other.Text) {
			if n++; n == number {
				return line
			}
		}
	}
	return ""
}

// nftLine finds a rule or policy in a file of nft's language. The file it
// includes may be the one.
func (f *Facts) nftLine(file host.File, p *place) (name string, line int) {
	if p.rule == nil {
		return file.Path, policyLine(file.Text, p)
	}
	options := nfttext.Options{Include: func(pattern string) ([]nfttext.File, error) { return f.included(file.Path, pattern), nil }}
	set, err := nfttext.Parse(file.Path, file.Text, options)
	if err != nil {
		return "", 0
	}
	if r := f.like(set, p); r != nil {
		return r.About().File, int(r.Line)
	}
	return "", 0
}

// included are the files that an include names. A relative path starts at nft's
// directory of includes.
func (f *Facts) included(from, pattern string) []nfttext.File {
	switch {
	case path.IsAbs(pattern):
	case strings.HasPrefix(pattern, "./"):
		pattern = path.Join(path.Dir(from), pattern)
	default:
		pattern = path.Join("/etc", pattern)
	}
	var list []nfttext.File
	for _, file := range f.Files {
		if ok, err := path.Match(path.Clean(pattern), file.Path); ok && err == nil {
			list = append(list, nfttext.File{Name: file.Path, Text: file.Text})
		}
	}
	return list
}

// policyLine finds the line that sets a chain's policy: a file of iptables has it
// behind the chain's name, one of nft in the chain's block.
func policyLine(text string, p *place) int {
	number, table, chain := 0, false, false
	for line := range strings.Lines(text) {
		number++
		w := words(strings.NewReplacer("{", " { ", ";", " ; ").Replace(line))
		switch {
		case len(w) == 0:
		case p.table.Backend != rules.NFT && line[0] == '*':
			table = w[0] == "*"+p.table.Name
		case p.table.Backend != rules.NFT && line[0] == ':':
			if table && w[0] == ":"+p.chain.Name && len(w) > 1 && strings.EqualFold(w[1], p.chain.Policy) {
				return number
			}
		case p.table.Backend != rules.NFT:
		case w[0] == "table":
			table = slices.Contains(w, p.table.Name) && (len(w) < 3 || w[1] == p.table.Family.String() || w[1] == p.table.Name)
			chain = false
		case table && slices.Contains(w, "chain"):
			chain = slices.Contains(w, p.chain.Name)
		}
		if at := slices.Index(w, "policy"); table && chain && at >= 0 && at+1 < len(w) && w[at+1] == p.chain.Policy {
			return number
		}
	}
	return 0
}

// maxFaults bounds how many lines of a file are passed over because they can't
// be read.
const maxFaults = 16

// iptablesLine finds a rule or policy in a file for iptables-restore.
func (f *Facts) iptablesLine(file host.File, p *place) int {
	if p.rule == nil {
		return policyLine(file.Text, p)
	}
	lines, origin := withChains(file.Text, p.table)
	for range maxFaults {
		set, err := xtables.Parse(file.Path, []byte(strings.Join(lines, "\n")), p.table.Family)
		var fault *rules.SyntaxError
		switch {
		case errors.As(err, &fault) && fault.Line >= 1 && fault.Line <= len(lines) && lines[fault.Line-1] != "":
			lines[fault.Line-1] = "" // what one line says is not known: the others count
			continue
		case err != nil:
			return 0
		}
		if r := f.like(set, p); r != nil && r.Line >= 1 && int(r.Line) <= len(origin) {
			return origin[r.Line-1]
		}
		return 0
	}
	return 0
}

// withChains adds the chains that are in the kernel's table to the file's, which
// may leave them to another file that is loaded before, and says which of the
// file's lines each line is.
func withChains(text string, live *rules.Table) (lines []string, origin []int) {
	declared := map[string]bool{}
	all := strings.Split(text, "\n")
	inTable := false
	for _, line := range all {
		if strings.HasPrefix(line, "*") {
			inTable = strings.TrimSpace(line) == "*"+live.Name
		}
		if w := words(line); inTable && len(w) > 0 {
			if name, ok := strings.CutPrefix(w[0], ":"); ok {
				declared[name] = true
			} else if w[0] == "-N" && len(w) > 1 {
				declared[w[1]] = true
			}
		}
	}
	for i, line := range all {
		lines, origin = append(lines, line), append(origin, i+1)
		if strings.TrimSpace(line) != "*"+live.Name {
			continue
		}
		for _, c := range live.Chains {
			if !c.Base() && !declared[c.Name] && !strings.ContainsAny(c.Name, " \t\r\n\"'\\") {
				lines, origin = append(lines, ":"+c.Name+" -"), append(origin, i+1)
			}
		}
	}
	return lines, origin
}

// like finds the rule that says the same. Of several, the one that comes as often
// before it as in the live chain.
func (f *Facts) like(set *rules.Ruleset, p *place) *rules.Rule {
	want := f.comparable(p.table, p.chain, p.rule)
	nth := 0
	for _, r := range p.chain.Rules {
		if r == p.rule {
			break
		}
		if f.comparable(p.table, p.chain, r) == want {
			nth++
		}
	}
	var found *rules.Rule
	for _, t := range set.Tables {
		if t.Family != p.table.Family || t.Name != p.table.Name {
			continue
		}
		c := t.Chain(p.chain.Name)
		if c == nil {
			continue
		}
		for _, r := range c.Rules {
			if f.comparable(t, c, r) != want {
				continue
			}
			found = r
			if nth--; nth < 0 {
				return r
			}
		}
	}
	return found
}

// comparable is a rule's text, in which a device by its number is one by its
// name: a file only has the names.
func (f *Facts) comparable(t *rules.Table, c *rules.Chain, r *rules.Rule) string {
	return strings.NewReplacer(`iif "`, `iifname "`, `oif "`, `oifname "`).Replace(f.text(t, c, r))
}
