package xtables

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/portwhy/portwhy/rules"
)

// ErrEntries means that a table's bytes are not what they should be.
var ErrEntries = errors.New("unexpected table of iptables")

// entry is where one rule of the kernel's table stands.
type entry struct{ at, target, end int }

// decoder is the state of reading one table.
type decoder struct {
	layout
	blob     []byte
	table    *rules.Table
	entries  []entry
	chains   map[int]string // name of the chain whose first rule is at an offset
	names    map[string]string
	ext      string // name of the last extension
	verdicts map[rules.Verdict]*rules.Immediate
	// lastVerdict is what the rule before ended in: most often it is the same.
	lastVerdict *rules.Immediate
	exprs       []rules.Expr
	head        rules.IPTables // of the rule that is read
	matches     []*rules.Match // of this rule that the packer copies, and of others
	used        int
	packer      rules.Packer
	room        []rules.Rule
}

// DecodeEntries reads a table of iptables-legacy as the kernel gives it: info
// is what IPT_SO_GET_INFO answers (struct ipt_getinfo), blob the entries that
// IPT_SO_GET_ENTRIES gives behind its header; for IPv6 and ARP likewise. Matches and
// targets share blob's memory. Its rules are put into room first, and into
// memory of their own where that is too little. An error wraps [ErrEntries].
func DecodeEntries(family rules.Family, name string, info, blob []byte, room []rules.Rule) (*rules.Table, error) {
	l, ok := layouts[family]
	table := newTable(rules.IptablesLegacy, family, name)
	if !ok || table == nil {
		return nil, fmt.Errorf("%w: family %s has no table %q", ErrEntries, family, name)
	}
	if len(info) < InfoSize(family) {
		return nil, fmt.Errorf("%w: %d bytes of information on table %s", ErrEntries, len(info), name)
	}
	d := newDecoder(decoder{layout: l, blob: blob, table: table, room: room})
	if err := d.decode(info); err != nil {
		return nil, fmt.Errorf("%w: table %s: %w", ErrEntries, name, err)
	}
	return table, nil
}

func (d *decoder) decode(info []byte) error {
	if err := d.split(); err != nil {
		return err
	}
	begins, err := d.builtins(info)
	if err != nil {
		return err
	}
	users, err := d.userChains()
	if err != nil {
		return err
	}
	for _, span := range append(begins, users...) {
		if err := d.chain(span); err != nil {
			return fmt.Errorf("chain %s: %w", span.chain.Name, err)
		}
	}
	return nil
}

// split finds where each entry stands. The last one only marks the end.
func (d *decoder) split() error {
	d.entries = make([]entry, 0, len(d.blob)/(d.size+2*headSize)+1)
	for at := 0; at < len(d.blob); {
		if at > len(d.blob)-d.size {
			return fmt.Errorf("entry at %d of %d", at, len(d.blob))
		}
		target := int(binary.NativeEndian.Uint16(d.blob[at+d.target:]))
		next := int(binary.NativeEndian.Uint16(d.blob[at+d.target+2:]))
		if target < d.size || next < target+headSize || next > len(d.blob)-at {
			return fmt.Errorf("entry at %d has its target at %d and ends at %d", at, target, next)
		}
		d.entries = append(d.entries, entry{at, at + target, at + next})
		at += next
	}
	return nil
}

// number is the number of the entry that starts at an offset.
func (d *decoder) number(offset int) (int, bool) {
	return slices.BinarySearchFunc(d.entries, offset, func(e entry, offset int) int { return cmp.Compare(e.at, offset) })
}

// span is a chain with the numbers of its first entry and of its last, which
// only holds the policy or the return at its end.
type span struct {
	chain       *rules.Chain
	first, last int
}

// builtins reads where the built-in chains begin and end.
func (d *decoder) builtins(info []byte) ([]span, error) {
	valid := binary.NativeEndian.Uint32(info[32:])
	d.chains = map[int]string{}
	var list []span
	var chains []*rules.Chain
	for _, c := range d.table.Chains {
		n := slices.Index(d.hooks, c.Hook)
		if valid>>n&1 == 0 {
			continue // nat had no INPUT before Linux 2.6.36
		}
		valid &^= 1 << n
		begin := int(binary.NativeEndian.Uint32(info[36+4*n:]))
		underflow := int(binary.NativeEndian.Uint32(info[36+4*len(d.hooks)+4*n:]))
		first, ok1 := d.number(begin)
		last, ok2 := d.number(underflow)
		if !ok1 || !ok2 || first > last {
			return nil, fmt.Errorf("chain %s is from %d to %d", c.Name, begin, underflow)
		}
		if err := d.policy(c, d.entries[last]); err != nil {
			return nil, err
		}
		if other, ok := d.chains[begin]; ok {
			return nil, fmt.Errorf("chains %s and %s are the same", other, c.Name)
		}
		d.chains[begin] = c.Name
		chains = append(chains, c)
		list = append(list, span{c, first, last})
	}
	if valid != 0 {
		return nil, fmt.Errorf("hooks %#x are not of this table", valid)
	}
	d.table.Chains = chains
	return list, nil
}

// policy reads a built-in chain's policy from the rule at its end.
func (d *decoder) policy(c *rules.Chain, e entry) error {
	v, standard := d.standard(e)
	switch {
	case !standard || v != -1 && v != -2:
		return fmt.Errorf("chain %s has no policy", c.Name)
	case v == -1:
		c.Policy = "drop"
	}
	c.Packets = binary.NativeEndian.Uint64(d.blob[e.at+d.counters:])
	c.Bytes = binary.NativeEndian.Uint64(d.blob[e.at+d.counters+8:])
	return nil
}

// userChains reads the chains of the user. An entry with the target ERROR
// stands before each and has its name; a last one stands at the table's end.
func (d *decoder) userChains() ([]span, error) {
	var list []span
	taken := map[string]bool{}
	for _, c := range d.table.Chains {
		taken[c.Name] = true
	}
	for n, e := range d.entries {
		name, ok := d.errorName(e)
		if !ok {
			continue
		}
		if len(list) > 0 {
			list[len(list)-1].last = n - 1
		}
		if n == len(d.entries)-1 {
			break
		}
		if name == "" || taken[name] {
			return nil, fmt.Errorf("a chain's name %q is there twice or empty", name)
		}
		taken[name] = true
		c := &rules.Chain{Name: name}
		d.table.Chains = append(d.table.Chains, c)
		d.chains[e.end] = name
		list = append(list, span{c, n + 1, n})
	}
	for _, s := range list {
		if s.first > s.last {
			return nil, fmt.Errorf("chain %s has no end", s.chain.Name)
		}
		if v, standard := d.standard(d.entries[s.last]); !standard || v != -5 {
			return nil, fmt.Errorf("chain %s doesn't end in a return", s.chain.Name)
		}
	}
	return list, nil
}

// errorName is the name in a target ERROR (struct xt_error_target).
func (d *decoder) errorName(e entry) (string, bool) {
	target := d.blob[e.target:e.end]
	if target[2] != 'E' || cString(target[2:2+nameSize]) != "ERROR" {
		return "", false
	}
	return cString(target[headSize:min(len(target), headSize+nameSize+1)]), true
}

// standard is the verdict of a standard target, which has no name.
func (d *decoder) standard(e entry) (int32, bool) {
	target := d.blob[e.target:e.end]
	if len(target) < headSize+4 || target[2] != 0 {
		return 0, false
	}
	return int32(binary.NativeEndian.Uint32(target[headSize:])), true
}

func (d *decoder) chain(s span) error {
	n := s.last - s.first
	if n == 0 {
		return nil
	}
	s.chain.Rules = make([]*rules.Rule, n)
	var block []rules.Rule
	if len(d.room) < n {
		block = make([]rules.Rule, n)
	} else {
		block, d.room = d.room[:n:n], d.room[n:]
	}
	if n < partLeast {
		return d.part(s, block, 0, n)
	}
	// The parts of a long chain are read side by side.
	parts := min(partsMost, n/(partLeast/2))
	errs := make([]error, parts)
	var wait sync.WaitGroup
	for i := range parts {
		from, to := i*n/parts, (i+1)*n/parts
		f := newDecoder(decoder{layout: d.layout, blob: d.blob, table: d.table, entries: d.entries, chains: d.chains})
		wait.Go(func() { errs[i] = f.part(s, block, from, to) })
	}
	wait.Wait()
	return cmp.Or(errs...)
}

const (
	partLeast = 8192 // rules that are worth reading in parts
	partsMost = 4
)

// newDecoder is a decoder that nothing was read with.
func newDecoder(d decoder) *decoder {
	d.names, d.verdicts = map[string]string{}, map[rules.Verdict]*rules.Immediate{}
	return &d
}

// part reads the rules of a chain from one place to before another.
func (d *decoder) part(s span, block []rules.Rule, from, to int) error {
	for i := from; i < to; i++ {
		r := &block[i]
		r.Number = int32(i + 1)
		if err := d.rule(r, d.entries[s.first+i]); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
		s.chain.Rules[i] = r
	}
	return nil
}

// rule reads one entry: its head, its matches and its target.
func (d *decoder) rule(r *rules.Rule, e entry) error {
	about := rules.About{Counted: true, Packets: binary.NativeEndian.Uint64(d.blob[e.at+d.counters:]),
		Bytes: binary.NativeEndian.Uint64(d.blob[e.at+d.counters+8:])}
	leaves := false
	d.used = 0
	if b := d.blob[e.at : e.at+d.size]; d.table.Family == rules.ARP {
		d.exprs = append(d.exprs[:0], arpHead(b[:d.target]))
	} else {
		d.exprs = append(d.exprs[:0], &d.head)
		if odd := d.readHead(b); odd != nil {
			d.exprs = append(d.exprs, odd)
		}
		leaves = d.head.Flags&d.leaves != 0
	}
	for at := e.at + d.size; at < e.target; {
		size := 0
		if e.target-at >= headSize {
			size = int(binary.NativeEndian.Uint16(d.blob[at:]))
		}
		if size < headSize || size > e.target-at {
			return fmt.Errorf("a match has %d of %d bytes", size, e.target-at)
		}
		m := d.match(d.blob[at : at+size])
		if m.Ext == "comment" {
			about.Comment = cString(m.Data)
		}
		d.exprs = append(d.exprs, m)
		at += size
	}
	target, err := d.targetExpr(e, leaves)
	if err != nil {
		return err
	}
	if target != nil {
		d.exprs = append(d.exprs, target)
	}
	r.Exprs = d.packer.List(d.exprs)
	d.packer.Tell(r, about)
	return nil
}

// match reads a match, into memory that is used again if the packer copies it.
func (d *decoder) match(b []byte) *rules.Match {
	if d.used == len(d.matches) {
		d.matches = append(d.matches, &rules.Match{})
	}
	m := d.matches[d.used]
	m.Ext, m.Rev, m.Data = d.extension(b)
	if rules.Copies(m) {
		d.used++
		return m
	}
	own := *m
	return &own
}

// extension reads struct xt_entry_match or xt_entry_target.
func (d *decoder) extension(b []byte) (name string, revision uint8, data []byte) {
	raw := b[2 : 2+nameSize]
	// Most often it is the same as in the rule before.
	if n := len(d.ext); n > 0 && n < nameSize && raw[n] == 0 && string(raw[:n]) == d.ext {
		return d.ext, b[headSize-1], b[headSize:len(b):len(b)]
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		raw = raw[:i]
	}
	name, ok := d.names[string(raw)]
	if !ok {
		name = string(raw)
		d.names[name] = name
	}
	d.ext = name
	return name, b[headSize-1], b[headSize:len(b):len(b)]
}

// targetExpr reads an entry's target; nil if the rule only goes on to the next.
func (d *decoder) targetExpr(e entry, leaves bool) (rules.Expr, error) {
	size := int(binary.NativeEndian.Uint16(d.blob[e.target:]))
	if size < headSize || size > e.end-e.target {
		return nil, fmt.Errorf("its target has %d of %d bytes", size, e.end-e.target)
	}
	number, ok := d.standard(e)
	if !ok {
		t := &rules.Target{}
		t.Ext, t.Rev, t.Data = d.extension(d.blob[e.target : e.target+size])
		if t.Ext == "" || t.Ext == "ERROR" {
			return nil, fmt.Errorf("its target is %q", t.Ext)
		}
		return t, nil
	}
	v := rules.Verdict{}
	switch {
	case int(number) == e.end && !leaves:
		return nil, nil
	case number >= 0:
		v.Kind = rules.Jump
		if leaves {
			v.Kind = rules.Goto
		}
		v.Code = uint32(v.Kind)
		if v.Chain, ok = d.chains[int(number)]; !ok {
			return nil, fmt.Errorf("it jumps to %d, where no chain begins", number)
		}
	case number == -5: // XT_RETURN, which is -NF_REPEAT - 1
		v.Kind = rules.Return
		v.Code = uint32(v.Kind)
	default:
		v.Code = uint32(-number - 1)
		v.Kind = rules.VerdictKind(v.Code & 0xff)
		if v.Kind != rules.Drop && v.Kind != rules.Accept && v.Kind != rules.Queue {
			return nil, fmt.Errorf("its verdict is %d", number)
		}
	}
	if d.lastVerdict == nil || *d.lastVerdict.Verdict != v {
		known := d.verdicts[v]
		if known == nil {
			kept := v
			known = &rules.Immediate{Verdict: &kept}
			d.verdicts[v] = known
		}
		d.lastVerdict = known
	}
	return d.lastVerdict, nil
}

// arpHead keeps struct arpt_arp as it is.
func arpHead(b []byte) rules.Expr { return &rules.ARPTables{Data: b} }

// readHead reads struct ipt_ip or ip6t_ip6. What can't be said of a device's name
// in rules.IPTables is returned.
func (d *decoder) readHead(b []byte) rules.Expr {
	h := &d.head
	*h = rules.IPTables{Proto: binary.NativeEndian.Uint16(b[d.proto:]), Flags: b[d.flags], Inv: b[d.inv]}
	if d.tos != 0 {
		h.TOS = b[d.tos]
	}
	n := d.address
	h.Src, h.SrcMask = d.network(b[:n:n], b[2*n:3*n:3*n])
	h.Dst, h.DstMask = d.network(b[n:2*n:2*n], b[3*n:4*n:4*n])
	names := b[d.devices : d.devices+4*deviceSize]
	if h.Inv&(notIn|notOut) == 0 && [4 * deviceSize]byte(names) == [4 * deviceSize]byte{} {
		return nil // most rules name no device
	}
	in, ok1 := d.device(names[:deviceSize], names[2*deviceSize:3*deviceSize], h.Inv&notIn != 0)
	out, ok2 := d.device(names[deviceSize:2*deviceSize], names[3*deviceSize:], h.Inv&notOut != 0)
	h.In, h.Out = in, out
	if !ok1 || !ok2 {
		return &rules.Opaque{Kind: "iptables", Why: "a device's name has an unusual mask", Data: names}
	}
	return nil
}

// network leaves out an address that is not looked at.
func (d *decoder) network(address, mask []byte) ([]byte, []byte) {
	if zeros(mask) && zeros(address) {
		return nil, nil
	}
	return address, mask
}

// device reads a device's name and its mask, which has ones for what is
// compared: with the NUL behind the name, or less for a prefix. A mask without
// ones takes any device, and with ! none.
func (d *decoder) device(name, mask []byte, not bool) (string, bool) {
	n := 0
	for n < deviceSize && mask[n] == 0xff {
		n++
	}
	if !zeros(mask[n:]) {
		return "", false
	}
	if n == 0 {
		if not {
			return "+", true
		}
		return "", true
	}
	end := bytes.IndexByte(name[:n], 0)
	if end == 0 || end > 0 && name[end-1] == '+' {
		return "", false // no device, or one whose name ends in +
	}
	var key [deviceSize + 1]byte
	whole := key[:0]
	if end < 0 {
		whole = append(append(whole, name[:n]...), '+')
	} else {
		whole = append(whole, name[:end]...)
	}
	known, ok := d.names[string(whole)]
	if !ok {
		known = string(whole)
		d.names[known] = known
	}
	return known, true
}

// cString is what stands before the first NUL byte.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
