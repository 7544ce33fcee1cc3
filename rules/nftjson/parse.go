// Package nftjson reads what `nft -j list ruleset` writes, libnftables-json(5),
// into the model of package rules.
//
// # What JSON doesn't tell
//
// nft 1.0.6 leaves things out of its JSON or writes them wrong. Of tables and
// chains: comments, flags of chains, devices if there is not exactly one; a lone
// flag of a table comes as some other value of the document. Where that leaves
// open whether a chain is in effect, a rule at its start says so (see doubt). Of
// sets: the flag dynamic, where no rule changes the set; whether values are
// ranges, where none is; how long integers are, where no rule tells; times
// below a second. Of rules: the level of socket cgroupv2. Sets and chains
// without names have no handle.
//
// What nft takes for redundant it leaves out of lists, and adds where it reads
// them: `ip protocol tcp tcp dport 22` is listed as `tcp dport 22`, which it
// reads as `meta l4proto tcp tcp dport 22`. So do we. Of the rules in the
// printer's tests two are such; the others are the kernel's to the register.
//
// Statements that nft has no JSON for are in it as text, and read as such. What
// can't be told is Opaque with the reason; only what is not nft's JSON is an error.
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
	opts.Listed = true
	p := &parser{s: newScanner(file, r), opts: opts, doubts: map[tableKey]string{}}
	err := p.catch(p.document)
	if err != nil {
		return nil, err
	}
	return p.compiler().Ruleset(), nil
}

type parser struct {
	s    *scanner
	opts compile.Options
	c    *compile.Compiler
	// doubts are the tables of which it isn't known whether they are in effect.
	doubts map[tableKey]string
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

// compiler is made when the first thing comes: the version of nft may come
// before.
func (p *parser) compiler() *compile.Compiler {
	if p.c == nil {
		p.c = compile.New(p.opts)
	}
	return p.c
}

func (p *parser) add(d syntax.Decl) {
	if err := p.compiler().Add(d); err != nil {
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
		if what, _ := v.only(); what != "ruleset" || p.c != nil {
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
