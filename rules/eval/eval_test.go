package eval

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

var (
	accept = &rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Accept}}
	drop   = &rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Drop}}
)

func to(kind rules.VerdictKind, chain string) *rules.Immediate {
	return &rules.Immediate{Verdict: &rules.Verdict{Kind: kind, Chain: chain}}
}

// chains makes a ruleset of one table: the first chain is at the input hook,
// each rule is a list of expressions.
func chains(policy string, lists ...[][]rules.Expr) *rules.Ruleset {
	t := &rules.Table{Family: rules.IP, Name: "t"}
	var packer rules.Packer
	for i, list := range lists {
		c := &rules.Chain{Name: string(rune('a' + i))}
		if i == 0 {
			c.Hook, c.Type, c.Policy = rules.Input, "filter", policy
		}
		for n, exprs := range list {
			c.Rules = append(c.Rules, &rules.Rule{Number: int32(n + 1), Exprs: packer.List(exprs)})
		}
		t.Chains = append(t.Chains, c)
	}
	return &rules.Ruleset{Tables: []*rules.Table{t}}
}

func packet() *Packet {
	return &Packet{Family: rules.IP, In: "lo", InIndex: 1,
		Data: packetBytes(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6000}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 5000}, nil)}
}

// packetBytes is the packet as the input hook sees it.
func packetBytes(from, to *net.UDPAddr, body []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(body)))
	b = append(append(b, from.IP.To4()...), to.IP.To4()...)
	for _, v := range []int{from.Port, to.Port, 8 + len(body), 0} {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return append(b, body...)
}

type (
	list = [][]rules.Expr
	rule = []rules.Expr
)

func TestHook(t *testing.T) {
	limit := &rules.Limit{Rate: 1, Unit: 1}
	port := &rules.Payload{Base: 2, Offset: 2, Len: 2}
	verdicts := chains("accept", list{{port, &rules.Lookup{Set: "v", HasDest: true}}, {drop}}, list{{accept}})
	verdicts.Tables[0].Sets = []*rules.Set{{Name: "v", KeyLen: 2, Known: true, Map: true, Verdicts: true, Elements: rules.ElementsOf(
		rules.Element{Key: []byte{0x13, 0x89}, Verdict: drop.Verdict},
		rules.Element{CatchAll: true, Verdict: to(rules.Jump, "b").Verdict},
	)}}
	dormant := chains("drop", list{{drop}})
	dormant.Tables[0].Flags = []string{"dormant"}
	nat := chains("accept", list{{&rules.NAT{Type: 1}}})
	nat.Tables[0].Chains[0].Type = "nat"
	fragment := packet()
	fragment.Data[7] = 1
	established := packet()
	established.State = Established
	for _, c := range []struct {
		name    string
		set     *rules.Ruleset
		packet  *Packet
		want    Verdict
		decider int // number of the rule, 0 for the policy, -1 for nothing
		doubts  int
	}{
		{"nothing", &rules.Ruleset{}, packet(), Accept, -1, 0},
		{"policy", chains("drop", nil), packet(), Drop, 0, 0},
		{"a limit before the same verdict", chains("accept", list{{limit, drop}, {drop}}), packet(), Drop, -1, 1},
		{"a limit before another verdict", chains("accept", list{{limit, accept}, {drop}}), packet(), Unknown, -1, 1},
		{"a limit in a rule that doesn't match", chains("accept", list{{limit, port, &rules.Cmp{Data: []byte{0, 1}}, accept}, {drop}}), packet(), Drop, 2, 1},
		{"opaque", chains("accept", list{{&rules.Opaque{Kind: "magic"}}, {accept}}), packet(), Unknown, -1, 1},
		{"return from a goto ends the base chain", chains("drop", list{{to(rules.Goto, "b")}, {accept}}, list{{to(rules.Return, "")}}), packet(), Drop, 0, 0},
		{"return from a jump", chains("drop", list{{to(rules.Jump, "b")}, {accept}}, list{{to(rules.Return, "")}, {drop}}), packet(), Accept, 2, 0},
		{"the end of what a goto leads to, called", chains("drop", list{{to(rules.Jump, "b")}, {accept}}, list{{to(rules.Goto, "c")}, {drop}}, list{}), packet(), Accept, 2, 0},
		{"chains in a circle", chains("accept", list{{to(rules.Goto, "a")}}), packet(), Unknown, -1, 1},
		{"jumps in a circle", chains("accept", list{{to(rules.Jump, "a")}}), packet(), Unknown, -1, 1},
		{"a chain that is not there", chains("accept", list{{to(rules.Jump, "z")}}), packet(), Unknown, -1, 1},
		{"everything else in a verdict map", verdicts, packet(), Accept, 1, 0},
		{"dormant", dormant, packet(), Accept, -1, 0},
		{"a port of a later fragment is what stands there", chains("accept", list{{port, &rules.Cmp{Op: 1, Data: []byte{0, 1}}, drop}}), fragment, Drop, 1, 0},
		{"both ports of a later fragment", chains("accept", list{{&rules.Payload{Base: 2, Offset: 1, Len: 3}, &rules.Cmp{Op: 1, Data: []byte{0, 1}}, drop}}), fragment, Accept, 0, 0},
		{"a state that is not known", chains("accept", list{{&rules.CT{Dir: -1}, &rules.Cmp{Data: []byte{1}}, drop}}), packet(), Unknown, -1, 1},
		{"NAT of an established flow", nat, established, Accept, -1, 0},
		{"NAT of who knows what", nat, packet(), Unknown, -1, 1},
		{"a register that doesn't exist", chains("accept", list{{&rules.Cmp{Source: 255, Data: []byte{1}}, drop}}), packet(), Unknown, -1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Compile(c.set, Host{}).Hook(rules.Input, c.packet)
			if got.Verdict != c.want || len(got.Doubts) != c.doubts {
				t.Errorf("verdict %q with %d doubts, want %q with %d", got.Verdict, len(got.Doubts), c.want, c.doubts)
			}
			decider := -1
			if got.Decided != nil {
				decider = 0
				if got.Decided.Rule != nil {
					decider = int(got.Decided.Rule.Number)
				}
			}
			if decider != c.decider {
				t.Errorf("rule %d decided, want %d", decider, c.decider)
			}
		})
	}
}

// Many limits make more ways than are followed: that is an honest unknown.
func TestTooManyWays(t *testing.T) {
	var rulesOf list
	for range 20 {
		rulesOf = append(rulesOf, rule{&rules.Limit{}, &rules.Meta{Key: metaMark, Write: true}})
	}
	if got := Compile(chains("drop", rulesOf), Host{}).Hook(rules.Input, packet()); got.Verdict != Unknown {
		t.Errorf("verdict %q", got.Verdict)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(packet().Data, false)
	f.Add([]byte{0x60, 0, 0, 0, 0, 0, 44}, true)
	set := chains("drop", list{{&rules.Meta{Key: metaL4}, &rules.Cmp{Data: []byte{17}}, &rules.Payload{Base: 2, Offset: 2, Len: 2}, accept}})
	set.Tables[0].Family = rules.Inet
	f.Fuzz(func(t *testing.T, data []byte, six bool) {
		p := &Packet{Family: rules.IP, Data: data}
		if six {
			p.Family = rules.IP6
		}
		if got := Compile(set, Host{}).Hook(rules.Input, p); got.Verdict != Accept && got.Verdict != Drop {
			t.Errorf("verdict %q", got.Verdict)
		}
	})
}

// A rule that does nothing loses a packet whose header is cut off all the same, if what
// stands before the match on the header matches.
func TestLostBehindADoubt(t *testing.T) {
	cpu := &rules.Match{Ext: "cpu", Data: make([]byte, 8)}
	list := [][]rules.Expr{{&rules.IPTables{Proto: 6}, cpu, tcpMatch(1)}}
	for _, c := range []struct {
		bytes int
		want  Verdict
	}{{40, Accept}, {30, Unknown}} {
		p := tcpPacket()
		p.Data = p.Data[:c.bytes]
		binary.BigEndian.PutUint16(p.Data[2:], uint16(c.bytes))
		if got := Compile(chains("accept", list), Host{}).Hook(rules.Input, p); got.Verdict != c.want || len(got.Doubts) == 0 {
			t.Errorf("%d bytes: %s, %v, want %s", c.bytes, got.Verdict, got.Doubts, c.want)
		}
	}
}
