package words_test

import (
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

func TestPriorityText(t *testing.T) {
	for _, tt := range []struct {
		value  int32
		family rules.Family
		hook   rules.Hook
		want   string
	}{
		{0, rules.IP, rules.Input, "filter"},
		{10, rules.Inet, rules.Input, "filter + 10"},
		{11, rules.Inet, rules.Input, "11"},
		{-5, rules.IP6, rules.Input, "filter - 5"},
		{-100, rules.IP, rules.Prerouting, "dstnat"},
		{-100, rules.IP, rules.Output, "-100"},
		{100, rules.IP, rules.Postrouting, "srcnat"},
		{-300, rules.Bridge, rules.Prerouting, "dstnat"},
		{-300, rules.ARP, rules.Input, "-300"},
		{-200, rules.Bridge, rules.Forward, "filter"},
		{0, rules.Bridge, rules.Forward, "0"},
		{-2147483648, rules.IP, rules.Input, "-2147483648"},
	} {
		got := words.PriorityText(tt.value, tt.family, tt.hook)
		if got != tt.want {
			t.Errorf("%d at %s %s: %q, want %q", tt.value, tt.family, tt.hook, got, tt.want)
		}
	}
	if v, ok := words.PriorityByName("dstnat", rules.Bridge, rules.Prerouting); !ok || v != -300 {
		t.Errorf("dstnat of bridge: %d %v", v, ok)
	}
	if _, ok := words.PriorityByName("dstnat", rules.IP, rules.Input); ok {
		t.Error("dstnat is no priority at input")
	}
}

func TestTypeNumbers(t *testing.T) {
	for i, typ := range words.Types {
		if int(typ.Number) != i+1 {
			t.Errorf("%s has number %d, stands at %d", typ.Name, typ.Number, i+1)
		}
	}
	n := words.Join([]*words.Type{words.IPv4Addr, words.InetService})
	if got := words.Split(n); len(got) != 2 || got[0] != words.IPv4Addr || got[1] != words.InetService {
		t.Errorf("split of %d: %v", n, got)
	}
	if words.Split(63) != nil {
		t.Error("a type that doesn't exist was found")
	}
}
