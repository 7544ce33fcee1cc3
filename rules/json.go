package rules

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
)

// Exprs are expressions. In JSON each is an object with one member: the kernel's
// name of the expression, or "opaque", with the fields of its type.
type Exprs []Expr

const opaqueName = "opaque"

// kinds has one of each expression, to be made anew from its name.
func kinds() []Expr {
	return []Expr{
		&Immediate{}, &Payload{}, &Cmp{}, &Range{}, &Bitwise{}, &Byteorder{}, &Meta{}, &CT{}, &Lookup{}, &Dynset{}, &Exthdr{}, &Fib{}, &RT{},
		&Socket{}, &OSF{}, &Hash{}, &Numgen{}, &Limit{}, &Quota{}, &ConnLimit{}, &Last{}, &Counter{}, &Log{}, &Notrack{}, &Reject{}, &NAT{},
		&Masq{}, &Redir{}, &TProxy{}, &Synproxy{}, &QueueTo{}, &Dup{}, &Fwd{}, &FlowOffload{}, &ObjRef{}, &XFRM{}, &Tunnel{}, &IPTables{},
		&ARPTables{}, &Match{}, &Target{}, &Inner{}, &Helper{}, &Timeout{}, &Expectation{}, &Secmark{}, &TunnelKey{}, &Opaque{Kind: opaqueName},
	}
}

// MarshalJSON writes the expressions.
func (e Exprs) MarshalJSON() ([]byte, error) {
	list := make([]map[string]Expr, len(e))
	for i, x := range e {
		name := opaqueName
		if _, is := x.(*Opaque); !is {
			name = x.Name()
		}
		list[i] = map[string]Expr{name: x}
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Exprs) UnmarshalJSON(b []byte) error {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*e = nil
	for _, m := range list {
		if len(m) != 1 {
			return fmt.Errorf("an expression has one name, not %d", len(m))
		}
		for name, fields := range m {
			x := newExpr(name)
			if x == nil {
				return fmt.Errorf("there is no expression %q", name)
			}
			if err := json.Unmarshal(fields, x); err != nil {
				return fmt.Errorf("expression %s: %w", name, err)
			}
			*e = append(*e, x)
		}
	}
	return nil
}

var kindNamed = sync.OnceValue(func() map[string]reflect.Type {
	named := map[string]reflect.Type{}
	for _, k := range kinds() {
		named[k.Name()] = reflect.TypeOf(k).Elem()
	}
	return named
})

func newExpr(name string) Expr {
	t := kindNamed()[name]
	if t == nil {
		return nil
	}
	return reflect.New(t).Interface().(Expr)
}

// objectJSON is an Object whose expression can be read back.
type objectJSON struct {
	Name    string
	Handle  uint64
	Type    uint32
	Expr    Exprs
	Comment string `json:",omitempty"`
}

// MarshalJSON writes the object.
func (o *Object) MarshalJSON() ([]byte, error) {
	j := objectJSON{Name: o.Name, Handle: o.Handle, Type: o.Type, Comment: o.Comment}
	if o.Expr != nil {
		j.Expr = Exprs{o.Expr}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Object) UnmarshalJSON(b []byte) error {
	var j objectJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*o = Object{Name: j.Name, Handle: j.Handle, Type: j.Type, Comment: j.Comment}
	if len(j.Expr) > 0 {
		o.Expr = j.Expr[0]
	}
	return nil
}
