package rules

import "fmt"

// Backend says which tool's rules a table holds.
type Backend string

// The backends. A table of iptables-nft is an nftables table that iptables
// made; iptables-legacy has tables of its own that nftables doesn't see.
const (
	NFT            Backend = "nft"
	IptablesNFT    Backend = "iptables-nft"
	IptablesLegacy Backend = "iptables-legacy"
)

// Family is an nftables family, by its NFPROTO number (linux/netfilter.h).
type Family uint8

// The families.
const (
	Inet   Family = 1
	IP     Family = 2
	ARP    Family = 3
	Netdev Family = 5
	Bridge Family = 7
	IP6    Family = 10
)

// String is nft's word for the family.
func (f Family) String() string {
	switch f {
	case Inet:
		return "inet"
	case IP:
		return "ip"
	case ARP:
		return "arp"
	case Netdev:
		return "netdev"
	case Bridge:
		return "bridge"
	case IP6:
		return "ip6"
	}
	return fmt.Sprintf("family%d", uint8(f))
}

// ParseFamily reads nft's word for a family.
func ParseFamily(s string) (Family, bool) {
	for _, f := range []Family{Inet, IP, ARP, Netdev, Bridge, IP6} {
		if f.String() == s {
			return f, true
		}
	}
	return 0, false
}

// Hook is where on a packet's way a base chain stands, in nft's words.
type Hook string

// The hooks. Ingress is of families netdev and inet, egress of netdev.
const (
	Ingress     Hook = "ingress"
	Prerouting  Hook = "prerouting"
	Input       Hook = "input"
	Forward     Hook = "forward"
	Output      Hook = "output"
	Postrouting Hook = "postrouting"
	Egress      Hook = "egress"
)

// Ruleset is everything that was read, from one or several sources.
type Ruleset struct {
	Tables []*Table
	IPSets []*IPSet
}

// Table is a table of nftables or iptables.
type Table struct {
	Backend    Backend
	Family     Family
	Name       string
	Handle     uint64
	Flags      []string // dormant, owner, persist; a number for a flag that is not known
	Chains     []*Chain
	Sets       []*Set
	Objects    []*Object
	Flowtables []*Flowtable
	Comment    string
	// SetDoubts are, by a set's name, why its elements are not known, where saved
	// rules are the source. They stand here as tables are few and sets many.
	SetDoubts map[string]string `json:",omitempty"`
}

// Dormant reports whether the table's base chains see no packet.
func (t *Table) Dormant() bool {
	for _, f := range t.Flags {
		if f == "dormant" {
			return true
		}
	}
	return false
}

// Chain finds a chain by name, nil if there is none.
func (t *Table) Chain(name string) *Chain {
	for _, c := range t.Chains {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Set finds a set or map by name, nil if there is none.
func (t *Table) Set(name string) *Set {
	for _, s := range t.Sets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Chain is a chain; a base chain if Hook is set.
type Chain struct {
	Name     string
	Handle   uint64
	Hook     Hook
	Priority int32
	Type     string // filter, nat, route
	Policy   string // accept or drop; empty for a chain that is not a base chain
	Devices  []string
	Flags    []string
	Packets  uint64 // of the policy
	Bytes    uint64
	Rules    []*Rule
	Comment  string
}

// Base reports whether packets enter the rules here.
func (c *Chain) Base() bool { return c.Hook != "" }

// Set is an nftables set, map or verdict map.
type Set struct {
	Name     string
	Handle   uint64
	ID       uint32
	KeyLen   int    // bytes, with each field of a concatenation padded to 4
	KeyType  uint32 // nft's own number of the type, for printing
	DataLen  int    // bytes of a map's value
	DataType uint32 // nft's number; 0xffffff00 for verdicts
	// Fields are the lengths in bytes of a concatenation's fields, unpadded.
	Fields    []int
	Anonymous bool
	Constant  bool
	Interval  bool
	Map       bool // values, or verdicts
	Verdicts  bool
	Objects   bool // values are objects' names
	ObjType   uint32
	Timeout   bool
	Dynamic   bool
	Concat    bool
	Size      uint32
	Flags     uint32 // as the kernel has them: NFT_SET_* in nf_tables.h
	TimeoutMS uint64 // of a new element
	// Elements are all elements, as the kernel lists them, if Known. A live set
	// that is too large to list is asked for one element by eval's Host.
	Elements Elements
	Known    bool
	// Count is how many elements there are, -1 if that isn't known.
	Count   int
	Exprs   Exprs
	Comment string
}

// Element is an element of a set. In a plain interval set (not concatenated)
// the elements are the borders of its ranges, as the kernel keeps them: one
// that starts a range, and with End the first key behind it. In a concatenated
// one Key and KeyEnd are the first and last of each field.
type Element struct {
	Key       []byte
	KeyEnd    []byte
	End       bool // NFT_SET_ELEM_INTERVAL_END
	CatchAll  bool
	Data      []byte
	Verdict   *Verdict
	Object    string
	TimeoutMS uint64
	ExpiresMS uint64 // left; 0 if it doesn't expire
	Exprs     Exprs
	Comment   string
}

// Object is a named stateful object. Expr is what it does where a rule refers
// to it: a Counter, Quota, Limit, Helper, Opaque, …
type Object struct {
	Name   string
	Handle uint64
	Type   uint32 // NFT_OBJECT_* of nf_tables.h
	Expr   Expr
	// Comment is of nft's user data.
	Comment string
}

// Flowtable is nftables' fast path for forwarded flows.
type Flowtable struct {
	Name     string
	Handle   uint64
	Priority int32
	Devices  []string
	Flags    uint32
}

// IPSet finds an ipset by name, nil if there is none.
func (r *Ruleset) IPSet(name string) *IPSet {
	for _, s := range r.IPSets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Merge adds what another source has read.
func (r *Ruleset) Merge(other *Ruleset) {
	r.Tables = append(r.Tables, other.Tables...)
	r.IPSets = append(r.IPSets, other.IPSets...)
}
