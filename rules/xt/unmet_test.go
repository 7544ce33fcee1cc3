package xt_test

import (
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xt"
)

// TestUnmet is of extensions that the kernel of the recording lacks: they come
// back as iptables-extensions(8) has them.
func TestUnmet(t *testing.T) {
	for _, text := range []string{
		"-m ipvs --ipvs",
		"-m ipvs ! --ipvs",
		"-m ipvs --vproto 6 ! --vport 80 --vdir REPLY --vmethod MASQ ! --vportctl 21",
		"-m ipvs ! --vaddr 10.0.0.0/8 --vdir ORIGINAL",
		"-m nfacct --nfacct-name http-traffic",
		"-m bpf --object-pinned /sys/fs/bpf/filter",
		`-j LED --led-trigger-id "ssh" --led-delay 1000 --led-always-blink`,
		`-j LED --led-trigger-id "a b" --led-delay inf`,
		"-j SECMARK --selctx system_u:object_r:httpd_packet_t:s0",
	} {
		w := words(text)
		var got string
		var err error
		ok := false
		if w[0] == "-m" {
			var m rules.Match
			if m, _, err = xt.ParseMatch(rules.IP, w[1], w[2:], 0); err == nil {
				got, ok = xt.MatchText(rules.IP, &m)
			}
		} else {
			var x rules.Target
			if x, _, err = xt.ParseTarget(rules.IP, w[1], w[2:], 0); err == nil {
				got, ok = xt.TargetText(rules.IP, &x)
			}
		}
		if err != nil || !ok || got != text {
			t.Errorf("%s: %v, %q", text, err, got)
		}
	}
	for _, text := range []string{"-m ipvs", "-m bpf --bytecode 65,1", "-m bpf --bytecode 1,6", "-m bpf --bytecode 2,6,0,0,1", "-m bpf", "-m osf --genre",
		"-m ipvs --vdir BOTH", "-j HMARK --hmark-tuple port --hmark-mod 1 --hmark-rnd 1", "-j RATEEST --rateest-name a --rateest-interval 9s --rateest-ewmalog 90s",
		"-j RATEEST --rateest-name a --rateest-interval 1s --rateest-ewmalog 1ms", "-j LED --led-trigger-id abcdefghijklmnopq"} {
		w := words(text)
		var err error
		if w[0] == "-m" {
			_, _, err = xt.ParseMatch(rules.IP, w[1], w[2:], 0)
		} else {
			_, _, err = xt.ParseTarget(rules.IP, w[1], w[2:], 0)
		}
		if err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
