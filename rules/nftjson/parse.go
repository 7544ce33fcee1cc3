// Package nftjson reads what `nft -j list ruleset` writes, libnftables-json(5),
// into the model of package rules.
//
// # What JSON doesn't tell
//
// nft 1.0.6 leaves things out of its JSON or writes them wrong. Of tables and
// chains: comments, flags of chains, devices if there is more than one; a
// table's flag comes as another word of the document, so that rules of base
// chains can't be told until its name is known to be one (see doubt). Of sets:
// the flag dynamic, where no rule changes the set; whether values are ranges,
// where none is; lengths of keys of types that have none of their own; times
// below a second. Of rules: chains without names and changes of maps, which it
// writes as text; the level of socket cgroupv2. Sets without names have no
// handle. What nft takes for redundant in a list it adds again where it reads
// the list (`ip protocol tcp tcp dport 22` becomes `tcp dport 22`), and so do
// we: the kernel's expressions then are those of the list.
//
// Statements that can't be told are Opaque with the reason.
package nftjson

import (
	"io"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/syntax"
)

// Parse reads a document. File is what errors call it. An error is a
// *rules.SyntaxError, or the reader's.
func Parse(file string, r io.Reader, opts compile.Options) (*rules.Ruleset, error) {
	p := &parser{s: newScanner(file, r), c: compile.New(opts), doubts: map[tableKey]string{}}
	err := p.catch(p.document)
	if err != nil {
		return nil, err
	}
	return p.c.Ruleset(), nil
}

type parser struct {
	s *scanner
	c *compile.Compiler
	// doubts are the tables of which it isn't known whether they are in effect.
	doubts map[tableKey]string
	any    bool // something was declared
}

type tableKey struct {
	family rules.Family
	name   string
}

func (p *parser) catch(f func()) (err error) {
	defer func() {
		if x := recover(); x != nil {
			b, ok := x.(bail)
			if !ok {
				panic(x)
			}
			err = b.err
		}
	}()
	f()
	return nil
}

func (p *parser) add(d syntax.Decl) {
	p.any = true
	if err := p.c.Add(d); err != nil {
		panic(bail{err})
	}
}

// document is { "nftables": [ … ] }.
func (p *parser) document() {
	s := p.s
	if s.token() == 0xef { // a byte order mark
		s.word("\xef\xbb\xbf")
	}
	s.expect('{', "{ \"nftables\": [ … ] }")
	at := s.pos()
	if s.token() == '}' || s.key() != "nftables" {
		failf(at, "property \"nftables\" was expected")
	}
	s.expect('[', "an array")
	for first := true; s.more(first, ']'); first = false {
		s.values, s.depth = 0, 0
		p.object()
	}
	if s.more(false, '}') {
		failf(s.pos(), "nothing more was expected behind \"nftables\"")
	}
	if s.token() != end {
		failf(s.pos(), "the document should end here")
	}
	if b, err := s.r.Peek(1); err == nil {
		failf(s.pos(), "the document should end here, not with byte %#x", b[0])
	}
}

// object reads one thing: { "rule": { … } }, or the command that adds it.
func (p *parser) object() {
	s := p.s
	pos := s.pos()
	s.expect('{', "an object")
	if s.token() == '}' {
		failf(pos, "an object with one property was expected")
	}
	name := s.key()
	switch name {
	case "add", "create":
		p.object()
	case "flush":
		v := s.value()
		if what, _ := v.only(); what != "ruleset" || p.any {
			failf(pos, "only the flush of the ruleset at the start can be read")
		}
	case "set", "map", "element", "meter":
		p.set(pos, name)
	default:
		v := s.value()
		p.declare(pos, name, &v)
	}
	if s.more(false, '}') {
		failf(s.pos(), "an object with one property was expected")
	}
}
