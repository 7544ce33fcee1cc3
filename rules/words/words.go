// Package words is nft's vocabulary: the names of header fields, keys, data
// types and constants, with where and how long each is. It is what is common to
// printing rules as nft does and to reading its language. A test compares it
// with `nft describe`; the rest is of nft(8) and the kernel's headers
// (linux/netfilter/nf_tables.h and what it names).
package words

// Order is the order of a value's bytes.
type Order uint8

// The orders. None is of types whose order is that of the field they are used
// in, or of a single byte.
const (
	None Order = iota
	Host
	Network
)

// Symbol is a name for a value. Where several names have one value, the first
// is the one that is printed.
type Symbol struct {
	Name  string
	Value uint64
}

// Type is a data type of nft.
type Type struct {
	// Number is nft's own, which sets carry as NFTA_SET_KEY_TYPE. A
	// concatenation's is that of its fields, six bits each.
	Number  uint32
	Name    string
	Bits    int // 0: given by the field it is used in
	Order   Order
	Base    *Type // nil: none
	Bitmask bool  // values are sets of bits, with a symbol for each
	Prefix  bool  // ranges are written as prefixes where they are one
	Symbols []Symbol
}

// Bytes is the length in whole bytes, which is what a set's key holds.
func (t *Type) Bytes() int { return (t.Bits + 7) / 8 }

// Symbol finds the name of a value, empty if it has none.
func (t *Type) Symbol(v uint64) string {
	for _, s := range t.Symbols {
		if s.Value == v {
			return s.Name
		}
	}
	return ""
}

// Value finds what a name stands for.
func (t *Type) Value(name string) (uint64, bool) {
	for _, s := range t.Symbols {
		if s.Name == name {
			return s.Value, true
		}
	}
	return 0, false
}

// TypeByName finds a data type, nil if there is none of that name.
func TypeByName(name string) *Type {
	for _, t := range Types {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// TypeByNumber finds a data type, nil if there is none of that number.
func TypeByNumber(n uint32) *Type {
	for _, t := range Types {
		if t.Number == n {
			return t
		}
	}
	return nil
}

// The bits of one type's number within that of a concatenation.
const typeBits = 6

// Split takes a concatenation's number apart. It is nil if a part is unknown.
func Split(number uint32) []*Type {
	var types []*Type
	for ; number != 0; number >>= typeBits {
		t := TypeByNumber(number & (1<<typeBits - 1))
		if t == nil {
			return nil
		}
		types = append([]*Type{t}, types...)
	}
	return types
}

// Join is the number of a concatenation. Only the last five fields fit.
func Join(types []*Type) uint32 {
	var n uint32
	for _, t := range types {
		n = n<<typeBits | t.Number
	}
	return n
}

// Field is a part of a header. Offset and Bits count bits, from the first of
// the header, the most significant bit of a byte first.
type Field struct {
	Name         string
	Type         *Type
	Offset, Bits int
	// Messages are the ICMP types that have this field, nil if all do. A rule
	// that names the field tests the type before, against all of them.
	Messages []uint8
}

// Header is a protocol's header.
type Header struct {
	Name   string
	Base   uint32 // NFT_PAYLOAD_*: 0 link, 1 network, 2 transport
	Fields []Field
	// Newer are fields that came after nft 1.0.6: they are read, and never written.
	Newer []Field
	// Number is the protocol's own in the header below: an IP protocol for those
	// of the transport base, an EtherType for vlan, arp, ip and ip6. -1 for ether
	// and th, which imply nothing.
	Number int
	// NFProto is the number of the protocol as a family (meta nfproto), 0 if none.
	NFProto uint8
}

// Field finds a field, nil if there is none.
func (h *Header) Field(name string) *Field {
	for _, list := range [][]Field{h.Fields, h.Newer} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// HeaderByName finds a header, nil if there is none.
func HeaderByName(name string) *Header {
	for _, h := range Headers {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Key is a key of meta, ct, rt, socket or ipsec.
type Key struct {
	Name   string
	Number uint32
	Type   *Type
	Bits   int
	Order  Order
}

// KeyByName finds a key in one of the tables, nil if there is none. Where two
// keys have one name (rt nexthop), it is the first.
func KeyByName(keys []Key, name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	return nil
}

// KeyByNumber finds a key in one of the tables, nil if there is none.
func KeyByNumber(keys []Key, n uint32) *Key {
	for i := range keys {
		if keys[i].Number == n {
			return &keys[i]
		}
	}
	return nil
}

// Find looks a name up in a list, false if it is not there.
func Find(list []Symbol, name string) (uint64, bool) {
	for _, s := range list {
		if s.Name == name {
			return s.Value, true
		}
	}
	return 0, false
}

// Name looks a value up in a list, empty if it is not there.
func Name(list []Symbol, v uint64) string {
	for _, s := range list {
		if s.Value == v {
			return s.Name
		}
	}
	return ""
}
