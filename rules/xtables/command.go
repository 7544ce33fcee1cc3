package xtables

import (
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// commands are iptables' options that say what to do, by their long names.
var commands = map[string]byte{
	"--append": 'A', "--insert": 'I', "--replace": 'R', "--delete": 'D', "--new-chain": 'N',
	"--policy": 'P', "--flush": 'F', "--delete-chain": 'X', "--zero": 'Z',
}

// families are the options that keep a line from the tool of the other family.
var families = map[string]rules.Family{"-4": rules.IP, "--ipv4": rules.IP, "-6": rules.IP6, "--ipv6": rules.IP6}

// workMax bounds the rules that insertions and deletions move or look at: with
// many of them the time grows with the square of their number.
const workMax = 1 << 32

// command reads a line that is a command, with counters before it or not.
func (p *parser) command() error {
	words, open := splitWords(p.words[:0], p.source)
	if open != 0 {
		return p.fail(open, "expected a closing quote")
	}
	p.words = words
	r := p.packer.Rule()
	p.about = rules.About{File: p.file}
	at := 0
	if strings.HasPrefix(words[0].text, "[") {
		var ok bool
		if p.about.Packets, p.about.Bytes, ok = counters(words[0].text); !ok {
			return p.fail(words[0].column, "expected counters, such as [0:0]")
		}
		p.about.Counted, at = true, 1
	}
	for ; at < len(words) && families[words[at].text] != 0; at++ {
		if families[words[at].text] != p.table.Family {
			return nil // as in iptables-restore
		}
	}
	if at == len(words) {
		return p.fail(len(p.source)+1, "expected a command, such as -A")
	}
	letter := p.commandLetter(at)
	if letter == 0 {
		return p.fail(words[at].column, "expected a command: -A, -I, -R, -D, -N, -P, -F, -X or -Z")
	}
	p.args = p.args[:0]
	for _, w := range p.words {
		p.args = append(p.args, w.text)
	}
	switch at++; letter {
	case 'N':
		return p.onlyChain(at)
	case 'F', 'X', 'Z':
		return p.onChains(letter, at)
	}
	chain, err := p.knownChain(at)
	if err != nil {
		return err
	}
	if letter == 'P' {
		return p.policy(chain, at+1)
	}
	return p.change(letter, r, chain, at+1)
}

// commandLetter is the command at a word, 0 if it is none. A chain that is
// written together with it, -AINPUT or --append=INPUT, becomes a word of its
// own.
func (p *parser) commandLetter(at int) byte {
	w := p.words[at]
	name, chain, together := strings.Cut(w.text, "=")
	letter := commands[name]
	if letter == 0 && len(w.text) >= 2 && w.text[0] == '-' && strings.IndexByte("AIRDNPFXZ", w.text[1]) >= 0 {
		letter = w.text[1]
		name, chain, together = w.text[:2], w.text[2:], len(w.text) > 2
	}
	if letter != 0 && together {
		p.words[at].text = name
		p.words = slices.Insert(p.words, at+1, word{chain, w.column + len(w.text) - len(chain), false})
	}
	return letter
}

// knownChain is the chain that a word names.
func (p *parser) knownChain(at int) (*rules.Chain, error) {
	if at == len(p.words) {
		return nil, p.fail(len(p.source)+1, "expected a chain's name")
	}
	w := p.words[at]
	if c := p.chains[w.text]; c != nil {
		return c, nil
	}
	return nil, p.fail(w.column, "expected a chain of table %s that is declared above", p.table.Name)
}

// end is an error if there are more words than at.
func (p *parser) end(at int) error {
	if at < len(p.words) {
		return p.fail(p.words[at].column, "expected the end of the line")
	}
	return nil
}

// onlyChain is -N.
func (p *parser) onlyChain(at int) error {
	if at == len(p.words) {
		return p.fail(len(p.source)+1, "expected a chain's name")
	}
	if _, err := p.newChain(p.words[at]); err != nil {
		return err
	}
	return p.end(at + 1)
}

// policy is -P.
func (p *parser) policy(c *rules.Chain, at int) error {
	if at == len(p.words) {
		return p.fail(len(p.source)+1, "expected a policy: ACCEPT or DROP")
	}
	if err := p.setPolicy(c, p.words[at], false); err != nil {
		return err
	}
	return p.end(at + 1)
}

// onChains is -F, -X or -Z, of one chain or of all.
func (p *parser) onChains(letter byte, at int) error {
	chains := slices.Clone(p.table.Chains)
	column := p.words[at-1].column
	if at < len(p.words) {
		c, err := p.knownChain(at)
		if err != nil {
			return err
		}
		if err := p.end(at + 1); err != nil {
			return err
		}
		chains, column = []*rules.Chain{c}, p.words[at].column
	}
	for _, c := range chains {
		switch {
		case letter == 'F':
			c.Rules = nil
		case letter == 'Z':
			c.Packets, c.Bytes = 0, 0
			for _, r := range c.Rules {
				a := r.About()
				a.Packets, a.Bytes = 0, 0
				p.packer.Tell(r, a)
			}
		case c.Base() && len(chains) > 1: // -X alone is of the user's chains
		default:
			if err := p.deleteChain(c, column); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *parser) deleteChain(c *rules.Chain, column int) error {
	used, err := p.jumpedTo(c.Name)
	if err != nil {
		return err
	}
	if c.Base() || len(c.Rules) > 0 || used {
		return p.fail(column, "expected an empty chain of the user that nothing jumps to: %s is not", c.Name)
	}
	p.table.Chains = slices.DeleteFunc(p.table.Chains, func(other *rules.Chain) bool { return other == c })
	delete(p.chains, c.Name)
	return nil
}

func (p *parser) jumpedTo(chain string) (bool, error) {
	for _, c := range p.table.Chains {
		if err := p.worked(len(c.Rules)); err != nil {
			return false, err
		}
		for _, r := range c.Rules {
			exprs := r.Exprs.All()
			if last, ok := exprs[len(exprs)-1].(*rules.Immediate); ok && last.Verdict.Chain == chain {
				return true, nil
			}
		}
	}
	return false, nil
}

// worked counts rules that were moved or looked at.
func (p *parser) worked(n int) error {
	if p.work += n; p.work > workMax {
		return p.fail(1, "expected fewer insertions and deletions")
	}
	return nil
}

// change is -A, -I, -R or -D, read from behind the chain's name on.
func (p *parser) change(letter byte, r *rules.Rule, c *rules.Chain, at int) error {
	number, numbered := 0, false
	if letter != 'A' && at < len(p.words) && p.args[at] != "" && p.args[at][0] != '-' && p.args[at] != "!" {
		limit := len(c.Rules)
		if letter == 'I' {
			limit++
		}
		n, err := strconv.ParseUint(p.args[at], 10, 31)
		if err != nil || n == 0 || n > uint64(limit) {
			return p.fail(p.words[at].column, "expected the number of a rule, 1 to %d", limit)
		}
		number, numbered, at = int(n)-1, true, at+1
	}
	if letter != 'A' {
		if err := p.worked(len(c.Rules)); err != nil {
			return err
		}
	}
	switch {
	case letter == 'R' && !numbered:
		return p.fail(len(p.words[at-1].text)+p.words[at-1].column, "expected the number of a rule")
	case letter == 'D' && numbered:
		c.Rules = slices.Delete(c.Rules, number, number+1)
		return p.end(at)
	}
	made, err := p.ruleSpec(r, c, at)
	if err != nil {
		return err
	}
	switch letter {
	case 'A':
		c.Rules = append(c.Rules, made...)
	case 'I':
		// Each is inserted at the same place, so that they end up reversed.
		slices.Reverse(made)
		c.Rules = slices.Insert(c.Rules, number, made...)
	case 'R':
		if len(made) != 1 {
			return p.fail(1, "expected one address: -R replaces one rule")
		}
		c.Rules[number] = made[0]
	case 'D':
		return p.deleteRules(c, made)
	}
	return nil
}

// deleteRules is -D with a rule: the first that does the same is deleted.
func (p *parser) deleteRules(c *rules.Chain, like []*rules.Rule) error {
	for _, r := range like {
		i := slices.IndexFunc(c.Rules, func(other *rules.Rule) bool { return sameExprs(r.Exprs, other.Exprs) })
		if i < 0 {
			return p.fail(1, "expected a rule that is in chain %s", c.Name)
		}
		c.Rules = slices.Delete(c.Rules, i, i+1)
	}
	return nil
}
