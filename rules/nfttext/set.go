package nfttext

import (
	"strings"

	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// chunk is how many elements are held as a tree at once.
const chunk = 4096

// set reads the block of a set or map. Its elements are handed on in pieces,
// once the rest of the block is known.
func (p *parser) set(s spec, isMap bool) {
	d := &syntax.Set{Pos: s.at, Family: s.family, Table: s.table, Name: s.name, Map: isMap}
	var elements []place
	p.own(func() {
		d.Handle = p.open()
		p.block(func() { p.setItem(d, &elements) })
		if len(d.Key.Names) == 0 && d.Key.Typeof == nil {
			p.failAt(s.at, "expected a set with type or typeof")
		}
		p.declare(d)
		after := p.place()
		for _, at := range elements {
			p.back(at)
			p.setElements(s)
		}
		p.back(after)
	})
}

func (p *parser) setItem(d *syntax.Set, elements *[]place) {
	at := p.pos()
	switch {
	case p.accept("type"):
		p.once(at, len(d.Key.Names) == 0 && d.Key.Typeof == nil)
		d.Key.Names = p.types()
		if d.Map {
			p.expect(":")
			p.dataType(d, p.types)
		}
	case p.accept("typeof"):
		p.once(at, len(d.Key.Names) == 0 && d.Key.Typeof == nil)
		d.Key.Typeof = p.fields()
		if d.Map {
			p.expect(":")
			p.dataType(d, nil)
		}
	case p.accept("flags"):
		d.Flags = append(d.Flags, p.flags("constant, dynamic, interval or timeout", "constant", "dynamic", "interval", "timeout")...)
	case p.accept("timeout"):
		d.TimeoutMS = p.duration()
	case p.accept("gc-interval"):
		d.GCIntervalMS = p.duration()
	case p.accept("size"):
		d.Size = uint32(p.number("a size", 32))
	case p.accept("policy"):
		d.Policy = p.choose("performance or memory", "performance", "memory")
	case p.accept("auto-merge"):
		d.AutoMerge = true
	case p.accept("comment"):
		d.Comment = p.comment()
	case p.accept("elements"):
		p.expect("=")
		*elements = append(*elements, p.place())
		p.once(at, len(*elements) == 1)
		if p.at("$") {
			p.variable()
		} else {
			p.skipBlock()
		}
	case p.startsStateful():
		for p.startsStateful() {
			d.Statements = append(d.Statements, p.stateful())
		}
	default:
		p.expected("type, typeof, flags, timeout, gc-interval, size, policy, auto-merge, comment, elements or a statement")
	}
	p.finish()
}

// once is for what may be said only once.
func (p *parser) once(at syntax.Pos, first bool) {
	if !first {
		p.failAt(at, "expected this only once in a block")
	}
}

// types reads the names of types that dots join.
func (p *parser) types() []string {
	var names []string
	for {
		if p.tok.kind != word || words.TypeByName(p.tok.text) == nil {
			p.expected("the name of a type, such as ipv4_addr")
			return nil
		}
		names = append(names, p.keep(p.tok.text))
		p.advance()
		if !p.accept(".") {
			return names
		}
	}
}

// dataType reads the type of a map's values, by names or (nil) by expressions.
func (p *parser) dataType(d *syntax.Set, types func() []string) {
	for _, k := range []string{"counter", "quota", "limit", "secmark", "synproxy", "tunnel"} {
		if p.accept(k) {
			d.ObjType = k
			return
		}
	}
	if p.at("ct") {
		if next := p.peek(); next.is("helper") || next.is("timeout") || next.is("expectation") {
			p.advance()
			p.advance()
			d.ObjType = "ct " + next.text
			return
		}
	}
	d.DataInterval = p.accept("interval")
	switch {
	case p.accept("queue"):
		d.Data.Names = []string{"queue"}
	case types != nil:
		d.Data.Names = types()
	case p.at("verdict"):
		p.advance()
		d.Data.Names = []string{"verdict"}
	default:
		d.Data.Typeof = p.fields()
	}
}

// setElements reads the elements of a set and hands them on.
func (p *parser) setElements(s spec) {
	at := p.pos()
	total := p.ahead()
	list := make([]syntax.Expr, 0, 16)
	give := func() {
		if len(list) > 0 {
			p.declare(&syntax.Elements{Pos: at, Family: s.family, Table: s.table, Set: s.name, Elements: list, Total: total})
			total = 0
			list = make([]syntax.Expr, 0, len(list))
		}
	}
	take := func(e syntax.Expr) {
		if list = append(list, e); len(list) == chunk {
			give()
		}
	}
	if p.at("$") {
		if v, ok := p.variable().(*syntax.SetLiteral); ok {
			for _, e := range v.Items {
				take(e)
			}
		} else {
			p.failAt(at, "expected a variable that is a set")
		}
	} else {
		p.elements(take)
	}
	give()
}

// ahead is about how many elements the list has that begins here.
func (p *parser) ahead() int {
	text := p.text[p.tok.offset:]
	if end := strings.IndexByte(text, '}'); end >= 0 {
		text = text[:end]
	}
	return strings.Count(text, ",") + 1
}
