package eval

import (
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// Heads and the target of arptables by the bytes of their structures.
func TestARPTables(t *testing.T) {
	request := []byte{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2}
	head := func(inverted uint16, set map[int]byte) rules.Expr {
		d := make([]byte, 164)
		d[160], d[161] = byte(inverted), byte(inverted>>8)
		for at, b := range set {
			d[at] = b
		}
		return &rules.ARPTables{Data: d}
	}
	mangle := func(verdict byte, set map[int]byte) rules.Expr {
		d := make([]byte, 48)
		for at := 44; at < 48; at++ {
			d[at] = verdict
		}
		for at, b := range set {
			d[at] = b
		}
		return &rules.Target{Ext: "mangle", Data: d}
	}
	const goesOn = 0xff
	for _, c := range []struct {
		name  string
		in    string
		data  []byte
		exprs []rules.Expr
		want  Verdict // of what goes on to the end: reject
	}{
		{"anything", "eth0", request, []rules.Expr{head(0, nil)}, Reject},
		{"source", "eth0", request, []rules.Expr{head(0, map[int]byte{0: 10, 3: 1, 8: 255, 11: 255})}, Reject},
		{"not the source", "eth0", request, []rules.Expr{head(arptSource, map[int]byte{0: 10, 3: 1, 8: 255, 11: 255})}, Accept},
		{"target", "eth0", request, []rules.Expr{head(0, map[int]byte{7: 3, 15: 255})}, Accept},
		{"link address of the source", "eth0", request, []rules.Expr{head(0, map[int]byte{23: 1, 39: 255})}, Reject},
		{"link address of the target", "eth0", request, []rules.Expr{head(0, map[int]byte{55: 1, 71: 255})}, Accept},
		{"operation", "eth0", request, []rules.Expr{head(0, map[int]byte{83: 1, 84: 255, 85: 255})}, Reject},
		{"hardware", "eth0", request, []rules.Expr{head(0, map[int]byte{87: 6, 88: 255, 89: 255})}, Accept},
		{"protocol", "eth0", request, []rules.Expr{head(0, map[int]byte{90: 8, 92: 255, 93: 255})}, Reject},
		{"length", "eth0", request, []rules.Expr{head(0, map[int]byte{16: 8, 17: 255})}, Accept},
		{"device", "eth0", request, []rules.Expr{head(0, map[int]byte{94: 'e', 126: 255})}, Reject},
		{"another device", "eth0", request, []rules.Expr{head(0, map[int]byte{94: 'x', 126: 255})}, Accept},
		{"a device of which nothing is known", "what", request, []rules.Expr{head(0, nil)}, Unknown},
		{"cut off", "eth0", request[:27], []rules.Expr{head(0, nil)}, Drop},
		{"a head that is cut off", "eth0", request, []rules.Expr{&rules.ARPTables{Data: make([]byte, 100)}}, Unknown},
		{"a changed address", "eth0", request, []rules.Expr{mangle(goesOn, map[int]byte{35: 9, 40: 4}), &rules.Payload{Base: 1, Offset: 17, Len: 1}, &rules.Cmp{Data: []byte{9}}}, Reject},
		{"a changed link address of the target", "eth0", request, []rules.Expr{mangle(goesOn, map[int]byte{21: 9, 40: 2}), &rules.Payload{Base: 1, Offset: 23, Len: 1}, &rules.Cmp{Data: []byte{9}}}, Reject},
		{"changed and dropped", "eth0", request, []rules.Expr{mangle(0, map[int]byte{40: 1})}, Drop},
		{"changed beyond the end", "eth0", request[:20], []rules.Expr{mangle(goesOn, map[int]byte{40: 8})}, Drop},
		{"an extension that is not known", "eth0", request, []rules.Expr{&rules.Target{Ext: "nosuch"}}, Unknown},
	} {
		set := &rules.Ruleset{Tables: []*rules.Table{standAt(rules.ARP, rules.Input, 0, append(c.exprs, &rules.Reject{})...)}}
		p := &Packet{Family: rules.ARP, In: c.in, Data: c.data}
		if got := Compile(set, switchHost(nil)).Trace(In, p); got.Verdict != c.want {
			t.Errorf("%s: %q, want %q, doubts %v", c.name, got.Verdict, c.want, got.Doubts)
		}
	}
}
