package text

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// table writes the table as its tool lists it.
func (w *writer) table() {
	t := w.p.t
	if iptables(t) {
		w.savedTable()
		return
	}
	w.str("table " + t.Family.String() + " ")
	w.name(t.Name)
	w.str(" {\n")
	between := ""
	if len(t.Flags) > 0 {
		w.str("\tflags ")
		for i, f := range t.Flags {
			if i > 0 {
				w.str(",")
			}
			w.name(f)
		}
		w.str("\n")
		between = "\n"
	}
	if t.Comment != "" {
		w.str("\tcomment ")
		w.quoted(t.Comment)
		w.str("\n")
	}
	for _, o := range t.Objects {
		w.str(between)
		w.object(o)
		between = "\n"
	}
	for _, s := range t.Sets {
		if s.Anonymous {
			continue
		}
		w.str(between)
		w.set(s)
		between = "\n"
	}
	for _, f := range t.Flowtables {
		w.str(between)
		w.flowtable(f)
		between = "\n"
	}
	for _, c := range t.Chains {
		if bound(c) {
			continue
		}
		w.str(between)
		w.chain(c)
		between = "\n"
	}
	w.str("}\n")
}

func (w *writer) flowtable(f *rules.Flowtable) {
	w.str("\tflowtable ")
	w.name(f.Name)
	w.str(" {\n\t\thook ingress priority " + words.PriorityText(f.Priority, rules.Netdev, rules.Ingress) + "\n")
	if len(f.Devices) > 0 {
		w.str("\t\tdevices = ")
		w.devices(f.Devices)
		w.str("\n")
	}
	if f.Flags&1 != 0 {
		w.str("\t\tflags offload\n")
	}
	if f.Flags&2 != 0 {
		w.str("\t\tcounter\n")
	}
	w.str("\t}\n")
}

func (w *writer) devices(names []string) {
	w.str("{ ")
	for i, d := range names {
		if i > 0 {
			w.str(", ")
		}
		w.name(d)
	}
	w.str(" }")
}

func (w *writer) chain(c *rules.Chain) {
	w.str("\tchain ")
	w.name(c.Name)
	w.str(" {")
	if c.Comment != "" {
		w.str("\n\t\tcomment ")
		w.quoted(c.Comment)
	}
	w.str("\n")
	if c.Base() {
		w.str("\t\ttype ")
		w.name(c.Type)
		w.str(" hook ")
		w.name(string(c.Hook))
		switch len(c.Devices) {
		case 0:
		case 1:
			w.str(" device ")
			w.quoted(c.Devices[0])
		default:
			w.str(" devices = ")
			w.devices(c.Devices)
		}
		w.str(" priority " + words.PriorityText(c.Priority, w.p.family, c.Hook) + ";")
		if c.Policy != "" {
			w.str(" policy ")
			w.name(c.Policy)
			w.str(";")
		}
		for _, f := range c.Flags {
			if f == "offload" {
				w.str(" flags offload;")
			}
		}
		w.str("\n")
	}
	for _, r := range c.Rules {
		w.str("\t\t")
		w.rule(c, r)
		w.str("\n")
	}
	w.str("\t}\n")
}

// Flags of sets, NFT_SET_*.
const setConstant, setTimeout, flagsWritten = 2, 16, 2 | 4 | 16 | 32

func (w *writer) set(s *rules.Set) {
	switch {
	case s.Map || s.Verdicts || s.Objects:
		w.str("\tmap ")
	default:
		w.str("\tset ")
	}
	w.name(s.Name)
	w.str(" {\n\t\ttype ")
	w.setType(s)
	w.str("\n")
	if s.Flags&setConstant == 0 && s.Size > 0 {
		w.printf("\t\tsize %d\n", s.Size)
	}
	f := s.Flags
	if f&^setTimeout&flagsWritten == 0 && s.TimeoutMS != 0 { // a default timeout says as much
		f = 0
	}
	between := "\t\tflags "
	for _, x := range words.SetFlags {
		if f&uint32(x.Value) != 0 {
			w.str(between + x.Name)
			between = ","
		}
	}
	if between == "," {
		w.str("\n")
	}
	if len(s.Exprs) > 0 {
		w.stateless = true
		rd := &reader{p: w.p}
		for _, e := range s.Exprs {
			rd.read(e)
		}
		w.str("\t\t")
		for i, st := range rd.stmts {
			if i > 0 {
				w.str(" ")
			}
			w.stmt(st)
		}
		w.str("\n")
		w.stateless = false
	}
	if s.TimeoutMS != 0 {
		w.str("\t\ttimeout ")
		w.span(s.TimeoutMS)
		w.str("\n")
	}
	if s.Comment != "" {
		w.str("\t\tcomment ")
		w.quoted(s.Comment)
		w.str("\n")
	}
	w.elements(s)
	w.str("\t}\n")
}

// setType writes the types of a set's keys and, for a map, of its values.
func (w *writer) setType(s *rules.Set) {
	w.typeName(s.KeyType)
	switch {
	case s.Verdicts || s.Map && s.DataType == words.VerdictData:
		w.str(" : verdict")
	case s.Objects:
		w.str(" : " + words.Name(words.ObjectTypes, uint64(s.ObjType)))
	case s.Map:
		w.str(" : ")
		if intervalData(s) {
			w.str("interval ")
		}
		w.typeName(s.DataType)
	}
}

// SetType is what follows the word type in a set as nft prints it.
func SetType(s *rules.Set) string {
	w := &writer{}
	w.setType(s)
	return string(w.buf)
}

func intervalData(s *rules.Set) bool {
	size := 0
	types := words.Split(s.DataType)
	for _, t := range types {
		size += (t.Bytes() + 3) / 4 * 4
	}
	if len(types) == 1 {
		size = types[0].Bytes()
	}
	return size > 0 && s.DataLen == 2*size
}

func (w *writer) typeName(number uint32) {
	types := words.Split(number)
	if len(types) == 0 {
		w.printf("unknown type %d", number)
	}
	for i, t := range types {
		if i > 0 {
			w.str(" . ")
		}
		w.str(t.Name)
	}
}

// How many elements nft writes on a line, by the type of the key; else one.
var perLine = map[*words.Type]int{
	words.NFProto: 5, words.Integer: 5, words.ARPOp: 5, words.InetProto: 5, words.InetService: 5, words.TCPFlag: 5,
	words.DCCPType: 5, words.Mark: 5, words.IfaceIndex: 5, words.ClassID: 5, words.UID: 5, words.GID: 5, words.CTDir: 5,
	words.IPv4Addr: 2, words.CTState: 2, words.CTStatus: 2, words.PktType: 2,
}

func (w *writer) elements(s *rules.Set) {
	if !s.Known {
		if s.Count > 0 {
			w.printf("\t\t# %d elements\n", s.Count)
		}
		return
	}
	all := items(s, nil)
	if len(all) == 0 {
		return
	}
	most := 1
	if t := words.TypeByNumber(s.KeyType); t != nil {
		most = max(perLine[t], 1)
	}
	w.str("\t\telements = { ")
	for i, it := range all {
		switch {
		case i == 0:
		case i%most == 0:
			w.str(",\n\t\t\t     ")
		default:
			w.str(", ")
		}
		w.item(s, it, words.None)
	}
	w.str(" }\n")
}
