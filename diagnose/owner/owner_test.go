package owner

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/files"
	"github.com/portwhy/portwhy/rules/text"
)

func parse(t testing.TB, saved string) *rules.Ruleset {
	t.Helper()
	set, err := parseRules(saved)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func parseRules(saved string) (*rules.Ruleset, error) {
	return files.Parse("rules", saved, files.Options{})
}

// culprit is the rule whose text has some words, or the policy of the chain that
// is named "policy CHAIN".
func culprit(t testing.TB, set *rules.Ruleset, want string) *diagnose.Culprit {
	t.Helper()
	at, ok := find(set, want)
	if !ok {
		t.Fatalf("no rule has %q", want)
	}
	return at
}

func find(set *rules.Ruleset, want string) (*diagnose.Culprit, bool) {
	for _, table := range set.Tables {
		for _, c := range table.Chains {
			at := &diagnose.Culprit{Backend: string(table.Backend), Family: table.Family.String(), Table: table.Name, Chain: c.Name}
			if want == "policy "+c.Name {
				return at, true
			}
			for _, r := range c.Rules {
				if strings.Contains(text.Rule(table, c, r), want) {
					number := int(r.Number)
					at.Number = &number
					return at, true
				}
			}
		}
	}
	return nil, false
}

func filter(chains, lines string) string {
	s := "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	for c := range strings.FieldsSeq(chains) {
		s += ":" + c + " - [0:0]\n"
	}
	return s + lines + "\nCOMMIT\n"
}

var flow4 = Flow{Network: "tcp", Src: netip.MustParseAddr("10.0.0.9"), Dst: netip.MustParseAddr("10.0.0.5"), Port: 8080, Hook: rules.Input}

func TestManager(t *testing.T) {
	for _, c := range []struct{ name, rules, rule, manager, thing string }{
		{"ufw", filter("ufw-user-input", "-A ufw-user-input -p tcp --dport 8080 -j DROP"), "8080", "ufw", ""},
		{"ufw's policy", filter("ufw-before-forward", "-A FORWARD -j ufw-before-forward"), "policy FORWARD", "ufw", ""},
		{"docker's policy", filter("DOCKER-USER", "-A FORWARD -j DOCKER-USER"), "policy FORWARD", "docker", ""},
		{"docker sets no policy of INPUT", filter("DOCKER-USER", "-A INPUT -j DOCKER-USER"), "policy INPUT", Unknown, ""},
		{"docker's isolation", filter("DOCKER-ISOLATION-STAGE-2", "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP"), "docker0", "docker", ""},
		{"what is in DOCKER-USER isn't docker's", filter("DOCKER-USER", "-A DOCKER-USER -p tcp --dport 8080 -j DROP"), "8080", Unknown, ""},
		{"podman", "table inet netavark { chain F { tcp dport 8080 drop\n }\n}\n", "8080", "podman", ""},
		{"podman by CNI", filter("CNI-FORWARD", `-A CNI-FORWARD -p tcp --dport 8080 -m comment --comment "name: \"podman\" id: \"1\"" -j DROP`), "8080", "podman", ""},
		{"CNI", filter("CNI-FORWARD", "-A CNI-FORWARD -p tcp --dport 8080 -j DROP"), "8080", "cni", ""},
		{"kube-proxy", filter("KUBE-SERVICES", `-A KUBE-SERVICES -p tcp -m comment --comment "default/web:http has no endpoints" --dport 8080 -j REJECT`), "8080", "kube-proxy", "default/web:http"},
		{"kube-proxy in nftables", "table ip kube-proxy { chain F { tcp dport 8080 reject\n }\n}\n", "8080", "kube-proxy", ""},
		{"calico", filter("cali-tw-x", `-A cali-tw-x -p tcp --dport 8080 -m comment --comment "cali:AbC Drop if no policies passed packet" -j DROP`), "8080", "calico", ""},
		{"fail2ban", filter("f2b-sshd", "-A f2b-sshd -s 10.0.0.9/32 -j REJECT"), "10.0.0.9", "fail2ban", "sshd"},
		{"fail2ban in nftables", "table inet f2b-table { set addr-set-web { type ipv4_addr\n elements = { 10.0.0.9 }\n }\n chain f2b-chain { tcp dport 8080 ip saddr @addr-set-web reject\n }\n}\n", "8080", "fail2ban", "web"},
		{"crowdsec", "table ip crowdsec { set crowdsec-blacklists { type ipv4_addr\n elements = { 10.0.0.9 }\n }\n chain c { ip saddr @crowdsec-blacklists drop\n }\n}\n", "crowdsec", "crowdsec", ""},
		{"tailscale", filter("ts-input", "-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP"), "100.64", "tailscale", ""},
		{"a chain that begins alike", filter("ts-web", "-A ts-web -p tcp --dport 8080 -j DROP"), "8080", Unknown, ""},
		{"wg-quick", "table ip wg-quick-wg0 { chain preraw { ip daddr 10.0.0.5 drop\n }\n}\n", "10.0.0.5", "wg-quick", "wg0"},
		{"wg-quick with iptables", filter("", `-A INPUT -d 10.0.0.5/32 ! -i wg0 -m comment --comment "wg-quick(8) rule for wg0" -j DROP`), "wg0", "wg-quick", "wg0"},
		{"libvirt", filter("LIBVIRT_FWI", "-A LIBVIRT_FWI -o virbr0 -j REJECT"), "virbr0", "libvirt", ""},
		{"csf", filter("LOCALINPUT DENYIN", "-A DENYIN -s 10.0.0.9/32 -j DROP"), "10.0.0.9", "csf", ""},
		{"csf's policy", "*filter\n:INPUT DROP [0:0]\n:LOCALINPUT - [0:0]\n:DENYIN - [0:0]\nCOMMIT\n", "policy INPUT", "csf", ""},
		{"firewalld with iptables", filter("INPUT_ZONES FORWARD_ZONES IN_public IN_public_deny", "-A IN_public_deny -p tcp --dport 8080 -j REJECT"), "8080", "firewalld", "public"},
		{"a table of nftables called like a chain", "table inet x { chain DOCKER { tcp dport 8080 drop\n }\n}\n", "8080", Unknown, ""},
		{"nobody", filter("", "-A INPUT -p tcp --dport 8080 -j DROP"), "8080", Unknown, ""},
	} {
		set := parse(t, c.rules)
		o := (&Facts{Rules: set}).Of(culprit(t, set, c.rule), flow4)
		if o.Manager != c.manager || o.Name != c.thing {
			t.Errorf("%s: %s %q, want %s %q", c.name, o.Manager, o.Name, c.manager, c.thing)
		}
	}
}

// In the tools' own saved rulesets each rule in a chain of theirs has its owner.
func TestSavedRulesets(t *testing.T) {
	for file, manager := range map[string]string{"docker": "docker", "fail2ban": "fail2ban", "kubernetes": "kube-proxy", "ufw": "ufw"} {
		data, err := os.ReadFile("../../rules/xtables/testdata/" + file + ".rules")
		if err != nil {
			t.Fatal(err)
		}
		set := parse(t, string(data))
		found := 0
		for _, table := range set.Tables {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					number := int(r.Number)
					at := &diagnose.Culprit{Backend: string(table.Backend), Family: table.Family.String(), Table: table.Name, Chain: c.Name, Number: &number}
					switch o := (&Facts{Rules: set}).Of(at, flow4); {
					case o.Manager == manager:
						found++
					case !c.Base() && c.Name != "DOCKER-USER" && o.Manager == Unknown:
						t.Errorf("%s: nobody has made %s %d", file, c.Name, r.Number)
					}
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: no rule is its own", file)
		}
	}
}

func TestUnknownPlace(t *testing.T) {
	set := parse(t, filter("", "-A INPUT -j DROP"))
	far := 7
	at := culprit(t, set, "DROP")
	for _, c := range []*diagnose.Culprit{nil, {}, {Backend: at.Backend, Family: at.Family, Table: at.Table, Chain: "x"},
		{Backend: at.Backend, Family: at.Family, Table: at.Table, Chain: at.Chain, Number: &far}} {
		if o := (&Facts{Rules: set}).Of(c, flow4); o.Manager != Unknown || len(o.Fixes) != 0 {
			t.Errorf("%+v: %+v", c, o)
		}
	}
}

// Without files, nothing is said of what is in them.
func TestNoFiles(t *testing.T) {
	for rules, says := range map[string]string{
		filter("ufw-user-input", "-A ufw-user-input -p tcp --dport 8080 -j DROP"):                                               "a rule in its chain ufw-user-input",
		"table inet firewalld { chain filter_IN_public { drop\n }\n chain filter_IN_public_deny { tcp dport 8080 drop\n }\n}\n": `a rich rule of zone "public"`,
	} {
		set := parse(t, rules)
		if o := (&Facts{Rules: set}).Of(culprit(t, set, "8080"), flow4); o.Says != says || o.File != "" || len(o.Evidence) != 0 {
			t.Errorf("%+v, want %s", o, says)
		}
	}
}

func TestContainers(t *testing.T) {
	containers := func() []host.Container {
		return []host.Container{
			{Name: "shop-web-1", Engine: "docker", Address: []netip.Addr{netip.MustParseAddr("172.17.0.2")}, Networks: []string{"front"}, Project: "shop", Service: "web", ComposeFile: "/srv/shop/compose.yaml"},
			{Name: "db", Engine: "docker", Address: []netip.Addr{netip.MustParseAddr("172.18.0.2")}, Networks: []string{"back"}},
		}
	}
	forward := Flow{Network: "tcp", Src: netip.MustParseAddr("172.17.0.2"), Dst: netip.MustParseAddr("172.18.0.2"), Port: 5432, Hook: rules.Forward}
	for _, c := range []struct{ name, rules, rule, manager, thing, says, fix string }{
		{"direct access", "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP\nCOMMIT\n", "172.17", "docker", "shop-web-1",
			`container "shop-web-1" (compose service "web" of project "shop") may be reached through its published ports only`, ""},
		{"nat", "*nat\n:DOCKER - [0:0]\n-A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n", "8080", "docker", "shop-web-1",
			`container "shop-web-1" (compose service "web" of project "shop")`, "iptables -w 5 -I DOCKER-USER -s 172.17.0.2 -d 172.18.0.2 -p tcp --dport 5432 -j ACCEPT"},
		{"isolation", filter("DOCKER-ISOLATION-STAGE-2", "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP"), "docker0", "docker", "db",
			"containers of different networks may not reach each other", "docker network connect back shop-web-1"},
	} {
		set := parse(t, c.rules)
		o := (&Facts{Rules: set, Containers: containers}).Of(culprit(t, set, c.rule), forward)
		fix := ""
		if len(o.Fixes) > 0 {
			fix = strings.Join(o.Fixes[0].Commands[0], " ")
		}
		if o.Manager != c.manager || o.Name != c.thing || o.Says != c.says || fix != c.fix {
			t.Errorf("%s: %s %q: %q, %q", c.name, o.Manager, o.Name, o.Says, fix)
		}
	}
}
