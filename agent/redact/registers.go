package redact

import (
	"bytes"

	"github.com/portwhy/portwhy/rules"
)

// cell is what a byte of a rule's registers holds.
type cell struct {
	kind kind
	at   int // which byte of the address
	mask byte
	// If kind is noAddress, where the byte is from: what it is used for says
	// what it is.
	data  []byte // of an Immediate
	index int    // in it, or in the values of set
	set   *setPlaces
	about protocolAbout
}

// protocolAbout says what is compared when the packet's protocol is.
type protocolAbout int

const (
	noProtocol protocolAbout = iota
	nfproto
	ethertype
)

// registerBytes is the size of all registers, and so of the longest key.
const registerBytes = 64

// tracker follows a rule's expressions to see which of its bytes are addresses.
type tracker struct {
	family rules.Family
	l3     rules.Family // the packet's, as far as it is known
	cells  [registerBytes]cell
	sets   map[string]*setPlaces
	places []place
}

// setPlaces are the bytes of a set's keys and values that are addresses.
type setPlaces struct {
	key, data map[int]cell
	// pairs are values that are the two ends of a range.
	pairs []dataPair
}

type dataPair struct{ from, to, size, network int }

// The header that an offset of a payload is counted from.
const (
	linkBase    = 0
	networkBase = 1
)

func (t *tracker) reg(r rules.Reg, i int) *cell {
	if at := int(r)*4 + i; at < len(t.cells) {
		return &t.cells[at]
	}
	return &cell{}
}

// header says what byte of which address is at an offset of a header.
func (t *tracker) header(base uint32, offset, length int) cell {
	at := func(k kind, start int) cell { return cell{kind: k, at: offset - start, mask: 0xff} }
	if base == linkBase && t.family != rules.ARP {
		switch {
		case offset < 6:
			return at(mac, 0)
		case offset < 12:
			return at(mac, 6)
		case offset == 12, offset == 13:
			return cell{about: ethertype}
		}
		return cell{}
	}
	if base != networkBase {
		return cell{}
	}
	switch t.l3 {
	case rules.IP:
		if offset >= 12 && offset < 20 {
			return at(ip4, 12+(offset-12)/4*4)
		}
	case rules.IP6:
		if offset >= 8 && offset < 40 {
			return at(ip6, 8+(offset-8)/16*16)
		}
	case rules.ARP:
		switch {
		case offset >= 8 && offset < 14:
			return at(mac, 8)
		case offset >= 14 && offset < 18:
			return at(ip4, 14)
		case offset >= 18 && offset < 24:
			return at(mac, 18)
		case offset >= 24 && offset < 28:
			return at(ip4, 24)
		}
	}
	return cell{}
}

// load puts bytes of a header into a register.
func (t *tracker) load(p *rules.Payload) {
	before := t.l3
	if t.l3 == 0 && p.Base == networkBase {
		// No protocol is asked for: the length tells.
		switch {
		case p.Offset >= 12 && p.Offset+p.Len <= 20 && p.Len <= 8:
			t.l3 = rules.IP
		case p.Offset >= 8 && p.Offset+p.Len <= 40:
			t.l3 = rules.IP6
		}
	}
	for i := range min(int(p.Len), 64) {
		place := t.header(p.Base, int(p.Offset)+i, int(p.Len))
		if p.Write {
			t.use(t.reg(p.Reg, i), place)
		} else {
			*t.reg(p.Reg, i) = place
		}
	}
	t.l3 = before
}

// use says what a byte of a register is that was not known yet.
func (t *tracker) use(c *cell, as cell) {
	switch {
	case as.kind == noAddress || c.kind != noAddress:
	case c.set != nil:
		c.set.data[c.index] = as
	case c.data != nil:
		t.places = append(t.places, place{kind: as.kind, from: as.at, data: c.data[c.index : c.index+1]})
		c.kind, c.at = as.kind, as.at
	}
}

// runs calls f for each run of bytes of one address among a register's.
func (t *tracker) runs(r rules.Reg, length int, f func(first, n int, c cell)) {
	for i := 0; i < length; {
		c := *t.reg(r, i)
		n := 1
		for i+n < length {
			next := *t.reg(r, i+n)
			if c.kind == noAddress || next.kind != c.kind || next.at != c.at+n {
				break
			}
			n++
		}
		if c.kind != noAddress {
			f(i, n, c)
		}
		i += n
	}
}

// masks are those of a run of bytes; nil if all bits count.
func (t *tracker) masks(r rules.Reg, first, n int) []byte {
	out := make([]byte, n)
	for i := range n {
		out[i] = t.reg(r, first+i).mask
	}
	if bytes.Equal(out, bytes.Repeat([]byte{0xff}, n)) {
		return nil
	}
	return out
}

// merge joins places that lie one behind the other, as the bytes of an address
// that is written by a rule.
func merge(list []place) []place {
	var out []place
	for _, p := range list {
		if n := len(out); n > 0 {
			last := &out[n-1]
			end := last.from + len(last.data)
			if last.kind == p.kind && end == p.from && last.mask == nil && p.mask == nil && last.to == nil && p.to == nil &&
				cap(last.data) > len(last.data) && &last.data[:len(last.data)+1][len(last.data)] == &p.data[0] {
				last.data = last.data[:len(last.data)+len(p.data)]
				continue
			}
		}
		out = append(out, p)
	}
	return out
}
