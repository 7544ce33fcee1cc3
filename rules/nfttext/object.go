package nfttext

import (
	"math"

	"github.com/portwhy/portwhy/rules/syntax"
)

// object reads what a named object is, in a block or, as commands may, behind
// its name.
func (p *parser) object(kind string, s spec) {
	o := &syntax.Object{Pos: s.at, Family: s.family, Table: s.table, Name: s.name, Kind: kind}
	var item func()
	switch kind {
	case "counter":
		c := &syntax.Counter{Pos: s.at}
		o.Value = c
		item = func() { *c = *p.counterValues(s.at) }
	case "quota":
		o.Value = &syntax.Quota{Pos: s.at}
		item = func() { o.Value = p.quota(p.pos()) }
	case "limit":
		item = func() {
			p.expect("rate")
			o.Value = p.limit(p.pos())
		}
	case "secmark":
		item = func() { o.Value = &syntax.Secmark{Pos: p.pos(), Context: p.string("a security context")} }
	case "synproxy":
		y := &syntax.Synproxy{Pos: s.at}
		o.Value = y
		item = func() {
			if !p.synproxyOption(y) {
				p.expected("mss, wscale, timestamp or sack-perm")
			}
			for p.synproxyOption(y) {
			}
		}
	case "ct helper":
		item = p.helper(o)
	case "ct timeout":
		item = p.timeouts(o)
	case "ct expectation":
		item = p.expectation(o)
	}
	switch {
	case p.at("{"):
		o.Handle = p.open()
		p.own(func() {
			p.block(func() {
				if p.accept("comment") {
					o.Comment = p.comment()
				} else {
					item()
				}
				// `rate 1/second comment "x"` may stand in one line.
				if !p.at("comment") {
					p.finish()
				}
			})
		})
	case !p.separated():
		item()
	}
	if o.Value == nil {
		p.failAt(s.at, "expected what the %s does, in braces", kind)
	}
	p.declare(o)
}

// counterValues reads packets N bytes N.
func (p *parser) counterValues(at syntax.Pos) *syntax.Counter {
	if !p.at("packets", "bytes") {
		p.expected("packets or bytes")
	}
	return p.counter(at)
}

func (p *parser) l3proto() string { return p.choose("ip, ip6 or inet", "ip", "ip6", "inet") }

func (p *parser) helper(o *syntax.Object) func() {
	h := &syntax.HelperObject{Pos: o.Pos}
	o.Value = h
	return func() {
		switch {
		case p.accept("type"):
			h.Type = p.string("the name of a helper")
			p.expect("protocol")
			h.Protocol = p.choose("tcp or udp", "tcp", "udp")
		case p.accept("l3proto"):
			h.L3Proto = p.l3proto()
		default:
			p.expected("type or l3proto")
		}
	}
}

func (p *parser) timeouts(o *syntax.Object) func() {
	t := &syntax.TimeoutObject{Pos: o.Pos, Policy: map[string]uint32{}}
	o.Value = t
	return func() {
		switch {
		case p.accept("protocol"):
			t.Protocol = p.choose("tcp or udp", "tcp", "udp")
		case p.accept("l3proto"):
			t.L3Proto = p.l3proto()
		case p.accept("policy"):
			p.expect("=")
			p.expect("{")
			for p.err == nil && !p.at("}") {
				p.blank()
				state := p.name("a state of conntrack")
				p.expect(":")
				at := p.pos()
				seconds := p.duration() / 1000
				if seconds > math.MaxUint32 {
					p.failAt(at, "expected a shorter duration")
				}
				t.Policy[state] = uint32(seconds)
				p.blank()
				if !p.accept(",") {
					break
				}
				p.blank()
			}
			p.expect("}")
		default:
			p.expected("protocol, policy or l3proto")
		}
	}
}

func (p *parser) expectation(o *syntax.Object) func() {
	e := &syntax.ExpectationObject{Pos: o.Pos}
	o.Value = e
	return func() {
		switch {
		case p.accept("protocol"):
			e.Protocol = p.choose("tcp or udp", "tcp", "udp")
		case p.accept("dport"):
			e.Port = uint16(p.number("a port", 16))
		case p.accept("timeout"):
			at := p.pos()
			ms := p.duration()
			if ms > math.MaxUint32 {
				p.failAt(at, "expected a shorter duration")
			}
			e.TimeoutMS = uint32(ms)
		case p.accept("size"):
			e.Size = uint8(p.number("a size", 8))
		case p.accept("l3proto"):
			e.L3Proto = p.l3proto()
		default:
			p.expected("protocol, dport, timeout, size or l3proto")
		}
	}
}
