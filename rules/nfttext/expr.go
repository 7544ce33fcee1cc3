package nfttext

import (
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// side is where an expression stands, which says how a word is read that both
// begins a field and is a value (tcp, mark, ip).
type side uint8

const (
	// left of a comparison: a field.
	left side = iota
	// right of one: a value.
	right
	// what is written by a statement: a field if it can be one.
	written
)

// reserved are words that begin something else, and so are no values unless
// they stand in quotation marks.
var reserved = map[string]bool{
	"accept": true, "drop": true, "continue": true, "jump": true, "goto": true, "return": true, "counter": true, "limit": true, "quota": true,
	"log": true, "reject": true, "queue": true, "masquerade": true, "tproxy": true, "dup": true, "fwd": true, "notrack": true, "flow": true,
	"synproxy": true, "meter": true, "meta": true, "ct": true, "socket": true, "fib": true, "osf": true, "numgen": true, "jhash": true,
	"symhash": true, "exthdr": true, "hbh": true, "rt": true, "rt0": true, "rt2": true, "srh": true, "frag": true, "dst": true, "mh": true,
	"comment": true, "vmap": true, "map": true, "set": true, "flags": true, "type": true,
}

// operators by how tightly they bind, loosest first, each with its word.
var binary = [][]struct{ sign, word string }{
	{{"|", "or"}},
	{{"^", "xor"}},
	{{"&", "and"}},
	{{"<<", "lshift"}, {">>", "rshift"}},
}

// basic reads an expression of operators. Those of level and tighter ones count.
func (p *parser) basic(s side) syntax.Expr { return p.operators(s, 0) }

func (p *parser) operators(s side, level int) syntax.Expr {
	if level == len(binary) {
		return p.primary(s)
	}
	at := p.pos()
	e := p.operators(s, level+1)
	for count := 1; ; count++ {
		op := ""
		for _, o := range binary[level] {
			if p.at(o.sign, o.word) {
				op = o.sign
			}
		}
		if op == "" {
			return e
		}
		p.advance()
		if count == depthMax {
			p.failAt(at, "expected at most %d operators", depthMax)
		}
		p.nodes++
		p.deeper(count)
		from := s
		if s == left {
			from = p.operand()
		}
		e = &syntax.Binary{Pos: at, Op: op, Left: e, Right: p.operators(from, level+1)}
	}
}

// operand is the side of an operator's right operand on the left of a
// comparison: a value, unless it can only be a field.
func (p *parser) operand() side {
	if p.at("meta", "ct") {
		return left
	}
	return right
}

// primary reads one field or value.
func (p *parser) primary(s side) syntax.Expr {
	p.nodes++
	at := p.pos()
	switch {
	case p.accept("("):
		p.enter()
		e := p.basic(s)
		p.leave()
		p.expect(")")
		return e
	case p.at("$"):
		return p.variable()
	case p.tok.kind == number:
		v := p.tok.value
		p.advance()
		return &syntax.Number{Pos: at, Value: v}
	case p.tok.kind == quoted, p.tok.kind == wild:
		t := &syntax.Text{Pos: at, Value: p.tok.text, Quoted: p.tok.kind == quoted}
		p.advance()
		return t
	case s != right && p.at("@"):
		return p.raw()
	case p.tok.kind != word:
		p.expected("a value")
		return nil
	case s == left && p.startsField(), s == written && p.startsField() && p.continuesField():
		return p.field()
	case p.at("exists", "missing"):
		v := p.at("exists")
		p.advance()
		return &syntax.Bool{Pos: at, Value: v}
	case reserved[p.tok.text] || words.MetaWords[p.tok.text] != "":
		p.expected("a value")
		return nil
	}
	t := &syntax.Text{Pos: at, Value: p.tok.text}
	p.advance()
	return t
}

// ranged reads a value, or a range or prefix of values.
func (p *parser) ranged(s side) syntax.Expr {
	at := p.pos()
	e := p.basic(s)
	switch {
	case p.accept("-"):
		p.nodes++
		return &syntax.Range{Pos: at, From: e, To: p.basic(s)}
	case p.at("/") && p.peek().kind == number:
		p.advance()
		p.nodes++
		return &syntax.Prefix{Pos: at, Addr: e, Len: uint32(p.number("a prefix length", 8))}
	}
	return e
}

// chained reads what dots join. Each part is read by part.
func (p *parser) chained(s side, part func(side) syntax.Expr) syntax.Expr {
	at := p.pos()
	e := part(s)
	if !p.at(".") {
		return e
	}
	p.nodes++
	c := &syntax.Concat{Pos: at, Items: []syntax.Expr{e}}
	for p.accept(".") {
		c.Items = append(c.Items, part(s))
	}
	return c
}

// fields reads fields that dots join, which is what stands on the left.
func (p *parser) fields() syntax.Expr { return p.chained(left, p.basic) }

// values reads values that dots join, which is a key of a set.
func (p *parser) values() syntax.Expr { return p.chained(right, p.ranged) }

// list reads the rest of a list that began with a value.
func (p *parser) list(at syntax.Pos, first syntax.Expr, s side) syntax.Expr {
	if !p.at(",") {
		return first
	}
	p.nodes++
	l := &syntax.List{Pos: at, Items: []syntax.Expr{first}}
	for p.accept(",") {
		l.Items = append(l.Items, p.basic(s))
	}
	return l
}

// compared reads the right side of a comparison: a set, or values.
func (p *parser) compared() syntax.Expr {
	at := p.pos()
	switch {
	case p.at("{"):
		return p.setLiteral()
	case p.at("@"):
		return p.setRef()
	}
	return p.list(at, p.values(), right)
}

// setRef reads @name.
func (p *parser) setRef() syntax.Expr {
	at := p.pos()
	if p.at("$") {
		return p.variable()
	}
	p.expect("@")
	p.nodes++
	return &syntax.SetRef{Pos: at, Name: p.name("the name of a set")}
}

// setData reads what a map or vmap looks up in.
func (p *parser) setData() syntax.Expr {
	if p.at("{") {
		return p.setLiteral()
	}
	return p.setRef()
}

// set reads { … }.
func (p *parser) setLiteral() syntax.Expr {
	s := &syntax.SetLiteral{Pos: p.pos()}
	p.nodes++
	p.elements(func(e syntax.Expr) { s.Items = append(s.Items, e) })
	return s
}

// elements reads the elements between braces, and those of sets among them.
func (p *parser) elements(take func(syntax.Expr)) {
	p.expect("{")
	p.enter()
	p.blank()
	for p.err == nil && !p.at("}") {
		switch {
		case p.at("{"):
			p.elements(take)
		default:
			e := p.element()
			if s, ok := e.(*syntax.SetLiteral); ok { // of a variable
				for _, e := range s.Items {
					take(e)
				}
				break
			}
			take(e)
		}
		p.blank()
		if !p.accept(",") {
			break
		}
		p.blank()
	}
	p.close()
}

// element reads a key with what belongs to it and, of a map, its value.
func (p *parser) element() syntax.Expr {
	at := p.pos()
	var key syntax.Expr
	if p.at("*") {
		p.advance()
		key = &syntax.Wildcard{Pos: at}
	} else {
		key = p.values()
	}
	e := p.elem(at, key, nil)
	if !p.accept(":") {
		return e
	}
	p.nodes++
	return &syntax.Mapping{Pos: at, Key: e, Value: p.mapped()}
}

// mapped reads a map's value.
func (p *parser) mapped() syntax.Expr {
	if p.startsVerdict() {
		return p.verdict()
	}
	return p.values()
}

// elem reads what is behind a key. Statements go to the element, or to
// statements if it is given.
func (p *parser) elem(at syntax.Pos, key syntax.Expr, statements *[]syntax.Stmt) syntax.Expr {
	var e *syntax.Elem
	for p.tok.kind == word {
		if e == nil && (statements == nil || !p.startsStateful()) {
			e = &syntax.Elem{Pos: at, Key: key}
		}
		switch {
		case p.accept("timeout"):
			e.TimeoutMS = p.duration()
		case p.accept("expires"):
			e.ExpiresMS = p.duration()
		case p.accept("comment"):
			e.Comment = p.comment()
		case p.startsStateful():
			s := p.stateful()
			if statements != nil {
				*statements = append(*statements, s)
			} else {
				e.Statements = append(e.Statements, s)
			}
		default:
			p.expected("timeout, expires, comment, counter, limit, quota, last or ct count, or the end of the element")
		}
	}
	if e == nil {
		return key
	}
	return e
}
