package compile

import (
	"reflect"

	"github.com/portwhy/portwhy/rules"
)

// sharedMost is how many expressions of a kind are shared: those that come
// first, which are those that come often.
const sharedMost = 4096

// shared are expressions that are the same in many rules, so that a ruleset
// holds them once. Nobody changes an expression that was compiled.
type shared struct {
	meta    map[rules.Meta]*rules.Meta
	ct      map[rules.CT]*rules.CT
	payload map[rules.Payload]*rules.Payload
	bitwise map[bitwiseKey]*rules.Bitwise
	verdict map[verdictKey]*rules.Immediate
	other   map[any]rules.Expr // by their values
	packer  rules.Packer
}

type bitwiseKey struct {
	source, dest rules.Reg
	length       uint32
	mask, xor    string
}

func newShared() shared {
	return shared{map[rules.Meta]*rules.Meta{}, map[rules.CT]*rules.CT{}, map[rules.Payload]*rules.Payload{}, map[bitwiseKey]*rules.Bitwise{},
		map[verdictKey]*rules.Immediate{}, map[any]rules.Expr{}, rules.Packer{}}
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

// verdictKey is of a table: its chains may be renamed, see [Compiler.rename].
type verdictKey struct {
	table   *table
	verdict rules.Verdict
}

// once is the function once for expressions that are not in nearly every rule, and
// whose values can be compared.
func (s *shared) once(e rules.Expr) rules.Expr {
	key := reflect.ValueOf(e).Elem().Interface()
	if old := s.other[key]; old != nil {
		return old
	}
	if len(s.other) < sharedMost {
		s.other[key] = e
	}
	return e
}

// rule is the expressions of a table's rule in as little memory as they take.
func (s *shared) rule(t *table, list []rules.Expr) rules.List {
	for i, e := range list {
		switch x := e.(type) {
		case *rules.Meta:
			e = once(s.meta, *x, x)
		case *rules.CT:
			e = once(s.ct, *x, x)
		case *rules.Payload:
			e = once(s.payload, *x, x)
		case *rules.Bitwise:
			if x.Op == 0 && !x.HasSource2 {
				e = once(s.bitwise, bitwiseKey{x.Source, x.Dest, x.Len, string(x.Mask), string(x.Xor)}, x)
			}
		case *rules.Immediate:
			if x.Verdict != nil {
				e = once(s.verdict, verdictKey{t, *x.Verdict}, x)
			}
		case *rules.NAT, *rules.Masq, *rules.Redir, *rules.Reject, *rules.Limit, *rules.Log, *rules.Fib:
			e = s.once(e)
		}
		list[i] = e
	}
	return s.packer.List(list)
}
