//go:build linux

package linux

import (
	"context"
	"strings"
	"testing"
)

func TestFirewallFiles(t *testing.T) {
	root := configRoot(t, map[string]string{
		"/etc/nftables.conf":           "include \"./nftables/more/*.conf\"\ninclude \"/srv/fw/base\"\ntable inet f { }\n",
		"/etc/nftables/more/a.conf":    "include \"/etc/nftables.conf\"\n",
		"/srv/fw/base":                 "define x = 1\n",
		"/etc/ufw/user.rules":          "*filter\nCOMMIT\n",
		"/etc/ufw/notes.txt":           "not a rule",
		"/etc/iptables/rules.v4":       "->/dev/zero",
		"/etc/fail2ban/jail.local":     "[sshd]\nenabled = true\n# key\naction = report[key=s3cret]\n",
		"/etc/fail2ban/jail.d/x.conf":  "[web]\npassword = s3cret\nport=80\n",
		"/etc/docker/daemon.json":      "{ \"iptables\": false, \"proxies\": {\"http-proxy\": \"http://me:s3cret@p\"},\n  \"userland-proxy\" : true }\n",
		"/etc/firewalld/zones/big.xml": strings.Repeat(" ", maxFirewallFile+1),
	})
	got, err := readFirewallFiles(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/etc/nftables.conf":          "include \"./nftables/more/*.conf\"\ninclude \"/srv/fw/base\"\ntable inet f { }\n",
		"/etc/nftables/more/a.conf":   "include \"/etc/nftables.conf\"\n",
		"/srv/fw/base":                "define x = 1\n",
		"/etc/ufw/user.rules":         "*filter\nCOMMIT\n",
		"/etc/fail2ban/jail.local":    "[sshd]\nenabled = true\n\n\n",
		"/etc/fail2ban/jail.d/x.conf": "[web]\n\nport=80\n",
		"/etc/docker/daemon.json":     "\"iptables\": false\n\"userland-proxy\" : true\n",
	}
	if len(got.List) != len(want) || len(got.Limits) != 1 || got.Limits[0].What != "where the firewall is configured: /etc/iptables/rules.v4" {
		t.Errorf("%d files, %v", len(got.List), got.Limits)
	}
	for _, f := range got.List {
		if text, ok := want[f.Path]; !ok || text != f.Text {
			t.Errorf("%s: %q, want %q", f.Path, f.Text, text)
		}
	}
}
