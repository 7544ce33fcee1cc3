package redact

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"math/bits"
	"slices"
)

// bitString is up to 128 bits, from the left.
type bitString [16]byte

// ones is 128 of them.
var ones = bitString{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func (b bitString) bit(i int) bool { return b[i/8]&(0x80>>(i%8)) != 0 }

// first leaves the first n bits.
func (b bitString) first(n int) bitString {
	for i := range b {
		switch rest := n - 8*i; {
		case rest <= 0:
			b[i] = 0
		case rest < 8:
			b[i] &= ^byte(0xff >> rest)
		}
	}
	return b
}

// after leaves out the first n bits.
func (b bitString) after(n int) bitString {
	var out bitString
	for i := range out {
		from := i + n/8
		if from < 16 {
			out[i] = b[from] << (n % 8)
		}
		if from+1 < 16 && n%8 > 0 {
			out[i] |= b[from+1] >> (8 - n%8)
		}
	}
	return out
}

// common is how many leading bits are the same.
func common(a, b bitString) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 128
}

// node is a place in the tree of all bit strings: what leads to it.
type node struct {
	path  bitString
	depth int
}

// region is everything below a node, for which a rule of its own holds.
type region struct {
	node
	same   bool         // nothing is exchanged here
	embeds *permutation // here begins an address of another family, width bits long
}

// permutation maps bit strings one to one so that two that begin alike still
// begin alike, for as many bits and no more. It is a binary tree in which at
// each node the two branches are exchanged or not, as a key says (Xu, Fan,
// Ammar and Moon, "Prefix-preserving IP address anonymization", 2002). So the
// image of a prefix is a prefix, and a subnet stays one.
//
// At some nodes nothing is exchanged: on the way to a region that must map to
// itself, and on the way to both ends of a range, below where they part. What
// hangs there lies either in the range or not, so the range's image is the
// range of its ends' images, and everything else is as free as before.
type permutation struct {
	width   int
	block   cipher.Block
	tweaks  []bitString // by depth
	still   map[node]bool
	regions []region // those further down come later
	levels  []bool   // depths at which nothing is exchanged
}

func newPermutation(key []byte, domain string, width int) *permutation {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("addresses " + domain))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic("redact: " + err.Error()) // the key's size is right
	}
	p := &permutation{width: width, block: block, tweaks: make([]bitString, width), still: map[node]bool{}, levels: make([]bool, width)}
	for depth := range p.tweaks {
		in := bitString{byte(depth)}
		block.Encrypt(p.tweaks[depth][:], in[:])
	}
	return p
}

// exchanged says whether the branches of a node are exchanged.
func (p *permutation) exchanged(n node) bool {
	if p.levels[n.depth] || p.still[n] {
		return false
	}
	var out bitString
	for i, t := range p.tweaks[n.depth] {
		n.path[i] ^= t
	}
	p.block.Encrypt(out[:], n.path[:])
	return out[0]&1 != 0
}

// apply maps the first n bits; the others are zero in the result.
func (p *permutation) apply(b bitString, n int) bitString {
	out := b.first(n)
	at := region{}
	next := 0
	var path bitString // the bits before depth
	for depth := range n {
		if depth > 0 && b.bit(depth-1) {
			path[(depth-1)/8] |= 0x80 >> ((depth - 1) % 8)
		}
		for ; next < len(p.regions) && p.regions[next].depth <= depth; next++ {
			if r := p.regions[next]; common(b, r.path) >= r.depth {
				at = r
			}
		}
		var swap bool
		switch inner := depth - at.depth; {
		case at.embeds != nil && inner < at.embeds.width:
			old := b.after(at.depth)
			swap = at.embeds.apply(old, inner+1).bit(inner) != old.bit(inner)
		case !at.same:
			swap = p.exchanged(node{path, depth})
		}
		if swap {
			out[depth/8] ^= 0x80 >> (depth % 8)
		}
	}
	return out
}

// hold maps what is below the first n bits of b to itself.
func (p *permutation) hold(b bitString, n int) {
	for depth := range n {
		p.still[node{b.first(depth), depth}] = true
	}
}

// within adds a region, which maps to itself as a whole.
func (p *permutation) within(r region) {
	r.path = r.path.first(r.depth)
	p.hold(r.path, r.depth)
	p.add(r)
}

// below keeps the bits after the first n of what begins like b as they are. The
// first n may change.
func (p *permutation) below(b bitString, n int) {
	p.add(region{node: node{b.first(n), n}, same: true})
}

func (p *permutation) add(r region) {
	if !p.full() && !slices.Contains(p.regions, r) {
		p.regions = append(p.regions, r)
		slices.SortStableFunc(p.regions, func(a, b region) int { return a.depth - b.depth })
	}
}

// What is remembered of ranges is bounded: some ten thousand that are no
// prefixes, and some thousand networks that are mapped to others.
const (
	mostStill   = 2 << 20
	mostRegions = 4096
)

// full reports whether there were more than can be kept.
func (p *permutation) full() bool { return len(p.still) >= mostStill || len(p.regions) >= mostRegions }

// keepRange makes the image of all from a to b the range of their images.
func (p *permutation) keepRange(a, b bitString) {
	for depth := min(common(a, b), p.width); depth < p.width && !p.full(); depth++ {
		p.still[node{a.first(depth), depth}] = true
		p.still[node{b.first(depth), depth}] = true
	}
}

// keepBits makes it possible to ask for bits without those before them: where
// mask has one beyond its leading ones, nothing is exchanged.
func (p *permutation) keepBits(mask bitString) {
	for depth := common(mask, ones); depth < p.width; depth++ {
		if mask.bit(depth) {
			p.levels[depth] = true
		}
	}
}
