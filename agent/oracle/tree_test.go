//go:build linux

package oracle

import (
	"fmt"
	"strings"
)

// node is a piece of a ruleset that can be left out: a block with parts, or a
// line of words of which each can be left out.
type node struct {
	head  string
	words []string
	parts []*node
}

func block(head string, parts ...*node) *node { return &node{head: head, parts: parts} }

func line(words ...string) *node { return &node{words: words} }

// ruleset is what is loaded: nftables' text, and iptables-restore's by tool.
type ruleset struct {
	sets   []*node            // lines for ipset restore
	nft    []*node            // tables
	tables map[string][]*node // by tool, such as ip6tables-legacy
}

// tools are the programs for iptables' rules, in the order in which they run.
var tools = []string{"iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft"}

// traced has every packet traced before any other rule sees it.
const traced = `table inet oracle {
	chain p { type filter hook prerouting priority -2000; meta nftrace set 1; }
	chain o { type filter hook output priority -2000; meta nftrace set 1; }
}
`

// tracedEarly is for rules that stand at devices.
const tracedEarly = `table netdev oracle {
	chain i { type filter hook ingress devices = { va, vb, lo } priority -2000; meta nftrace set 1; }
}
`

// nftText is what nft reads.
func (r *ruleset) nftText() string {
	var b strings.Builder
	for _, t := range r.nft {
		t.write(&b, "")
	}
	return b.String()
}

// String is all that is loaded.
func (r *ruleset) String() string {
	all := r.setText() + r.nftText()
	for _, tool := range tools {
		if text := r.restoreText(tool); text != "" {
			all += "# " + tool + "\n" + text
		}
	}
	return all
}

func (n *node) write(b *strings.Builder, indent string) {
	if n.head == "" {
		fmt.Fprintf(b, "%s%s\n", indent, strings.Join(n.words, " "))
		return
	}
	fmt.Fprintf(b, "%s%s {\n", indent, n.head)
	for _, p := range n.parts {
		p.write(b, indent+"\t")
	}
	fmt.Fprintf(b, "%s}\n", indent)
}

// restoreText is what iptables-restore reads: a table is a block, its rules are
// lines.
func (r *ruleset) restoreText(tool string) string {
	var b strings.Builder
	for _, t := range r.tables[tool] {
		fmt.Fprintln(&b, t.head)
		for _, p := range t.parts {
			fmt.Fprintln(&b, strings.Join(p.words, " "))
		}
		fmt.Fprintln(&b, "COMMIT")
	}
	return b.String()
}

func (r *ruleset) setText() string {
	var b strings.Builder
	for _, s := range r.sets {
		fmt.Fprintln(&b, strings.Join(s.words, " "))
	}
	return b.String()
}

// lists are all lists of nodes of which one can be left out.
func (r *ruleset) lists() []*[]*node {
	var all []*[]*node
	var add func(list *[]*node)
	add = func(list *[]*node) {
		all = append(all, list)
		for _, n := range *list {
			if n.parts != nil {
				add(&n.parts)
			}
		}
	}
	add(&r.sets)
	add(&r.nft)
	for _, tool := range tools {
		for _, n := range r.tables[tool] {
			add(&n.parts)
		}
	}
	return all
}

// lines are all lines, whose words can be left out.
func (r *ruleset) lines() []*node {
	var all []*node
	for _, list := range r.lists() {
		for _, n := range *list {
			if n.head == "" {
				all = append(all, n)
			}
		}
	}
	return all
}
