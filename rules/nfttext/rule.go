package nfttext

import (
	"github.com/portwhy/portwhy/rules/syntax"
)

// statements reads a rule: its statements and its comment.
func (p *parser) rule(r *syntax.Rule) {
	r.Pos = p.pos()
	for !p.separated() {
		if p.accept("comment") {
			r.Comment = p.comment()
			break
		}
		if len(r.Statements) == statementsMax {
			p.failAt(p.pos(), "expected at most %d statements in a rule", statementsMax)
		}
		if n := len(r.Statements); n > 0 && final(r.Statements[n-1]) {
			p.expected("the end of the rule")
		}
		if s := p.statement(); p.err == nil {
			r.Statements = append(r.Statements, s)
		}
	}
	if len(r.Statements) == 0 {
		p.expected("a statement")
	}
}

// final says of a statement that nft takes none behind it: it would have no effect.
func final(s syntax.Stmt) bool {
	switch s := s.(type) {
	case *syntax.Verdict:
		return s.Kind != "continue" && !s.Body
	case *syntax.Reject, *syntax.NAT, *syntax.Queue, *syntax.Fwd:
		return true
	}
	return false
}

func (p *parser) startsVerdict() bool {
	return p.at("accept", "drop", "continue", "jump", "goto", "return")
}

// verdict reads a verdict, with the chain it leads to or, as a statement, that
// chain's rules.
func (p *parser) verdict() *syntax.Verdict {
	v := &syntax.Verdict{Pos: p.pos(), Kind: p.tok.text}
	p.nodes++
	p.advance()
	if v.Kind == "jump" || v.Kind == "goto" {
		if p.at("$") {
			v.Chain = p.keep(p.word("the name of a chain"))
		} else {
			v.Chain = p.name("the name of a chain")
		}
	}
	return v
}

// chainBody reads jump { … }.
func (p *parser) chainBody() *syntax.Verdict {
	v := &syntax.Verdict{Pos: p.pos(), Kind: p.tok.text, Body: true}
	p.advance()
	p.open()
	p.block(func() {
		r := &syntax.Rule{}
		p.rule(r)
		r.Handle = p.finish()
		v.Rules = append(v.Rules, r)
	})
	return v
}

func (p *parser) statement() syntax.Stmt {
	at := p.pos()
	if p.tok.kind != word {
		return p.match()
	}
	switch p.tok.text {
	case "jump", "goto":
		if p.peek().is("{") {
			return p.chainBody()
		}
		return p.verdict()
	case "accept", "drop", "continue", "return":
		return p.verdict()
	case "counter", "limit", "quota", "synproxy", "tunnel":
		if p.peek().is("name") {
			kind := p.tok.text
			p.advance()
			p.advance()
			return &syntax.ObjectRef{Pos: at, Kind: kind, Value: p.writtenValue()}
		}
	case "ct":
		if s := p.ctStatement(at); s != nil {
			return s
		}
	case "meta":
		if p.peek().is("secmark") {
			return p.secmark(at)
		}
	}
	if p.startsStateful() {
		return p.stateful()
	}
	switch p.tok.text {
	case "log":
		return p.log()
	case "reject":
		return p.reject()
	case "snat", "dnat", "masquerade", "redirect":
		return p.nat()
	case "tproxy":
		return p.tproxy()
	case "queue":
		return p.queue()
	case "dup":
		return p.dup()
	case "fwd":
		return p.fwd()
	case "notrack":
		p.advance()
		return &syntax.Notrack{Pos: at}
	case "flow":
		return p.flow()
	case "synproxy":
		p.advance()
		return p.synproxy(at)
	case "add", "update", "delete", "set":
		return p.setUpdate()
	case "meter":
		p.advance()
		return p.meter(at)
	case "reset":
		return p.resetOption()
	case "xt":
		p.advance()
		return &syntax.XT{Pos: at, Type: p.choose("match, target or watcher", "match", "target", "watcher"), Name: p.string("the name of an extension")}
	}
	return p.match()
}

// match reads a statement that begins with a field: a comparison, vmap or set.
func (p *parser) match() syntax.Stmt {
	at := p.pos()
	if !p.startsField() && !p.at("(", "@", "$") && p.tok.kind != quoted {
		p.expected("a statement")
		return nil
	}
	e := p.fields()
	switch {
	case p.accept("set"):
		p.nodes++
		return &syntax.Mangle{Pos: at, Key: e, Value: p.writtenValue()}
	case p.accept("vmap"):
		p.nodes++
		return &syntax.VMap{Pos: at, Key: e, Data: p.setData()}
	case p.accept("map"):
		e = &syntax.Map{Pos: at, Key: e, Data: p.setData()}
	}
	p.nodes++
	m := &syntax.Match{Pos: at, Left: e}
	switch {
	case p.accept("==") || p.accept("eq"):
		m.Op = "=="
	case p.accept("!=") || p.accept("ne"):
		m.Op = "!="
	case p.accept("<=") || p.accept("le"):
		m.Op = "<="
	case p.accept(">=") || p.accept("ge"):
		m.Op = ">="
	case p.accept("<") || p.accept("lt"):
		m.Op = "<"
	case p.accept(">") || p.accept("gt"):
		m.Op = ">"
	case p.accept("!") || p.accept("not"): // none of these bits is set
		m.Op = "!"
	}
	m.Right = p.compared()
	mask := numericMask(m)
	if at := p.pos(); mask == nil && p.accept("/") {
		mask = p.list(at, p.basic(right), right)
	}
	if mask != nil {
		// tcp flags syn / syn,ack: the mask is written behind.
		m.Left = &syntax.Binary{Pos: at, Op: "&", Left: e, Right: mask}
		if m.Op == "" {
			m.Op = "=="
		}
	}
	return m
}

// numericMask takes the mask out of what is compared with 0x2 / 0x2,0x10, where
// only the comma tells the mask from a prefix length. It is nil if there is none.
func numericMask(m *syntax.Match) syntax.Expr {
	l, ok := m.Right.(*syntax.List)
	if !ok {
		return nil
	}
	first, ok := l.Items[0].(*syntax.Prefix)
	if !ok {
		return nil
	}
	m.Right = first.Addr
	l.Items[0] = &syntax.Number{Pos: first.Pos, Value: uint64(first.Len)}
	return l
}

// writtenValue reads what a statement writes or sends to: a value, a field, a
// range, a list, or what a map gives.
func (p *parser) writtenValue() syntax.Expr {
	at := p.pos()
	e := p.chained(written, p.ranged)
	if p.accept("map") {
		p.nodes++
		return &syntax.Map{Pos: at, Key: e, Data: p.setData()}
	}
	return p.list(at, e, written)
}

// ctStatement reads the statements that begin with ct, nil if it is a field.
func (p *parser) ctStatement(at syntax.Pos) syntax.Stmt {
	kind := p.peek().text
	if kind != "timeout" && kind != "expectation" && kind != "helper" {
		return nil
	}
	before, tok := p.lexer, p.tok
	p.advance()
	p.advance()
	if p.accept("set") {
		return &syntax.ObjectRef{Pos: at, Kind: "ct " + kind, Value: p.writtenValue()}
	}
	p.lexer, p.tok = before, tok
	return nil
}

// secmark reads meta secmark, which is set to an object or compared.
func (p *parser) secmark(at syntax.Pos) syntax.Stmt {
	s := p.match()
	m, ok := s.(*syntax.Mangle)
	if !ok {
		return s
	}
	if _, ok := m.Value.(*syntax.CT); ok {
		return s
	}
	return &syntax.ObjectRef{Pos: at, Kind: "secmark", Value: m.Value}
}

// setUpdate reads a statement that changes a set: add @s { … }, or in the old
// form, set add … @s.
func (p *parser) setUpdate() syntax.Stmt {
	s := &syntax.SetUpdate{Pos: p.pos()}
	old := p.accept("set")
	s.Op = p.choose("add, update or delete", "add", "update", "delete")
	at := p.pos()
	if old {
		s.Elem = p.elem(at, p.fields(), nil)
		s.Set = p.setName()
		return s
	}
	s.Set = p.setName()
	p.open()
	at = p.pos()
	s.Elem = p.elem(at, p.fields(), &s.Statements)
	if p.accept(":") {
		data := p.pos()
		s.Data = p.elem(data, p.writtenValue(), nil)
	}
	p.close()
	return s
}

// setName reads @name where only a set's name will do.
func (p *parser) setName() string {
	at := p.pos()
	r, ok := p.setRef().(*syntax.SetRef)
	if !ok {
		p.failAt(at, "expected the name of a set, such as @name")
		return ""
	}
	return r.Name
}

// meter reads a meter behind its keyword.
func (p *parser) meter(at syntax.Pos) syntax.Stmt {
	m := &syntax.Meter{Pos: at, Name: p.name("the name of a meter")}
	if p.accept("size") {
		m.Size = uint32(p.number("a size", 32))
	}
	p.open()
	key := p.pos()
	var stmts []syntax.Stmt
	m.Key = p.elem(key, p.fields(), &stmts)
	if len(stmts) != 1 {
		p.failAt(key, "expected a key and one statement for it")
		return m
	}
	m.Stmt = stmts[0]
	p.close()
	return m
}

// flow reads flow add @table, or an old meter: flow table name { … }.
func (p *parser) flow() syntax.Stmt {
	at := p.pos()
	p.advance()
	if p.accept("table") {
		return p.meter(at)
	}
	p.choose("add or offload", "add", "offload")
	p.expect("@")
	return &syntax.Flow{Pos: at, Flowtable: p.name("the name of a flowtable")}
}

// resetOption reads reset tcp option …
func (p *parser) resetOption() syntax.Stmt {
	s := &syntax.ResetOption{Pos: p.pos()}
	p.advance()
	at := p.pos()
	if o, ok := p.field().(*syntax.Option); ok && o.Kind == syntax.TCPOption {
		s.Option = o
		return s
	}
	p.failAt(at, "expected tcp option")
	return s
}
