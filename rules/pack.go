package rules

import (
	"encoding/binary"
	"math/bits"
)

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
		return e.Sets == nil && e.Data != nil && e.Ext != "set" && filled(e.Data) <= smallMatch
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
