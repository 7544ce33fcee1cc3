// Package xtables reads rules of iptables: the text of iptables-save and
// ip6tables-save, and the tables of iptables-legacy as the kernel gives them.
// A rule becomes its head (addresses, devices, protocol), its matches and its
// target, in the order in which the kernel runs them.
package xtables

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

const (
	// listMax bounds the addresses after one -s or -d.
	listMax = 4096
	// expandMax bounds the rules that lists of addresses make of one line.
	expandMax = 1 << 16
	// nameMax is the length of a chain's name (XT_EXTENSION_MAXNAMELEN - 1).
	nameMax = 28
	// knownMax bounds how many extensions are remembered.
	knownMax = 1 << 16 // as many as there are ports
)

// Parse reads the text of iptables-save or ip6tables-save, with or without
// counters (-c), or what else iptables-restore takes: tables, chains and the
// commands -A, -I, -R, -D, -N, -P, -F, -X and -Z. Family 0 finds out which of
// the two it is, for each table from the comment above it or else from the
// addresses. A table of iptables-nft-save is one of backend IptablesNFT.
//
// A table starts empty, with built-in chains that accept. Errors are
// [rules.SyntaxError].
func Parse[T string | []byte](file string, text T, family rules.Family) (*rules.Ruleset, error) {
	p := &parser{file: file, text: string(text), family: family, found: family, backend: rules.IptablesLegacy, set: &rules.Ruleset{}}
	if family != 0 && family != rules.IP && family != rules.IP6 {
		return nil, fmt.Errorf("read %s: iptables has no family %s", file, family)
	}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.set, nil
}

// parser is the state of reading one text.
type parser struct {
	file, text string
	family     rules.Family // as told
	found      rules.Family // as found out
	backend    rules.Backend
	set        *rules.Ruleset

	line   int    // from 1
	source string // the line
	words  []word
	args   []string // the words' texts

	table    *rules.Table // between * and COMMIT
	chains   map[string]*rules.Chain
	verdicts map[rules.Verdict]rules.Expr
	known    map[matchKey]knownExt
	masks    map[int][]byte
	devices  map[string]string
	work     int // rules that were moved or looked at

	// Used again for each line.
	spec   spec
	about  rules.About
	exprs  []rules.Expr
	made   []*rules.Rule
	packer rules.Packer
}

// matchKey is what an extension's meaning depends on: its words, up to the next
// option of one letter, and the protocol.
type matchKey struct {
	words  string
	proto  uint16
	target bool
}

// knownExt is an extension that was read before, and how many words it has
// behind its name. Extensions that are written alike are the same expression.
type knownExt struct {
	expr  rules.Expr
	words int
}

// fail is an error at a column of the line, from 1.
func (p *parser) fail(column int, format string, args ...any) error {
	return &rules.SyntaxError{File: p.file, Line: p.line, Column: column, Message: fmt.Sprintf(format, args...)}
}

func (p *parser) parse() error {
	for rest := p.text; rest != ""; {
		p.line++
		p.source, rest, _ = strings.Cut(rest, "\n")
		p.source = strings.TrimRight(p.source, " \t\r")
		if err := p.oneLine(); err != nil {
			return err
		}
	}
	if p.table != nil {
		p.line++
		return p.fail(1, "expected COMMIT: table %s is not finished", p.table.Name)
	}
	return nil
}

func (p *parser) oneLine() error {
	line := p.source
	switch {
	case line == "":
		return nil
	case line[0] == '#':
		family, backend, ok := header(line)
		if !ok || p.table != nil {
			return nil
		}
		if p.family != 0 && p.family != family {
			return p.fail(1, "expected rules of family %s, as asked for", p.family)
		}
		p.found, p.backend = family, backend
		return nil
	case strings.IndexByte(line, 0) >= 0:
		return p.fail(strings.IndexByte(line, 0)+1, "expected text, not a NUL byte")
	case p.table == nil && line[0] == '*':
		return p.startTable(line[1:])
	case p.table == nil:
		return p.fail(1, "expected a table, such as *filter")
	case line == "COMMIT":
		for _, c := range p.table.Chains {
			for i, r := range c.Rules {
				r.Number = int32(i + 1)
			}
		}
		p.table, p.chains = nil, nil
		return nil
	case line[0] == '*':
		return p.fail(1, "expected COMMIT: table %s is not finished", p.table.Name)
	case line[0] == ':':
		return p.chainLine()
	}
	return p.command()
}

func (p *parser) startTable(name string) error {
	name = strings.TrimSpace(name)
	family := p.family
	if family == 0 {
		if p.found == 0 {
			p.found = guessFamily(p.file, p.text)
		}
		family = p.found
	}
	t := newTable(p.backend, family, name)
	if t == nil {
		return p.fail(2, "expected a table: raw, mangle, nat, filter or security")
	}
	for _, other := range p.set.Tables {
		if other.Name == name && other.Family == family && other.Backend == p.backend {
			return p.fail(2, "table %s is there twice: which of them holds is not known", name)
		}
	}
	p.table = t
	p.set.Tables = append(p.set.Tables, t)
	p.chains = map[string]*rules.Chain{}
	for _, c := range t.Chains {
		p.chains[c.Name] = c
	}
	p.verdicts, p.known = nil, nil
	return nil
}

// chainLine reads ":NAME POLICY [packets:bytes]"; a chain of the user has the
// policy "-".
func (p *parser) chainLine() error {
	var open int
	if p.words, open = splitWords(p.words[:0], p.source[1:]); open != 0 || len(p.words) == 0 {
		return p.fail(2, "expected a chain's name")
	}
	w := p.words
	for i := range w {
		w[i].column++
	}
	if len(w) < 2 {
		return p.fail(len(p.source)+1, "expected a policy: ACCEPT, DROP, or - for a chain of the user")
	}
	if len(w) > 3 {
		return p.fail(w[3].column, "expected the end of the line")
	}
	c := p.chains[w[0].text]
	if c == nil {
		var err error
		if c, err = p.newChain(w[0]); err != nil {
			return err
		}
	}
	if err := p.setPolicy(c, w[1], true); err != nil {
		return err
	}
	if len(w) == 3 {
		var ok bool
		if c.Packets, c.Bytes, ok = counters(w[2].text); !ok {
			return p.fail(w[2].column, "expected counters, such as [0:0]")
		}
	}
	return nil
}

func (p *parser) newChain(name word) (*rules.Chain, error) {
	switch n := name.text; {
	case n == "" || n[0] == '-' || n[0] == '!':
		return nil, p.fail(name.column, "expected a chain's name, which doesn't start with %q", n[:min(1, len(n))])
	case len(n) > nameMax:
		return nil, p.fail(name.column, "expected a chain's name of at most %d bytes", nameMax)
	case p.chains[n] != nil:
		return nil, p.fail(name.column, "chain %s is there already", n)
	}
	c := &rules.Chain{Name: strings.Clone(name.text)}
	p.table.Chains = append(p.table.Chains, c)
	p.chains[c.Name] = c
	return c, nil
}

// setPolicy sets a built-in chain's policy. On a line that starts with a colon
// it may be left alone with "-".
func (p *parser) setPolicy(c *rules.Chain, w word, dash bool) error {
	switch {
	case dash && w.text == "-":
	case !c.Base():
		return p.fail(w.column, "expected -: chain %s is not built in and has no policy", c.Name)
	case w.text == "ACCEPT":
		c.Policy = "accept"
	case w.text == "DROP":
		c.Policy = "drop"
	default:
		return p.fail(w.column, "expected a policy: ACCEPT or DROP")
	}
	return nil
}

// counters reads [packets:bytes].
func counters(s string) (packets, bytes uint64, ok bool) {
	s, left := strings.CutPrefix(s, "[")
	s, right := strings.CutSuffix(s, "]")
	a, b, colon := strings.Cut(s, ":")
	packets, err1 := strconv.ParseUint(a, 10, 64)
	bytes, err2 := strconv.ParseUint(b, 10, 64)
	return packets, bytes, left && right && colon && err1 == nil && err2 == nil
}
