package nft

import "github.com/portwhy/portwhy/rules"

func limit(a *attributes) rules.Expr {
	a.skip(6)
	a.must(1)
	a.must(2)
	return &rules.Limit{Rate: a.u64(1), Unit: a.u64(2), Burst: a.u32(3), Type: a.u32(4), Invert: a.flag(5)}
}

func quota(a *attributes) rules.Expr {
	a.skip(3)
	a.must(1)
	flags := a.u32(2) // NFT_QUOTA_F_INV, NFT_QUOTA_F_DEPLETED
	if flags > 3 {
		a.fail("flags %#x", flags)
	}
	return &rules.Quota{Bytes: a.u64(1), Used: a.u64(4), Invert: flags&1 != 0}
}

func connlimit(a *attributes) rules.Expr {
	return &rules.ConnLimit{Count: a.need32(1), Invert: a.flag(2)}
}

func last(a *attributes) rules.Expr {
	a.skip(3)
	return &rules.Last{Set: a.u32(1) != 0, MS: a.u64(2)}
}

func counter(a *attributes) rules.Expr {
	a.skip(3)
	return &rules.Counter{Bytes: a.u64(1), Packets: a.u64(2)}
}

func log(a *attributes) rules.Expr {
	return &rules.Log{Group: a.u16(1), HasGroup: a.has(1), Prefix: a.text(2), Snaplen: a.u32(3),
		Threshold: a.u16(4), Level: a.u32(5), LogFlags: a.u32(6)}
}

func notrack(*attributes) rules.Expr { return &rules.Notrack{} }

func reject(a *attributes) rules.Expr {
	return &rules.Reject{Type: a.need32(1), Code: a.u8(2)}
}

func nat(a *attributes) rules.Expr {
	e := &rules.NAT{Type: a.need32(1), Family: rules.Family(a.small(2)), Flags: a.u32(7)}
	e.AddrMin, e.HasAddrMin = a.regIf(3)
	e.AddrMax, e.HasAddrMax = a.regIf(4)
	e.ProtoMin, e.HasProtoMin = a.regIf(5)
	e.ProtoMax, e.HasProtoMax = a.regIf(6)
	return e
}

func masq(a *attributes) rules.Expr {
	e := &rules.Masq{Flags: a.u32(1)}
	e.ProtoMin, e.HasProtoMin = a.regIf(2)
	e.ProtoMax, e.HasProtoMax = a.regIf(3)
	return e
}

func redir(a *attributes) rules.Expr {
	e := &rules.Redir{Flags: a.u32(3)}
	e.ProtoMin, e.HasProtoMin = a.regIf(1)
	e.ProtoMax, e.HasProtoMax = a.regIf(2)
	return e
}

func tproxy(a *attributes) rules.Expr {
	e := &rules.TProxy{Family: rules.Family(a.small(1))}
	e.Addr, e.HasAddr = a.regIf(2)
	e.Port, e.HasPort = a.regIf(3)
	return e
}

func synproxy(a *attributes) rules.Expr {
	return &rules.Synproxy{MSS: a.u16(1), Wscale: a.u8(2), Flags: a.u32(3)}
}

func queue(a *attributes) rules.Expr {
	e := &rules.QueueTo{Num: a.u16(1), Total: a.u16(2), Flags: a.u16(3)}
	if e.Source, e.HasSource = a.regIf(4); !e.HasSource {
		a.must(1)
	}
	return e
}

func dup(a *attributes) rules.Expr {
	e := &rules.Dup{}
	e.Addr, e.HasAddr = a.regIf(1)
	e.Dev, e.HasDev = a.regIf(2)
	return e
}

func fwd(a *attributes) rules.Expr {
	e := &rules.Fwd{Dev: a.reg(1), Family: rules.Family(a.small(3))}
	e.Addr, e.HasAddr = a.regIf(2)
	return e
}

func flowOffload(a *attributes) rules.Expr { return &rules.FlowOffload{Table: a.name(1)} }

func objref(a *attributes) rules.Expr {
	e := &rules.ObjRef{Type: a.u32(1), Object: a.text(2), Set: a.text(4), SetID: a.u32(5)}
	if e.Source, _ = a.regIf(3); a.has(3) != (e.Set != "") || (e.Set == "") == (e.Object == "") {
		a.fail("not one of object and map")
	}
	return e
}

func match(a *attributes) rules.Expr {
	return &rules.Match{Ext: a.name(1), Rev: a.small(2), Data: aligned(a.must(3))}
}

func target(a *attributes) rules.Expr {
	return &rules.Target{Ext: a.name(1), Rev: a.small(2), Data: aligned(a.must(3))}
}

// aligned fills the structure of an extension up as [rules.Match] has it; a
// 32-bit kernel gives a multiple of 4 bytes.
func aligned(b []byte) []byte {
	if len(b)%8 == 0 {
		return b
	}
	return append(b[:len(b):len(b)], make([]byte, 8-len(b)%8)...)
}
