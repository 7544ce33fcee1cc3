package rules

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
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
	switch b := l.block; {
	case b == nil:
		return true
	case b.plain != nil:
		return int(l.at) == len(b.plain)
	default:
		return b.code[l.at] == codeEnd
	}
}

// Scratch is memory for the expression that [List.Next] gives.
type Scratch struct {
	cmp     Cmp
	data    Immediate
	head    IPTables
	counter Counter
	match   Match
	filled  []byte // the match's data
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
	if uint64(cap(s.filled)) < length {
		s.filled = make([]byte, length)
	}
	s.match.Data = s.filled[:length:length]
	clear(s.match.Data[copy(s.match.Data, code[from:end]):])
	return end
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
