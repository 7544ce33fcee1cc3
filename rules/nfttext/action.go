package nfttext

import (
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// startsStateful says whether a statement follows that counts or limits, which
// may also belong to a set's elements.
func (p *parser) startsStateful() bool {
	return p.at("counter", "limit", "quota", "last") || p.at("ct") && p.peek().is("count")
}

func (p *parser) stateful() syntax.Stmt {
	at := p.pos()
	p.nodes++
	keyword := p.tok.text
	p.advance()
	switch keyword {
	case "counter":
		return p.counter(at)
	case "limit":
		p.expect("rate")
		return p.limit(at)
	case "quota":
		return p.quota(at)
	case "last":
		l := &syntax.Last{Pos: at}
		if p.accept("used") && !p.accept("never") {
			l.Set, l.MS = true, p.duration()
		}
		return l
	}
	p.expect("count")
	c := &syntax.ConnLimit{Pos: at, Over: p.accept("over")}
	c.Count = uint32(p.number("a number of connections", 32))
	return c
}

func (p *parser) counter(at syntax.Pos) *syntax.Counter {
	c := &syntax.Counter{Pos: at}
	for {
		switch {
		case p.accept("packets"):
			c.Packets = p.number("a number of packets", 64)
		case p.accept("bytes"):
			c.Bytes = p.number("a number of bytes", 64)
		default:
			return c
		}
	}
}

// over reads over or until, false if neither is there.
func (p *parser) over() bool {
	over := p.accept("over")
	if !over {
		p.accept("until")
	}
	return over
}

// limit reads a limit behind the word rate.
func (p *parser) limit(at syntax.Pos) *syntax.Limit {
	l := &syntax.Limit{Pos: at, Over: p.over()}
	rate := p.pos()
	l.Rate = p.number("a rate, such as 10/second or 10 kbytes/second", 64)
	unit, slash := "", false
	if p.tok.kind == word {
		// The unit and the time are one word: kbytes/second.
		unit, l.Per, slash = strings.Cut(p.tok.text, "/")
		p.advance()
		l.ByBytes = true
		l.Rate = p.bytes(rate, l.Rate, unit)
	}
	if l.Per == "" {
		if !slash {
			p.expect("/")
		}
		l.Per = p.tok.text
		p.checkPer(l.Per)
		p.advance()
	} else {
		p.checkPer(l.Per)
	}
	if !p.accept("burst") {
		return l
	}
	burst := p.pos()
	l.HasBurst = true
	l.Burst = p.number("a burst", 64)
	if !l.ByBytes {
		p.expect("packets")
		return l
	}
	unit = p.string("bytes, kbytes or mbytes")
	l.Burst = p.bytes(burst, l.Burst, unit)
	return l
}

func (p *parser) checkPer(per string) {
	if _, ok := words.Find(words.TimeUnits, per); !ok {
		p.expected("second, minute, hour, day or week")
	}
}

// bytes is a number in a unit.
func (p *parser) bytes(at syntax.Pos, n uint64, unit string) uint64 {
	shift := 0
	switch unit {
	case "bytes":
	case "kbytes":
		shift = 10
	case "mbytes":
		shift = 20
	default:
		p.failAt(at, "expected a number of bytes, kbytes or mbytes, not of %s", short(unit))
	}
	if n<<shift>>shift != n {
		p.failAt(at, "expected fewer bytes")
	}
	return n << shift
}

// quota reads a quota behind its keyword.
func (p *parser) quota(at syntax.Pos) *syntax.Quota {
	q := &syntax.Quota{Pos: at, Over: p.over()}
	size := func() uint64 {
		at := p.pos()
		n := p.number("a number of bytes", 64)
		return p.bytes(at, n, p.string("bytes, kbytes or mbytes"))
	}
	q.Bytes = size()
	if p.accept("used") {
		q.Used = size()
	}
	return q
}

// duration reads a time such as 1d2h3m4s5ms, in milliseconds. A number alone is seconds.
func (p *parser) duration() uint64 {
	if p.tok.kind == number {
		at := p.pos()
		n := p.number("a duration", 64)
		if n > 1<<53 {
			p.failAt(at, "expected a shorter duration")
		}
		return n * 1000
	}
	if p.tok.kind != word && p.tok.kind != quoted || p.tok.text == "" || duration(p.tok.text) != len(p.tok.text) {
		p.expected("a duration, such as 30s or 1d12h")
		return 0
	}
	var total uint64
	for rest := p.tok.text; rest != ""; {
		n := run(rest, len(rest), digit)
		v, err := strconv.ParseUint(rest[:n], 10, 32)
		rest = rest[n:]
		unit := uint64(1)
		switch {
		case strings.HasPrefix(rest, "ms"):
			rest = rest[1:]
		case rest[0] == 's':
			unit = 1000
		case rest[0] == 'm':
			unit = 60 * 1000
		case rest[0] == 'h':
			unit = 3600 * 1000
		case rest[0] == 'd':
			unit = 86400 * 1000
		}
		rest = rest[1:]
		if err != nil {
			p.expected("a shorter duration")
		}
		total += v * unit
	}
	p.advance()
	return total
}

// words reads some of a list of words, with commas between.
func (p *parser) flags(what string, known ...string) []string {
	var flags []string
	for {
		flags = append(flags, p.choose(what, known...))
		if p.err != nil || !p.accept(",") {
			return flags
		}
	}
}

func (p *parser) log() syntax.Stmt {
	l := &syntax.Log{Pos: p.pos()}
	p.advance()
	for {
		switch {
		case p.accept("prefix"):
			at := p.pos()
			l.Prefix = p.substitute(at, p.string("a prefix"))
		case p.accept("group"):
			l.HasGroup, l.Group = true, uint16(p.number("a group", 16))
		case p.accept("snaplen"):
			l.HasSnaplen, l.Snaplen = true, uint32(p.number("a number of bytes", 32))
		case p.accept("queue-threshold"):
			l.HasThreshold, l.Threshold = true, uint16(p.number("a number of packets", 16))
		case p.accept("level"):
			at := p.pos()
			l.Level = p.string("a level")
			if _, ok := words.Find(words.LogLevels, l.Level); !ok {
				p.failAt(at, "expected emerg, alert, crit, err, warn, notice, info, debug or audit, not %s", short(l.Level))
			}
		case p.accept("flags"):
			l.Flags = append(l.Flags, p.logFlags()...)
		default:
			return l
		}
	}
}

func (p *parser) logFlags() []string {
	switch f := p.choose("tcp, ip, skuid, ether or all", "tcp", "ip", "skuid", "ether", "all"); f {
	case "ip":
		p.expect("options")
		return []string{"ip options"}
	case "tcp":
		flags := p.flags("sequence or options", "sequence", "options")
		for i := range flags {
			flags[i] = "tcp " + flags[i]
		}
		return flags
	default:
		return []string{f}
	}
}

func (p *parser) reject() syntax.Stmt {
	r := &syntax.Reject{Pos: p.pos()}
	p.advance()
	if !p.accept("with") {
		return r
	}
	r.Type = p.choose("icmp, icmpv6, icmpx or tcp reset", "icmp", "icmpv6", "icmpx", "tcp")
	if r.Type == "tcp" {
		p.expect("reset")
		r.Type = "tcp reset"
		return r
	}
	p.accept("type")
	r.Code = p.primary(right)
	return r
}

// family takes ip or ip6, or nothing.
func (p *parser) family() string {
	if p.at("ip", "ip6") {
		f := p.tok.text
		p.advance()
		return f
	}
	return ""
}

func (p *parser) nat() syntax.Stmt {
	n := &syntax.NAT{Pos: p.pos(), Kind: p.tok.text}
	p.advance()
	if next := p.peek(); n.Kind == "snat" || n.Kind == "dnat" {
		if p.at("ip", "ip6") && (next.is("to") || next.is("prefix") || next.is("interval") || next.is("addr")) {
			n.Family = p.family()
		}
		switch {
		case p.accept("prefix"):
			n.Prefix = true
		case p.accept("interval"): // since 1.0.1 without meaning
		case p.accept("addr"):
			p.expect(".")
			p.expect("port")
		}
		p.accept("to")
		p.target(&n.Addr, &n.Port)
	} else if p.accept("to") {
		// masquerade and redirect have ports only, and redirect's need no colon.
		if !p.accept(":") && n.Kind == "masquerade" {
			p.expected(":")
		}
		n.Port = p.writtenValue()
	}
	for p.at("random", "fully-random", "persistent") {
		n.Flags = append(n.Flags, p.flags("random, fully-random or persistent", "random", "fully-random", "persistent")...)
	}
	return n
}

// target reads an address, a port behind a colon, or both.
func (p *parser) target(addr, port *syntax.Expr) {
	if !p.at(":") {
		*addr = p.writtenValue()
	}
	if p.accept(":") {
		*port = p.writtenValue()
	}
}

func (p *parser) tproxy() syntax.Stmt {
	t := &syntax.TProxy{Pos: p.pos()}
	p.advance()
	t.Family = p.family()
	p.expect("to")
	p.target(&t.Addr, &t.Port)
	return t
}

func (p *parser) queue() syntax.Stmt {
	q := &syntax.Queue{Pos: p.pos()}
	p.advance()
	for {
		switch {
		case p.at("flags"):
			p.advance()
			q.Flags = append(q.Flags, p.flags("bypass or fanout", "bypass", "fanout")...)
		case p.at("bypass", "fanout"):
			q.Flags = append(q.Flags, p.flags("bypass or fanout", "bypass", "fanout")...)
		case q.Num == nil && (p.accept("num") || p.accept("to")):
			q.Num = p.writtenValue()
		default:
			slices.Sort(q.Flags)
			q.Flags = slices.Compact(q.Flags)
			return q
		}
	}
}

func (p *parser) dup() syntax.Stmt {
	d := &syntax.Dup{Pos: p.pos()}
	p.advance()
	p.expect("to")
	d.Addr = p.writtenValue()
	if p.accept("device") {
		d.Dev = p.writtenValue()
	}
	return d
}

func (p *parser) fwd() syntax.Stmt {
	f := &syntax.Fwd{Pos: p.pos()}
	p.advance()
	f.Family = p.family()
	p.expect("to")
	to := p.writtenValue()
	if f.Family == "" {
		f.Dev = to
		return f
	}
	f.Addr = to
	p.expect("device")
	f.Dev = p.writtenValue()
	return f
}

// synproxy reads the options of synproxy. In an object they stand in lines of
// their own.
func (p *parser) synproxy(at syntax.Pos) *syntax.Synproxy {
	s := &syntax.Synproxy{Pos: at}
	for p.synproxyOption(s) {
	}
	return s
}

func (p *parser) synproxyOption(s *syntax.Synproxy) bool {
	switch {
	case p.accept("mss") || p.accept("maxseg"):
		s.HasMSS, s.MSS = true, uint16(p.number("a segment size", 16))
	case p.accept("wscale"):
		s.HasWscale, s.Wscale = true, uint8(p.number("a window scale", 8))
	case p.accept("timestamp"):
		s.Flags = append(s.Flags, "timestamp")
	case p.accept("sack-perm") || p.accept("sack-permitted"):
		s.Flags = append(s.Flags, "sack-perm")
	default:
		return false
	}
	return true
}
