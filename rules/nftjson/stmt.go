package nftjson

import (
	"math"
	"strings"

	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/syntax"
)

func stmts(v *value) []syntax.Stmt {
	list := make([]syntax.Stmt, 0, len(v.want(array).list))
	for i := range v.list {
		list = append(list, stmt(&v.list[i]))
	}
	return list
}

// stmt reads a statement. nft writes one that it has no JSON for as its text.
func stmt(v *value) syntax.Stmt {
	if v.kind == text {
		st, err := nfttext.Statement(v.pos, v.text)
		if err != nil {
			word, _, _ := strings.Cut(v.text, " ")
			return &syntax.Unknown{Pos: v.pos, Kind: word, Why: "nft has no JSON for it, and its text is " + v.plain()}
		}
		return st
	}
	name, p := v.only()
	return stmtObject(v.pos, name, p)
}

// stmtObject reads a statement by name. A property that is not known makes it
// one that is not known.
func stmtObject(pos syntax.Pos, name string, p *value) syntax.Stmt {
	st := byName(pos, name, p)
	if p.kind == object {
		if key := p.unread(); key != "" {
			if _, is := st.(*syntax.Unknown); !is {
				return &syntax.Unknown{Pos: pos, Kind: name, Why: "its property " + key + " is not known"}
			}
		}
	}
	return st
}

func byName(pos syntax.Pos, name string, p *value) syntax.Stmt {
	switch name {
	case "accept", "drop", "continue", "return", "break", "jump", "goto":
		return verdict(pos, name, p)
	case "match":
		return &syntax.Match{Pos: pos, Op: p.must("op").str(), Left: expr(p.must("left")), Right: expr(p.must("right"))}
	case "vmap":
		return &syntax.VMap{Pos: pos, Key: expr(p.must("key")), Data: expr(p.must("data"))}
	case "mangle":
		return &syntax.Mangle{Pos: pos, Key: expr(p.must("key")), Value: expr(p.must("value"))}
	case "counter", "quota", "limit", "synproxy", "ct helper", "ct timeout", "ct expectation", "secmark", "tunnel":
		return named(pos, name, p)
	case "ct count":
		return &syntax.ConnLimit{Pos: pos, Count: p.must("val").u32(), Over: p.boolOf("inv")}
	case "last":
		return last(pos, p)
	case "notrack":
		return &syntax.Notrack{Pos: pos}
	case "log":
		return log(pos, p)
	case "reject":
		return reject(pos, p)
	case "snat", "dnat", "masquerade", "redirect":
		return nat(pos, name, p)
	case "tproxy":
		st := &syntax.TProxy{Pos: pos, Family: p.strOf("family")}
		st.Addr, st.Port = exprOf(p, "addr"), exprOf(p, "port")
		return st
	case "queue":
		if p.kind == null {
			return &syntax.Queue{Pos: pos}
		}
		return &syntax.Queue{Pos: pos, Num: exprOf(p, "num"), Flags: p.stringsOf("flags")}
	case "dup":
		if p.kind == null {
			return &syntax.Unknown{Pos: pos, Kind: name, Why: "JSON doesn't tell where to"}
		}
		return &syntax.Dup{Pos: pos, Addr: exprOf(p, "addr"), Dev: exprOf(p, "dev")}
	case "fwd":
		return &syntax.Fwd{Pos: pos, Dev: expr(p.must("dev")), Addr: exprOf(p, "addr"), Family: p.strOf("family")}
	case "flow":
		if op := p.must("op"); op.str() != "add" {
			failf(op.pos, "add was expected")
		}
		return &syntax.Flow{Pos: pos, Flowtable: p.must("flowtable").setName()}
	case "set", "map":
		return update(pos, name, p)
	case "meter":
		return &syntax.Meter{Pos: pos, Name: p.strOf("name"), Key: expr(p.must("key")), Size: p.u32Of("size"), Stmt: stmt(p.must("stmt"))}
	case "reset":
		o, ok := expr(p).(*syntax.Option)
		if !ok {
			failf(p.pos, "a TCP option was expected")
		}
		p.used = math.MaxUint64
		return &syntax.ResetOption{Pos: pos, Option: o}
	case "xt":
		st := &syntax.XT{Pos: pos}
		if p.kind == object {
			st.Type, st.Name = p.strOf("type"), p.strOf("name")
		}
		return st
	}
	p.used = math.MaxUint64
	return &syntax.Unknown{Pos: pos, Kind: name, Why: "the statement is not known"}
}

func exprOf(p *value, key string) syntax.Expr {
	if v := p.get(key); v != nil {
		return expr(v)
	}
	return nil
}

// named reads a statement that is written out, or names an object that is.
func named(pos syntax.Pos, name string, p *value) syntax.Stmt {
	if p.kind == text {
		return &syntax.ObjectRef{Pos: pos, Kind: name, Value: &syntax.Text{Pos: p.pos, Value: p.text}}
	}
	if p.kind == object && p.get("map") != nil {
		return &syntax.ObjectRef{Pos: pos, Kind: name, Value: exprObject(p.pos, "map", p.get("map"))}
	}
	switch name {
	case "counter":
		if p.kind == null {
			return &syntax.Counter{Pos: pos}
		}
		return &syntax.Counter{Pos: pos, Packets: p.u64Of("packets"), Bytes: p.u64Of("bytes")}
	case "quota":
		return &syntax.Quota{Pos: pos, Bytes: amount(p, "val", "val_unit"), Used: amount(p, "used", "used_unit"), Over: p.boolOf("inv")}
	case "limit":
		return limit(pos, p)
	case "synproxy":
		return synproxy(pos, p)
	}
	failf(p.pos, "the name of a %s was expected", name)
	return nil
}

// amount is a number of bytes, in the unit of another property.
func amount(p *value, key, unitKey string) uint64 {
	v := p.get(key)
	unit := uint64(1)
	if u := p.get(unitKey); u != nil {
		switch u.str() {
		case "bytes", "packets":
		case "kbytes":
			unit = 1 << 10
		case "mbytes":
			unit = 1 << 20
		default:
			failf(u.pos, "no unit %s: bytes, kbytes or mbytes was expected", u.plain())
		}
	}
	if v == nil {
		return 0
	}
	return v.uint(math.MaxUint64/unit) * unit
}

func limit(pos syntax.Pos, p *value) *syntax.Limit {
	st := &syntax.Limit{Pos: pos, Rate: amount(p, "rate", "rate_unit"), Per: "second", Burst: amount(p, "burst", "burst_unit"), Over: p.boolOf("inv")}
	p.must("rate")
	st.HasBurst = p.get("burst") != nil
	if per := p.get("per"); per != nil {
		st.Per = per.str()
	}
	// Objects have unit where statements have rate_unit, by the manual.
	for _, key := range []string{"rate_unit", "unit"} {
		if u := p.get(key); u != nil && u.str() != "packets" {
			st.ByBytes = true
		}
	}
	return st
}

func synproxy(pos syntax.Pos, p *value) *syntax.Synproxy {
	st := &syntax.Synproxy{Pos: pos}
	if p.kind == null {
		return st
	}
	if v := p.get("mss"); v != nil {
		st.MSS, st.HasMSS = uint16(v.uint(math.MaxUint16)), true
	}
	if v := p.get("wscale"); v != nil {
		st.Wscale, st.HasWscale = uint8(v.uint(math.MaxUint8)), true
	}
	st.Flags = p.stringsOf("flags")
	return st
}

func last(pos syntax.Pos, p *value) syntax.Stmt {
	st := &syntax.Last{Pos: pos}
	if p.kind == object {
		if v := p.get("used"); v != nil {
			st.MS, st.Set = v.u64(), true
		}
	}
	return st
}

func log(pos syntax.Pos, p *value) syntax.Stmt {
	st := &syntax.Log{Pos: pos}
	if p.kind == null {
		return st
	}
	st.Prefix, st.Level, st.Flags = p.strOf("prefix"), p.strOf("level"), p.stringsOf("flags")
	if v := p.get("group"); v != nil {
		st.Group, st.HasGroup = uint16(v.uint(math.MaxUint16)), true
	}
	if v := p.get("snaplen"); v != nil {
		st.Snaplen, st.HasSnaplen = v.u32(), true
	}
	if v := p.get("queue-threshold"); v != nil {
		st.Threshold, st.HasThreshold = uint16(v.uint(math.MaxUint16)), true
	}
	return st
}

func reject(pos syntax.Pos, p *value) syntax.Stmt {
	st := &syntax.Reject{Pos: pos}
	if p.kind != null {
		st.Type, st.Code = p.strOf("type"), exprOf(p, "expr")
	}
	return st
}

func nat(pos syntax.Pos, name string, p *value) syntax.Stmt {
	st := &syntax.NAT{Pos: pos, Kind: name}
	if p.kind == null {
		return st
	}
	st.Family, st.Addr, st.Port, st.Flags = p.strOf("family"), exprOf(p, "addr"), exprOf(p, "port"), p.stringsOf("flags")
	for _, f := range p.stringsOf("type_flags") {
		switch f {
		case "prefix":
			st.Prefix = true
		case "interval", "concat": // told by the map
		default:
			return &syntax.Unknown{Pos: pos, Kind: name, Why: "its flag " + f + " is not known"}
		}
	}
	return st
}

// update reads a change of a set or, with data, of a map.
func update(pos syntax.Pos, name string, p *value) syntax.Stmt {
	st := &syntax.SetUpdate{Pos: pos, Op: p.must("op").str(), Elem: expr(p.must("elem"))}
	target := p.get("set")
	if name == "map" {
		st.Data = expr(p.must("data"))
		if target == nil {
			target = p.must("map")
		}
	}
	if target == nil {
		target = p.must("set")
	}
	st.Set = target.setName()
	if v := p.get("stmt"); v != nil {
		st.Statements = stmts(v)
	}
	return st
}
