package nfttext

import (
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules/syntax"
)

const (
	// includeDepth bounds files that include files (MAX_INCLUDE_DEPTH of nft).
	includeDepth = 16
	// includeMax bounds how many files are read.
	includeMax = 4096
)

// File is a file that was included.
type File struct{ Name, Text string }

// files is what is known of the files that are included.
type files struct {
	include func(pattern string) ([]File, error)
	found   map[string][]File // by pattern: a table's block is read twice
	level   int
	count   int
}

// scope has the variables of a block.
type scope struct {
	outer *scope
	vars  map[string]variable
}

// variable is what a definition gave a name. It is a tree that may stand in
// several places, of so many nodes and that deep.
type variable struct {
	expr        syntax.Expr
	nodes, deep int
}

func (s *scope) find(name string) (variable, bool) {
	for ; s != nil; s = s.outer {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return variable{}, false
}

// definition reads what may stand in any block: define, redefine, undefine and
// include. What is included is read as item reads. It is false if there is
// none of them.
func (p *parser) definition(item func()) bool {
	switch {
	case p.at("define", "redefine"):
		p.define()
	case p.accept("undefine"):
		at := p.pos()
		name := p.name("the name of a variable")
		if _, ok := p.scope.vars[name]; !ok && p.err == nil {
			p.failAt(at, "expected the name of a variable that is defined in this block, not %s", short(name))
		}
		delete(p.scope.vars, name)
	case p.accept("include"):
		p.includes(item)
	default:
		return false
	}
	p.finish()
	return true
}

func (p *parser) define() {
	again := p.at("redefine")
	p.advance()
	at := p.pos()
	name := p.name("the name of a variable")
	if _, ok := p.scope.vars[name]; ok && !again {
		p.failAt(at, "expected a new name: %s is defined already", short(name))
	}
	p.expect("=")
	outer, before := p.deepest, p.nodes
	p.deepest, p.nodes = p.depth, 0
	var e syntax.Expr
	if value := p.pos(); p.accept("-") {
		e = &syntax.Text{Pos: value, Value: "-" + strconv.FormatUint(p.number("a number", 31), 10)}
	} else {
		e = p.compared()
	}
	v := variable{e, p.nodes, p.deepest - p.depth}
	p.deepest, p.nodes = max(outer, p.deepest), before
	if p.err != nil {
		return
	}
	if p.scope.vars == nil {
		p.scope.vars = map[string]variable{}
	}
	p.scope.vars[name] = v
}

// variable reads $name and is what it stands for.
func (p *parser) variable() syntax.Expr {
	p.expect("$")
	at := p.pos()
	name := p.name("the name of a variable")
	return p.valueOf(at, name)
}

// valueOf is what a variable stands for.
func (p *parser) valueOf(at syntax.Pos, name string) syntax.Expr {
	if p.err != nil {
		return nil
	}
	v, ok := p.scope.find(name)
	if !ok {
		p.failAt(at, "expected the name of a variable, and %s is not defined", short(name))
		return nil
	}
	p.deeper(v.deep)
	p.nodes += v.nodes
	p.expanded += v.nodes
	if p.expanded > expandMax {
		p.failAt(at, "expected variables of up to %d values in all", expandMax)
	}
	return v.expr
}

// word reads a name that a variable may stand for.
func (p *parser) word(what string) string {
	if !p.at("$") {
		return p.string(what)
	}
	at := p.pos()
	if t, ok := p.variable().(*syntax.Text); ok {
		return strings.Clone(t.Value)
	}
	p.failAt(at, "expected a variable that is %s", what)
	return ""
}

// substitute puts variables into a text: prefix of $name.
func (p *parser) substitute(at syntax.Pos, text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	head, rest, _ := strings.Cut(text, "$")
	var b strings.Builder
	b.WriteString(head)
	for part := range strings.SplitSeq(rest, "$") {
		n := run(part, len(part), func(c byte) bool { return letter(c) || digit(c) || c == '_' })
		switch v := p.valueOf(at, part[:n]).(type) {
		case *syntax.Text:
			b.WriteString(v.Value)
		case *syntax.Number:
			b.WriteString(strconv.FormatUint(v.Value, 10))
		default:
			p.failAt(at, "expected a variable that is a text")
		}
		b.WriteString(part[n:])
		if b.Len() > len(text)+commentMax*depthMax {
			p.failAt(at, "expected a shorter text")
		}
		if p.err != nil {
			return ""
		}
	}
	return b.String()
}

// includes reads the files that a pattern names, here in the block.
func (p *parser) includes(item func()) {
	at := p.pos()
	if p.tok.kind != quoted {
		p.expected("the name of a file in quotation marks")
		return
	}
	pattern := p.tok.text
	p.advance()
	if p.err != nil {
		return
	}
	list, ok := p.found[pattern]
	if !ok {
		if p.include == nil {
			p.failAt(at, "expected a text without include: %q is another file, and none is read here", short(pattern))
			return
		}
		var err error
		if list, err = p.include(pattern); err != nil {
			p.failAt(at, "expected a file that can be included: %v", err)
			return
		}
		p.found[pattern] = list
	}
	if p.level++; p.level > includeDepth {
		p.failAt(at, "expected at most %d files that include one another", includeDepth)
	}
	for _, f := range list {
		if p.count++; p.count > includeMax {
			p.failAt(at, "expected at most %d included files", includeMax)
		}
		if p.err != nil {
			return
		}
		file, lexer, tok := p.file, p.lexer, p.tok
		p.read(f.Name, f.Text, item)
		if p.err == nil {
			p.file, p.lexer, p.tok = file, lexer, tok
		}
	}
	p.level--
}

// startOf starts at the beginning of a text.
func startOf(text string) lexer { return lexer{text: text, line: 1} }
