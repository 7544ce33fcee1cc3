package owner

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xt"
)

// element is the entry of a set by which a rule is for a flow.
type element struct {
	set     string
	ipset   bool
	text    string // the address, network, port or range
	verdict *rules.Verdict
	comment string
	port    bool // of ports, not of addresses
	keeps   bool // it can be taken out and put back in nft's words
	timeout time.Duration
	expires time.Duration // from when the rules were read
}

// Offsets of addresses in the network header, which a rule loads to look them up.
const (
	networkHeader = 1 // NFT_PAYLOAD_NETWORK_HEADER
	ipSource      = 12
	ipDestination = 16
	ip6Source     = 8
	ip6Dest       = 24

	transportHeader = 2 // NFT_PAYLOAD_TRANSPORT_HEADER
	portSize        = 2
)

// element finds the entry; nil if the rule asks no set, the set's entries were
// not read, or it is about more than one field.
func (p *place) element(flow Flow) *element {
	if p.rule == nil {
		return nil
	}
	var byPort *element // says less than an address
	exprs := p.rule.Exprs.All()
	for i, e := range exprs {
		switch e := e.(type) {
		case *rules.Lookup:
			set := p.table.Set(e.Set)
			if set == nil || set.Anonymous || e.Invert {
				continue
			}
			if key := keyAt(exprs[:i], e.Source, flow); len(key) == set.KeyLen && len(key) > 0 {
				found := inSet(set, key)
				if found != nil && !found.port {
					return found
				}
				if byPort == nil {
					byPort = found
				}
			}
		case *rules.Match:
			if found := p.inIPSet(e, flow); found != nil {
				return found
			}
		}
	}
	return byPort
}

// keyAt is the flow's address, or the port that it is for, that the expressions
// before have loaded into a register; nil if it is something else.
func keyAt(before rules.Exprs, reg rules.Reg, flow Flow) []byte {
	for i := len(before) - 1; i >= 0; i-- {
		load, ok := before[i].(*rules.Payload)
		if !ok || load.Write || load.Reg != reg {
			continue
		}
		if load.Base == transportHeader && load.Offset == 2 && load.Len == portSize && flow.Port != 0 {
			return binary.BigEndian.AppendUint16(nil, flow.Port)
		}
		if load.Base != networkHeader {
			return nil
		}
		for _, a := range []struct {
			offset, size uint32
			addr         netip.Addr
		}{{ipSource, 4, flow.Src}, {ipDestination, 4, flow.Dst}, {ip6Source, 16, flow.Src}, {ip6Dest, 16, flow.Dst}} {
			if load.Offset == a.offset && load.Len == a.size && uint32(len(a.addr.AsSlice())) == a.size {
				return a.addr.AsSlice()
			}
		}
		return nil
	}
	return nil
}

// inSet finds the element of nftables that an address or a port falls on.
func inSet(set *rules.Set, key []byte) *element {
	found := &element{set: set.Name, port: len(key) == portSize}
	is := func(e *rules.Element, text string) *element {
		found.text, found.timeout, found.expires = text, milliseconds(e.TimeoutMS), milliseconds(e.ExpiresMS)
		found.verdict, found.comment = e.Verdict, e.Comment
		found.keeps = !found.port && (!set.Map || e.Verdict != nil) && !strings.Contains(e.Comment, `"`)
		return found
	}
	var start, end *rules.Element // the nearest borders
	for _, x := range set.Elements.All() {
		e := &x
		switch {
		case e.CatchAll:
		case !set.Interval && bytes.Equal(e.Key, key):
			return is(e, address(key))
		case set.Interval && len(e.KeyEnd) > 0:
			if len(e.Key) == len(key) && bytes.Compare(e.Key, key) <= 0 && bytes.Compare(e.KeyEnd, key) >= 0 {
				return is(e, span(e.Key, e.KeyEnd))
			}
		case set.Interval && bytes.Compare(e.Key, key) <= 0:
			if start == nil || bytes.Compare(e.Key, start.Key) > 0 || bytes.Equal(e.Key, start.Key) && start.End {
				start = e
			}
		case set.Interval && e.End && (end == nil || bytes.Compare(e.Key, end.Key) < 0):
			end = e
		}
	}
	if start == nil || start.End || len(start.Key) != len(key) {
		return nil
	}
	last := bytes.Repeat([]byte{0xff}, len(key))
	if end != nil {
		last = before(end.Key)
	}
	return is(start, span(start.Key, last))
}

// before is the key before another one.
func before(key []byte) []byte {
	last := bytes.Clone(key)
	for i := len(last) - 1; i >= 0; i-- {
		last[i]--
		if last[i] != 0xff {
			break
		}
	}
	return last
}

func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, 1<<40)) * time.Millisecond
}

func address(key []byte) string {
	if len(key) == portSize {
		return strconv.Itoa(int(binary.BigEndian.Uint16(key)))
	}
	a, _ := netip.AddrFromSlice(key)
	return a.String()
}

// span writes a range of addresses or ports: as a network if it is one.
func span(first, last []byte) string {
	if len(first) == portSize && len(last) == portSize {
		if bytes.Equal(first, last) {
			return address(first)
		}
		return address(first) + "-" + address(last)
	}
	a, ok1 := netip.AddrFromSlice(first)
	b, ok2 := netip.AddrFromSlice(last)
	switch {
	case !ok1 || !ok2:
		return ""
	case a == b:
		return a.String()
	}
	for bits := range a.BitLen() {
		if n := netip.PrefixFrom(a, bits); n.Masked().Addr() == a && lastOf(n) == b {
			return n.String()
		}
	}
	return a.String() + "-" + b.String()
}

func lastOf(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// inIPSet finds the entry of an ipset of addresses or networks.
func (p *place) inIPSet(m *rules.Match, flow Flow) *element {
	ref, ok := xt.DecodeSetMatch(m)
	if !ok || ref.Not || len(ref.Source) != 1 || ref.Name == "" || p.ipsets == nil {
		return nil
	}
	set := p.ipsets.IPSet(ref.Name)
	if set == nil || !set.Known || set.Type != "hash:ip" && set.Type != "hash:net" && set.Type != "bitmap:ip" {
		return nil
	}
	a := flow.Dst
	if ref.Source[0] {
		a = flow.Src
	}
	var found *element
	best := -1
	for _, e := range set.Elements {
		n, ok := network(e.Entry)
		if !ok || e.NoMatch() || !n.Contains(a) || n.Bits() <= best {
			continue
		}
		best = n.Bits()
		found = &element{set: set.Name, ipset: true, text: e.Entry}
		timeout, _ := e.Options.Get("timeout")
		if s, err := time.ParseDuration(timeout + "s"); err == nil {
			found.timeout, found.expires = s, s
		}
	}
	return found
}

func network(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	n, err := netip.ParsePrefix(s)
	return n.Masked(), err == nil
}

// evidence tells of the entry.
func (e *element) evidence(p *place) diagnose.Evidence {
	value := e.text
	if e.expires > 0 {
		value += ", which ends in " + e.expires.Round(time.Second).String()
	} else if e.timeout > 0 {
		value += ", with a timeout of " + e.timeout.String()
	}
	if v := verdictText(e.verdict); v != "" {
		value += " : " + v
	}
	if e.ipset {
		return diagnose.Evidence{Source: "ipset", What: "set " + e.set, Value: value}
	}
	return diagnose.Evidence{Source: "nftables", What: fmt.Sprintf("set %s %s %s", p.table.Family, p.table.Name, e.set), Value: value}
}

// verdictText is a map's verdict in nft's words.
func verdictText(v *rules.Verdict) string {
	if v == nil {
		return ""
	}
	words := map[rules.VerdictKind]string{rules.Drop: "drop", rules.Accept: "accept", rules.Continue: "continue", rules.Return: "return", rules.Jump: "jump " + v.Chain, rules.Goto: "goto " + v.Chain}
	return words[v.Kind]
}

// remove takes the entry out of its set. What put it there may put it there again.
func (e *element) remove(p *place) []Fix {
	if e.text == "" || strings.HasPrefix(e.set, "-") || strings.HasPrefix(p.table.Name, "-") {
		return nil
	}
	_, err := netip.ParseAddr(e.text)
	fix := Fix{Effect: Removes, Exact: err == nil}
	fix.Fix = diagnose.Fix{Title: "take it out of the set", NeedsRoot: true, Opens: "what the set guards to " + e.text}
	if e.ipset {
		add := []string{"ipset", "add", e.set, e.text}
		if e.expires > 0 {
			add = append(add, "timeout", fmt.Sprint(int(e.expires.Seconds())))
		}
		fix.Commands, fix.Undo = [][]string{{"ipset", "del", e.set, e.text}}, [][]string{add}
		return []Fix{fix}
	}
	if !e.keeps {
		return nil
	}
	text := e.text
	if e.timeout > 0 {
		text += fmt.Sprintf(" timeout %ds", int(e.timeout.Seconds()))
		if e.expires > 0 {
			text += fmt.Sprintf(" expires %ds", int(e.expires.Seconds()))
		}
	}
	if e.comment != "" {
		text += ` comment "` + e.comment + `"`
	}
	if v := verdictText(e.verdict); v != "" {
		text += " : " + v
	}
	at := []string{p.table.Family.String(), p.table.Name, e.set}
	fix.Commands = [][]string{join([]string{"nft", "delete", "element"}, at, []string{"{ " + e.text + " }"})}
	fix.Undo = [][]string{join([]string{"nft", "add", "element"}, at, []string{"{ " + text + " }"})}
	return []Fix{fix}
}
