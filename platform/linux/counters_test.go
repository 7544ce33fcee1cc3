//go:build linux

package linux

import (
	"errors"
	"maps"
	"math"
	"net"
	"strings"
	"testing"
)

func TestParseCounters(t *testing.T) {
	for _, c := range []struct {
		name  string
		parse func([]byte, map[string]int64) error
		in    string
		want  map[string]int64 // nil: an error
	}{
		{"snmp", parseSNMP, "Ip: Forwarding TTL\nIp: 2 64\nTcp: MaxConn OutRsts\nTcp: -1 17\n",
			map[string]int64{"Ip.Forwarding": 2, "Ip.TTL": 64, "Tcp.MaxConn": -1, "Tcp.OutRsts": 17}},
		{"snmp, more than 63 bits", parseSNMP, "A: x\nA: 18446744073709551615\n", map[string]int64{"A.x": math.MaxInt64}},
		{"snmp, no colon", parseSNMP, "Ip Forwarding\nIp: 2\n", nil},
		{"snmp, too few values", parseSNMP, "Ip: a b\nIp: 2\n", nil},
		{"snmp, other group", parseSNMP, "Ip: a\nTcp: 2\n", nil},
		{"snmp, no values", parseSNMP, "Ip: a\n", nil},
		{"snmp, not a number", parseSNMP, "Ip: a\nIp: x\n", nil},
		{"snmp, below 64 bits", parseSNMP, "Ip: a\nIp: -99999999999999999999\n", nil},
		{"snmp6", parseSNMP6, "Ip6InReceives  \t7\nIcmp6OutType136 2\nUdpLite6InErrors 0\n",
			map[string]int64{"Ip6.InReceives": 7, "Icmp6.OutType136": 2, "UdpLite6.InErrors": 0}},
		{"snmp6, no group", parseSNMP6, "InReceives 7\n", nil},
		{"snmp6, no name", parseSNMP6, "Ip6 7\n", nil},
		{"snmp6, no value", parseSNMP6, "Ip6InReceives\n", nil},
		{"sockstat", parseSockstat, "sockets: used 16\nTCP: inuse 1 mem 4\n",
			map[string]int64{"Sockstat.sockets.used": 16, "Sockstat.TCP.inuse": 1, "Sockstat.TCP.mem": 4}},
		{"sockstat, odd", parseSockstat, "TCP: inuse\n", nil},
		{"sockstat, no group", parseSockstat, "inuse 1 2\n", nil},
		{"xfrm_stat", parseXfrmStat, "XfrmOutPolBlock         \t3\n", map[string]int64{"Xfrm.OutPolBlock": 3}},
		{"xfrm_stat, no value", parseXfrmStat, "XfrmOutPolBlock\n", nil},
		{"file-nr", named("File.allocated", "", "File.max"), "1140\t0\t922\n", map[string]int64{"File.allocated": 1140, "File.max": 922}},
		{"file-nr, short", named("File.allocated", "", "File.max"), "1140\n", nil},
		{"file-nr, no number", named("File.allocated"), "x\n", nil},
		{"too many", parseSNMP6, manyCounters(), nil},
	} {
		got := map[string]int64{}
		err := c.parse([]byte(c.in), got)
		if c.want == nil {
			if !errors.Is(err, errCounters) {
				t.Errorf("%s: error %v", c.name, err)
			}
			continue
		}
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func manyCounters() string {
	var s strings.Builder
	for i := range counterMax + 1 {
		s.WriteString("Ip6x" + strings.Repeat("y", i%60) + string(rune('a'+i/60%26)) + string(rune('a'+i/60/26)) + " 1\n")
	}
	return s.String()
}

func TestCountersLive(t *testing.T) {
	name, h := labNetNS(t, "count")
	before, err := h.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, counter := range []string{"Tcp.OutRsts", "TcpExt.ListenOverflows", "Ip6.InReceives", "Sockstat.TCP.mem",
		"Xfrm.OutPolBlock", "Conntrack.count", "Conntrack.max", "Conntrack.drop", "Conntrack.early_drop", "File.allocated", "File.max", "Memory.tcp_pressure_pages", "Memory.tcp_max_pages"} {
		if _, ok := before[counter]; !ok {
			t.Errorf("%s is missing", counter)
		}
	}
	// The counter is that of the namespace: a refused connection sends one reset.
	err = h.inNamespace(func() error {
		c, err := net.Dial("tcp4", "127.0.0.1:9")
		if err == nil {
			c.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := h.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := after["Tcp.OutRsts"] - before["Tcp.OutRsts"]; got != 1 {
		t.Errorf("in %s a refused connection counts %d resets", name, got)
	}
}

func FuzzCounters(f *testing.F) {
	for _, seed := range []string{"Ip: Forwarding TTL\nIp: 2 64\n", "Ip6InReceives 7\n", "TCP: inuse 1 mem 4\n", "XfrmOutPolBlock 3\n", "1 2 3\n", "entries drop\n0001 00ff\n0001 00ff\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, file := range counterFiles() {
			counters := map[string]int64{}
			if err := file.parse(b, counters); err != nil && !errors.Is(err, errCounters) {
				t.Errorf("error %v", err)
			}
			if len(counters) > counterMax {
				t.Errorf("%d counters", len(counters))
			}
		}
	})
}
