package compile

import "github.com/portwhy/portwhy/rules"

// sharedMost is how many expressions of a kind are shared: those that come
// first, which are those that come often.
const sharedMost = 4096

// shared are expressions that are the same in many rules, so that a ruleset
// holds them once. Nobody changes an expression that was compiled.
type shared struct {
	meta    map[rules.Meta]*rules.Meta
	ct      map[rules.CT]*rules.CT
	payload map[rules.Payload]*rules.Payload
	cmp     map[cmpKey]*rules.Cmp
	verdict map[rules.VerdictKind]*rules.Immediate
}

type cmpKey struct {
	source rules.Reg
	op     uint32
	data   string
}

func newShared() shared {
	return shared{map[rules.Meta]*rules.Meta{}, map[rules.CT]*rules.CT{}, map[rules.Payload]*rules.Payload{}, map[cmpKey]*rules.Cmp{},
		map[rules.VerdictKind]*rules.Immediate{}}
}

func once[K comparable, V any](m map[K]*V, key K, v *V) *V {
	if old := m[key]; old != nil {
		return old
	}
	if len(m) < sharedMost {
		m[key] = v
	}
	return v
}

// rule is the expressions of a rule in as little memory as they take.
func (s *shared) rule(list []rules.Expr) []rules.Expr {
	out := make([]rules.Expr, len(list))
	for i, e := range list {
		switch x := e.(type) {
		case *rules.Meta:
			e = once(s.meta, *x, x)
		case *rules.CT:
			e = once(s.ct, *x, x)
		case *rules.Payload:
			e = once(s.payload, *x, x)
		case *rules.Cmp:
			e = once(s.cmp, cmpKey{x.Source, x.Op, string(x.Data)}, x)
		case *rules.Immediate:
			if v := x.Verdict; v != nil && v.Chain == "" {
				e = once(s.verdict, v.Kind, x)
			}
		}
		out[i] = e
	}
	return out
}
