package compile

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// reject answers and drops (stmt_evaluate_reject). The comparisons that it
// needs go to the start of the rule, so that nothing is logged that is not
// rejected.
func (r *rule) reject(st *syntax.Reject) {
	out := &rules.Reject{}
	var family rules.Family
	switch st.Type {
	case "":
		family = r.rejectDefault(st, out)
	case "tcp reset":
		out.Type = 1
	case "icmpx":
		out.Type = 2
		out.Code = r.rejectCode(st, words.ICMPXCode)
	case "icmp":
		family = rules.IP
		out.Code = r.rejectCode(st, words.ICMPCode)
	case "icmpv6":
		family = rules.IP6
		out.Code = r.rejectCode(st, words.ICMPv6Code)
	default:
		r.failf(st.Pos, "reject has no type %q", st.Type)
	}
	switch r.proto.family {
	case rules.IP, rules.IP6:
		if out.Type == 2 || out.Type == 0 && family != r.proto.family {
			r.failf(st.Pos, "reject with %s in family %s", st.Type, r.proto.family)
		}
		if out.Type == 1 {
			r.rejectNeeds(st, family, out)
		}
	case rules.ARP:
		r.failf(st.Pos, "reject in family arp")
	default:
		if out.Type != 2 {
			r.rejectNeeds(st, family, out)
		}
	}
	r.emit(out)
}

// rejectDefault is what reject without a type answers.
func (r *rule) rejectDefault(st *syntax.Reject, out *rules.Reject) rules.Family {
	at := r.proto.at[network]
	switch {
	case at == header("ip"):
		out.Code = 3 // port unreachable
		return rules.IP
	case at == header("ip6"):
		out.Code = 4
		return rules.IP6
	case at == nil:
		out.Type, out.Code = 2, 1
		return 0
	}
	r.failf(st.Pos, "reject in a rule about %s", at.Name)
	return 0
}

func (r *rule) rejectCode(st *syntax.Reject, typ *words.Type) uint8 {
	if st.Code == nil {
		return 0
	}
	r.ctx = context{typ: typ, order: words.Network, bits: 8}
	n := r.eval(st.Code)
	if n.kind != constant {
		r.failf(st.Code.Position(), "a code was expected")
	}
	return uint8(n.n.Lo)
}

func (r *rule) rejectNeeds(st *syntax.Reject, family rules.Family, out *rules.Reject) {
	if out.Type == 1 {
		tcp := header("tcp")
		switch at := r.proto.at[transport]; at {
		case tcp:
		case nil:
			below := r.proto.at[network]
			if below == nil {
				below = service
			}
			r.first(r.below(st.Pos, below, tcp))
		default:
			r.failf(st.Pos, "tcp reset in a rule about %s", at.Name)
		}
		return
	}
	want := header(family.String())
	switch at := r.proto.at[network]; at {
	case want:
	case nil:
		below := r.proto.at[link]
		if below == nil {
			r.failf(st.Pos, "reject needs a rule about %s", want.Name)
		}
		if r.proto.family == rules.Bridge && below.Name == "ether" {
			below = netdevLink
		}
		r.first(r.below(st.Pos, below, want))
	default:
		r.failf(st.Pos, "reject with an answer of %s in a rule about %s", want.Name, at.Name)
	}
}
