package ipset

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// listed is a message on a set of type hash:net,iface with one entry.
func listed() []byte {
	b := put(nil, attrProtocol, []byte{7})
	b = putText(b, attrSetName, "a")
	b = putText(b, attrTypeName, "hash:net,iface")
	b = put(b, attrFamily, []byte{2})
	b = put(b, attrRevision, []byte{8})
	b = put(b, attrIndex|network, []byte{0, 9})
	data := put(nil, createMaxElem|network, binary.BigEndian.AppendUint32(nil, 5))
	data = put(data, dataFlags|network, binary.BigEndian.AppendUint32(nil, flagCounters))
	data = put(data, createElements|network, binary.BigEndian.AppendUint32(nil, 1))
	b = put(b, attrData|nested, data)
	entry := putAddress(nil, dataIP, netip.MustParseAddr("10.0.0.0"))
	entry = put(entry, dataCIDR, []byte{8})
	entry = putText(entry, entryDevice, "eth0")
	entry = put(entry, entryPackets|network, binary.BigEndian.AppendUint64(nil, 3))
	entry = put(entry, dataFlags|network, binary.BigEndian.AppendUint32(nil, flagNomatch|flagPhysdev|flagWildcard))
	return put(b, attrEntries|nested, put(nil, attrData|nested, entry))
}

func TestDecode(t *testing.T) {
	var d Decoder
	if err := d.Message(listed()); err != nil {
		t.Fatal(err)
	}
	s := d.Sets()[0]
	e := s.Elements[0]
	if s.Name != "a" || s.Index != 9 || s.Family != rules.IP || s.Options["maxelem"] != "5" || s.Options[Entries] != "1" ||
		e.Entry != "10.0.0.0/8,physdev:eth0" || !e.NoMatch() || e.Options.Map()["packets"] != "3" {
		t.Errorf("%+v", s)
	}
	if _, ok := s.Options["counters"]; !ok {
		t.Errorf("%+v", s.Options)
	}
}

func TestDecodeRefused(t *testing.T) {
	name := putText(nil, attrSetName, "a")
	typed := putText(name, attrTypeName, "hash:net")
	for what, b := range map[string][]byte{
		"no name":             {},
		"no head":             name,
		"attribute too long":  {200, 0, 1, 0},
		"attribute too short": {2, 0, 1, 0},
		"odd number":          put(typed, attrIndex, []byte{1, 2, 3}),
		"odd option":          put(typed, attrData, put(nil, createMaxElem, nil)),
		"odd address":         put(typed, attrEntries, put(nil, attrData, put(nil, dataIP, []byte{1}))),
		"odd network":         put(typed, attrEntries, put(nil, attrData, put(putAddress(nil, dataIP, netip.MustParseAddr("::1")), dataCIDR, []byte{129}))),
		"odd MAC":             put(typed, attrEntries, put(nil, attrData, put(nil, entryMAC, []byte{1}))),
	} {
		var d Decoder
		if err := d.Message(b); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTestRequest(t *testing.T) {
	for _, c := range []struct{ typ, entry string }{{"hash:new", "1.1.1.1"}, {"list:set", "a"}, {"hash:ip", "x"}} {
		if _, err := TestRequest(&rules.IPSet{Name: "a", Type: c.typ, Family: rules.IP}, c.entry, false); err == nil {
			t.Errorf("%+v is asked for", c)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(listed())
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		if err := d.Message(b); err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Error(err)
			}
			return
		}
		for _, s := range d.Sets() {
			s.Known = true
		}
		New(d.Sets()).Contains(d.Sets()[0].Name, Question{Dim: 3}, packet(rules.IP))
	})
}
