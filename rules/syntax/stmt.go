package syntax

// Stmt is a statement.
type Stmt interface {
	Position() Pos
	stmt()
}

// Match compares. Op is ==, !=, <, <=, >, >=, in, or empty where none is
// written: == or, with a bitmask on the right, in.
type Match struct {
	Pos
	Op          string
	Left, Right Expr
}

// Counter counts, from the values that are written.
type Counter struct {
	Pos
	Packets, Bytes uint64
}

// Mangle writes: Key set Value.
type Mangle struct {
	Pos
	Key, Value Expr
}

// Quota is in bytes: until, or with Over beyond, Bytes.
type Quota struct {
	Pos
	Bytes, Used uint64
	Over        bool
}

// Limit is Rate, in packets or (ByBytes) bytes, per second, minute, hour, day
// or week. Burst is in the same unit, Rate's own default if not HasBurst.
type Limit struct {
	Pos
	Rate     uint64
	Per      string
	Burst    uint64
	HasBurst bool
	ByBytes  bool
	Over     bool
}

// ObjectRef runs a named object, or the one that a Map gives: counter name …,
// ct helper set …. Kind is as of Object.
type ObjectRef struct {
	Pos
	Kind  string
	Value Expr
}

// Fwd sends the packet out of Dev, to Addr of Family (ip, ip6) if there is one.
type Fwd struct {
	Pos
	Dev, Addr Expr
	Family    string
}

// Dup sends a copy to Addr, out of Dev.
type Dup struct {
	Pos
	Addr, Dev Expr
}

// Notrack keeps the packet from conntrack.
type Notrack struct{ Pos }

// NAT is snat, dnat, masquerade or redirect. Flags are random, fully-random,
// persistent, netmap. Prefix is `prefix to`.
type NAT struct {
	Pos
	Kind       string
	Family     string
	Addr, Port Expr
	Flags      []string
	Prefix     bool
}

// TProxy hands the packet to a local socket.
type TProxy struct {
	Pos
	Family     string
	Addr, Port Expr
}

// Reject answers. Type is icmp, icmpv6, icmpx, tcp reset or empty.
type Reject struct {
	Pos
	Type string
	Code Expr
}

// SetUpdate changes a set or, with Data, a map: Op is add, update or delete.
type SetUpdate struct {
	Pos
	Op         string
	Set        string
	Elem       Expr // an Elem, or the key alone
	Data       Expr
	Statements []Stmt
}

// Log logs. What is not written has Has… false.
type Log struct {
	Pos
	Prefix       string
	Group        uint16
	HasGroup     bool
	Snaplen      uint32
	HasSnaplen   bool
	Threshold    uint16
	HasThreshold bool
	Level        string
	Flags        []string // tcp sequence, tcp options, ip options, skuid, ether, all
}

// Meter runs a statement for each key: the set of that name is made by it.
type Meter struct {
	Pos
	Name string
	Key  Expr
	Size uint32
	Stmt Stmt
}

// Queue hands the packet to a program: Num is a number, a Range, an expression
// that gives one, or nil. Flags are bypass and fanout.
type Queue struct {
	Pos
	Num   Expr
	Flags []string
}

// VMap takes the verdict for a key. Data is a SetRef or SetLiteral.
type VMap struct {
	Pos
	Key, Data Expr
}

// ConnLimit is ct count.
type ConnLimit struct {
	Pos
	Count uint32
	Over  bool
}

// Flow puts the flow into a flowtable.
type Flow struct {
	Pos
	Flowtable string
}

// XT is what iptables left and nft can't write: a match, target or watcher by
// name, without its data.
type XT struct {
	Pos
	Type, Name string
}

// Synproxy answers in place of the server. Flags are timestamp, sack-perm.
type Synproxy struct {
	Pos
	MSS       uint16
	HasMSS    bool
	Wscale    uint8
	HasWscale bool
	Flags     []string
}

// Last remembers when it was last passed, MS ago if Set.
type Last struct {
	Pos
	MS  uint64
	Set bool
}

// ResetOption removes a TCP option.
type ResetOption struct {
	Pos
	Option *Option
}

// HelperObject is a named ct helper.
type HelperObject struct {
	Pos
	Type, Protocol, L3Proto string
}

// TimeoutObject is a named ct timeout: seconds by state.
type TimeoutObject struct {
	Pos
	Protocol, L3Proto string
	Policy            map[string]uint32
}

// ExpectationObject is a named ct expectation.
type ExpectationObject struct {
	Pos
	Protocol, L3Proto string
	Port              uint16
	TimeoutMS         uint32
	Size              uint8
}

// Secmark is a named security context.
type Secmark struct {
	Pos
	Context string
}

// Unknown is a statement or object that is valid but not known here. It becomes
// opaque, for the reason Why.
type Unknown struct {
	Pos
	Kind, Why string
}

func (*Match) stmt()             {}
func (*Counter) stmt()           {}
func (*Mangle) stmt()            {}
func (*Quota) stmt()             {}
func (*Limit) stmt()             {}
func (*ObjectRef) stmt()         {}
func (*Fwd) stmt()               {}
func (*Dup) stmt()               {}
func (*Notrack) stmt()           {}
func (*NAT) stmt()               {}
func (*TProxy) stmt()            {}
func (*Reject) stmt()            {}
func (*SetUpdate) stmt()         {}
func (*Log) stmt()               {}
func (*Meter) stmt()             {}
func (*Queue) stmt()             {}
func (*VMap) stmt()              {}
func (*ConnLimit) stmt()         {}
func (*Flow) stmt()              {}
func (*XT) stmt()                {}
func (*Synproxy) stmt()          {}
func (*Last) stmt()              {}
func (*ResetOption) stmt()       {}
func (*HelperObject) stmt()      {}
func (*TimeoutObject) stmt()     {}
func (*ExpectationObject) stmt() {}
func (*Secmark) stmt()           {}
func (*Unknown) stmt()           {}
func (*Verdict) stmt()           {}
