package syntax

// Expr is an expression.
type Expr interface {
	Position() Pos
	expr()
}

// Number is a number, or a symbol's number.
type Number struct {
	Pos
	Value uint64
}

// Text is a word or a string: a symbol, an address, a name, a number of more
// than 64 bits in hexadecimal (0x…). What it means goes by the other side.
type Text struct {
	Pos
	Value  string
	Quoted bool // it was written as a string, which JSON doesn't tell
}

// Bool is true or false: exists or missing.
type Bool struct {
	Pos
	Value bool
}

// SetRef names a set or map: @Name.
type SetRef struct {
	Pos
	Name string
}

// Wildcard is the element for everything else: *.
type Wildcard struct{ Pos }

// List is values side by side: new,established.
type List struct {
	Pos
	Items []Expr
}

// Concat is a concatenation: a . b.
type Concat struct {
	Pos
	Items []Expr
}

// SetLiteral is an anonymous set or map: { … }. Its items are Elem, Mapping or
// plain keys. Keep says that it is one in the kernel: of a single key that was
// written in a rule, nft would make a plain comparison.
type SetLiteral struct {
	Pos
	Items []Expr
	Keep  bool
}

// Mapping is an element of a map: Key : Value. Key may be an Elem.
type Mapping struct {
	Pos
	Key, Value Expr
}

// Elem is a key with what belongs to it.
type Elem struct {
	Pos
	Key        Expr
	TimeoutMS  uint64
	ExpiresMS  uint64
	Comment    string
	Statements []Stmt
}

// Map gives the value for a key: Key map Data. Data is a SetRef or SetLiteral.
type Map struct {
	Pos
	Key, Data Expr
}

// Prefix is Addr/Len, Len in bits.
type Prefix struct {
	Pos
	Addr Expr
	Len  uint32
}

// Range is From-To, both included.
type Range struct {
	Pos
	From, To Expr
}

// Payload is a field of a header: ip saddr. Tunnel is the tunnel's header whose
// inner packet it is of (vxlan, geneve, gre, gretap), empty if of the outer one.
type Payload struct {
	Pos
	Protocol, Field string
	Tunnel          string
}

// RawPayload is @Base,Offset,Len: bits behind the start of the link (ll),
// network (nh), transport (th) or inner header (ih).
type RawPayload struct {
	Pos
	Base        string
	Offset, Len uint32
}

// OptionKind is what an Option is of.
type OptionKind uint8

// The kinds, with the numbers of NFT_EXTHDR_OP_*.
const (
	ExtensionHeader OptionKind = iota // of IPv6
	TCPOption
	IPOption
	SCTPChunk
	DCCPOption
)

// Option is an extension header, option or chunk. Without Field it asks
// whether it is there. With Raw it is known by Number: of TCP as @Number,
// Offset, Len in bits; of DCCP, which has no fields, Number alone.
type Option struct {
	Pos
	Kind        OptionKind
	Name, Field string
	// Index is which of several a field is of: sid[Index] of srh, addr[Index] of
	// rt0 where Field has no index of its own.
	Index       uint32
	Raw         bool
	Number      uint8
	Offset, Len uint32
}

// Meta is a key of meta.
type Meta struct {
	Pos
	Key string
}

// RT is a key of rt. Family is ip, ip6 or empty.
type RT struct {
	Pos
	Key, Family string
}

// CT is a key of ct, with its family as the first word where it has one (ip
// saddr) or in Family. Dir is original, reply or empty.
type CT struct {
	Pos
	Key, Family, Dir string
}

// Numgen counts (Mode inc) or draws (random) a number.
type Numgen struct {
	Pos
	Mode        string
	Mod, Offset uint32
}

// Hash is jhash of Key or, where that is nil, symhash.
type Hash struct {
	Pos
	Key               Expr
	Mod, Seed, Offset uint32
	HasSeed           bool
}

// Fib asks the routing table. Result is oif, oifname or type. With Present it
// asks only whether there is one (`check` of newer nft, exists and missing of
// all are on the other side of the match).
type Fib struct {
	Pos
	Result  string
	Flags   []string // saddr, daddr, mark, iif, oif
	Present bool
}

// Socket is a key of the packet's socket. Level is that of cgroupv2.
type Socket struct {
	Pos
	Key      string
	Level    uint32
	HasLevel bool
}

// OSF is name or version of the sender's system. TTL is loose, skip or empty.
type OSF struct {
	Pos
	Key, TTL string
}

// IPsec is a key of the packet's IPsec state: Dir in or out, Family ip or ip6
// for saddr and daddr.
type IPsec struct {
	Pos
	Key, Family, Dir string
	SPNum            uint32
}

// Tunnel is a key of the tunnel's metadata.
type Tunnel struct {
	Pos
	Key string
}

// Binary is Left Op Right: & | ^ << >>. A mask in front of a comparison
// (`tcp flags syn / syn,ack`) is a Match with such a left side.
type Binary struct {
	Pos
	Op          string
	Left, Right Expr
}

// Verdict is a verdict, as a statement or as a map's value: accept, drop,
// continue, return, break, queue, jump or goto. Rules is the body of a chain
// without a name: jump { … }.
type Verdict struct {
	Pos
	Kind  string
	Chain string
	Body  bool // Rules are where it leads
	Rules []*Rule
}

// UnknownExpr is an expression that is valid but not known here. What it is in
// becomes opaque, for the reason Why.
type UnknownExpr struct {
	Pos
	Kind, Why string
}

func (*Number) expr()      {}
func (*Text) expr()        {}
func (*Bool) expr()        {}
func (*SetRef) expr()      {}
func (*Wildcard) expr()    {}
func (*List) expr()        {}
func (*Concat) expr()      {}
func (*SetLiteral) expr()  {}
func (*Mapping) expr()     {}
func (*Elem) expr()        {}
func (*Map) expr()         {}
func (*Prefix) expr()      {}
func (*Range) expr()       {}
func (*Payload) expr()     {}
func (*RawPayload) expr()  {}
func (*Option) expr()      {}
func (*Meta) expr()        {}
func (*RT) expr()          {}
func (*CT) expr()          {}
func (*Numgen) expr()      {}
func (*Hash) expr()        {}
func (*Fib) expr()         {}
func (*Socket) expr()      {}
func (*OSF) expr()         {}
func (*IPsec) expr()       {}
func (*Tunnel) expr()      {}
func (*Binary) expr()      {}
func (*Verdict) expr()     {}
func (*UnknownExpr) expr() {}
