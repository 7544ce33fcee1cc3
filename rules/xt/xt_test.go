package xt

import (
	"bytes"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

func TestRoundTrip(t *testing.T) {
	for _, s := range []string{
		"-m tcp --dport 22", "-m tcp ! --dport 22", "-m tcp --sport 1:9 ! --dport 1024:65535",
		"-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", "-m tcp --tcp-flags FIN,SYN NONE",
		"-m udp ! --sport 53", "-m udp", "-m mark --mark 0x1", "-m mark ! --mark 0x1/0xff",
	} {
		w := strings.Fields(s)
		args := append(append([]string{}, w[2:]...), "-j", "ACCEPT")
		m, n, err := ParseMatch(rules.IP, w[1], args, 6)
		if got, ok := MatchText(rules.IP, &m); err != nil || n != len(w)-2 || !ok || got != s {
			t.Errorf("%s: %q, %d tokens, %v", s, got, n, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, s := range []string{"tcp --dport", "tcp --dport 70000", "udp --sport 9:1", "tcp --tcp-flags X SYN", "mark", "nosuch", "tcp --dport 1 --dport 2",
		"hashlimit --hashlimit-upto 5b/s --hashlimit-burst 10b --hashlimit-name a", "hashlimit --hashlimit-name a", "dscp", "string --algo bm",
		"string --algo bm --hex-string |0", "u32 --u32 0", "u32 --u32 =1", "u32 --u32 " + strings.Repeat("1&", 11) + "1=1", "time --weekdays 8",
		"time --datestart 1969", "time --timestart 24:00", "statistic --mode nth --every 2 --packet 2", "statistic --mode random", "frag --fragmore --fraglast",
		"policy --pol ipsec", "policy --dir in --next", "policy --dir in --strict", "policy --dir in --tunnel-src 10.0.0.1", "cgroup --cgroup 1 --path /",
		"connbytes --connbytes 5", "cluster --cluster-total-nodes 2 --cluster-local-node 3 --cluster-hash-seed 1", "quota"} {
		w := strings.Fields(s)
		if _, _, err := ParseMatch(rules.IP, w[0], w[1:], 6); err == nil || !strings.Contains(err.Error(), w[0]) {
			t.Errorf("%s: error %v", s, err)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("tcp", "! --dport 22 --syn")
	f.Add("mark", "--mark 0x1/0xff")
	f.Fuzz(func(t *testing.T, name, line string) {
		m, _, err := ParseMatch(rules.IP, name, strings.Fields(line), 6)
		if err != nil {
			return
		}
		s, ok := MatchText(rules.IP, &m)
		if !ok {
			t.Fatalf("%q is not printed", line)
		}
		w := strings.Fields(s)
		again, _, err := ParseMatch(rules.IP, w[1], w[2:], 6)
		if s2, _ := MatchText(rules.IP, &again); err != nil || s2 != s || len(again.Data) != len(m.Data) || name == "mark" && !bytes.Equal(again.Data, m.Data) {
			t.Fatalf("%q became %q: %v", s, s2, err)
		}
	})
}
