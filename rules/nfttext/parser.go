package nfttext

import (
	"strings"

	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/syntax"
)

const (
	// depthMax bounds brackets in brackets, and operators in one expression.
	depthMax = 64
	// expandMax bounds what variables add to what is written.
	expandMax = 1 << 22
	// statementsMax bounds a rule: the kernel takes no more expressions
	// (NFT_RULE_MAXEXPRS of net/netfilter/nf_tables_api.c).
	statementsMax = 128
	// nameMax bounds a name (NFT_NAME_MAXLEN of linux/netfilter/nf_tables.h).
	nameMax = 255
	// commentMax bounds a comment (NFTNL_UDATA_COMMENT_MAXLEN of libnftnl).
	commentMax = 128
)

// parser reads one text, and those that it includes. Its functions return what
// they have read so far when there is an error: once err is set, the next token
// is the end of the text for ever, so that everything comes back by itself.
type parser struct {
	lexer
	file string
	tok  token // the next one
	err  error

	scope    *scope
	ruling   bool // what is read is read again, now for its rules
	depth    int  // of brackets
	deepest  int  // that depth has been since the last definition began
	nodes    int  // made since then
	expanded int  // nodes that variables stood for

	names map[string]string // those in use, so that they don't hold the text
	files
	out *compile.Compiler
}

func (p *parser) advance() {
	if p.err == nil {
		p.tok = p.next()
	}
}

// peek is the token behind the next one.
func (p *parser) peek() token {
	l := p.lexer
	return l.next()
}

func (p *parser) pos() syntax.Pos {
	return syntax.Pos{File: p.file, Line: p.tok.line, Column: p.tok.column}
}

// failAt ends the reading. Only the first error counts.
func (p *parser) failAt(at syntax.Pos, format string, args ...any) {
	if p.err == nil {
		p.stop(at.Errorf(format, args...))
	}
}

// stop ends the reading with an error of another package.
func (p *parser) stop(err error) {
	if p.err == nil && err != nil {
		p.err = err
		p.tok.kind = end
	}
}

// expected ends the reading at the next token.
func (p *parser) expected(what string) {
	if p.tok.is(`"`) {
		p.failAt(p.pos(), `expected a second quotation mark (") before the end of the text`)
		return
	}
	p.failAt(p.pos(), "expected %s, not %s", what, p.tok.describe())
}

// at says whether the next token is one of some keywords or signs.
func (p *parser) at(texts ...string) bool {
	for _, text := range texts {
		if p.tok.is(text) {
			return true
		}
	}
	return false
}

// accept takes the next token if it is the one.
func (p *parser) accept(text string) bool {
	if !p.tok.is(text) {
		return false
	}
	p.advance()
	return true
}

// expect takes the next token, which must be the one.
func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.expected(text)
	}
}

// choose takes one of some keywords.
func (p *parser) choose(what string, words ...string) string {
	for _, w := range words {
		if p.accept(w) {
			return w
		}
	}
	p.expected(what)
	return ""
}

// number takes a number of so many bits.
func (p *parser) number(what string, bits int) uint64 {
	if p.tok.kind != number {
		p.expected(what)
		return 0
	}
	v := p.tok.value
	if bits < 64 && v >= 1<<bits {
		p.failAt(p.pos(), "expected %s of up to %d bits, not %s", what, bits, p.tok.describe())
	}
	p.advance()
	return v
}

// keep is a copy of a name that doesn't hold the text it is of.
func (p *parser) keep(s string) string {
	if k, ok := p.names[s]; ok {
		return k
	}
	k := strings.Clone(s)
	p.names[k] = k
	return k
}

// name takes the name of a table, chain, set or object. Keywords are names,
// too: other programs give them.
func (p *parser) name(what string) string {
	if p.tok.kind != word && p.tok.kind != quoted {
		p.expected(what)
		return ""
	}
	s := p.tok.text
	if s == "" || len(s) > nameMax {
		p.failAt(p.pos(), "expected %s of 1 to %d bytes", what, nameMax)
		return ""
	}
	p.advance()
	return p.keep(s)
}

// text takes a string, with or without quotation marks.
func (p *parser) string(what string) string {
	switch p.tok.kind {
	case word, quoted, wild:
		s := p.tok.text
		p.advance()
		return strings.Clone(s)
	}
	p.expected(what)
	return ""
}

// comment takes what is behind the keyword comment.
func (p *parser) comment() string {
	at := p.pos()
	s := p.string("a comment")
	if len(s) > commentMax {
		p.failAt(at, "expected a comment of up to %d bytes", commentMax)
	}
	return s
}

// separated says whether a statement or command is at its end, which is a line's end, a
// semicolon, or the end of what it is in.
func (p *parser) separated() bool {
	return p.tok.kind == newline || p.tok.kind == end || p.at(";", "}")
}

// finish takes the separator behind a statement of a block, or leaves the brace that ends
// the block. It returns the handle that a comment gave.
func (p *parser) finish() uint64 {
	switch {
	case p.tok.kind == newline:
		handle := p.tok.value
		p.advance()
		return handle
	case p.accept(";"), p.at("}"), p.tok.kind == end:
		return 0
	}
	p.expected("the end of the line or ;")
	return 0
}

// blank takes line ends, where they mean nothing.
func (p *parser) blank() {
	for p.tok.kind == newline {
		p.advance()
	}
}

// open takes the brace that begins a block, and the handle behind it.
func (p *parser) open() uint64 {
	p.expect("{")
	p.enter()
	if p.tok.kind == newline {
		handle := p.tok.value
		p.advance()
		return handle
	}
	return 0
}

// close takes the brace that ends a block.
func (p *parser) close() {
	p.expect("}")
	p.leave()
}

// block reads the items of a block whose brace is open, up to the brace that ends it.
func (p *parser) block(item func()) {
	for p.err == nil && !p.at("}") {
		switch {
		case p.tok.kind == newline || p.at(";"):
			p.advance()
		case p.tok.kind == end:
			p.expected("}")
		case p.definition(item):
		default:
			item()
		}
	}
	p.close()
}

// skip goes over the rest of a statement: to its separator outside of brackets.
func (p *parser) skip() {
	for depth := 0; p.tok.kind != end; p.advance() {
		switch {
		case depth == 0 && p.separated():
			return
		case p.at("{"):
			depth++
		case p.at("}"):
			depth--
		}
	}
}

func (p *parser) enter() {
	p.depth++
	p.deeper(0)
}

func (p *parser) leave() { p.depth-- }

// deeper notes that what is read now has brackets of that depth in it.
func (p *parser) deeper(more int) {
	if p.depth+more > depthMax {
		p.failAt(p.pos(), "expected at most %d brackets or operators in one another", depthMax)
	}
	p.deepest = max(p.deepest, p.depth+more)
}
