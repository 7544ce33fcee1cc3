package host

import "testing"

func TestSysctlKey(t *testing.T) {
	for path, key := range map[string]string{
		"net/ipv4/ip_forward":              "net.ipv4.ip_forward",
		"net/ipv4/conf/eth0.5/rp_filter":   "net.ipv4.conf.eth0/5.rp_filter",
		"net/ipv6/conf/a.b.c/disable_ipv6": "net.ipv6.conf.a/b/c.disable_ipv6",
	} {
		if got := SysctlKey(path); got != key {
			t.Errorf("%s: %s, want %s", path, got, key)
		}
		if got := SysctlKey(key); got != path {
			t.Errorf("%s: %s, want %s", key, got, path)
		}
	}
	if got := DeviceKey("ipv4", "eth0.5", "rp_filter"); got != "net.ipv4.conf.eth0/5.rp_filter" {
		t.Error(got)
	}
}
