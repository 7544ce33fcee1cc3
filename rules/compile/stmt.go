package compile

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// statement compiles one statement.
func (r *rule) statement(st syntax.Stmt) {
	r.ctx = context{}
	switch st := st.(type) {
	case *syntax.Match:
		s := r.relation(st)
		r.add(s)
	case *syntax.Verdict:
		v := r.verdict(st)
		r.emit(&rules.Immediate{Verdict: v})
	case *syntax.VMap:
		r.vmap(st)
	case *syntax.Counter, *syntax.Limit, *syntax.Quota, *syntax.ConnLimit, *syntax.Last:
		r.emit(r.stateful(st))
	case *syntax.Mangle:
		r.mangle(st)
	case *syntax.ObjectRef:
		r.objectRef(st)
	case *syntax.Notrack:
		r.emit(&rules.Notrack{})
	case *syntax.Log:
		r.log(st)
	case *syntax.Reject:
		r.reject(st)
	case *syntax.NAT:
		r.nat(st)
	case *syntax.TProxy:
		r.tproxy(st)
	case *syntax.Synproxy:
		r.emit(r.synproxy(st))
	case *syntax.Queue:
		r.queue(st)
	case *syntax.Dup:
		r.dup(st)
	case *syntax.Fwd:
		r.fwd(st)
	case *syntax.Flow:
		r.emit(&rules.FlowOffload{Table: st.Flowtable})
	case *syntax.SetUpdate:
		r.setUpdate(st)
	case *syntax.Meter:
		r.meter(st)
	case *syntax.ResetOption:
		n := r.optionField(&syntax.Option{Pos: st.Option.Pos, Kind: st.Option.Kind, Name: st.Option.Name, Raw: st.Option.Raw, Number: st.Option.Number, Len: 8})
		r.emit(&rules.Exthdr{Type: uint8(n.n.Lo), Op: n.base, Reset: true})
	case *syntax.XT:
		r.xt(st)
	case *syntax.Unknown:
		unsuref(st.Kind, "%s", st.Why)
	default:
		r.failf(st.Position(), "no statement of a rule")
	}
}

// xt is an extension of iptables, of which nft tells only the name. That is
// enough for those that let every packet pass as it is.
func (r *rule) xt(st *syntax.XT) {
	switch st.Name {
	case "comment":
		if st.Type == "match" {
			r.emit(&rules.Match{Ext: st.Name})
			return
		}
	case "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "CHECKSUM":
		if st.Type == "target" {
			r.emit(&rules.Target{Ext: st.Name})
			return
		}
	}
	unsuref("xt", "nft doesn't tell the parameters of iptables' %s %q", st.Type, st.Name)
}

func (r *rule) emit(e rules.Expr) { r.add(&statement{emit: func(g *emitter) { g.add(e) }}) }

// opaque stands for what can't be told.
func (r *rule) opaque(u *unsure) { r.emit(&rules.Opaque{Kind: u.kind, Why: u.why}) }

func (r *rule) verdict(v *syntax.Verdict) *rules.Verdict {
	kind, ok := map[string]rules.VerdictKind{"accept": rules.Accept, "drop": rules.Drop, "continue": rules.Continue, "return": rules.Return,
		"break": rules.Break, "jump": rules.Jump, "goto": rules.Goto, "queue": rules.Queue}[v.Kind]
	if !ok {
		r.failf(v.Pos, "no verdict %q", v.Kind)
	}
	out := &rules.Verdict{Kind: kind, Code: uint32(kind)}
	if kind != rules.Jump && kind != rules.Goto {
		return out
	}
	if v.Body {
		out.Chain = r.c.body(r.table, v)
	} else if out.Chain = v.Chain; out.Chain == "" {
		r.failf(v.Pos, "%s needs a chain", v.Kind)
	} else if _, again := r.table.wanted[v.Chain]; !again {
		r.table.wanted[v.Chain] = v.Pos
	}
	return out
}

// stateful is a statement that sets, meters and elements can have as well.
func (r *rule) stateful(st syntax.Stmt) rules.Expr {
	switch st := st.(type) {
	case *syntax.Counter:
		return &rules.Counter{Packets: st.Packets, Bytes: st.Bytes}
	case *syntax.Limit:
		return r.limit(st)
	case *syntax.Quota:
		return &rules.Quota{Bytes: st.Bytes, Used: st.Used, Invert: st.Over}
	case *syntax.ConnLimit:
		return &rules.ConnLimit{Count: st.Count, Invert: st.Over}
	case *syntax.Last:
		return &rules.Last{MS: st.MS, Set: st.Set}
	case *syntax.Unknown:
		return &rules.Opaque{Kind: st.Kind, Why: st.Why}
	}
	r.failf(st.Position(), "counter, limit, quota, ct count or last was expected")
	return nil
}

func (r *rule) limit(st *syntax.Limit) *rules.Limit {
	unit, ok := words.Find(words.TimeUnits, st.Per)
	if !ok {
		r.failf(st.Pos, "a limit per %q: second, minute, hour, day or week was expected", st.Per)
	}
	out := &rules.Limit{Rate: st.Rate, Unit: unit, Burst: uint32(st.Burst), Invert: st.Over}
	if st.ByBytes {
		out.Type = 1
	} else if !st.HasBurst || st.Burst == 0 {
		out.Burst = 5 // nft's default, which it sends
	}
	if st.Burst > 1<<32-1 || st.Rate == 0 {
		r.failf(st.Pos, "a rate above zero and a burst of 32 bits were expected")
	}
	return out
}

func (r *rule) synproxy(st *syntax.Synproxy) *rules.Synproxy {
	out := &rules.Synproxy{MSS: st.MSS, Wscale: st.Wscale}
	if st.HasMSS {
		out.Flags |= 1 // NF_SYNPROXY_OPT_*
	}
	if st.HasWscale {
		out.Flags |= 2
	}
	out.Flags |= r.flags(st.Pos, st.Flags, []words.Symbol{{Name: "sack-perm", Value: 4}, {Name: "timestamp", Value: 8}})
	return out
}

func (r *rule) flags(pos syntax.Pos, list []string, known []words.Symbol) uint32 {
	var bits uint32
	for _, f := range list {
		v, ok := words.Find(known, f)
		if !ok {
			r.failf(pos, "no flag %q", f)
		}
		bits |= uint32(v)
	}
	return bits
}

func (r *rule) log(st *syntax.Log) {
	out := &rules.Log{Prefix: st.Prefix}
	if st.HasGroup {
		out.Group, out.HasGroup = st.Group, true
		if st.HasSnaplen {
			out.Snaplen = st.Snaplen
		}
		if st.HasThreshold {
			out.Threshold = st.Threshold
		}
		r.emit(out)
		return
	}
	out.Level = words.LogLevelDefault
	if st.Level != "" {
		v, ok := words.Find(words.LogLevels, st.Level)
		if !ok {
			r.failf(st.Pos, "no level %q", st.Level)
		}
		out.Level = uint32(v)
	}
	known := append([]words.Symbol{{Name: "all", Value: 47}}, words.LogFlags...) // NF_LOG_MASK
	out.LogFlags = r.flags(st.Pos, st.Flags, known)
	r.emit(out)
}

// objectRef runs a named object.
func (r *rule) objectRef(st *syntax.ObjectRef) {
	kind, ok := words.Find(words.ObjectTypes, st.Kind)
	if !ok {
		r.failf(st.Pos, "no kind of object %q", st.Kind)
	}
	switch v := st.Value.(type) {
	case *syntax.Text:
		o := r.table.objects[objectKey{uint32(kind), v.Value}]
		if o == nil {
			r.failf(v.Pos, "table %s has no %s %q so far", r.table.Name, st.Kind, v.Value)
		}
		r.emit(&rules.ObjRef{Object: o.Name, Type: o.Type})
	case *syntax.Map:
		r.objectMap(uint32(kind), v)
	default:
		r.failf(st.Pos, "an object's name or a map was expected")
	}
}

// arg evaluates what is written to something of a type (stmt_evaluate_arg).
func (r *rule) arg(e syntax.Expr, typ *words.Type, order words.Order, bits int) *node {
	if stringType(typ) {
		order = words.Network
	}
	r.ctx = context{typ: typ, order: order, bits: bits}
	n := r.eval(e)
	switch n.kind {
	case literal, setRef, wildcard, verdict:
		r.failf(n.pos, "a value was expected")
	case prefix: // the addresses that it stands for
		n = asSpan(n)
	}
	if n.turned {
		n = r.reorder(n, order)
	}
	if n.typ != nil && n.typ != typ && n.typ != words.Integer && n.kind != mapped {
		if n.typ.Base == words.Integer && typ.Base == words.Integer {
			unsuref(typ.Name, "nft 1.0.6 makes no %s of a value of type %s; newer versions do", typ.Name, n.typ.Name)
		}
		r.failf(n.pos, "a value of type %s was expected, not %s", typ.Name, n.typ.Name)
	}
	if n.kind == mapped && n.typ != typ {
		r.failf(n.pos, "a map to %s was expected", typ.Name)
	}
	return n
}

// mangle writes to the packet, or to what the kernel knows of it.
func (r *rule) mangle(st *syntax.Mangle) {
	switch k := st.Key.(type) {
	case *syntax.Meta:
		key := r.metaKey(k.Pos, k.Key)
		n := r.arg(st.Value, key.Type, key.Order, key.Bits)
		r.write(n, func(reg rules.Reg) rules.Expr { return &rules.Meta{Key: key.Number, Write: true, Reg: reg} })
	case *syntax.CT:
		key, dir := r.ctKey(k)
		if key.Name == "helper" {
			r.objectRef(&syntax.ObjectRef{Pos: st.Pos, Kind: "ct helper", Value: st.Value})
			return
		}
		if key.Type == nil {
			r.failf(k.Pos, "ct %s can't be set", k.Key)
		}
		n := r.arg(st.Value, key.Type, key.Order, key.Bits)
		r.write(n, func(reg rules.Reg) rules.Expr { return &rules.CT{Key: key.Number, Dir: dir, Write: true, Reg: reg} })
	case *syntax.Option:
		f := r.optionField(k)
		if f.key != 0 || f.offset%8 != 0 || f.bits%8 != 0 {
			r.failf(k.Pos, "a field of whole bytes was expected")
		}
		n := r.arg(st.Value, f.typ, words.Network, f.bits)
		if !n.known() {
			n = r.reorder(n, words.Network)
		}
		r.write(n, func(reg rules.Reg) rules.Expr {
			return &rules.Exthdr{Type: uint8(f.n.Lo), Op: f.base, Offset: uint32(f.offset / 8), Len: uint32(f.bits / 8), Write: true, Reg: reg}
		})
	case *syntax.Payload, *syntax.RawPayload:
		r.manglePacket(k, st.Value)
	default:
		r.failf(st.Key.Position(), "this can't be set")
	}
}

// write loads a value and has it stored.
func (r *rule) write(n *node, store func(rules.Reg) rules.Expr) {
	if n.kind == span {
		r.failf(n.pos, "a single value was expected")
	}
	r.add(&statement{emit: func(g *emitter) {
		source := g.take(n)
		g.value(n, source)
		g.release(n)
		g.add(store(source))
	}})
}
