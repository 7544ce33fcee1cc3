package ipset

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/portwhy/portwhy/rules"
)

// index finds a set's entries; it is made when the set is first asked.
type index struct {
	set   *rules.IPSet
	once  sync.Once
	wrong string // why it can't be asked
	kind  *kind
	settings

	// keys has the entries' keys one after the other, sorted, each of width bytes;
	// elements the numbers of the elements they are of, and of a type with devices
	// the devices.
	width    int
	keys     []byte
	elements []int32
	devices  []device
	lengths  [2][]int // of networks, longest first
}

// device is that of one entry of hash:net,iface.
type device struct {
	name   string
	prefix bool // any device whose name starts like this
}

// make sorts the entries by how they are looked for.
func (x *index) make() {
	x.kind = kinds[x.set.Type]
	if x.kind == nil {
		x.wrong = fmt.Sprintf("ipset %s is of type %s, which is not known", x.set.Name, x.set.Type)
		return
	}
	if x.set.Unread {
		x.markMask = 0xffffffff // the kernel applies the set's own
		return
	}
	var err error
	if x.settings, err = newSettings(x.kind, x.set); err == nil && x.set.Known && x.kind.dims[0] != dimSet {
		if err = x.collect(); err == nil {
			x.sort()
		}
	}
	if err != nil {
		x.wrong = fmt.Sprintf("ipset %s: %v", x.set.Name, err)
	}
}

// collect reads all entries.
func (x *index) collect() error {
	left := min(x.limit, expandMax) + len(x.set.Elements)
	withDevices := slices.Contains(x.kind.dims, dimDevice)
	var lengths [2][129]bool
	x.elements = make([]int32, 0, len(x.set.Elements))
	for i := range x.set.Elements {
		el := &x.set.Elements[i]
		s, err := x.kind.parseEntry(x.set.Family, el.Entry)
		if err != nil {
			return fmt.Errorf("entry %q: %w", el.Entry, err)
		}
		for m := range x.kind.members(s) {
			if left--; left < 0 {
				return fmt.Errorf("there are more than %d entries", x.limit)
			}
			for slot := range m.addresses {
				if m.addresses[slot].IsValid() {
					m.addresses[slot] = x.kept(m.addresses[slot])
					lengths[slot][m.addresses[slot].Bits()] = true
				}
			}
			m.mark &= x.markMask
			n := len(x.keys)
			x.keys = x.kind.key(x.keys, &m)
			if x.width = len(x.keys) - n; n == 0 {
				x.keys = slices.Grow(x.keys, x.width*(len(x.set.Elements)-1))
			}
			x.elements = append(x.elements, int32(i))
			if withDevices {
				_, wildcard := el.Options.Get("wildcard")
				x.devices = append(x.devices, device{m.device, wildcard})
			}
		}
	}
	for slot := range lengths {
		for n := 128; n >= 0; n-- {
			if lengths[slot][n] {
				x.lengths[slot] = append(x.lengths[slot], n)
			}
		}
	}
	return nil
}

// sort puts the keys in order; equal ones stay in theirs.
func (x *index) sort() {
	order := make([]int32, len(x.elements))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(bytes.Compare(x.keyAt(int(a)), x.keyAt(int(b))), cmp.Compare(a, b))
	})
	keys, elements := make([]byte, 0, len(x.keys)), make([]int32, len(order))
	for i, from := range order {
		keys = append(keys, x.keyAt(int(from))...)
		elements[i] = x.elements[from]
	}
	if x.devices != nil {
		devices := make([]device, len(order))
		for i, from := range order {
			devices[i] = x.devices[from]
		}
		x.devices = devices
	}
	x.keys, x.elements = keys, elements
}

func (x *index) keyAt(i int) []byte { return x.keys[i*x.width : (i+1)*x.width] }

// lookup is where the entries with a key begin and end.
func (x *index) lookup(key []byte) (from, to int) {
	if len(key) != x.width {
		return 0, 0
	}
	n := len(x.elements)
	from = sort.Search(n, func(i int) bool { return bytes.Compare(x.keyAt(i), key) >= 0 })
	for to = from; to < n && bytes.Equal(x.keyAt(to), key); {
		to++
	}
	return from, to
}

// kept is a network as the kernel keeps it. It masks what is added; but Linux
// 6.18 doesn't mask the addresses of a range, so that entries which were read
// from a kernel are taken as they are.
func (x *index) kept(p netip.Prefix) netip.Prefix {
	p = p.Masked()
	if x.set.Index == unknownIndex {
		p = netip.PrefixFrom(x.masked(p.Addr()), p.Bits())
	}
	return p
}

// key is what an entry is found by: everything but a device's name. A MAC
// address that is left open is zero, which no packet asks for.
func (k *kind) key(b []byte, m *member) []byte {
	for slot := range m.addresses {
		p := m.addresses[slot]
		switch a := p.Addr(); {
		case !p.IsValid():
		case a.Is4():
			four := a.As4()
			b = append(append(b, four[:]...), byte(p.Bits()))
		default:
			six := a.As16()
			b = append(append(b, six[:]...), byte(p.Bits()))
		}
	}
	for _, d := range k.dims {
		switch d {
		case dimPort, dimBare:
			b = binary.BigEndian.AppendUint16(append(b, m.protocol), m.port)
		case dimMAC:
			b = append(b, m.mac[:]...)
		case dimMark:
			b = binary.BigEndian.AppendUint32(b, m.mark)
		case dimDevice:
			if b = append(b, 0); m.bridged {
				b[len(b)-1] = 1
			}
		}
	}
	return b
}

// find looks a member up. Networks are tried from the most specific on
// (mtype_test_cidrs in ip_set_hash_gen.h): the first that is there counts, even
// if it says nomatch.
func (x *index) find(q Question, m *member, holds time.Duration) Answer {
	var answers []Answer // of entries that may be gone, and of the first that stays
	certain := false
	nets := slices.Contains(x.kind.dims, dimNet)
	x.search(m, func(element int32) bool {
		el := &x.set.Elements[element]
		answers = append(answers, Answer{Found: !nets || el.NoMatch() == q.ReturnNomatch, Why: x.doubt(el, q, holds)})
		certain = answers[len(answers)-1].Why == ""
		return certain
	})
	if !certain {
		answers = append(answers, Answer{})
	}
	result := answers[0]
	for _, a := range answers[1:] {
		if a.Found != result.Found {
			return result
		}
	}
	result.Why = "" // however many of them are gone, the answer is the same
	return result
}

// search calls try with the elements that match, in the kernel's order, until
// it returns true.
func (x *index) search(m *member, try func(int32) bool) {
	// The lengths of each slot's networks; of an address all its bits, and one
	// round for a slot that the type doesn't have.
	var lengths [2][]int
	slot := 0
	for _, d := range x.kind.dims {
		switch d {
		case dimNet:
			lengths[slot] = x.lengths[slot]
			slot++
		case dimIP:
			lengths[slot] = []int{m.addresses[slot].Bits()}
			slot++
		}
	}
	for ; slot < 2; slot++ {
		lengths[slot] = []int{0}
	}
	one := *m
	var key []byte
	for _, a := range lengths[0] {
		one.addresses[0] = shorten(m.addresses[0], a)
		for _, b := range lengths[1] {
			one.addresses[1] = shorten(m.addresses[1], b)
			key = x.kind.key(key[:0], &one)
			if from, to := x.lookup(key); from < to && x.tryRun(from, to, m.device, try) {
				return
			}
		}
	}
	if x.kind.ranged && m.hasMAC {
		// bitmap:ip,mac: an entry without a MAC address takes any.
		one.mac = [6]byte{}
		if from, to := x.lookup(x.kind.key(key[:0], &one)); from < to {
			try(x.elements[to-1])
		}
	}
}

func shorten(p netip.Prefix, bits int) netip.Prefix {
	if !p.IsValid() {
		return p
	}
	p, _ = p.Addr().Prefix(bits)
	return p
}

// tryRun tries entries of one key, of which the last was added in place of the
// others; it reports whether the search ends here. With devices it ends even if
// none is the packet's: the kernel looks no further than the most specific
// network that it has (data_equal of ip_set_hash_netiface.c counts in multi,
// which ends mtype_test_cidrs). Where an entry matches but may be gone the search
// goes on.
func (x *index) tryRun(from, to int, name string, try func(int32) bool) bool {
	if x.devices == nil {
		return try(x.elements[to-1])
	}
	for i := from; i < to; i++ {
		if d := x.devices[i]; d.name == name || d.prefix && strings.HasPrefix(name, d.name) {
			return try(x.elements[i])
		}
	}
	return true
}
