package nfttext

import (
	"slices"
	"strconv"

	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// aliases are other names of fields and options, and the names in words.
var aliases = map[string]string{
	"param-problem": "parameter-problem", "mss": "maxseg", "noop": "nop", "sack-permitted": "sack-perm",
}

func known(s string) string {
	if a, ok := aliases[s]; ok {
		return a
	}
	return s
}

// startsField says whether the next token can begin a field.
func (p *parser) startsField() bool {
	if p.tok.kind != word {
		return false
	}
	switch p.tok.text {
	case "meta", "ct", "rt", "rt0", "rt2", "srh", "hbh", "frag", "dst", "mh", "exthdr", "socket", "fib", "osf", "ipsec",
		"numgen", "jhash", "symhash", "tunnel", "vxlan", "geneve", "gre", "gretap":
		return true
	}
	return words.MetaWords[p.tok.text] != "" || words.HeaderByName(p.tok.text) != nil
}

// continuesField says of a word that begins a field or is a value that a field
// follows.
func (p *parser) continuesField() bool {
	next := p.peek()
	switch p.tok.text {
	case "vxlan", "geneve", "gre", "gretap":
		return next.kind == word
	}
	h := words.HeaderByName(p.tok.text)
	if h == nil {
		return true
	}
	if next.kind != word {
		return false
	}
	if next.text == "option" || next.text == "chunk" || h.Field(known(next.text)) != nil {
		return true
	}
	return h.Name == "arp" && (next.text == "saddr" || next.text == "daddr")
}

// field reads a field of the packet or of what the kernel knows about it.
func (p *parser) field() syntax.Expr {
	at := p.pos()
	keyword := p.tok.text
	p.advance()
	switch keyword {
	case "meta":
		return p.meta(at)
	case "ct":
		return p.ct(at)
	case "rt":
		return p.route(at)
	case "rt0", "rt2", "srh", "hbh", "frag", "dst", "mh":
		return p.option(at, syntax.ExtensionHeader, keyword)
	case "exthdr":
		o := &syntax.Option{Pos: at, Kind: syntax.ExtensionHeader}
		o.Name = p.choose("hbh, rt, frag, dst or mh", "hbh", "rt", "frag", "dst", "mh")
		return o
	case "socket":
		s := &syntax.Socket{Pos: at, Key: p.choose("transparent, mark, wildcard or cgroupv2", "transparent", "mark", "wildcard", "cgroupv2")}
		if s.Key == "cgroupv2" {
			p.expect("level")
			s.HasLevel, s.Level = true, uint32(p.number("a level", 32))
		}
		return s
	case "fib":
		return p.fib(at)
	case "osf":
		o := &syntax.OSF{Pos: at}
		if p.accept("ttl") {
			o.TTL = p.choose("loose or skip", "loose", "skip")
		}
		o.Key = p.choose("name or version", "name", "version")
		return o
	case "ipsec":
		if p.at("in", "out") {
			return p.ipsec(at)
		}
	case "numgen":
		n := &syntax.Numgen{Pos: at, Mode: p.choose("inc or random", "inc", "random")}
		n.Mod, n.Offset = p.modulus(nil)
		return n
	case "jhash", "symhash":
		h := &syntax.Hash{Pos: at}
		if keyword == "jhash" {
			p.enter()
			h.Key = p.fields()
			p.leave()
		}
		h.Mod, h.Offset = p.modulus(h)
		return h
	case "tunnel":
		return &syntax.Tunnel{Pos: at, Key: p.choose("id or path", "id", "path")}
	case "vxlan", "geneve", "gre", "gretap":
		return p.tunnel(at, keyword)
	}
	if h := words.HeaderByName(keyword); h != nil {
		return p.header(at, h)
	}
	return &syntax.Meta{Pos: at, Key: words.MetaWords[keyword]}
}

// modulus reads mod N, for a hash with seed N, and offset N.
func (p *parser) modulus(h *syntax.Hash) (mod, offset uint32) {
	p.expect("mod")
	mod = uint32(p.number("a modulus", 32))
	if h != nil && h.Key != nil && p.accept("seed") {
		h.HasSeed, h.Seed = true, uint32(p.number("a seed", 32))
	}
	if p.accept("offset") {
		offset = uint32(p.number("an offset", 32))
	}
	return mod, offset
}

func (p *parser) meta(at syntax.Pos) syntax.Expr {
	key := p.tok.text
	switch k := words.MetaWords[key]; {
	case k != "":
		key = k
	case key == "secpath": // until nft 0.9.1
		key = "ipsec"
	}
	if p.tok.kind != word || words.KeyByName(words.MetaKeys, key) == nil {
		p.expected("a key of meta")
	}
	p.advance()
	return &syntax.Meta{Pos: at, Key: key}
}

func (p *parser) ct(at syntax.Pos) syntax.Expr {
	c := &syntax.CT{Pos: at}
	if p.at("original", "reply") {
		c.Dir = p.tok.text
		p.advance()
	}
	c.Key = p.tok.text
	if p.at("ip", "ip6") {
		p.advance()
		c.Key += " " + p.tok.text
	}
	if p.tok.kind != word || words.KeyByName(words.CTKeys, c.Key) == nil {
		p.expected("a key of ct")
	}
	p.advance()
	return c
}

// route reads rt: a key of the route, or a field of IPv6's routing header.
func (p *parser) route(at syntax.Pos) syntax.Expr {
	if p.at("nexthdr", "hdrlength", "type", "seg-left") {
		return p.option(at, syntax.ExtensionHeader, "rt")
	}
	r := &syntax.RT{Pos: at, Family: p.family()}
	if r.Family != "" {
		r.Key = p.choose("nexthop, mtu, classid or ipsec", "nexthop", "mtu", "classid", "ipsec")
	} else {
		r.Key = p.choose("a key of rt, or ip or ip6", "classid", "nexthop", "mtu", "ipsec")
	}
	return r
}

func (p *parser) fib(at syntax.Pos) syntax.Expr {
	f := &syntax.Fib{Pos: at}
	flag := func() {
		f.Flags = append(f.Flags, p.choose("saddr, daddr, mark, iif or oif", "saddr", "daddr", "mark", "iif", "oif"))
	}
	flag()
	for p.accept(".") {
		flag()
	}
	for _, pair := range [][2]string{{"saddr", "daddr"}, {"iif", "oif"}} {
		if slices.Contains(f.Flags, pair[0]) && slices.Contains(f.Flags, pair[1]) {
			p.failAt(at, "expected only one of %s and %s", pair[0], pair[1])
		}
	}
	if !slices.Contains(f.Flags, "saddr") && !slices.Contains(f.Flags, "daddr") {
		p.failAt(at, "expected fib with saddr or daddr")
	}
	f.Result = p.choose("oif, oifname, type or check", "oif", "oifname", "type", "check")
	if f.Result == "check" {
		f.Result, f.Present = "oif", true
	}
	return f
}

func (p *parser) ipsec(at syntax.Pos) syntax.Expr {
	x := &syntax.IPsec{Pos: at, Dir: p.tok.text}
	p.advance()
	if p.accept("spnum") {
		x.SPNum = uint32(p.number("a number of a policy", 8))
	}
	if x.Family = p.family(); x.Family != "" {
		x.Key = p.choose("saddr or daddr", "saddr", "daddr")
	} else {
		x.Key = p.choose("reqid or spi, or ip or ip6", "reqid", "spi")
	}
	return x
}

// header reads a header's field behind the header's name.
func (p *parser) header(at syntax.Pos, h *words.Header) syntax.Expr {
	switch {
	case h.Name == "tcp" && p.accept("option"):
		return p.tcpOption(at)
	case h.Name == "ip" && p.accept("option"):
		return p.option(at, syntax.IPOption, p.tok.text)
	case h.Name == "sctp" && p.accept("chunk"):
		return p.option(at, syntax.SCTPChunk, p.tok.text)
	case h.Name == "dccp" && p.accept("option"):
		return &syntax.Option{Pos: at, Kind: syntax.DCCPOption, Raw: true, Number: uint8(p.number("an option's number", 8))}
	}
	field := known(p.tok.text)
	if h.Name == "arp" && p.at("saddr", "daddr") {
		p.advance()
		field += " " + p.tok.text
	}
	if p.tok.kind != word || h.Field(field) == nil {
		p.expected("a field of " + h.Name)
		return nil
	}
	p.advance()
	return &syntax.Payload{Pos: at, Protocol: h.Name, Field: field}
}

// tunnelFields are those of the headers of tunnels, which words doesn't have.
var tunnelFields = map[string][]string{
	"vxlan": {"vni", "flags"}, "geneve": {"vni", "type"}, "gre": {"version", "flags", "protocol"},
}

// tunnel reads a field of a tunnel's header, or of the packet in it.
func (p *parser) tunnel(at syntax.Pos, name string) syntax.Expr {
	for _, f := range tunnelFields[name] {
		if p.accept(f) {
			return &syntax.Payload{Pos: at, Protocol: name, Field: f}
		}
	}
	h := words.HeaderByName(p.tok.text)
	if p.tok.kind != word || h == nil {
		p.expected("a field of " + name + " or a header in it")
		return nil
	}
	p.advance()
	f, ok := p.header(at, h).(*syntax.Payload)
	if !ok {
		p.failAt(at, "expected a field of a header in %s, without options", name)
		return nil
	}
	f.Tunnel = name
	return f
}

// options are the tables of words, by kind.
func options(kind syntax.OptionKind) []*words.Option {
	switch kind {
	case syntax.ExtensionHeader:
		return words.ExtensionHeaders
	case syntax.TCPOption:
		return words.TCPOptions
	case syntax.IPOption:
		return words.IPOptions
	}
	return words.SCTPChunks
}

// option reads the field of an option. An extension header's name has been
// taken, the others' not.
func (p *parser) option(at syntax.Pos, kind syntax.OptionKind, name string) syntax.Expr {
	o := words.OptionByName(options(kind), name)
	if kind != syntax.ExtensionHeader {
		if p.tok.kind != word || o == nil {
			p.expected("an option's name")
			return nil
		}
		p.advance()
	}
	e := &syntax.Option{Pos: at, Kind: kind, Name: name}
	if p.tok.kind != word && kind != syntax.ExtensionHeader {
		return e
	}
	field := p.tok.text
	if next := p.peek(); next.is("[") { // sid[1]
		l := p.lexer
		l.next()
		n := l.next()
		if l.next().is("]") && n.kind == number {
			field += "[" + n.text + "]"
		}
		if o.Field(field) != nil {
			p.advance()
			p.advance()
			p.advance()
		}
	}
	if o.Field(field) != nil || name == "rt2" && field == "addr" {
		e.Field = field
		p.advance()
		return e
	}
	if kind == syntax.ExtensionHeader {
		p.expected("a field of " + name)
	}
	return e
}

// tcpOption reads what follows tcp option: a name or a number, with or without
// a field, or @number,offset,length.
func (p *parser) tcpOption(at syntax.Pos) syntax.Expr {
	raw := p.accept("@")
	name := known(p.tok.text)
	o := words.OptionByName(words.TCPOptions, name)
	if !raw && p.tok.kind == word && o != nil {
		p.advance()
		e := &syntax.Option{Pos: at, Kind: syntax.TCPOption, Name: name}
		if p.tok.kind == word && o.Field(p.tok.text) != nil {
			e.Field = p.tok.text
			p.advance()
		}
		return e
	}
	// Without anything else it asks for the first byte, which is whether it is there.
	e := &syntax.Option{Pos: at, Kind: syntax.TCPOption, Raw: true, Len: 8}
	const echo = 6
	switch {
	case p.accept("echo"):
		e.Number = echo
	case p.tok.kind == word && o != nil:
		e.Number = o.Type
		p.advance()
	default:
		e.Number = uint8(p.number("a TCP option's name or number", 8))
	}
	switch {
	case raw:
		p.expect(",")
		e.Offset = uint32(p.number("an offset in bits", 16))
		p.expect(",")
		e.Len = p.rawLength()
	case p.accept("length"):
		e.Offset, e.Len = 8, 8
	}
	return e
}

// rawLength reads a length in bits (NFT_MAX_EXPR_LEN_BITS of nft).
func (p *parser) rawLength() uint32 {
	const most = 16 * 32
	at := p.pos()
	n := p.number("a length in bits", 32)
	if n == 0 || n > most {
		p.failAt(at, "expected a length of 1 to %d bits, not %s", most, strconv.FormatUint(n, 10))
	}
	return uint32(n)
}

// raw reads @base,offset,length.
func (p *parser) raw() syntax.Expr {
	r := &syntax.RawPayload{Pos: p.pos()}
	p.advance()
	r.Base = p.choose("ll, nh, th or ih", "ll", "nh", "th", "ih")
	p.expect(",")
	r.Offset = uint32(p.number("an offset in bits", 32))
	p.expect(",")
	r.Len = p.rawLength()
	return r
}
