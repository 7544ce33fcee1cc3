package xtables

import (
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// commands are iptables' options that say what to do, by their long names.
var commands = map[string]byte{
	"--append": 'A', "--insert": 'I', "--replace": 'R', "--delete": 'D', "--new-chain": 'N', "--new": 'N',
	"--policy": 'P', "--flush": 'F', "--delete-chain": 'X', "--zero": 'Z',
}

// command reads a line that starts with a command, or with counters and -A.
func (p *parser) command() error {
	words, open := splitWords(p.words[:0], p.source)
	if open != 0 {
		return p.fail(open, "expected a closing quote")
	}
	p.words = words
	rule := p.rule()
	start := 0
	if strings.HasPrefix(words[0].text, "[") {
		var ok bool
		if rule.Packets, rule.Bytes, ok = counters(words[0].text); !ok {
			return p.fail(words[0].column, "expected counters, such as [0:0]")
		}
		rule.Counted, start = true, 1
	}
	// The command need not come first: "-t filter -A" doesn't occur in files of
	// iptables-restore, "-4 -A" does.
	at := start
	for at < len(words) && (words[at].text == "-4" || words[at].text == "-6" || words[at].text == "--ipv4" || words[at].text == "--ipv6") {
		at++
	}
	if at == len(words) {
		return p.fail(len(p.source)+1, "expected a command, such as -A")
	}
	letter := commands[words[at].text]
	if t := words[at].text; len(t) >= 2 && t[0] == '-' && t[1] != '-' {
		letter = t[1]
		if len(t) > 2 { // -AINPUT
			words = slices.Insert(words, at+1, word{t[2:], words[at].column + 2, false})
			words[at].text = t[:2]
		}
	}
	if !strings.ContainsRune("AIRDNPFXZ", rune(letter)) || letter == 0 {
		return p.fail(words[at].column, "expected a command: -A, -I, -R, -D, -N, -P, -F, -X or -Z")
	}
	other := map[string]bool{"-4": p.table.Family == rules.IP6, "--ipv4": p.table.Family == rules.IP6, "-6": p.table.Family == rules.IP, "--ipv6": p.table.Family == rules.IP}
	for i := start; i < at; i++ {
		if other[words[i].text] {
			return nil // as iptables-restore: a rule for the other family
		}
	}
	p.words = words
	p.args = p.args[:0]
	for _, w := range words {
		p.args = append(p.args, w.text)
	}
	rest := at + 1
	if rest == len(words) {
		if letter == 'F' || letter == 'X' || letter == 'Z' {
			return p.forAll(letter)
		}
		return p.fail(len(p.source)+1, "expected a chain's name")
	}
	name := words[rest]
	if letter == 'N' {
		if _, err := p.newChain(name); err != nil {
			return err
		}
		return p.end(rest + 1)
	}
	chain := p.chains[name.text]
	if chain == nil {
		return p.fail(name.column, "expected a chain of table %s that is declared above", p.table.Name)
	}
	rest++
	switch letter {
	case 'P':
		if rest == len(words) {
			return p.fail(len(p.source)+1, "expected a policy: ACCEPT or DROP")
		}
		if err := p.setPolicy(chain, words[rest], false); err != nil {
			return err
		}
		return p.end(rest + 1)
	case 'F':
		chain.Rules = nil
		return p.end(rest)
	case 'Z':
		zero(chain)
		return p.end(rest)
	case 'X':
		if err := p.end(rest); err != nil {
			return err
		}
		return p.deleteChain(chain, name)
	}
	number, numbered := 0, false
	if letter != 'A' && rest < len(words) && !strings.HasPrefix(words[rest].text, "-") && words[rest].text != "!" {
		n, err := strconv.ParseUint(words[rest].text, 10, 31)
		limit := len(chain.Rules)
		if letter == 'I' {
			limit++
		}
		if err != nil || n == 0 || n > uint64(limit) {
			return p.fail(words[rest].column, "expected the number of a rule, 1 to %d", limit)
		}
		number, numbered, rest = int(n)-1, true, rest+1
	}
	if letter == 'R' && !numbered {
		return p.fail(name.column+len(name.text), "expected the number of a rule")
	}
	if letter == 'D' && numbered {
		chain.Rules = slices.Delete(chain.Rules, number, number+1)
		renumber(chain)
		return p.end(rest)
	}
	made, err := p.ruleSpec(rule, chain, rest)
	if err != nil {
		return err
	}
	switch letter {
	case 'A':
		for _, r := range made {
			r.Number = len(chain.Rules) + 1
			chain.Rules = append(chain.Rules, r)
		}
	case 'I':
		// Each is inserted at the same place, so that they end up reversed.
		slices.Reverse(made)
		chain.Rules = slices.Insert(chain.Rules, number, made...)
		renumber(chain)
	case 'R':
		if len(made) != 1 {
			return p.fail(words[rest].column, "expected one address: -R replaces one rule")
		}
		made[0].Number = number + 1
		chain.Rules[number] = made[0]
	case 'D':
		for _, r := range made {
			i := slices.IndexFunc(chain.Rules, func(other *rules.Rule) bool { return sameExprs(r.Exprs, other.Exprs) })
			if i < 0 {
				return p.fail(name.column, "expected a rule that is in chain %s", chain.Name)
			}
			chain.Rules = slices.Delete(chain.Rules, i, i+1)
		}
		renumber(chain)
	}
	return nil
}

// end is an error if there are more words than at.
func (p *parser) end(at int) error {
	if at < len(p.words) {
		return p.fail(p.words[at].column, "expected the end of the line")
	}
	return nil
}

// forAll is -F, -X or -Z without a chain.
func (p *parser) forAll(letter byte) error {
	for _, c := range slices.Clone(p.table.Chains) {
		switch letter {
		case 'F':
			c.Rules = nil
		case 'Z':
			zero(c)
		case 'X':
			if c.Base() {
				continue
			}
			if err := p.deleteChain(c, p.words[len(p.words)-1]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *parser) deleteChain(c *rules.Chain, at word) error {
	if c.Base() || len(c.Rules) > 0 || jumpedTo(p.table, c.Name) {
		return p.fail(at.column, "expected an empty chain of the user that nothing jumps to: %s is not", c.Name)
	}
	p.table.Chains = slices.DeleteFunc(p.table.Chains, func(other *rules.Chain) bool { return other == c })
	delete(p.chains, c.Name)
	return nil
}

func jumpedTo(t *rules.Table, chain string) bool {
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if len(r.Exprs) == 0 {
				continue
			}
			if last, ok := r.Exprs[len(r.Exprs)-1].(*rules.Immediate); ok && last.Verdict != nil && last.Verdict.Chain == chain {
				return true
			}
		}
	}
	return false
}

func zero(c *rules.Chain) {
	c.Packets, c.Bytes = 0, 0
	for _, r := range c.Rules {
		r.Packets, r.Bytes = 0, 0
	}
}

func renumber(c *rules.Chain) {
	for i, r := range c.Rules {
		r.Number = i + 1
	}
}
