package nftjson

import (
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/syntax"
)

// declare reads a thing that is no set.
func (p *parser) declare(pos syntax.Pos, name string, v *value) {
	switch name {
	case "metainfo":
		if schema := v.get("json_schema_version"); schema != nil && schema.u64() != 1 {
			failf(schema.pos, "version 1 of the schema was expected")
		}
		if p.opts.Unequal == compile.UnequalUnknown {
			p.opts.Unequal = unequal(v.strOf("version"))
		}
	case "table":
		p.table(pos, v)
	case "chain":
		p.chain(pos, v)
	case "rule":
		p.rule(pos, v)
	case "counter", "quota", "limit", "synproxy", "ct helper", "ct timeout", "ct expectation", "secmark", "tunnel":
		p.namedObject(pos, name, v)
	case "flowtable":
		d := &syntax.Flowtable{Pos: pos, Family: family(v), Table: v.must("table").str(), Name: v.must("name").str(), Handle: v.u64Of("handle"),
			Hook: v.strOf("hook"), Devices: v.stringsOf("dev"), Flags: v.stringsOf("flags"), Counter: v.boolOf("counter")}
		if prio := v.get("prio"); prio != nil {
			d.Priority = prio.i32()
		}
		p.add(d)
	default:
		failf(pos, "table, chain, rule, set, map or another thing of a ruleset was expected, not %q", name)
	}
}

// unequal is what a version of nft makes of what [compile.Unequal] is about.
func unequal(version string) compile.Unequal {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return compile.UnequalUnknown
	}
	major, err1 := strconv.ParseUint(parts[0], 10, 16)
	minor, err2 := strconv.ParseUint(parts[1], 10, 16)
	switch {
	case err1 != nil || err2 != nil:
		return compile.UnequalUnknown
	case major > 1 || major == 1 && minor > 0:
		return compile.UnequalApart
	}
	return compile.UnequalMerged
}

func family(v *value) rules.Family {
	f := v.must("family")
	out, ok := rules.ParseFamily(f.str())
	if !ok {
		failf(f.pos, "no family %s: ip, ip6, inet, arp, bridge or netdev was expected", f.plain())
	}
	return out
}

func name(v *value) string {
	n := v.must("name")
	if n.str() == "" {
		failf(n.pos, "a name was expected")
	}
	return n.text
}

func (p *parser) table(pos syntax.Pos, v *value) {
	d := &syntax.Table{Pos: pos, Family: family(v), Name: name(v), Handle: v.u64Of("handle"), Comment: v.strOf("comment")}
	key := tableKey{d.Family, d.Name}
	if flags := v.get("flags"); flags != nil {
		if d.Flags = tableFlags(flags); d.Flags == nil {
			// nft 1.0.6 frees a lone flag before it prints it: another value of the
			// document comes in its place.
			p.doubts[key] = "nft wrote the table's flag as " + flags.plain() + ": it may be dormant"
		}
	}
	if k := v.unread(); k != "" {
		p.doubts[key] = "the table's property " + k + " is not known"
	}
	p.add(d)
}

// tableFlags are the flags of a table, nil if they are none that there are.
func tableFlags(v *value) []string {
	if v.kind != text && v.kind != array {
		return nil
	}
	list := []string{}
	items := v.list
	if v.kind == text {
		items = []value{*v}
	}
	for _, i := range items {
		switch i.text {
		case "dormant", "owner", "persist":
			list = append(list, i.text)
		default:
			return nil
		}
	}
	return list
}

func (p *parser) chain(pos syntax.Pos, v *value) {
	d := &syntax.Chain{Pos: pos, Family: family(v), Table: v.must("table").str(), Name: name(v), Handle: v.u64Of("handle"),
		Type: v.strOf("type"), Hook: v.strOf("hook"), Devices: v.stringsOf("dev"), Policy: v.strOf("policy"), Flags: v.stringsOf("flags"), Comment: v.strOf("comment")}
	if prio := v.get("prio"); prio != nil {
		d.Priority = prio.i32()
	}
	doubt := p.doubts[tableKey{d.Family, d.Table}]
	if k := v.unread(); k != "" {
		doubt = "the chain's property " + k + " is not known"
	}
	if (d.Hook == string(rules.Ingress) || d.Hook == string(rules.Egress)) && len(d.Devices) == 0 && doubt == "" {
		doubt = "nft doesn't tell the chain's devices"
	}
	p.add(d)
	if doubt != "" {
		p.doubt(d, doubt)
	}
}

// doubt starts a chain with a rule that may leave it, because it isn't known
// whether the chain is in effect.
func (p *parser) doubt(d *syntax.Chain, why string) {
	leave := "return"
	if d.Hook != "" {
		leave = "accept"
	}
	p.add(&syntax.Rule{Pos: d.Pos, Family: d.Family, Table: d.Table, Chain: d.Name, Comment: why, Statements: []syntax.Stmt{
		&syntax.Unknown{Pos: d.Pos, Kind: "doubt", Why: why}, &syntax.Verdict{Pos: d.Pos, Kind: leave}}})
}

func (p *parser) rule(pos syntax.Pos, v *value) {
	d := &syntax.Rule{Pos: pos, Family: family(v), Table: v.must("table").str(), Chain: v.must("chain").str(), Handle: v.u64Of("handle"),
		Comment: v.strOf("comment")}
	if list := v.get("expr"); list != nil {
		d.Statements = stmts(list)
	}
	if k := v.unread(); k != "" {
		d.Statements = []syntax.Stmt{&syntax.Unknown{Pos: pos, Kind: "rule", Why: "the rule's property " + k + " is not known"}}
	}
	p.add(d)
}

func (p *parser) namedObject(pos syntax.Pos, kind string, v *value) {
	d := &syntax.Object{Pos: pos, Family: family(v), Table: v.must("table").str(), Name: name(v), Handle: v.u64Of("handle"), Kind: kind,
		Comment: v.strOf("comment")}
	switch kind {
	case "counter":
		d.Value = &syntax.Counter{Pos: pos, Packets: v.u64Of("packets"), Bytes: v.u64Of("bytes")}
	case "quota":
		d.Value = &syntax.Quota{Pos: pos, Bytes: v.u64Of("bytes"), Used: v.u64Of("used"), Over: v.boolOf("inv")}
	case "limit":
		d.Value = limit(pos, v)
	case "synproxy":
		d.Value = synproxy(pos, v)
	case "ct helper":
		d.Value = &syntax.HelperObject{Pos: pos, Type: v.strOf("type"), Protocol: protocol(v), L3Proto: v.strOf("l3proto")}
	case "ct timeout":
		d.Value = &syntax.TimeoutObject{Pos: pos, Protocol: protocol(v), L3Proto: v.strOf("l3proto"), Policy: policy(v.get("policy"))}
	case "ct expectation":
		d.Value = &syntax.ExpectationObject{Pos: pos, Protocol: protocol(v), L3Proto: v.strOf("l3proto"), Port: uint16(v.u32Of("dport")),
			TimeoutMS: v.u32Of("timeout"), Size: uint8(v.u32Of("size"))}
	case "secmark":
		d.Value = &syntax.Secmark{Pos: pos, Context: v.strOf("context")}
	default:
		d.Value = &syntax.Unknown{Pos: pos, Kind: kind, Why: "the object is not known"}
	}
	p.add(d)
}

// protocol is a name, or the number of one that has none.
func protocol(v *value) string {
	p := v.get("protocol")
	switch {
	case p == nil:
		return ""
	case p.kind == number:
		return p.plain()
	}
	return p.str()
}

func policy(v *value) map[string]uint32 {
	out := map[string]uint32{}
	if v != nil && v.kind == object {
		for i, k := range v.keys {
			out[k] = v.list[i].u32()
		}
	}
	return out
}

// set reads a set, map or elements. Elements are taken one by one if what they
// are of has been said before, as nft does.
func (p *parser) set(pos syntax.Pos, kind string) {
	s := p.s
	v := value{pos: s.pos(), kind: object}
	if s.token() != '{' {
		failf(s.pos(), "an object was expected")
	}
	s.next()
	s.depth++
	var declared *syntax.Elements
	for s.more(len(v.keys) == 0, '}') {
		at := s.pos()
		key := s.key()
		for _, k := range v.keys {
			if k == key {
				failf(at, "property %q is there twice", key)
			}
		}
		if len(v.keys) == maxProperties {
			failf(at, "more than %d properties", maxProperties)
		}
		if key == "elem" && s.token() == '[' && has(&v, kind) {
			declared = p.setHead(pos, kind, &v)
			p.elements(declared)
			v.keys, v.list = append(v.keys, key), append(v.list, value{pos: at, kind: null})
			continue
		}
		v.keys, v.list = append(v.keys, key), append(v.list, s.value())
	}
	s.depth--
	if declared == nil {
		declared = p.setHead(pos, kind, &v)
		if list := v.get("elem"); list != nil {
			p.addElements(declared, list)
		}
	}
	v.get("elem")
	p.setTail(pos, kind, &v, declared)
}

// has reports whether what comes before elements is there.
func has(v *value, kind string) bool {
	need := []string{"family", "table", "name"}
	if kind != "element" {
		need = append(need, "type", "handle")
	}
	if kind == "map" {
		need = append(need, "map")
	}
	for _, n := range need {
		if !strings.Contains("\x00"+strings.Join(v.keys, "\x00")+"\x00", "\x00"+n+"\x00") {
			return false
		}
	}
	return true
}

// setHead declares a set, and gives what its elements are added to.
func (p *parser) setHead(pos syntax.Pos, kind string, v *value) *syntax.Elements {
	to := &syntax.Elements{Pos: pos, Family: family(v), Table: v.must("table").str(), Set: name(v)}
	if kind == "element" {
		return to
	}
	d := &syntax.Set{Pos: pos, Family: to.Family, Table: to.Table, Name: to.Set, Handle: v.u64Of("handle"), Key: setType(v.must("type")),
		Flags: v.stringsOf("flags"), Policy: v.strOf("policy"), Size: v.u32Of("size"), TimeoutMS: v.msOf("timeout"), GCIntervalMS: v.msOf("gc-interval"),
		Comment: v.strOf("comment")}
	if kind == "map" {
		d.Map = true
		data := v.must("map")
		switch {
		case data.kind == text && isObject(data.text):
			d.ObjType = data.text
		default:
			d.Data = setType(data)
		}
	}
	p.add(d)
	return to
}

func isObject(s string) bool {
	switch s {
	case "counter", "quota", "limit", "synproxy", "ct helper", "ct timeout", "ct expectation", "secmark":
		return true
	}
	return false
}

// setType is the name of a type, names that nft has joined with dots, an array
// of names, or what newer nft writes: the expression whose type it is.
func setType(v *value) syntax.Type {
	switch v.kind {
	case text:
		return syntax.Type{Names: strings.Split(v.text, " . ")}
	case array:
		return syntax.Type{Names: v.strings()}
	}
	if t := v.get("typeof"); t != nil {
		return syntax.Type{Typeof: expr(t)}
	}
	return syntax.Type{Typeof: expr(v)}
}

// elements reads elements until the array ends, some at a time.
func (p *parser) elements(to *syntax.Elements) {
	s := p.s
	s.next()
	s.depth++
	const batch = 256
	for first := true; s.more(first, ']'); first = false {
		s.values = 0
		v := s.value()
		to.Elements = append(to.Elements, element(&v))
		if len(to.Elements) == batch {
			p.flush(to)
		}
	}
	s.depth--
	s.values = 0
	p.flush(to)
}

func (p *parser) flush(to *syntax.Elements) {
	if len(to.Elements) > 0 {
		p.add(to)
		to.Elements = to.Elements[:0]
	}
}

func (p *parser) addElements(to *syntax.Elements, v *value) {
	list := []value{*v}
	if v.kind == array {
		list = v.list
	}
	for i := range list {
		to.Elements = append(to.Elements, element(&list[i]))
	}
	p.flush(to)
}

// setTail takes what comes behind the elements: the statements that each gets.
func (p *parser) setTail(pos syntax.Pos, kind string, v *value, to *syntax.Elements) {
	if kind == "element" {
		if k := v.unread(); k != "" {
			failf(pos, "elements with a property %q", k)
		}
		return
	}
	d := &syntax.SetMore{Pos: pos, Family: to.Family, Table: to.Table, Set: to.Set}
	if list := v.get("stmt"); list != nil {
		d.Statements = stmts(list)
	}
	if merge := v.get("auto-merge"); merge != nil {
		d.AutoMerge = merge.isTrue()
	}
	if k := v.unread(); k != "" {
		d.Unknown = "the set's property " + k + " is not known"
	}
	p.add(d)
}
