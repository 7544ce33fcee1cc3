//go:build linux

package linux

// inodeSet is a set of sockets' inodes. The kernel numbers sockets one after
// the other, so they mostly lie close together and a bit for each is both
// smaller and faster than a map.
type inodeSet struct {
	low    uint64
	bits   []uint64
	others map[uint64]struct{} // those beyond the bits
}

// inodeSpan bounds the bits to 1 MiB.
const inodeSpan = 1 << 23

// newInodeSet leaves out 0, which is the number of sockets without an inode.
func newInodeSet(inodes []uint64) *inodeSet {
	s := &inodeSet{others: make(map[uint64]struct{})}
	high := uint64(0)
	for _, n := range inodes {
		if n != 0 && (s.low == 0 || n < s.low) {
			s.low = n
		}
	}
	for _, n := range inodes {
		if n != 0 && n-s.low < inodeSpan {
			high = max(high, n)
		}
	}
	if high != 0 {
		s.bits = make([]uint64, (high-s.low)/64+1)
	}
	for _, n := range inodes {
		switch i := n - s.low; {
		case n == 0:
		case i < inodeSpan:
			s.bits[i/64] |= 1 << (i % 64)
		default:
			s.others[n] = struct{}{}
		}
	}
	return s
}

func (s *inodeSet) has(n uint64) bool {
	if i := n - s.low; i/64 < uint64(len(s.bits)) {
		return s.bits[i/64]&(1<<(i%64)) != 0
	}
	if len(s.others) == 0 {
		return false
	}
	_, ok := s.others[n]
	return ok
}
