package xt

import (
	"maps"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// FuzzBridgeText writes what any bytes mean as an extension of ebtables.
func FuzzBridgeText(f *testing.F) {
	f.Add(uint8(0), make([]byte, 80))
	names := append(slices.Sorted(maps.Keys(bridgeMatches)), slices.Sorted(maps.Keys(bridgeTargets))...)
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		name := names[int(kind)%len(names)]
		MatchText(rules.Bridge, &rules.Match{Ext: name, Data: data})
		TargetText(rules.Bridge, &rules.Target{Ext: name, Data: data})
	})
}

// What is short, of another revision or not known has no words.
func TestBridgeWithoutWords(t *testing.T) {
	for _, m := range []rules.Match{
		{Ext: "ip", Data: make([]byte, 27)}, {Ext: "ip", Rev: 1, Data: make([]byte, 32)}, {Ext: "none", Data: make([]byte, 32)},
		{Ext: "stp", Data: append(make([]byte, 68), 2, 0, 0, 0)}, {Ext: "ip", Data: make([]byte, 32)},
	} {
		if s, ok := MatchText(rules.Bridge, &m); ok {
			t.Errorf("%s of %d bytes: %q", m.Ext, len(m.Data), s)
		}
	}
	if s, ok := TargetText(rules.Bridge, &rules.Target{Ext: "redirect", Data: []byte{0, 0, 0, 0}}); ok {
		t.Errorf("a verdict that there isn't: %q", s)
	}
}
