package nftjson

import (
	"github.com/portwhy/portwhy/rules/syntax"
)

// exprs reads the expressions of an array.
func exprs(v *value) []syntax.Expr {
	list := make([]syntax.Expr, 0, len(v.list))
	for i := range v.list {
		list = append(list, expr(&v.list[i]))
	}
	return list
}

// expr reads an expression.
func expr(v *value) syntax.Expr {
	switch v.kind {
	case number:
		if v.negative {
			failf(v.pos, "a number from zero was expected")
		}
		return &syntax.Number{Pos: v.pos, Value: v.number}
	case boolean:
		return &syntax.Bool{Pos: v.pos, Value: v.number == 1}
	case array:
		return &syntax.List{Pos: v.pos, Items: exprs(v)}
	case text:
		switch {
		case v.text == "*":
			return &syntax.Wildcard{Pos: v.pos}
		case len(v.text) > 1 && v.text[0] == '@':
			return &syntax.SetRef{Pos: v.pos, Name: v.text[1:]}
		}
		return &syntax.Text{Pos: v.pos, Value: v.text}
	case null:
		failf(v.pos, "an expression was expected")
	}
	name, p := v.only()
	e := exprObject(v.pos, name, p)
	if p.kind == object && name != "set" {
		if key := p.unread(); key != "" {
			return &syntax.UnknownExpr{Pos: v.pos, Kind: name, Why: "its property " + key + " is not known"}
		}
	}
	return e
}

func exprObject(pos syntax.Pos, name string, p *value) syntax.Expr {
	switch name {
	case "|", "^", "&", "<<", ">>":
		return binary(pos, name, p)
	case "concat":
		return &syntax.Concat{Pos: pos, Items: exprs(p.want(array))}
	case "set":
		return setLiteral(pos, p)
	case "map":
		return &syntax.Map{Pos: pos, Key: expr(p.must("key")), Data: expr(p.must("data"))}
	case "prefix":
		return &syntax.Prefix{Pos: pos, Addr: expr(p.must("addr")), Len: p.must("len").u32()}
	case "range":
		if p.want(array); len(p.list) != 2 {
			failf(p.pos, "two values were expected")
		}
		return &syntax.Range{Pos: pos, From: expr(&p.list[0]), To: expr(&p.list[1])}
	case "elem":
		return elem(pos, p)
	case "accept", "drop", "continue", "return", "break", "queue", "jump", "goto":
		return verdict(pos, name, p)
	case "payload":
		return payload(pos, p)
	case "exthdr", "tcp option", "ip option", "sctp chunk", "dccp option":
		return option(pos, name, p)
	}
	return load(pos, name, p)
}

// load reads what asks the packet or the host for something that is no header's field.
func load(pos syntax.Pos, name string, p *value) syntax.Expr {
	switch name {
	case "meta":
		return &syntax.Meta{Pos: pos, Key: p.must("key").str()}
	case "rt":
		return &syntax.RT{Pos: pos, Key: p.must("key").str(), Family: p.strOf("family")}
	case "ct":
		return &syntax.CT{Pos: pos, Key: p.must("key").str(), Family: p.strOf("family"), Dir: p.strOf("dir")}
	case "numgen":
		return &syntax.Numgen{Pos: pos, Mode: p.must("mode").str(), Mod: p.must("mod").u32(), Offset: p.u32Of("offset")}
	case "jhash":
		return &syntax.Hash{Pos: pos, Key: expr(p.must("expr")), Mod: p.must("mod").u32(), Offset: p.u32Of("offset"),
			Seed: p.u32Of("seed"), HasSeed: p.get("seed") != nil}
	case "symhash":
		return &syntax.Hash{Pos: pos, Mod: p.must("mod").u32(), Offset: p.u32Of("offset")}
	case "fib":
		result := p.must("result").str()
		return &syntax.Fib{Pos: pos, Result: map[bool]string{true: "oif", false: result}[result == "check"],
			Flags: p.stringsOf("flags"), Present: result == "check"}
	case "socket":
		return &syntax.Socket{Pos: pos, Key: p.must("key").str(), Level: p.u32Of("level"), HasLevel: p.get("level") != nil}
	case "osf":
		return &syntax.OSF{Pos: pos, Key: p.must("key").str(), TTL: p.strOf("ttl")}
	case "ipsec":
		return &syntax.IPsec{Pos: pos, Key: p.must("key").str(), Family: p.strOf("family"), Dir: p.strOf("dir"), SPNum: p.u32Of("spnum")}
	case "tunnel":
		return &syntax.Tunnel{Pos: pos, Key: p.must("key").str()}
	}
	return &syntax.UnknownExpr{Pos: pos, Kind: name, Why: "the expression is not known"}
}

// binary reads an operation; of more than two values, from the left on.
func binary(pos syntax.Pos, op string, p *value) syntax.Expr {
	if p.want(array); len(p.list) < 2 {
		failf(p.pos, "at least two values were expected")
	}
	left := expr(&p.list[0])
	for i := 1; i < len(p.list); i++ {
		left = &syntax.Binary{Pos: pos, Op: op, Left: left, Right: expr(&p.list[i])}
	}
	return left
}

func setLiteral(pos syntax.Pos, p *value) syntax.Expr {
	if p.kind != array {
		if e, ok := expr(p).(*syntax.SetRef); ok {
			return e
		}
		return &syntax.SetLiteral{Pos: pos, Items: []syntax.Expr{expr(p)}}
	}
	// nft lists a set only where the kernel has one.
	lit := &syntax.SetLiteral{Pos: pos, Keep: true}
	for i := range p.list {
		lit.Items = append(lit.Items, element(&p.list[i]))
	}
	return lit
}

// element reads an element of a set: a key, or an array of a key and a value.
func element(v *value) syntax.Expr {
	if v.kind != array {
		return expr(v)
	}
	if len(v.list) != 2 {
		failf(v.pos, "a key and a value were expected")
	}
	return &syntax.Mapping{Pos: v.pos, Key: expr(&v.list[0]), Value: expr(&v.list[1])}
}

// elem reads an element with what belongs to it. Its statement stands among its
// properties.
func elem(pos syntax.Pos, p *value) syntax.Expr {
	e := &syntax.Elem{Pos: pos, Key: expr(p.must("val")), TimeoutMS: p.msOf("timeout"), ExpiresMS: p.msOf("expires"), Comment: p.strOf("comment")}
	for i, key := range p.keys {
		switch key {
		case "val", "timeout", "expires", "comment":
			continue
		}
		p.used |= 1 << i
		if key == "stmt" && p.list[i].kind == array {
			e.Statements = append(e.Statements, stmts(&p.list[i])...)
			continue
		}
		e.Statements = append(e.Statements, stmtObject(p.list[i].pos, key, &p.list[i]))
	}
	return e
}

func verdict(pos syntax.Pos, name string, p *value) *syntax.Verdict {
	v := &syntax.Verdict{Pos: pos, Kind: name}
	if name == "jump" || name == "goto" {
		v.Chain = p.must("target").str()
	}
	return v
}

func payload(pos syntax.Pos, p *value) syntax.Expr {
	if base := p.get("base"); base != nil {
		return &syntax.RawPayload{Pos: pos, Base: base.str(), Offset: p.must("offset").u32(), Len: p.must("len").u32()}
	}
	return &syntax.Payload{Pos: pos, Protocol: p.must("protocol").str(), Field: p.must("field").str(), Tunnel: p.strOf("tunnel")}
}

var optionKinds = map[string]syntax.OptionKind{"exthdr": syntax.ExtensionHeader, "tcp option": syntax.TCPOption, "ip option": syntax.IPOption,
	"sctp chunk": syntax.SCTPChunk, "dccp option": syntax.DCCPOption}

func option(pos syntax.Pos, name string, p *value) syntax.Expr {
	o := &syntax.Option{Pos: pos, Kind: optionKinds[name]}
	if name == "dccp option" {
		o.Raw, o.Number = true, uint8(p.must("type").uint(255))
		return o
	}
	if base := p.get("base"); base != nil {
		o.Raw, o.Number = true, uint8(base.uint(255))
		o.Offset, o.Len = p.must("offset").u32(), p.must("len").u32()
		return o
	}
	o.Name, o.Field, o.Index = p.must("name").str(), p.strOf("field"), p.u32Of("offset")
	return o
}
