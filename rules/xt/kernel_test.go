package xt

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// TestKernelBytes has what IPT_SO_GET_ENTRIES gave for rules that
// iptables-legacy 1.8.9 made on x86-64.
func TestKernelBytes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the recorded bytes are of a little-endian host")
	}
	for s, want := range map[string]string{
		"tcp --sport 1:9 ! --dport 1024:65535": "010009000004ffff0000000200000000",
		"tcp ! --syn":                          "0000ffff0000ffff0017020400000000",
		"tcp --tcp-flags FIN,SYN NONE":         "0000ffff0000ffff0003000000000000",
		"tcp ! --dport 0:65535":                "0000ffff0000ffff0000000200000000",
		"udp ! --sport 53":                     "350035000000ffff0100000000000000",
		"mark ! --mark 0x1/0xff":               "01000000ff0000000100000000000000",
		"mark --mark 1":                        "01000000ffffffff0000000000000000",
	} {
		w := strings.Fields(s)
		m, _, err := ParseMatch(rules.IP, w[0], w[1:], 6)
		if got := hex.EncodeToString(m.Data); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", s, got, want, err)
		}
	}
}
