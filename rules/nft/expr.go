package nft

import "github.com/portwhy/portwhy/rules"

// decoderOf reads NFTA_EXPR_DATA of the expression of that name, nil if it is
// not known.
func decoderOf(name string) func(*attributes) rules.Expr {
	switch name {
	case "immediate":
		return immediate
	case "payload":
		return payload
	case "cmp":
		return cmp
	case "range":
		return between
	case "bitwise":
		return bitwise
	case "byteorder":
		return byteorder
	case "meta":
		return meta
	case "ct":
		return ct
	case "lookup":
		return lookup
	case "dynset":
		return dynset
	case "exthdr":
		return exthdr
	case "fib":
		return fib
	case "rt":
		return rt
	case "socket":
		return socket
	case "osf":
		return osf
	case "hash":
		return hash
	case "numgen":
		return numgen
	case "xfrm":
		return xfrm
	case "tunnel":
		return tunnel
	case "inner":
		return inner
	case "limit":
		return limit
	case "quota":
		return quota
	case "connlimit":
		return connlimit
	case "last":
		return last
	case "counter":
		return counter
	case "log":
		return log
	case "notrack":
		return notrack
	case "reject":
		return reject
	case "nat":
		return nat
	case "masq":
		return masq
	case "redir":
		return redir
	case "tproxy":
		return tproxy
	case "synproxy":
		return synproxy
	case "queue":
		return queue
	case "dup":
		return dup
	case "fwd":
		return fwd
	case "flow_offload":
		return flowOffload
	case "objref":
		return objref
	case "match":
		return match
	case "target":
		return target
	}
	return nil
}

// expression reads one NFTA_LIST_ELEM: NFTA_EXPR_NAME and NFTA_EXPR_DATA.
func expression(b []byte) rules.Expr {
	a := open(b)
	name := a.name(1)
	data, _ := a.get(2)
	if why := a.close(); why != "" {
		return &rules.Opaque{Kind: name, Why: why, Data: b}
	}
	return decode(name, data)
}

// decode reads the data of an expression.
func decode(name string, data []byte) rules.Expr { return decodeBy(name, decoderOf(name), data) }

func decodeBy(name string, decoder func(*attributes) rules.Expr, data []byte) rules.Expr {
	if decoder == nil {
		return &rules.Opaque{Kind: name, Why: "the expression is not known", Data: data}
	}
	a := open(data)
	e := decoder(&a)
	if why := a.close(); why != "" {
		return &rules.Opaque{Kind: name, Why: why, Data: data}
	}
	return e
}

// expressions reads a list of NFTA_LIST_ELEM.
func expressions(b []byte) []rules.Expr {
	var list []rules.Expr
	for _, v := range each(b) {
		list = append(list, expression(v))
	}
	if a := open(b); a.bad != "" {
		list = append(list, malformed(a.bad, b))
	}
	return list
}

// both reads the expressions of a set, an element or dynset: the kernel gives
// one in an attribute of its own, more as a list.
func (a *attributes) both(one, many uint16) []rules.Expr {
	var list []rules.Expr
	if v, ok := a.get(one); ok {
		list = append(list, expression(v))
	}
	v, _ := a.get(many)
	return append(list, expressions(v)...)
}

func immediate(a *attributes) rules.Expr {
	e := &rules.Immediate{}
	e.Data, e.Verdict = a.value(2)
	if e.Verdict == nil {
		e.Dest = a.reg(1)
	} else if n := a.u32(1); n != 0 {
		a.fail("verdict to register %d", n)
	}
	return e
}

func payload(a *attributes) rules.Expr {
	e := &rules.Payload{Base: a.need32(2), Offset: a.need32(3), Len: a.need32(4),
		CsumType: a.u32(6), CsumOffset: a.u32(7), CsumFlags: a.u32(8)}
	e.Reg, e.Write = a.either(1, 5)
	return e
}

// either is the destination register of what loads, or the source of what
// writes.
func (a *attributes) either(dest, source uint16) (r rules.Reg, write bool) {
	r, write = a.regIf(source)
	if write == a.has(dest) {
		a.fail("not one of destination and source")
		return 0, write
	}
	if !write {
		r = a.reg(dest)
	}
	return r, write
}

func cmp(a *attributes) rules.Expr {
	return &rules.Cmp{Source: a.reg(1), Op: a.need32(2), Data: a.data(3)}
}

func between(a *attributes) rules.Expr {
	return &rules.Range{Source: a.reg(1), Op: a.need32(2), From: a.data(3), To: a.data(4)}
}

func bitwise(a *attributes) rules.Expr {
	e := &rules.Bitwise{Source: a.reg(1), Dest: a.reg(2), Len: a.need32(3), Mask: a.dataIf(4), Xor: a.dataIf(5),
		Op: a.u32(6), Data: a.dataIf(7)} // a kernel before 5.6 gives no operation
	e.Source2, e.HasSource2 = a.regIf(8)
	return e
}

func byteorder(a *attributes) rules.Expr {
	return &rules.Byteorder{Source: a.reg(1), Dest: a.reg(2), Op: a.need32(3), Len: a.need32(4), Size: a.need32(5)}
}

func meta(a *attributes) rules.Expr {
	e := &rules.Meta{Key: a.need32(2)}
	e.Reg, e.Write = a.either(1, 3)
	return e
}

func ct(a *attributes) rules.Expr {
	e := &rules.CT{Key: a.need32(2), Dir: -1}
	if a.has(3) {
		e.Dir = int8(a.u8(3))
	}
	e.Reg, e.Write = a.either(1, 4)
	return e
}

func lookup(a *attributes) rules.Expr {
	e := &rules.Lookup{Set: a.name(1), Source: a.reg(2), SetID: a.u32(4), Invert: a.flag(5)}
	// Register 0 is the verdict's, of which there is one only.
	if e.HasDest = a.has(3); e.HasDest && a.u32(3) != 0 {
		e.Dest = a.reg(3)
	}
	return e
}

func dynset(a *attributes) rules.Expr {
	e := &rules.Dynset{Set: a.name(1), SetID: a.u32(2), Op: a.need32(3), Key: a.reg(4), TimeoutMS: a.u64(6)}
	e.Data, e.HasData = a.regIf(5)
	e.Exprs = a.both(7, 10)
	a.skip(8)
	flags := a.u32(9) // NFT_DYNSET_F_INV, NFT_DYNSET_F_EXPR
	if flags > 3 {
		a.fail("flags %#x", flags)
	}
	e.Invert = flags&1 != 0
	return e
}

func exthdr(a *attributes) rules.Expr {
	e := &rules.Exthdr{Type: a.u8(2), Offset: a.u32(3), Len: a.u32(4), Flags: a.u32(5), Op: a.u32(6)}
	if e.Reset = !a.has(1) && !a.has(7); !e.Reset {
		e.Reg, e.Write = a.either(1, 7)
	}
	return e
}

func fib(a *attributes) rules.Expr {
	return &rules.Fib{Dest: a.reg(1), Result: a.need32(2), Flags: a.need32(3)}
}

func rt(a *attributes) rules.Expr { return &rules.RT{Dest: a.reg(1), Key: a.need32(2)} }

func socket(a *attributes) rules.Expr {
	return &rules.Socket{Key: a.need32(1), Dest: a.reg(2), Level: a.u32(3)}
}

func osf(a *attributes) rules.Expr {
	return &rules.OSF{Dest: a.reg(1), TTL: a.u8(2), Flags: a.u32(3)}
}

func hash(a *attributes) rules.Expr {
	e := &rules.Hash{Dest: a.reg(2), Len: a.u32(3), Modulus: a.need32(4), Seed: a.u32(5), HasSeed: a.has(5),
		Offset: a.u32(6), Type: a.u32(7)}
	e.Source, _ = a.regIf(1) // the symmetric hash has none
	return e
}

func numgen(a *attributes) rules.Expr {
	return &rules.Numgen{Dest: a.reg(1), Modulus: a.need32(2), Type: a.need32(3), Offset: a.u32(4)}
}

func xfrm(a *attributes) rules.Expr {
	return &rules.XFRM{Dest: a.reg(1), Key: a.need32(2), Dir: a.u8(3), SPNum: a.u32(4)}
}

func tunnel(a *attributes) rules.Expr {
	return &rules.Tunnel{Key: a.need32(1), Dest: a.reg(2), Mode: a.u32(3)}
}
