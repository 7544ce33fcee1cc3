// Package witness makes a packet that a rule matches: from what the rule asks for
// it takes addresses, ports, protocol, devices, marks and state, and fills in
// the rest with what is common. Whether the packet does match is for the
// evaluator to say; what the rule asks for beyond that is left alone.
package witness

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// Numbers of nf_tables.h and in.h.
const (
	baseNetwork, baseTransport = 1, 2

	metaMark, metaIifName, metaOifName, metaNFProto, metaL4, metaIif, metaUID = 3, 6, 7, 15, 16, 4, 10

	ctStateKey = 0

	cmpEq, cmpNeq, cmpLt, cmpLte, cmpGt, cmpGte = 0, 1, 2, 3, 4, 5

	icmp, tcp, udp, icmp6 = 1, 6, 17, 58
)

// Packet is a packet that a rule should match, in a chain of a hook.
func Packet(t *rules.Table, hook rules.Hook, r *rules.Rule) *eval.Packet {
	w := &wants{table: t, protocol: tcp, sport: 40000, dport: 80, state: eval.New, family: rules.IP}
	if t.Family == rules.IP6 {
		w.family = rules.IP6
	}
	for _, e := range r.Exprs.All() {
		w.read(e)
	}
	return w.packet(hook)
}

// loaded is what a register holds.
type loaded struct {
	payload *rules.Payload
	meta    int // key, -1 if it is none
	ct      int
	mask    []byte
}

type wants struct {
	table    *rules.Table
	family   rules.Family
	protocol uint8
	told     bool // the protocol was asked for
	src, dst []byte
	sport    uint16
	dport    uint16
	in, out  string
	mark     uint32
	uid      uint32
	hasUID   bool
	state    uint32
	flags    byte

	registers [16]loaded
	edits     []edit
}

// edit is a field of the packet's bytes that has to have a value.
type edit struct {
	base, offset uint32
	value        []byte
}

func (w *wants) read(e rules.Expr) {
	switch e := e.(type) {
	case *rules.Payload:
		if !e.Write {
			w.set(e.Reg, loaded{payload: e, meta: -1, ct: -1})
		}
	case *rules.Meta:
		if !e.Write {
			w.set(e.Reg, loaded{meta: int(e.Key), ct: -1})
		}
	case *rules.CT:
		if !e.Write {
			w.set(e.Reg, loaded{meta: -1, ct: int(e.Key)})
		}
	case *rules.Bitwise:
		from := w.at(e.Source)
		if e.Op == 0 {
			from.mask = e.Mask
		}
		w.set(e.Dest, from)
	case *rules.Byteorder:
		w.set(e.Dest, w.at(e.Source))
	case *rules.Cmp:
		from := w.at(e.Source)
		if e.Op == cmpNeq && len(from.mask) == len(e.Data) && from.ct != ctStateKey && !bytes.Equal(from.mask, e.Data) {
			w.want(from, from.mask) // bits of which one has to be set
			return
		}
		w.want(from, choose(e.Op, e.Data))
	case *rules.Range:
		value := e.From
		if e.Op != 0 {
			value = add(e.To, 1)
		}
		w.want(w.at(e.Source), value)
	case *rules.Lookup:
		w.lookup(e)
	case *rules.IPTables:
		w.head(e)
	case *rules.Match:
		w.match(e)
	}
}

func (w *wants) set(r rules.Reg, l loaded) {
	if int(r) < len(w.registers) {
		w.registers[r] = l
	}
}

func (w *wants) at(r rules.Reg) loaded {
	if int(r) < len(w.registers) {
		return w.registers[r]
	}
	return loaded{meta: -1, ct: -1}
}

// choose is a value for which a comparison holds.
func choose(op uint32, data []byte) []byte {
	switch op {
	case cmpNeq, cmpGt:
		return add(data, 1)
	case cmpLt:
		return add(data, -1)
	}
	return data
}

// add counts a big-endian number up or down.
func add(data []byte, by int) []byte {
	sum := bytes.Clone(data)
	for i := len(sum) - 1; i >= 0; i-- {
		old := sum[i]
		sum[i] += byte(by)
		if by > 0 && sum[i] > old || by < 0 && sum[i] < old {
			break
		}
	}
	return sum
}

// want gives what was loaded a value.
func (w *wants) want(l loaded, value []byte) {
	switch {
	case len(value) == 0:
	case l.payload != nil:
		if l.payload.Base == baseNetwork && int(l.payload.Offset) == w.protocolAt() && l.payload.Len == 1 {
			w.protocol, w.told = value[0], true
			return
		}
		w.edits = append(w.edits, edit{l.payload.Base, l.payload.Offset, value})
	case l.meta == metaL4:
		w.protocol, w.told = value[0], true
	case l.meta == metaNFProto:
		w.family = rules.Family(value[0])
	case l.meta == metaIifName:
		w.in = name(value)
	case l.meta == metaOifName:
		w.out = name(value)
	case l.meta == metaIif && len(value) == 4 && binary.NativeEndian.Uint32(value) == 1:
		w.in = "lo"
	case l.meta == metaMark && len(value) == 4:
		w.mark = binary.NativeEndian.Uint32(value)
	case l.meta == metaUID && len(value) == 4:
		w.uid, w.hasUID = binary.NativeEndian.Uint32(value), true
	case l.ct == ctStateKey && len(value) == 4:
		w.wantState(l, binary.NativeEndian.Uint32(value))
	}
}

// wantState: `ct state established` is a mask, and a comparison with not zero.
func (w *wants) wantState(l loaded, value uint32) {
	if len(l.mask) == 4 {
		value = binary.NativeEndian.Uint32(l.mask)
	}
	for _, s := range []uint32{eval.New, eval.Established, eval.Related, eval.Invalid, eval.Untracked} {
		if value&s != 0 {
			w.state = s
			return
		}
	}
}

func (w *wants) protocolAt() int {
	if w.family == rules.IP6 {
		return 6
	}
	return 9
}

// name is a device's name; of a prefix it makes a name.
func name(value []byte) string {
	if at := bytes.IndexByte(value, 0); at >= 0 {
		return string(value[:at])
	}
	if len(value) < 16 {
		return string(value) + "0"
	}
	return string(value)
}

// lookup takes the first element of a set.
func (w *wants) lookup(e *rules.Lookup) {
	s := w.table.Set(e.Set)
	if s == nil || e.Invert {
		return
	}
	var key []byte
	for _, x := range s.Elements.All() {
		if !x.End && !x.CatchAll && len(x.Key) > 0 {
			key = x.Key
			break
		}
	}
	// Fields of a concatenation lie in registers of their own, padded to words.
	for reg, offset := e.Source, 0; offset < len(key); {
		from := w.at(reg)
		n := len(key) - offset
		if from.payload != nil {
			n = min(n, int(from.payload.Len))
		} else if offset > 0 || len(s.Fields) > 1 {
			n = min(n, 4)
		}
		if n == 0 {
			return
		}
		w.want(from, key[offset:offset+n])
		padded := (n + 3) / 4 * 4
		reg, offset = reg+rules.Reg(padded/4), offset+padded
	}
}

// head is the head of a rule of iptables.
func (w *wants) head(e *rules.IPTables) {
	const notSrc, notDst, notProto = 0x08, 0x10, 0x40
	if e.Proto != 0 && e.Inv&notProto == 0 {
		w.protocol, w.told = uint8(e.Proto), true
	}
	w.in, w.out = device(e.In), device(e.Out)
	if len(e.Src) > 0 && e.Inv&notSrc == 0 && !zero(e.SrcMask) {
		w.src = e.Src
	}
	if len(e.Dst) > 0 && e.Inv&notDst == 0 && !zero(e.DstMask) {
		w.dst = e.Dst
	}
}

func zero(b []byte) bool {
	return len(b) > 0 && !slices.ContainsFunc(b, func(x byte) bool { return x != 0 })
}

// device is a name that iptables' pattern matches.
func device(pattern string) string {
	if prefix, ok := strings.CutSuffix(pattern, "+"); ok && prefix != "" {
		return prefix + "0"
	} else if ok {
		return ""
	}
	return pattern
}
