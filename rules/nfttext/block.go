package nfttext

import (
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// place is where the reading stands.
type place struct {
	lexer
	file  string
	tok   token
	scope *scope
	depth int
}

func (p *parser) place() place { return place{p.lexer, p.file, p.tok, p.scope, p.depth} }

// back goes to a place, unless the reading has ended.
func (p *parser) back(to place) {
	if p.err == nil {
		p.lexer, p.file, p.tok, p.scope, p.depth = to.lexer, to.file, to.tok, to.scope, to.depth
	}
}

// twice reads a block two times, for what it declares and then for its rules,
// since a rule may be written before the set that it refers to. Neither time
// makes more of what is read than is needed then, so that a large table is
// never held as a tree.
func (p *parser) twice(read func()) {
	start := p.place()
	for _, p.ruling = range []bool{false, true} {
		p.back(start)
		p.scope = &scope{outer: start.scope}
		read()
	}
	p.ruling = false
	p.scope = start.scope
}

// declare hands on what was read, the first time.
func (p *parser) declare(d syntax.Decl) {
	if p.err == nil && !p.ruling {
		p.stop(p.out.Add(d))
	}
}

// own is the scope of an inner block.
func (p *parser) own(read func()) {
	outer := p.scope
	p.scope = &scope{outer: outer}
	read()
	p.scope = outer
}

// skipBlock goes over a block that begins with a brace.
func (p *parser) skipBlock() {
	if !p.at("{") {
		p.expected("{")
	}
	for depth := 0; p.tok.kind != end; {
		switch {
		case p.at("{"):
			depth++
		case p.at("}"):
			depth--
		}
		p.advance()
		if depth == 0 {
			return
		}
	}
	if p.err == nil {
		p.expected("}")
	}
}

// table reads a table's block, if there is one.
func (p *parser) table(t *syntax.Table) {
	if !p.at("{") {
		p.declare(t)
		return
	}
	p.twice(func() {
		*t = syntax.Table{Pos: t.Pos, Family: t.Family, Name: t.Name}
		t.Handle = p.open()
		p.block(func() { p.tableItem(t) })
		p.declare(t)
	})
}

func (p *parser) tableItem(t *syntax.Table) {
	at := p.pos()
	switch {
	case p.accept("flags"):
		for {
			t.Flags = append(t.Flags, p.choose("dormant, owner or persist", "dormant", "owner", "persist"))
			if !p.accept(",") {
				break
			}
		}
		p.finish()
		return
	case p.accept("comment"):
		t.Comment = p.comment()
		p.finish()
		return
	}
	p.declare(&syntax.Table{Pos: t.Pos, Family: t.Family, Name: t.Name, Handle: t.Handle})
	owner := spec{at: at, family: t.Family, table: t.Name}
	if kind := p.kind(); p.accept("chain") {
		owner.name = p.name("the name of a chain")
		p.chain(owner, false)
	} else if kind == "" {
		p.expected("a chain, set, map, flowtable or object")
	} else {
		owner.name = p.name("a name")
		if p.ruling {
			p.skipBlock()
		} else {
			p.thing(kind, owner)
		}
	}
	p.finish()
}

// spec is what a command or block is about.
type spec struct {
	at          syntax.Pos
	family      rules.Family
	table, name string
}

func (s spec) ref(handle uint64) compile.Ref {
	return compile.Ref{Pos: s.at, Family: s.family, Table: s.table, Name: s.name, Handle: handle}
}

// kind takes the keyword of what has a name in a table, but for chain.
func (p *parser) kind() string {
	for _, k := range []string{"set", "map", "flowtable", "counter", "quota", "limit", "secmark", "synproxy", "tunnel"} {
		if p.accept(k) {
			return k
		}
	}
	if p.accept("ct") {
		return "ct " + p.choose("helper, timeout or expectation", "helper", "timeout", "expectation")
	}
	return ""
}

// thing reads the block of a set, map, flowtable or object.
func (p *parser) thing(kind string, s spec) {
	switch kind {
	case "set", "map":
		p.set(s, kind == "map")
	case "flowtable":
		p.flowtable(s)
	case "tunnel":
		p.skipBlock()
		p.declare(&syntax.Object{Pos: s.at, Family: s.family, Table: s.table, Name: s.name, Kind: kind})
	default:
		p.object(kind, s)
	}
}

// chain reads a chain's block, if there is one. Alone says that it is a
// command, not part of a table that is read twice.
func (p *parser) chain(s spec, alone bool) {
	c := &syntax.Chain{Pos: s.at, Family: s.family, Table: s.table, Name: s.name}
	if !p.at("{") {
		if !alone {
			p.expected("{")
		}
		p.declare(c)
		return
	}
	read := func() {
		*c = syntax.Chain{Pos: s.at, Family: s.family, Table: s.table, Name: s.name}
		c.Handle = p.open()
		p.block(func() { p.chainItem(c) })
		p.declare(c)
	}
	if alone {
		p.twice(read)
	} else {
		p.own(read)
	}
}

func (p *parser) chainItem(c *syntax.Chain) {
	switch {
	case p.accept("type"):
		p.hook(c)
	case p.accept("policy"):
		at := p.pos()
		if c.Policy = p.word("accept or drop"); c.Policy != "accept" && c.Policy != "drop" {
			p.failAt(at, "expected accept or drop, not %s", short(c.Policy))
		}
	case p.accept("flags"):
		p.expect("offload")
		c.Flags = []string{"offload"}
	case p.at("devices"):
		c.Devices = append(c.Devices, p.devices()...)
	case p.accept("comment"):
		c.Comment = p.comment()
	case !p.ruling:
		p.skip()
	default:
		r := &syntax.Rule{Family: c.Family, Table: c.Table, Chain: c.Name}
		p.rule(r)
		r.Handle = p.finish()
		if p.err == nil {
			p.stop(p.out.Add(r))
		}
		return
	}
	p.finish()
}

// hook reads where a base chain stands, behind the word type.
func (p *parser) hook(c *syntax.Chain) {
	c.Type = p.choose("filter, nat or route", "filter", "nat", "route")
	p.expect("hook")
	at := p.pos()
	c.Hook = p.keep(p.string("a hook"))
	if _, ok := words.Find(words.HookNumbers(c.Family), c.Hook); !ok {
		// egress of family inet is of no kernel, but of newer nft.
		p.failAt(at, "expected a hook of family %s, not %s", c.Family, short(c.Hook))
	}
	if p.accept("device") {
		c.Devices = append(c.Devices, p.word("the name of a device"))
	} else if p.at("devices") {
		c.Devices = append(c.Devices, p.devices()...)
	}
	p.expect("priority")
	c.Priority = p.priority(c.Family, rules.Hook(c.Hook))
}

// priority reads a number or a name, with what is added to it.
func (p *parser) priority(family rules.Family, hook rules.Hook) int32 {
	at := p.pos()
	if p.at("$") {
		switch v := p.variable().(type) {
		case *syntax.Number:
			return p.fits(at, 0, "", int64(min(v.Value, 1<<40)))
		case *syntax.Text:
			return p.priorityText(at, v.Value, family, hook)
		}
		p.failAt(at, "expected a variable that is a priority")
		return 0
	}
	if p.tok.kind == word {
		base, ok := words.PriorityByName(p.tok.text, family, hook)
		if !ok {
			p.expected("a priority: a number, or a name that family " + family.String() + " has at hook " + string(hook))
		}
		p.advance()
		if p.at("+", "-") {
			op := p.tok.text
			p.advance()
			return p.fits(at, base, op, int64(p.number("a number", 32)))
		}
		return base
	}
	op := ""
	if p.accept("-") {
		op = "-"
	}
	return p.fits(at, 0, op, int64(p.number("a priority", 32)))
}

// priorityText reads the priority that a variable is.
func (p *parser) priorityText(at syntax.Pos, text string, family rules.Family, hook rules.Hook) int32 {
	f := strings.Fields(text)
	if len(f) == 1 {
		if n, err := strconv.ParseInt(f[0], 10, 32); err == nil {
			return int32(n)
		}
	}
	if len(f) == 1 || len(f) == 3 && (f[1] == "+" || f[1] == "-") {
		base, ok := words.PriorityByName(f[0], family, hook)
		if ok && len(f) == 1 {
			return base
		}
		if n, err := strconv.ParseInt(f[len(f)-1], 10, 32); ok && err == nil {
			return p.fits(at, base, f[1], n)
		}
	}
	p.failAt(at, "expected a variable that is a priority of family %s at hook %s", family, hook)
	return 0
}

func (p *parser) fits(at syntax.Pos, base int32, op string, n int64) int32 {
	if op == "-" {
		n = -n
	}
	n += int64(base)
	if n != int64(int32(n)) {
		p.failAt(at, "expected a priority of 32 bits")
	}
	return int32(n)
}

// devices reads devices = { … }.
func (p *parser) devices() []string {
	p.advance()
	p.expect("=")
	at := p.pos()
	var list []string
	take := func(e syntax.Expr) {
		if t, ok := e.(*syntax.Text); ok {
			list = append(list, strings.Clone(t.Value))
		} else {
			p.failAt(at, "expected names of devices")
		}
	}
	if !p.at("$") {
		p.elements(take)
		return list
	}
	switch v := p.variable().(type) {
	case *syntax.SetLiteral:
		for _, e := range v.Items {
			take(e)
		}
	default:
		take(v)
	}
	return list
}

func (p *parser) flowtable(s spec) {
	f := &syntax.Flowtable{Pos: s.at, Family: s.family, Table: s.table, Name: s.name}
	f.Handle = p.open()
	p.own(func() {
		p.block(func() {
			switch {
			case p.accept("hook"):
				f.Hook = p.choose("ingress", "ingress")
				p.expect("priority")
				f.Priority = p.priority(rules.Netdev, rules.Ingress)
			case p.at("devices"):
				f.Devices = append(f.Devices, p.devices()...)
			case p.accept("counter"):
				f.Counter = true
			case p.accept("flags"):
				p.expect("offload")
				f.Flags = []string{"offload"}
			default:
				p.expected("hook, devices, counter or flags")
			}
			p.finish()
		})
	})
	p.declare(f)
}
