package nfttext

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"testing"
)

// TestChainAgain declares a chain twice: what we and the kernel make of it.
func TestChainAgain(t *testing.T) {
	const at, lo = "type filter hook input priority 0;", "table netdev t { chain c { type filter hook ingress device lo priority 0; policy accept; }; }"
	ip := func(body string) string { return "table ip t { chain c { " + body + " }; }" }
	netdev := func(body string) string { return "table netdev t { chain c { type filter hook " + body + " }; }" }
	for _, c := range []struct{ first, again, want string }{
		{ip(at + "accept;"), ip(at + "policy drop;"), "input drop [] 1"},
		{ip(at + "policy drop; accept;"), ip(at + "accept;"), "input drop [] 2"},
		{ip(at + "policy drop;"), ip(at + "policy accept;"), "input accept [] 0"},
		{ip(at), ip("policy drop;"), "input drop [] 0"},
		{ip(at), ip("drop;"), "input accept [] 1"},
		{ip("type nat hook input priority 0;"), ip("type nat hook input priority 0; policy drop;"), "input drop [] 0"},
		{ip(at), ip("type filter hook input priority 1;"), "refused"},
		{ip(at), ip("type filter hook output priority 0;"), "refused"},
		{ip(at), ip("type nat hook input priority 0;"), "refused"},
		{ip("accept;"), ip(at), "refused"},
		{ip("accept;"), ip("policy drop;"), "refused"},
		{ip("accept;"), ip("drop;"), "  [] 2"},
		{lo, netdev("ingress device lo priority 0; policy drop;"), "ingress drop [lo] 0"},
		{lo, netdev("ingress device d0 priority 0; policy drop;"), "ingress drop [d0 lo] 0"},
		{lo, netdev("egress device lo priority 0;"), "refused"},
	} {
		text := c.first + "\n" + c.again + "\n"
		got, err := chainOf(text)
		if got != c.want {
			t.Errorf("%s%s, want %s (%v)", text, got, c.want, err)
		}
		if os.Geteuid() != 0 {
			continue
		}
		if _, err := exec.LookPath("nft"); err != nil {
			continue
		}
		nft := exec.Command("unshare", "-n", "sh", "-c", "nft -f - && nft -s list ruleset")
		nft.Stdin = strings.NewReader(text)
		out, err := nft.CombinedOutput()
		kernel := "refused"
		if err == nil {
			if kernel, err = chainOf(string(out)); err != nil {
				t.Error(err)
			}
		}
		if kernel != c.want {
			t.Errorf("%sthe kernel: %s, want %s\n%s", text, kernel, c.want, out)
		}
	}
}

// chainOf tells the hook, policy, devices and number of rules of the only chain.
func chainOf(text string) (string, error) {
	set, err := Parse("f", text, Options{})
	if err != nil {
		return "refused", err
	}
	c := set.Tables[0].Chains[0]
	slices.Sort(c.Devices)
	return fmt.Sprintf("%s %s %v %d", c.Hook, c.Policy, c.Devices, len(c.Rules)), nil
}
