//go:build linux

package oracle

import (
	"fmt"
	"math/rand"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/rules/eval"
)

// dice picks by chance.
type dice struct{ *rand.Rand }

func (d dice) chance(percent int) bool { return d.Intn(100) < percent }

func pick[T any](d dice, list ...T) T { return list[d.Intn(len(list))] }

// weighed picks one of the functions by their weights.
type weighed struct {
	weight int
	f      func() string
}

func (d dice) pickOf(list []weighed) string {
	total := 0
	for _, w := range list {
		total += w.weight
	}
	n := d.Intn(total)
	for _, w := range list {
		if n -= w.weight; n < 0 {
			return w.f()
		}
	}
	return ""
}

// The addresses and ports that packets have and rules ask for.
var (
	near = [2][peers][]string{
		{{"10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5"}, {"10.2.0.2", "10.2.0.3", "10.2.0.4", "10.3.0.7"}},
		{{"fd01::2", "fd01::3", "fd01::4", "fd01::5"}, {"fd02::2", "fd02::3", "fd02::4", "fd03::7"}},
	}
	own   = [2][]string{{"10.1.0.1", "10.2.0.1", "10.1.0.101", "10.9.0.1"}, {"fd01::1", "fd02::1"}}
	loops = [2][]string{{"127.0.0.1", "127.0.0.2"}, {"::1"}}
	nets  = [2][]string{{"10.1.0.0/24", "10.2.0.0/24", "10.0.0.0/8", "10.1.0.2/31", "127.0.0.0/8", "10.3.0.0/16"},
		{"fd01::/64", "fd02::/64", "fd00::/8", "fd01::2/127", "::1/128", "fd03::/48"}}
	ranges = [2][]string{{"10.1.0.2-10.1.0.3", "10.1.0.4-10.2.0.3", "10.0.0.0-10.2.0.2"}, {"fd01::2-fd01::3", "fd01::4-fd02::3", "fd01::-fd02::2"}}
)

func (d dice) address(v6 bool) string {
	v := 0
	if v6 {
		v = 1
	}
	switch d.Intn(8) {
	case 0, 1, 2:
		return pick(d, near[v][0]...)
	case 3, 4:
		return pick(d, near[v][1]...)
	case 5, 6:
		return pick(d, own[v]...)
	}
	return pick(d, loops[v]...)
}

func (d dice) dport() uint16 { return uint16(5000 + d.Intn(6)) }

// packet makes a random one; sport is one that no other packet has.
func (d dice) packet(id, sport uint16) *packet {
	p := &packet{id: id, ttl: uint8(30 + d.Intn(40)), payload: d.Intn(40), sport: sport, dport: d.dport()}
	v := 0
	if d.chance(40) {
		v = 1
	}
	if d.chance(30) {
		p.tos = uint8(d.Intn(64)) << 2
	}
	p.way = pick(d, eval.In, eval.In, eval.Forward, eval.Forward, eval.Out, eval.Through)
	p.peer = d.Intn(peers)
	src, dst := pick(d, near[v][p.peer]...), pick(d, own[v]...)
	switch p.way {
	case eval.Forward:
		dst = pick(d, near[v][1-p.peer]...)
	case eval.Out:
		src, dst = dst, pick(d, near[v][d.Intn(peers)]...)
	case eval.Through:
		if dst = pick(d, append(loops[v], own[v]...)...); d.chance(70) {
			src = dst
		} else {
			src = pick(d, append(loops[v], own[v]...)...)
		}
	}
	if p.device() == "" {
		p.peer = 0
		if d.chance(20) {
			p.mark = pick(d, uint32(1), 2, 3, markBit)
		}
	}
	p.src, p.dst = netip.MustParseAddr(src), netip.MustParseAddr(dst)
	switch d.Intn(8) {
	case 0, 1, 2:
		p.proto = protoUDP
	case 3:
		p.proto, p.dport = protoICMP, 8<<8
		if v == 1 {
			p.proto, p.dport = protoICMP6, 128<<8
		}
	default:
		p.proto, p.options = protoTCP, d.chance(50)
		p.flags = pick[uint8](d, flagSYN, flagSYN, flagSYN, flagACK, flagACK|8, flagSYN|flagACK, flagRST, flagFIN|flagACK, 0, flagSYN|flagFIN, flagSYN|0xc0)
	}
	if d.chance(12) {
		d.oddity(p)
	} else if d.chance(6) {
		p.answer = true
		if p.proto == protoTCP {
			p.flags = pick[uint8](d, flagSYN, flagACK)
		}
	} else if d.chance(6) {
		p.state = eval.Established
		if p.proto == protoTCP {
			p.flags = flagACK // which conntrack takes up in the middle
		}
	}
	return p
}

// oddity makes something of a packet odd.
func (d dice) oddity(p *packet) {
	v4 := p.src.Is4()
	if p.proto == protoICMP || p.proto == protoICMP6 {
		// Answers and errors of no flow, and other requests.
		if p.dport = pick[uint16](d, 0, 3<<8|1, 13<<8, 11<<8, 17<<8, 14<<8); !v4 {
			p.dport = pick[uint16](d, 129<<8, 1<<8|4, 139<<8, 3<<8)
		}
		return
	}
	switch d.Intn(6) {
	case 0:
		p.ttl = uint8(1 + d.Intn(2))
	case 1:
		if p.odd = oddOptions; !v4 {
			p.odd = pick(d, oddHop, oddDst)
		}
	case 2:
		if p.proto == protoTCP || p.proto == protoUDP { // sockets don't get such ICMP
			p.odd = oddShort
		}
	case 3:
		if p.proto == protoUDP && v4 {
			p.odd = oddNoSum
		}
	case 4:
		if p.way == eval.In {
			p.dst = netip.MustParseAddr(pick(d, "255.255.255.255", number(10)+"."+number(p.peer+1)+".0.255", "224.0.0.1"))
			if !v4 {
				p.dst = netip.MustParseAddr("ff02::1")
			}
		}
	default:
		p.proto = pick[uint8](d, protoGRE, protoESP, protoSCTP, protoSCTP, protoTest)
		p.flags = uint8(d.Intn(10))
	}
}

func joined(words ...string) string {
	var all []string
	for _, w := range words {
		if w != "" {
			all = append(all, w)
		}
	}
	return strings.Join(all, " ")
}

// list makes a set of some of the words: { a, b }.
func (d dice) list(words []string) string {
	var some []string
	for _, i := range d.Perm(len(words))[:1+d.Intn(min(3, len(words)))] {
		some = append(some, words[i])
	}
	return "{ " + strings.Join(some, ", ") + " }"
}

func (d dice) not(percent int) string {
	if d.chance(percent) {
		return "!="
	}
	return ""
}

func (d dice) mark() uint32 { return uint32(d.Intn(8)) }

func number[T ~uint16 | ~uint32 | ~int](n T) string { return fmt.Sprint(n) }
