package rules

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
)

// List is the expressions of a rule, in order, in little memory. The zero value
// has none. It is read with [List.All], or by who has many rules to go through
// with [List.Next]. [ListOf] makes one, and a [Packer] those of a large ruleset.
type List struct {
	block *block
	at    uint32 // of the list's first expression: its byte in the code, or its place in plain
}

// block holds the lists of many rules: as code, or one as it was given.
type block struct {
	code  []byte
	pool  *pool
	plain []Expr
}

// pool is what code refers to by numbers.
type pool struct {
	exprs []Expr
	names []string // of devices and of matches
}

// How an expression begins in the code. A byte from codeNear on is the number of
// one of the pool's first expressions, and behind codeFar are the four bytes of a
// larger one.
const (
	codeEnd = iota
	codeCmp
	codeImmediate
	codeHead
	codeCounter
	codeMatch
	codeFar
	codeNear
)

// ListOf is a list of expressions as they are.
func ListOf(exprs ...Expr) List {
	if len(exprs) == 0 {
		return List{}
	}
	return List{block: &block{plain: exprs}}
}

// All are the list's expressions. They may belong to other rules, too: who has
// them must not change them, unless they are those that were given to [ListOf].
func (l List) All() Exprs {
	if l.block == nil {
		return nil
	}
	if p := l.block.plain; p != nil {
		return p[l.at:len(p):len(p)]
	}
	n, s := 0, Scratch{}
	for rest := l; rest.Next(&s) != nil; n++ {
	}
	list := make(Exprs, 0, n)
	for e := l.Next(&s); e != nil; e = l.Next(&s) {
		list = append(list, s.own(e))
	}
	return list
}

// Empty reports whether there is no expression in the list.
func (l List) Empty() bool {
	return l.block == nil || l.block.plain == nil && l.block.code[l.at] == codeEnd || l.block.plain != nil && int(l.at) == len(l.block.plain)
}

// Scratch is memory for the expression that [List.Next] gives.
type Scratch struct {
	cmp     Cmp
	data    Immediate
	head    IPTables
	counter Counter
	match   Match
	filled  [512]byte // the match's data
	masks   [2][16]byte
}

// own is an expression that stays as it is when the scratch is used again.
func (s *Scratch) own(e Expr) Expr {
	switch e {
	case &s.cmp:
		own := s.cmp
		return &own
	case &s.data:
		own := s.data
		return &own
	case &s.head:
		own := s.head
		own.SrcMask, own.DstMask = bytes.Clone(own.SrcMask), bytes.Clone(own.DstMask)
		return &own
	case &s.counter:
		own := s.counter
		return &own
	case &s.match:
		own := s.match
		own.Data = bytes.Clone(own.Data)
		return &own
	}
	return e
}

// Next takes the first expression off the list; nil if there is none. What it gives
// holds until the scratch is used again.
func (l *List) Next(s *Scratch) Expr {
	b := l.block
	switch {
	case b == nil:
		return nil
	case b.plain != nil:
		if int(l.at) >= len(b.plain) {
			return nil
		}
		l.at++
		return b.plain[l.at-1]
	}
	code := b.code[l.at:]
	switch kind := code[0]; kind {
	case codeEnd:
		return nil
	case codeCmp:
		n := 3 + int(code[2])
		s.cmp.Source, s.cmp.Op, s.cmp.Data = Reg(code[1]>>4), uint32(code[1]&15), code[3:n:n]
		l.at += uint32(n)
		return &s.cmp
	case codeImmediate:
		n := 3 + int(code[2])
		s.data.Dest, s.data.Data = Reg(code[1]), code[3:n:n]
		l.at += uint32(n)
		return &s.data
	case codeHead:
		l.at += uint32(s.readHead(code, b.pool))
		return &s.head
	case codeMatch:
		l.at += uint32(s.readMatch(code, b.pool))
		return &s.match
	case codeCounter:
		packets, n := binary.Uvarint(code[1:])
		bytes, m := binary.Uvarint(code[1+n:])
		s.counter = Counter{packets, bytes}
		l.at += uint32(1 + n + m)
		return &s.counter
	case codeFar:
		l.at += 5
		return b.pool.exprs[binary.LittleEndian.Uint32(code[1:])]
	default:
		l.at++
		return b.pool.exprs[kind-codeNear]
	}
}

// headSize is how many bytes of code a head has in front of its devices and
// addresses: what lengths those have (two bits each), Flags, Inv, TOS, and Proto.
const headSize = 7

// addressLengths are the lengths that addresses and masks have in the code, by the
// two bits for them. Of a mask with prefixLength there is the number of its bits.
var addressLengths = [4]uint8{0, 4, 16}

const prefixLength = 3

// readHead is how many bytes the head has.
func (s *Scratch) readHead(code []byte, p *pool) int {
	h := &s.head
	h.Flags, h.Inv, h.TOS, h.Proto = code[2], code[3], code[4], binary.LittleEndian.Uint16(code[5:])
	at, lengths := headSize, code[1]
	h.In, at = p.device(code, at)
	h.Out, at = p.device(code, at)
	h.Src, at = part(code, at, lengths&3)
	h.SrcMask, at = mask(&s.masks[0], h.Src, code, at, lengths>>2&3)
	h.Dst, at = part(code, at, lengths>>4&3)
	h.DstMask, at = mask(&s.masks[1], h.Dst, code, at, lengths>>6)
	return at
}

// mask is a part, or made of the number of its bits.
func mask(to *[16]byte, address, code []byte, at int, length uint8) ([]byte, int) {
	if length != prefixLength {
		return part(code, at, length)
	}
	ones, n := int(code[at]), len(address)
	for i := 0; i < n; i += 4 {
		binary.BigEndian.PutUint32(to[i:], ^uint32(0)<<(32-min(max(ones-8*i, 0), 32)))
	}
	return to[:n:n], at + 1
}

// device is the name whose number, from 1, is at a place; 0 is none.
func (p *pool) device(code []byte, at int) (string, int) {
	if code[at] == 0 {
		return "", at + 1
	}
	i, n := binary.Uvarint(code[at:])
	return p.names[i-1], at + n
}

func part(code []byte, at int, length uint8) ([]byte, int) {
	if length == 0 {
		return nil, at
	}
	end := at + int(addressLengths[length])
	return code[at:end:end], end
}

// readMatch is how many bytes a match has: its revision, how much of its data follows,
// how long that is with the zeros at its end, and the number of its name.
func (s *Scratch) readMatch(code []byte, p *pool) int {
	const fixed = 3
	length, n := binary.Uvarint(code[fixed:])
	name, m := binary.Uvarint(code[fixed+n:])
	from := fixed + n + m
	end := from + int(code[2])
	s.match.Ext, s.match.Rev = p.names[name], code[1]
	s.match.Data = s.filled[:length:length]
	clear(s.match.Data[copy(s.match.Data, code[from:end]):])
	return end
}

// Packer makes lists that share what many rules have, and keeps what is a rule's own
// as a few bytes each. The zero value is ready. What was given to it must not be
// changed any more, but for the names of ipsets (Sets).
type Packer struct {
	block *block
	pool  *pool
	code  []byte
	known map[Expr]uint32 // numbers of the pool's expressions
	names map[string]uint64
	room  int // of the block, in bytes
	rules []Rule
	last  int // how many rules were allocated at once
	about []About
	told  *About // of the rule before
}

const (
	firstRoom = 1 << 10
	lastRoom  = 1 << 16
	// A million rules are allocated faster in blocks. The last have whole pages, and
	// so take no more memory than they need.
	firstRules = 16
	lastRules  = 1024
	// sharedMost is how many expressions are remembered to be shared.
	sharedMost = 4096
	// smallMatch is the size up to which a match is kept in the code, without the
	// zeros at its end.
	smallMatch = 64
)

// Rule is memory for a rule.
func (p *Packer) Rule() *Rule {
	if len(p.rules) == 0 {
		p.last = min(max(firstRules, 2*p.last), lastRules)
		p.rules = make([]Rule, p.last)
	}
	r := &p.rules[0]
	p.rules = p.rules[1:]
	return r
}

// Tell says what is told of a rule. Rules of which the same is told share it.
func (p *Packer) Tell(r *Rule, a About) {
	if p.told == nil || *p.told != a {
		if len(p.about) == 0 {
			p.about = make([]About, min(max(1, p.last/4), lastRules/4))
		}
		p.told, p.about = &p.about[0], p.about[1:]
		*p.told = a
	}
	r.about = p.told
}

// List packs a rule's expressions. It keeps nothing of those that it [Copies],
// and the others as they are.
func (p *Packer) List(exprs []Expr) List {
	if len(exprs) == 0 {
		return List{}
	}
	if p.pool == nil {
		p.pool, p.known, p.names = &pool{}, map[Expr]uint32{}, map[string]uint64{}
	}
	p.code = p.code[:0]
	for _, e := range exprs {
		if Copies(e) {
			p.copy(e)
		} else {
			p.refer(e)
		}
	}
	p.code = append(p.code, codeEnd)
	if p.block == nil || cap(p.block.code)-len(p.block.code) < len(p.code) {
		p.room = min(max(firstRoom, 2*p.room), lastRoom)
		p.block = &block{code: make([]byte, 0, max(p.room, len(p.code))), pool: p.pool}
	}
	l := List{block: p.block, at: uint32(len(p.block.code))}
	p.block.code = append(p.block.code, p.code...)
	return l
}

// Copies reports whether a [Packer] puts an expression into the code, and so keeps
// nothing of it. Of matches those are copied that are small, but for those of sets:
// their sets are named later.
func Copies(e Expr) bool {
	switch e := e.(type) {
	case *Cmp:
		return e.Source < 16 && e.Op < 16 && 0 < len(e.Data) && len(e.Data) < 256
	case *Immediate:
		return e.Verdict == nil && 0 < len(e.Data) && len(e.Data) < 256
	case *Counter:
		return true
	case *IPTables:
		return (addressLength(e.Src)|addressLength(e.SrcMask)|addressLength(e.Dst)|addressLength(e.DstMask))&oddLength == 0
	case *Match:
		if e.Sets != nil || e.Data == nil || e.Ext == "set" || len(e.Data) > len(Scratch{}.filled) {
			return false
		}
		return filled(e.Data) <= smallMatch
	}
	return false
}

// oddLength is a bit that the other lengths don't have.
const oddLength = 4

// addressLength is an index of addressLengths, or oddLength.
func addressLength(b []byte) byte {
	switch {
	case b == nil:
		return 0
	case len(b) == 4:
		return 1
	case len(b) == 16:
		return 2
	}
	return oddLength
}

// copy writes an expression into the code.
func (p *Packer) copy(e Expr) {
	switch e := e.(type) {
	case *Cmp:
		p.code = append(append(p.code, codeCmp, byte(e.Source)<<4|byte(e.Op), byte(len(e.Data))), e.Data...)
	case *Immediate:
		p.code = append(append(p.code, codeImmediate, byte(e.Dest), byte(len(e.Data))), e.Data...)
	case *Counter:
		p.code = binary.AppendUvarint(binary.AppendUvarint(append(p.code, codeCounter), e.Packets), e.Bytes)
	case *IPTables:
		at := len(p.code) + 1
		p.code = append(p.code, codeHead, addressLength(e.Src)|addressLength(e.Dst)<<4, e.Flags, e.Inv, e.TOS, byte(e.Proto), byte(e.Proto>>8))
		p.device(e.In)
		p.device(e.Out)
		p.code = append(p.code, e.Src...)
		p.code[at] |= p.mask(e.SrcMask, e.Src) << 2
		p.code = append(p.code, e.Dst...)
		p.code[at] |= p.mask(e.DstMask, e.Dst) << 6
	case *Match:
		kept := e.Data[:filled(e.Data)]
		p.code = append(p.code, codeMatch, e.Rev, byte(len(kept)))
		p.code = binary.AppendUvarint(binary.AppendUvarint(p.code, uint64(len(e.Data))), p.name(e.Ext))
		p.code = append(p.code, kept...)
	}
}

// mask writes the mask of an address, and is the bits for its length.
func (p *Packer) mask(mask, address []byte) byte {
	if ones, ok := prefix(mask); ok && len(mask) == len(address) && mask != nil {
		p.code = append(p.code, byte(ones))
		return prefixLength
	}
	p.code = append(p.code, mask...)
	return addressLength(mask)
}

// prefix is the number of ones that a mask begins with, if there are none behind.
func prefix(mask []byte) (ones int, ok bool) {
	for i, b := range mask {
		n := bits.LeadingZeros8(^b)
		if b<<n != 0 || i > ones/8 && b != 0 {
			return 0, false
		}
		ones += n
	}
	return ones, true
}

// filled is how many bytes there are up to the zeros at the end.
func filled(b []byte) int {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

// device writes a device's name as its number from 1, or 0 if there is none.
func (p *Packer) device(name string) {
	if name == "" {
		p.code = append(p.code, 0)
		return
	}
	p.code = binary.AppendUvarint(p.code, 1+p.name(name))
}

// name is a name's number.
func (p *Packer) name(name string) uint64 {
	n, ok := p.names[name]
	if !ok {
		n = uint64(len(p.pool.names))
		p.pool.names = append(p.pool.names, name)
		p.names[name] = n
	}
	return n
}

// refer writes the number of an expression, which stays as it is.
func (p *Packer) refer(e Expr) {
	n, ok := p.known[e]
	if !ok {
		n = uint32(len(p.pool.exprs))
		p.pool.exprs = append(p.pool.exprs, e)
		if len(p.known) >= sharedMost {
			clear(p.known) // those that come often come again
		}
		p.known[e] = n
	}
	if n < 256-codeNear {
		p.code = append(p.code, codeNear+byte(n))
		return
	}
	p.code = binary.LittleEndian.AppendUint32(append(p.code, codeFar), n)
}

// MarshalJSON writes the expressions as [Exprs] are.
func (l List) MarshalJSON() ([]byte, error) { return json.Marshal(l.All()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (l *List) UnmarshalJSON(b []byte) error {
	var list Exprs
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*l = ListOf(list...)
	return nil
}
