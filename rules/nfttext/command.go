package nfttext

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/syntax"
)

// command reads what stands outside of any block.
func (p *parser) command() {
	if p.tok.kind != word {
		p.expected("a command, such as table inet filter { … }")
		return
	}
	verb := "add"
	switch p.tok.text {
	case "add", "create", "insert", "replace", "delete", "destroy", "flush", "rename":
		verb = p.tok.text
		p.advance()
	case "list", "get", "describe", "monitor", "export", "import", "reset":
		p.failAt(p.pos(), "expected a command that makes or changes rules, not %s", p.tok.text)
	}
	switch verb {
	case "add", "create":
		p.addition(verb == "create")
	case "insert", "replace":
		p.expect("rule")
		p.ruleCommand(verb)
	case "delete", "destroy":
		p.deletion(verb == "destroy")
	case "flush":
		p.flush()
	case "rename":
		p.expect("chain")
		s := p.spec(true)
		to := p.name("a new name")
		p.do(func() error { return p.out.RenameChain(s.ref(0), to) })
	}
	p.finish()
}

// do changes what was read so far.
func (p *parser) do(change func() error) {
	if p.err == nil {
		p.stop(change())
	}
}

// familyWord takes the name of a family, false if there is none.
func (p *parser) familyWord() (rules.Family, bool) {
	if p.tok.kind == word {
		if f, ok := rules.ParseFamily(p.tok.text); ok {
			p.advance()
			return f, true
		}
	}
	return rules.IP, false
}

// spec reads the family, ip if it is not written, the table and, if it is of
// something in it, the name. A handle may stand for the last of them.
func (p *parser) spec(inTable bool) spec {
	s := spec{at: p.pos()}
	s.family, _ = p.familyWord()
	if inTable || !p.handleFollows() {
		s.table = p.name("the name of a table")
	}
	if inTable && !p.handleFollows() {
		s.name = p.name("a name")
	}
	return s
}

func (p *parser) handleFollows() bool { return p.at("handle") && p.peek().kind == number }

// addition reads what add and create are followed by, or what stands alone.
func (p *parser) addition(create bool) {
	at := p.pos()
	if p.accept("table") {
		s := p.spec(false)
		p.fresh(create, "table", s)
		p.table(&syntax.Table{Pos: s.at, Family: s.family, Name: s.table})
		return
	}
	if p.accept("chain") {
		s := p.spec(true)
		p.fresh(create, "chain", s)
		p.chain(s, true)
		return
	}
	if p.accept("element") {
		p.setElements(p.spec(true))
		return
	}
	kind := p.kind()
	if kind == "" {
		p.accept("rule")
		p.ruleCommand("add")
		return
	}
	s := p.spec(true)
	s.at = at
	p.fresh(create, kind, s)
	p.thing(kind, s)
}

// fresh is for create, which wants what it makes not to be there.
func (p *parser) fresh(create bool, kind string, s spec) {
	if create && p.has(kind, s.ref(0)) {
		p.failAt(s.at, "expected a new %s: this one is there already", kind)
	}
}

func (p *parser) has(kind string, ref compile.Ref) bool {
	if p.err != nil {
		return false
	}
	has, err := p.out.Has(kind, ref)
	p.stop(err)
	return has
}

// ruleCommand reads a rule with the chain that it is for and its place there.
func (p *parser) ruleCommand(verb string) {
	s := p.spec(true)
	where := compile.Where{Insert: verb == "insert"}
	if p.at("position", "handle", "index") {
		where.By = p.tok.text
		p.advance()
		where.Number = p.number("a number", 64)
	}
	if verb == "replace" && where.By != "handle" {
		p.expected("handle and the number of the rule")
	}
	r := &syntax.Rule{Family: s.family, Table: s.table, Chain: s.name}
	p.rule(r)
	if p.tok.kind == newline {
		r.Handle = p.tok.value
	}
	p.do(func() error {
		if verb == "replace" {
			return p.out.Replace(r, where.Number)
		}
		return p.out.Place(r, where)
	})
}

func (p *parser) deletion(destroy bool) {
	if p.accept("rule") {
		s := p.spec(true)
		handle := p.handle("")
		p.do(func() error { return p.out.DeleteRule(s.ref(handle)) })
		return
	}
	if p.at("element") {
		p.failAt(p.pos(), "expected a command without elements: taking single ones away is not read")
		return
	}
	kind := ""
	switch {
	case p.accept("table"):
		kind = "table"
	case p.accept("chain"):
		kind = "chain"
	default:
		if kind = p.kind(); kind == "" {
			p.expected("table, chain, rule, set, map, flowtable or an object")
			return
		}
	}
	s := p.spec(kind != "table")
	name := s.name
	if kind == "table" {
		name = s.table
	}
	ref := s.ref(p.handle(name))
	if !destroy || p.has(kind, ref) {
		p.do(func() error { return p.out.Delete(kind, ref) })
	}
}

// handle reads handle N, which must be there if there is no name.
func (p *parser) handle(name string) uint64 {
	if name != "" {
		return 0
	}
	p.expect("handle")
	return p.number("a handle", 64)
}

func (p *parser) flush() {
	switch {
	case p.accept("ruleset"):
		ref := compile.Ref{Pos: p.pos()}
		if f, ok := p.familyWord(); ok {
			ref.Family = f
		}
		p.do(func() error { return p.out.Flush(ref) })
	case p.accept("table"):
		s := p.spec(false)
		p.do(func() error { return p.out.FlushTable(s.ref(0)) })
	case p.accept("chain"):
		s := p.spec(true)
		p.do(func() error { return p.out.FlushChain(s.ref(0)) })
	case p.accept("set") || p.accept("map") || p.accept("meter"):
		s := p.spec(true)
		p.do(func() error { return p.out.FlushSet(s.ref(0)) })
	default:
		p.expected("ruleset, table, chain, set or map")
	}
}
